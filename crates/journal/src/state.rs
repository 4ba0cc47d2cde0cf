//! The state file: which records need no longer be kept.
//!
//! Written now and then, not at every `forget`: what it misses is only handed out once more. But it is durable
//! before any segment it explains is deleted, so that a missing file is never mistaken for a finished one.
//!
//! ```text
//! 0 magic "TANDEMS\n" · 8 version u32 · 12 zero u32 · 16 journal id [16] · 32 next seq u64
//! 40 forgotten ranges: number u32, (first u64, last u64)… · the same of skipped ones · crc32c of all before
//! ```

use uuid::Uuid;

use crate::format::{FORMAT_VERSION, u32_at, u64_at};
use crate::publish::{PublishError, publish};
use crate::ranges::RangeSet;
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
    pub(crate) done: Done,
}

/// Seqs that are not missed if no segment holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Stored elsewhere: handed out no more.
    pub(crate) forgotten: RangeSet,
    /// Not given out, or given out to records in the unreadable end of a segment: handed out if they turn up.
    pub(crate) skipped: RangeSet,
}

impl Done {
    /// The largest seq that must not be given out again.
    pub(crate) fn max(&self) -> u64 {
        self.forgotten.max().max(self.skipped.max())
    }
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
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(self.journal.as_bytes());
        bytes.extend_from_slice(&self.next_seq.to_le_bytes());
        for ranges in [&self.done.forgotten, &self.done.skipped] {
            bytes.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
            for range in ranges.iter() {
                bytes.extend_from_slice(&range.start().to_le_bytes());
                bytes.extend_from_slice(&range.end().to_le_bytes());
            }
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
        let (forgotten, rest) = decode_ranges(content.get(HEADER_BYTES..)?)?;
        let (skipped, rest) = decode_ranges(rest)?;
        rest.is_empty().then_some(Self {
            journal: Uuid::from_slice(content.get(16..32)?).ok()?,
            next_seq: u64_at(content, 32)?,
            done: Done { forgotten, skipped },
        })
    }

    /// Replaces the state file; durable when it returns.
    pub(crate) fn save(&self, storage: &dyn Storage) -> Result<(), PublishError> {
        publish(storage, STATE_FILE, &self.encode(), SyncPoint::StateData, SyncPoint::StateReplaced)?;
        Ok(())
    }
}

/// The set at the start of `bytes`, and what follows it.
fn decode_ranges(bytes: &[u8]) -> Option<(RangeSet, &[u8])> {
    let ranges_bytes = (u32_at(bytes, 0)? as usize).checked_mul(RANGE_BYTES)?;
    let (ranges, rest) = bytes.get(4..)?.split_at_checked(ranges_bytes)?;
    let mut set = RangeSet::default();
    for range in ranges.chunks_exact(RANGE_BYTES) {
        set.insert(u64_at(range, 0)?..=u64_at(range, 8)?);
    }
    Some((set, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_went_in_and_every_flipped_bit_is_seen() {
        let mut done = Done::default();
        done.forgotten.insert(1..=9);
        done.forgotten.insert(12..=12);
        done.skipped.insert(14..=18);
        let state = State { journal: Uuid::from_u128(5), next_seq: 20, done };
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
