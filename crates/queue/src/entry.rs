//! A journal record as fields of a stream entry.
//!
//! The body is packed (LZ4 block after its length, 4 bytes little-endian): while the database waits for its standby hours of
//! calls lie in Redis' memory, on its replication link and in its append-only file, and a CDR packs to less than half (0.33 to 0.48 of the captures).

use std::collections::HashMap;

use bytes::Bytes;
use lz4_flex::block::{compress_prepend_size, decompress, uncompressed_size};
use redis::{FromRedisValue, Pipeline, Value};
use uuid::Uuid;

/// The longest body, more than the journal takes. A length beyond it is not ours.
const BODY_BYTES_MAX: usize = 4 << 20;

/// A journal record on its way to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The journal it lies in.
    pub journal_id: Uuid,
    /// Its number there.
    pub seq: u64,
    /// The node that received it.
    pub node: String,
    /// The journal's kind, unchanged.
    pub kind: u8,
    /// Microseconds since the epoch.
    pub received_us: i64,
    /// The uuid hint that came with the document, or nothing.
    pub key: String,
    /// The document as it was posted.
    pub body: Bytes,
}

/// An entry handed to one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Redis' id, for the acknowledgement.
    pub id: String,
    /// The record.
    pub entry: Entry,
}

impl Entry {
    /// Adds `XADD` of this entry to a pipeline.
    pub(crate) fn add_to(&self, pipeline: &mut Pipeline, stream: &str) {
        pipeline
            .cmd("XADD")
            .arg(stream)
            .arg("*")
            .arg("j")
            .arg(self.journal_id.as_bytes())
            .arg("s")
            .arg(self.seq)
            .arg("n")
            .arg(&self.node)
            .arg("k")
            .arg(self.kind)
            .arg("t")
            .arg(self.received_us)
            .arg("u")
            .arg(&self.key)
            .arg("z")
            .arg(compress_prepend_size(&self.body))
            .ignore();
    }

    /// None for an entry that is not ours.
    pub(crate) fn read(mut fields: HashMap<String, Value>) -> Option<Self> {
        let journal_id: Vec<u8> = take(&mut fields, "j")?;
        Some(Self {
            journal_id: Uuid::from_slice(&journal_id).ok()?,
            seq: take(&mut fields, "s")?,
            node: take(&mut fields, "n")?,
            kind: take(&mut fields, "k")?,
            received_us: take(&mut fields, "t")?,
            key: take(&mut fields, "u")?,
            body: unpacked(&take::<Vec<u8>>(&mut fields, "z")?)?,
        })
    }
}

fn take<T: FromRedisValue>(fields: &mut HashMap<String, Value>, name: &str) -> Option<T> {
    T::from_redis_value(fields.remove(name)?).ok()
}

fn unpacked(packed: &[u8]) -> Option<Bytes> {
    let (bytes, packed) = uncompressed_size(packed).ok()?;
    let body = (bytes <= BODY_BYTES_MAX).then(|| decompress(packed, bytes).ok()).flatten()?;
    Some(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_back_as_it_was_and_a_length_that_is_not_ours_allocates_nothing() {
        for body in [&b""[..], b"{}", &[0xff; 70_000]] {
            assert_eq!(unpacked(&compress_prepend_size(body)).as_deref(), Some(body));
        }
        let mut packed = compress_prepend_size(b"a document");
        packed[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(unpacked(&packed), None);
        assert_eq!(unpacked(b"abc"), None);
    }
}
