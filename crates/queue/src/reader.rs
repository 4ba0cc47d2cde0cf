//! The stream as a worker sees it.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Pipeline, Value};

use crate::connection::{ANSWER_TIMEOUT, Connection, Failure};
use crate::entry::{Delivered, Replied};
use crate::error::{is_group_there, is_no_group};
use crate::stream::GROUP;
use crate::{QueueConfig, Result};

/// The longest a read may block; the connection's own time-out lies beyond it.
pub const BLOCK_MAX: Duration = Duration::from_secs(5);

/// One consumer of the group.
pub struct Reader {
    config: Arc<QueueConfig>,
    consumer: String,
    connection: Connection,
}

impl Reader {
    pub(crate) fn new(config: Arc<QueueConfig>, consumer: &str) -> Self {
        let connection = Connection::new(Arc::clone(&config), BLOCK_MAX + ANSWER_TIMEOUT);
        Self { config, consumer: consumer.to_owned(), connection }
    }

    /// New entries, at most `entries_max`; none when there were none for `block`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn read(&self, entries_max: usize, block: Duration) -> Result<Vec<Delivered>> {
        let block_ms = block.min(BLOCK_MAX).as_millis().max(1) as u64;
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(entries_max);
        read.arg("BLOCK").arg(block_ms).arg("STREAMS").arg(&self.config.stream).arg(">");
        // A list of streams, of which there is one: its key, and the entries.
        let reply: Option<((Value, Vec<Replied>),)> = self.ask(&read).await?;
        self.understood(reply.map(|((_, entries),)| entries).unwrap_or_default()).await
    }

    /// Entries that a consumer, this one in an earlier life included, took longer than `idle` ago and never acknowledged.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn claim_stale(&self, idle: Duration, entries_max: usize) -> Result<Vec<Delivered>> {
        let mut claim = redis::cmd("XAUTOCLAIM");
        claim.arg(&self.config.stream).arg(GROUP).arg(&self.consumer);
        claim.arg(idle.as_millis() as u64).arg("0-0").arg("COUNT").arg(entries_max);
        // Where to go on, the entries, and the ids of those that are there no more.
        let (_, claimed, _): (Value, Vec<Replied>, Value) = self.ask(&claim).await?;
        self.understood(claimed).await
    }

    /// Asks; where the group is gone (FLUSHALL, a new server) it is made, and asked once more.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        match self.connection.ask(command).await {
            Err(Failure::Answer(error)) if is_no_group(&error) => {
                self.make_group().await?;
                Ok(self.connection.ask(command).await?)
            }
            other => Ok(other?),
        }
    }

    async fn make_group(&self) -> Result<()> {
        let mut create = redis::cmd("XGROUP");
        // From 0: entries pushed before the group existed are ours as well.
        create.arg("CREATE").arg(&self.config.stream).arg(GROUP).arg("0").arg("MKSTREAM");
        match self.connection.ask::<()>(&create).await {
            Err(Failure::Answer(error)) if is_group_there(&error) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Entries that are not ours are taken off: nobody could ever do anything with them.
    async fn understood(&self, entries: Vec<Replied>) -> Result<Vec<Delivered>> {
        let mut foreign = Vec::new();
        let mut delivered = Vec::with_capacity(entries.len());
        for Replied { id, entry } in entries {
            match entry {
                Some(entry) => delivered.push(Delivered { id, entry }),
                None => foreign.push(id),
            }
        }
        if !foreign.is_empty() {
            tracing::error!(
                entries = foreign.len(),
                stream = self.config.stream,
                "foreign entries on the CDR stream"
            );
            let mut pipeline = Pipeline::new();
            pipeline.cmd("XACK").arg(&self.config.stream).arg(GROUP).arg(&foreign).ignore();
            pipeline.cmd("XDEL").arg(&self.config.stream).arg(&foreign).ignore();
            self.connection.ask_all::<()>(&pipeline).await?;
        }
        Ok(delivered)
    }
}
