//! Bytes on disk. All numbers are little-endian.
//!
//! A segment file is a header of 64 bytes, then records without padding:
//!
//! ```text
//! header  0 magic "TANDEMJ\n" · 8 version u32 · 12 zero u32 · 16 journal id [16] · 32 first seq u64
//!        40 zero [20] · 60 crc32c of bytes 0..60
//! record  0 magic "TjR1" · 4 crc32c of bytes 8.. · 8 body length u32 · 12 kind u8 · 13 key length u8
//!        14 header check u16 · 16 seq u64 · 24 group u64 · 32 received_us i64 · 40 key · body
//! ```
//!
//! `group` is the seq of the first record that shared this record's fsync. A group is written only after the one
//! before it is durable, so a valid record proves that everything before its group *was* durable: this is what
//! tells a torn tail (never acknowledged, cut off) from damage (acknowledged, reported).
//!
//! A record's checksums start from the journal's id and the segment's first seq. A body that holds a forged
//! record, or a block left over from another segment, is never taken for a record of this one. The header check
//! (low half of the crc32c of bytes 8..14 and 16..40) keeps a search through damaged bytes from summing up a
//! megabyte for every header an attacker has put into a body.

use bytes::Bytes;
use uuid::Uuid;

use crate::Record;

pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
pub(crate) const RECORD_HEADER_BYTES: usize = 40;
const SEGMENT_MAGIC: [u8; 8] = *b"TANDEMJ\n";
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"TjR1";

/// Start of a record's checksum: which segment of which journal it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(journal: Uuid, first_seq: u64) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(journal.as_bytes()), &first_seq.to_le_bytes()))
    }
}

/// First 64 bytes of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) journal: Uuid,
    pub(crate) first_seq: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..32].copy_from_slice(self.journal.as_bytes());
        bytes[32..40].copy_from_slice(&self.first_seq.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` unless magic and checksum are right. The version is not judged here.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..SEGMENT_HEADER_BYTES)?;
        if header[..8] != SEGMENT_MAGIC || crc32c::crc32c(&header[..60]) != u32_at(header, 60)? {
            return None;
        }
        Some(Self {
            version: u32_at(header, 8)?,
            journal: Uuid::from_slice(header.get(16..32)?).ok()?,
            first_seq: u64_at(header, 32)?,
        })
    }
}

/// Bytes of a record on disk.
pub(crate) fn record_bytes(key_bytes: usize, body_bytes: usize) -> u64 {
    (RECORD_HEADER_BYTES + key_bytes + body_bytes) as u64
}

/// Appends the record to `out`. The caller has checked the lengths of key and body.
pub(crate) fn encode_record(out: &mut Vec<u8>, seed: Seed, seq: u64, group: u64, record: &Record) {
    let start = out.len();
    out.extend_from_slice(&RECORD_MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(record.body.len() as u32).to_le_bytes());
    out.extend_from_slice(&[record.kind, record.key.len() as u8, 0, 0]);
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&group.to_le_bytes());
    out.extend_from_slice(&record.received_us.to_le_bytes());
    out.extend_from_slice(record.key.as_bytes());
    out.extend_from_slice(&record.body);
    let check = header_check(&out[start..], seed);
    out[start + 14..start + 16].copy_from_slice(&check.to_le_bytes());
    let crc = crc32c::crc32c_append(seed.0, &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

fn header_check(record: &[u8], seed: Seed) -> u16 {
    let crc = crc32c::crc32c_append(seed.0, &record[8..14]);
    crc32c::crc32c_append(crc, &record[16..RECORD_HEADER_BYTES]) as u16
}

/// A record found in a segment's bytes, its checksum verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) seq: u64,
    pub(crate) group: u64,
    pub(crate) received_us: i64,
    pub(crate) kind: u8,
    pub(crate) key: &'a str,
    pub(crate) body: &'a [u8],
}

impl<'a> Found<'a> {
    /// The record at the start of `bytes`; `None` if there is no whole and valid one.
    pub(crate) fn decode(bytes: &'a [u8], seed: Seed) -> Option<Self> {
        let header = bytes.get(..RECORD_HEADER_BYTES)?;
        let check = u16::from_le_bytes([header[14], header[15]]);
        if header[..4] != RECORD_MAGIC || check != header_check(header, seed) {
            return None;
        }
        let body_bytes = u32_at(header, 8)? as usize;
        let key_bytes = usize::from(header[13]);
        let body_start = RECORD_HEADER_BYTES + key_bytes;
        let record = bytes.get(..body_start.checked_add(body_bytes)?)?;
        if crc32c::crc32c_append(seed.0, &record[8..]) != u32_at(record, 4)? {
            return None;
        }
        Some(Self {
            seq: u64_at(record, 16)?,
            group: u64_at(record, 24)?,
            received_us: u64_at(record, 32)? as i64,
            kind: record[12],
            key: std::str::from_utf8(&record[RECORD_HEADER_BYTES..body_start]).ok()?,
            body: &record[body_start..],
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.key.len() + self.body.len()
    }

    pub(crate) fn to_record(self) -> Record {
        Record {
            kind: self.kind,
            received_us: self.received_us,
            key: self.key.to_owned(),
            body: Bytes::copy_from_slice(self.body),
        }
    }
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        Record { kind: 7, received_us: -5, key: "ключ".into(), body: Bytes::from_static(b"{\"a\":1}") }
    }

    #[test]
    fn a_record_comes_back_as_it_went_in() {
        let seed = Seed::new(Uuid::from_u128(1), 10);
        let mut bytes = Vec::new();
        encode_record(&mut bytes, seed, 12, 11, &sample());
        assert_eq!(bytes.len() as u64, record_bytes("ключ".len(), 7));
        let found = Found::decode(&bytes, seed).unwrap();
        assert_eq!((found.seq, found.group, found.bytes()), (12, 11, bytes.len()));
        assert_eq!(found.to_record(), sample());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_seen() {
        let seed = Seed::new(Uuid::from_u128(1), 10);
        let mut bytes = Vec::new();
        encode_record(&mut bytes, seed, 12, 11, &sample());
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Found::decode(&bytes, seed).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(Found::decode(&bytes[..bytes.len() - 1], seed).is_none());
    }

    #[test]
    fn a_record_of_another_segment_or_journal_is_a_stranger() {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, Seed::new(Uuid::from_u128(1), 10), 12, 11, &sample());
        assert!(Found::decode(&bytes, Seed::new(Uuid::from_u128(1), 11)).is_none());
        assert!(Found::decode(&bytes, Seed::new(Uuid::from_u128(2), 10)).is_none());
    }

    #[test]
    fn a_header_comes_back_and_a_flipped_bit_is_seen() {
        let header = SegmentHeader { version: 1, journal: Uuid::from_u128(77), first_seq: 1 << 40 };
        let mut bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(SegmentHeader::decode(&bytes[..63]), None);
    }
}
