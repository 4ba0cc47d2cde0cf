//! The state file: which records need no longer be kept.
//!
//! Written now and then, not at every `forget`: what it misses is only handed out once more. But it is durable
//! before any segment it explains is deleted, so that a missing file is never mistaken for a finished one.
//!
//! ```text
//! 0 magic "TANDEMS\n" · 8 version u32 · 12 number of ranges u32 · 16 journal id [16] · 32 next seq u64
//! 40 ranges (first u64, last u64)… · crc32c of all before
//! ```

use uuid::Uuid;

use crate::format::{FORMAT_VERSION, u32_at, u64_at};
use crate::ranges::RangeSet;
use crate::segment::{StepError, TEMPORARY_SUFFIX};
use crate::storage::{Storage, SyncPoint};

pub(crate) const STATE_FILE: &str = "state";
/// Where a state file that cannot be read is moved, so that it is reported, not overwritten.
pub(crate) const DAMAGED_STATE_FILE: &str = "state.damaged";
const MAGIC: [u8; 8] = *b"TANDEMS\n";
const HEADER_BYTES: usize = 40;
const RANGE_BYTES: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) journal: Uuid,
    /// Every record below it was durable when this was written.
    pub(crate) next_seq: u64,
    pub(crate) forgotten: RangeSet,
}

/// What a state file's bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    State(State),
    /// Intact, but written by a newer program.
    Version(u32),
    Damaged,
}

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.forgotten.len() * RANGE_BYTES + 4);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.forgotten.len() as u32).to_le_bytes());
        bytes.extend_from_slice(self.journal.as_bytes());
        bytes.extend_from_slice(&self.next_seq.to_le_bytes());
        for range in self.forgotten.iter() {
            bytes.extend_from_slice(&range.start().to_le_bytes());
            bytes.extend_from_slice(&range.end().to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded {
        match bytes.split_last_chunk::<4>() {
            Some((content, crc))
                if content.starts_with(&MAGIC) && crc32c::crc32c(content) == u32::from_le_bytes(*crc) =>
            {
                match u32_at(content, 8) {
                    Some(FORMAT_VERSION) => {
                        Self::decode_content(content).map_or(Decoded::Damaged, Decoded::State)
                    }
                    Some(version) => Decoded::Version(version),
                    None => Decoded::Damaged,
                }
            }
            _ => Decoded::Damaged,
        }
    }

    fn decode_content(content: &[u8]) -> Option<Self> {
        let ranges = content.get(HEADER_BYTES..)?.chunks_exact(RANGE_BYTES);
        if !ranges.remainder().is_empty() || ranges.len() != u32_at(content, 12)? as usize {
            return None;
        }
        let mut forgotten = RangeSet::default();
        for range in ranges {
            forgotten.insert(u64_at(range, 0)?..=u64_at(range, 8)?);
        }
        Some(Self {
            journal: Uuid::from_slice(content.get(16..32)?).ok()?,
            next_seq: u64_at(content, 32)?,
            forgotten,
        })
    }

    /// Replaces the state file; durable when it returns.
    pub(crate) fn save(&self, storage: &dyn Storage) -> Result<(), StepError> {
        let temporary = format!("{STATE_FILE}{TEMPORARY_SUFFIX}");
        let file = storage.create(&temporary).map_err(StepError::Refused)?;
        file.write_all_at(&self.encode(), 0).map_err(StepError::Refused)?;
        file.sync(SyncPoint::StateData).map_err(StepError::Sync)?;
        storage.rename(&temporary, STATE_FILE).map_err(StepError::Refused)?;
        storage.sync_dir(SyncPoint::StateReplaced).map_err(StepError::Sync)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_went_in_and_every_flipped_bit_is_seen() {
        let mut forgotten = RangeSet::default();
        forgotten.insert(1..=9);
        forgotten.insert(12..=12);
        let state = State { journal: Uuid::from_u128(5), next_seq: 20, forgotten };
        let mut bytes = state.encode();
        assert_eq!(State::decode(&bytes), Decoded::State(state));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(State::decode(&bytes), Decoded::Damaged, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(State::decode(&[]), Decoded::Damaged);
    }
}
