//! One segment file: its name, its creation, and what can be read out of it.

use std::io;

use uuid::Uuid;

use crate::format::{FORMAT_VERSION, Found, RECORD_MAGIC, SEGMENT_HEADER_BYTES, Seed, SegmentHeader};
use crate::limits::SEGMENT_BYTES_CEILING;
use crate::publish::{PublishError, publish};
use crate::storage::{Storage, StorageFile, SyncPoint};

const SUFFIX: &str = ".segment";
const DAMAGED_SUFFIX: &str = ".segment.damaged";
/// A bad sector hides this much at most of what is around it.
const READ_BLOCK_BYTES: usize = 64 << 10;

/// A segment's file name, which holds its first seq: `00000000000000000001.segment`. A segment with damage keeps
/// its number, is read, but never written or deleted again: `00000000000000000001.segment.damaged`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) first_seq: u64,
    pub(crate) damaged: bool,
}

impl SegmentName {
    pub(crate) fn parse(file: &str) -> Option<Self> {
        let (digits, damaged) = match file.strip_suffix(DAMAGED_SUFFIX) {
            Some(digits) => (digits, true),
            None => (file.strip_suffix(SUFFIX)?, false),
        };
        let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
        Some(Self { first_seq: plain.then(|| digits.parse().ok())??, damaged })
    }

    pub(crate) fn file(self) -> String {
        let suffix = if self.damaged { DAMAGED_SUFFIX } else { SUFFIX };
        format!("{:020}{suffix}", self.first_seq)
    }
}

/// Creates a segment, empty but for its header: a power cut never leaves a segment without one.
pub(crate) fn create(
    storage: &dyn Storage,
    journal: Uuid,
    first_seq: u64,
) -> Result<Box<dyn StorageFile>, PublishError> {
    let name = SegmentName { first_seq, damaged: false }.file();
    let header = SegmentHeader { version: FORMAT_VERSION, journal, first_seq }.encode();
    publish(storage, &name, &header, SyncPoint::SegmentHeader, SyncPoint::SegmentCreated)
}

/// A file's bytes; blocks that the disk cannot read are zeros.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// The disk failed to read some of it, or it is larger than any segment.
    pub(crate) unreadable: bool,
}

pub(crate) fn read_all(file: &dyn StorageFile) -> io::Result<Content> {
    let length = file.bytes()?;
    let mut bytes = vec![0; length.min(SEGMENT_BYTES_CEILING) as usize];
    let mut unreadable = length > SEGMENT_BYTES_CEILING;
    for (index, block) in bytes.chunks_mut(READ_BLOCK_BYTES).enumerate() {
        if file.read_exact_at(block, (index * READ_BLOCK_BYTES) as u64).is_err() {
            block.fill(0);
            unreadable = true;
        }
    }
    Ok(Content { bytes, unreadable })
}

/// Where a valid record stands in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    pub(crate) received_us: i64,
}

/// What a segment's bytes hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Valid records by rising seq.
    pub(crate) entries: Vec<Entry>,
    /// End of the last valid record.
    pub(crate) end: u64,
    /// One more than the last valid record's seq.
    pub(crate) next_seq: u64,
    /// Bytes before `end` that are no record, where one was: acknowledged records are unreadable.
    pub(crate) damaged_bytes: u64,
}

/// Reads the records of the segment that begins with `first_seq`.
///
/// `next_first_seq` is the segment after it (`None`: it is the newest). Records from there on are left over from a
/// group that the disk had no room for and that went, with the same seqs, into the next segment. Records below
/// `durable_below` are known to have been durable once.
pub(crate) fn scan(
    bytes: &[u8],
    seed: Seed,
    first_seq: u64,
    next_first_seq: Option<u64>,
    durable_below: u64,
) -> Scan {
    let mut scan = Scan {
        end: bytes.len().min(SEGMENT_HEADER_BYTES) as u64,
        next_seq: first_seq,
        entries: Vec::new(),
        damaged_bytes: 0,
    };
    let mut offset = SEGMENT_HEADER_BYTES;
    while next_first_seq.is_none_or(|next| scan.next_seq < next) {
        let Some((start, found)) = next_record(bytes, offset, seed, scan.next_seq, next_first_seq) else {
            break;
        };
        if start > offset {
            if next_first_seq.is_none() && found.group <= scan.next_seq && scan.next_seq >= durable_below {
                // It shares its fsync with the hole before it: none of them was acknowledged.
                break;
            }
            scan.damaged_bytes += (start - offset) as u64;
        }
        offset = start + found.bytes();
        scan.next_seq = found.seq + 1;
        scan.end = offset as u64;
        scan.entries.push(Entry {
            seq: found.seq,
            offset: start as u64,
            bytes: found.bytes() as u32,
            received_us: found.received_us,
        });
    }
    scan
}

