//! A journal record as fields of a stream entry.

use std::collections::HashMap;

use bytes::Bytes;
use redis::{FromRedisValue, Pipeline, Value};
use uuid::Uuid;

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
            .arg("b")
            .arg(&*self.body)
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
            body: take::<Vec<u8>>(&mut fields, "b")?.into(),
        })
    }
}

fn take<T: FromRedisValue>(fields: &mut HashMap<String, Value>, name: &str) -> Option<T> {
    T::from_redis_value(fields.remove(name)?).ok()
}
