//! The stream as those see it who put entries on it and take them off.

use std::time::Duration;

use redis::Pipeline;

use crate::{Entry, Error, Queue, Result};

/// The consumer group of the workers of both nodes.
pub const GROUP: &str = "voipadmind";

/// The longest [`Queue::push_replicated`] waits for a replica; the connection's own time-out lies beyond it.
pub const REPLICA_WAIT_MAX: Duration = Duration::from_secs(1);

/// Ids in one acknowledgement; a batch is not larger by far.
const ACK_IDS_MAX: usize = 1_000;

impl Queue {
    /// Appends entries in one round trip. On an error some may have been appended: pushing again makes duplicates, which
    /// the store finds to be stored.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn push(&self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        Ok(self.pushing.ask_all::<()>(&self.appending(entries)).await?)
    }

    /// As [`push`](Self::push), and answers how many replicas have the entries, waiting for one at most `wait`
    /// ([`REPLICA_WAIT_MAX`]). Redis does not take the entries back when none has: they are pushed all the same.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn push_replicated(&self, entries: &[Entry], wait: Duration) -> Result<u64> {
        // In the same pipeline: WAIT speaks of what its own connection wrote.
        let mut pipeline = self.appending(entries);
        let wait_ms = u64::try_from(wait.min(REPLICA_WAIT_MAX).as_millis()).unwrap_or(1).max(1);
        pipeline.cmd("WAIT").arg(1).arg(wait_ms);
        let (replicas,) = self.pushing.ask_all(&pipeline).await?;
        Ok(replicas)
    }

    fn appending(&self, entries: &[Entry]) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(entries.len() + 1);
        for entry in entries {
            pipeline.add_command(entry.append(&self.config.stream)).ignore();
        }
        pipeline
    }

    /// Takes entries off the stream for good.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; they are then delivered again.
    pub async fn ack(&self, ids: &[String]) -> Result<()> {
        for ids in ids.chunks(ACK_IDS_MAX) {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.cmd("XACK").arg(&self.config.stream).arg(GROUP).arg(ids).ignore();
            pipeline.cmd("XDEL").arg(&self.config.stream).arg(ids).ignore();
            self.connection.ask_all::<()>(&pipeline).await?;
        }
        Ok(())
    }

    /// Entries on the stream, delivered ones that are not acknowledged included.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn len(&self) -> Result<u64> {
        Ok(self.connection.ask(redis::cmd("XLEN").arg(&self.config.stream)).await?)
    }

    /// Whether a replica follows, as the server knows: one that hangs is believed for its `repl-timeout`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_replica(&self) -> Result<bool> {
        let info: String = self.connection.ask(redis::cmd("INFO").arg("replication")).await?;
        let count = info.lines().find_map(|line| line.strip_prefix("connected_slaves:"));
        Ok(count.is_some_and(|count| count.trim() != "0"))
    }

    /// Which life of which server this is: it changes with every restart and every change of master.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn identity(&self) -> Result<String> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("INFO").arg("server").cmd("INFO").arg("replication");
        let (server, replication): (String, String) = self.connection.ask_all(&pipeline).await?;
        let field = |text: &str, name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
        };
        match (field(&server, "run_id"), field(&replication, "master_replid")) {
            (Some(run), Some(replication)) => Ok(format!("{run}/{replication}")),
            _ => Err(Error::Unexpected("INFO without run_id".to_owned())),
        }
    }
}
