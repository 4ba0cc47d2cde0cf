//! From the journal to Redis. The journal is the queue's source: what Redis loses is simply read again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use journal::Journal;
use queue::{Entry, Queue};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::intake::Pushed;

const PUSH_RECORDS_MAX: usize = 256;
const PUSH_BYTES_MAX: usize = 4 << 20;
/// Redis holds the newest stretch only; the journal holds the rest.
const QUEUE_ENTRIES_MAX: u64 = 20_000;
const CHECK_EVERY: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// For the replica's word that it has a stretch, in memory: the journal's fsync is what survives power cuts. WAITAOF would
/// wait for an fsync that Redis does once a second. One that did not answer in time is not waited for until the next check.
const REPLICA_WAIT: Duration = Duration::from_millis(100);
/// An empty queue with records this old in the journal has lost them (FLUSHALL, a failover of Redis).
const LOST_AFTER_US: i64 = 5_000_000;

pub struct Pump {
    pub journal: Arc<Journal>,
    pub queue: Queue,
    pub node: String,
    pub appended: Arc<Notify>,
    pub pushed: watch::Sender<Pushed>,
    /// Another node's Redis follows this one's, or is the master.
    pub has_peer: bool,
}

impl Pump {
    /// Runs until `stop`. Starts from the journal's oldest record that is not known to be committed.
    pub async fn run(self, stop: CancellationToken) {
        let mut after = 0;
        let mut server = None;
        let mut replica = false;
        let mut check = tokio::time::interval(CHECK_EVERY);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.appended.notified() => {}
                _ = check.tick() => {
                    let now = self.queue.identity().await.ok();
                    if now.is_some() && now != server || self.lost_by_redis().await {
                        self.start_again(&mut after, server.is_some());
                    }
                    server = now.or(server);
                    replica = self.has_peer && self.queue.has_replica().await.unwrap_or(false);
                }
            }
            while !stop.is_cancelled() {
                match self.push_next(after, replica).await {
                    Ok(None) => break,
                    Ok(Some((through, replicated))) => {
                        (after, replica) = (through, replicated);
                        let pushed = if replicated { Pushed::Replicated } else { Pushed::Alone };
                        self.pushed.send_replace(pushed(through));
                    }
                    Err(error) => {
                        tracing::warn!(error, "cannot push CDRs to Redis; the journal keeps them");
                        self.pushed.send_replace(Pushed::Down);
                        tokio::time::sleep(RETRY_AFTER).await;
                        break;
                    }
                }
            }
        }
    }

    fn start_again(&self, after: &mut u64, was_connected: bool) {
        *after = 0;
        if was_connected {
            tracing::warn!(
                "Redis was restarted, replaced or emptied; pushing what is not known to be stored"
            );
            metrics::counter!("voip_cdr_repushed_total").increment(1);
        }
    }

    /// Pushes the next stretch after `after`: the last seq pushed, and whether a replica has it, who is waited for if one
    /// follows. None if there is nothing or no room.
    async fn push_next(&self, after: u64, replica: bool) -> Result<Option<(u64, bool)>, String> {
        let journal = Arc::clone(&self.journal);
        let read = move || journal.read_pending(after, PUSH_RECORDS_MAX, PUSH_BYTES_MAX);
        let records = tokio::task::spawn_blocking(read)
            .await
            .map_err(|e| e.to_string())?
            .map_err(|e| format!("reading the journal: {e}"))?;
        let Some(through) = records.last().map(|(seq, _)| *seq) else { return Ok(None) };
        if self.queue.len().await.map_err(|e| e.to_string())? >= QUEUE_ENTRIES_MAX {
            return Ok(None);
        }
        let journal_id = self.journal.id();
        let entries: Vec<Entry> = records
            .into_iter()
            .map(|(seq, record)| Entry {
                journal_id,
                seq,
                node: self.node.clone(),
                kind: record.kind,
                received_us: record.received_us,
                key: record.key,
                body: record.body,
            })
            .collect();
        let replicas = if replica {
            self.queue.push_replicated(&entries, REPLICA_WAIT).await
        } else {
            self.queue.push(&entries).await.map(|()| 0)
        };
        Ok(Some((through, replicas.map_err(|e| e.to_string())? > 0)))
    }

    async fn lost_by_redis(&self) -> bool {
        let stats = self.journal.stats();
        let Some(oldest_us) = stats.pending_oldest_received_us else { return false };
        let old = Timestamp::now().as_microsecond() - oldest_us > LOST_AFTER_US;
        old && self.queue.len().await.is_ok_and(|len| len == 0)
    }
}