/// The record at `offset`, or else the first one behind it that can belong there.
fn next_record<'a>(
    bytes: &'a [u8],
    mut offset: usize,
    seed: Seed,
    expected: u64,
    next_first_seq: Option<u64>,
) -> Option<(usize, Found<'a>)> {
    loop {
        let rest = bytes.get(offset..)?;
        let at = rest.windows(RECORD_MAGIC.len()).position(|window| window == RECORD_MAGIC)?;
        offset += at;
        match Found::decode(&bytes[offset..], seed) {
            Some(found) if found.seq >= expected && next_first_seq.is_none_or(|next| found.seq < next) => {
                return Some((offset, found));
            }
            _ => offset += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::*;
    use crate::Record;
    use crate::format::{RECORD_HEADER_BYTES, encode_record};

    const JOURNAL: Uuid = Uuid::from_u128(9);

    /// A segment of records (seq, group), and where each begins.
    fn segment(first_seq: u64, records: &[(u64, u64)], body: &[u8]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes =
            SegmentHeader { version: FORMAT_VERSION, journal: JOURNAL, first_seq }.encode().to_vec();
        let mut starts = Vec::new();
        for &(seq, group) in records {
            starts.push(bytes.len());
            let record =
                Record { kind: 0, received_us: 0, key: String::new(), body: Bytes::copy_from_slice(body) };
            encode_record(&mut bytes, Seed::new(JOURNAL, first_seq), seq, group, &record);
        }
        (bytes, starts)
    }

    fn scanned(
        bytes: &[u8],
        first_seq: u64,
        next_first_seq: Option<u64>,
        durable_below: u64,
    ) -> (Vec<u64>, u64) {
        let scan = scan(bytes, Seed::new(JOURNAL, first_seq), first_seq, next_first_seq, durable_below);
        (scan.entries.iter().map(|entry| entry.seq).collect(), scan.damaged_bytes)
    }

    #[test]
    fn a_hole_in_the_last_group_is_a_torn_tail_unless_the_group_was_durable() {
        let (mut bytes, starts) = segment(1, &[(1, 1), (2, 2), (3, 2), (4, 2)], b"body");
        bytes[starts[2] + 9] ^= 1;
        assert_eq!(scanned(&bytes, 1, None, 1), (vec![1, 2], 0));
        assert_eq!(scanned(&bytes, 1, None, 5), (vec![1, 2, 4], 44));
        assert_eq!(scanned(&bytes, 1, Some(5), 1), (vec![1, 2, 4], 44));
    }

    #[test]
    fn a_hole_before_a_later_group_is_damage() {
        let (mut bytes, starts) = segment(1, &[(1, 1), (2, 2), (3, 2), (4, 4)], b"body");
        bytes[starts[1]..starts[3]].fill(0);
        assert_eq!(scanned(&bytes, 1, None, 1), (vec![1, 4], 88));
    }

    #[test]
    fn what_was_left_over_when_the_disk_was_full_belongs_to_the_next_segment() {
        let (bytes, _) = segment(1, &[(1, 1), (2, 2), (3, 3), (4, 3)], b"body");
        assert_eq!(scanned(&bytes[..bytes.len() - 1], 1, Some(3), 1), (vec![1, 2], 0));
        let (mut bytes, starts) = segment(1, &[(1, 1), (2, 2), (3, 3)], b"body");
        bytes[starts[1]] ^= 1;
        assert_eq!(scanned(&bytes, 1, Some(3), 1).0, [1]);
    }

    #[test]
    fn a_record_inside_a_body_is_not_found_even_if_the_one_around_it_is_spoilt() {
        let (inner, starts) = segment(2, &[(2, 2)], b"forged");
        let (mut bytes, outer) = segment(1, &[(1, 1), (2, 2), (3, 3)], &inner[starts[0]..]);
        bytes[outer[1]] ^= 1;
        assert_eq!(scanned(&bytes, 1, None, 1), (vec![1, 3], (outer[2] - outer[1]) as u64));
    }

    /// Each of these headers claims a body of a mebibyte, which would have to be summed up to be refused.
    #[test]
    fn a_body_of_headers_does_not_hold_up_the_search() {
        let mut header = [0; RECORD_HEADER_BYTES];
        header[..4].copy_from_slice(&RECORD_MAGIC);
        header[8..12].copy_from_slice(&(1u32 << 20).to_le_bytes());
        let (mut bytes, starts) = segment(1, &[(1, 1), (2, 2)], &header.repeat((4 << 20) / header.len()));
        bytes[starts[0]] ^= 1;
        let start = Instant::now();
        assert_eq!(scanned(&bytes, 1, None, 1).0, [2]);
        assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    }
}
