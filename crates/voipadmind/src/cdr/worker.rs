//! From Redis to PostgreSQL: read, understand, commit in batches, and only then take the entries off the queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use queue::{Delivered, Entry, Queue, Reader};
use store::Store;
use store::cdr_write::{Content, Item, Outcome};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Kind;

/// A batch grows up to so many times `cdr.batch_size` while the queue is behind.
const BATCH_GROWTH_MAX: usize = 16;
/// Of one reply, which is in memory whole before it is understood.
const READ_ENTRIES_MAX: usize = 100;
const READ_BLOCK: Duration = Duration::from_millis(500);
/// A started batch waits so long for one more entry, and `cdr.batch_timeout` in all: under load batches fill, and a single
/// call at night is in the API at once.
const IDLE: Duration = Duration::from_millis(100);
/// Between two reads for one batch. A blocked read returns with the first entry that comes, and a batch read entry by entry
/// costs both sides more than its rows.
const GATHER: Duration = Duration::from_millis(5);
/// Entries of a consumer that died, or whose answer was lost with its link, are taken over after this long; looked for this
/// often. One that only waits for the database has them stored twice at most in effort, never in rows.
const CLAIM_IDLE: Duration = Duration::from_secs(10);
const CLAIM_EVERY: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);

pub struct Worker {
    pub queue: Queue,
    /// One for all workers of the node: one collects while the others commit. Batches fill sooner so, and the legs of a call, which
    /// come together, are in one of them; apart, the second would have to change what the first has stored.
    pub reader: Arc<Mutex<Reader>>,
    pub store: Store,
    pub batch_size: usize,
    pub batch_timeout: Duration,
}

impl Worker {
    /// Runs until `stop`; a batch that is being committed is finished first.
    pub async fn run(self, stop: CancellationToken) {
        let mut size = self.batch_size;
        let mut claimed_at: Option<Instant> = None;
        while !stop.is_cancelled() {
            let claim = claimed_at.is_none_or(|at| at.elapsed() > CLAIM_EVERY);
            if claim {
                claimed_at = Some(Instant::now());
            }
            let batch = match self.collect(size, claim, &stop).await {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::warn!(%error, "cannot read the CDR queue; trying again");
                    tokio::time::sleep(RETRY_FIRST).await;
                    continue;
                }
            };
            if batch.is_empty() {
                size = self.batch_size;
                continue;
            }
            // A full batch means more is waiting: fewer, larger transactions catch up faster.
            size = if batch.len() >= size {
                (size * 2).min(self.batch_size * BATCH_GROWTH_MAX)
            } else {
                self.batch_size
            };
            self.store_batch(batch, &stop).await;
        }
    }

    /// Up to `size` entries, when it is this worker's turn; once there is a first one, waits for more while they keep coming, at
    /// most `batch_timeout`.
    async fn collect(
        &self,
        size: usize,
        claim: bool,
        stop: &CancellationToken,
    ) -> Result<Vec<Delivered>, queue::Error> {
        let reader = self.reader.lock().await;
        let mut batch = if claim { reader.claim_stale(CLAIM_IDLE, size).await? } else { Vec::new() };
        let mut until = (!batch.is_empty()).then(|| Instant::now() + self.batch_timeout);
        while batch.len() < size && !stop.is_cancelled() {
            let left = until.map(|at| at.saturating_duration_since(Instant::now()));
            let block = left.map_or(READ_BLOCK, |left| left.min(IDLE));
            if block.is_zero() {
                break;
            }
            let asked = (size - batch.len()).min(READ_ENTRIES_MAX);
            let more = reader.read(asked, block).await?;
            if more.is_empty() {
                break;
            }
            let is_behind = more.len() == asked;
            batch.extend(more);
            until = until.or_else(|| Some(Instant::now() + self.batch_timeout));
            if !is_behind {
                tokio::time::sleep(GATHER).await;
            }
        }
        Ok(batch)
    }

    /// Tries until the database takes the batch. Given up only at a stop: the entries stay on the queue, unacknowledged.
    async fn store_batch(&self, batch: Vec<Delivered>, stop: &CancellationToken) {
        metrics::histogram!("voip_cdr_batch_size").record(batch.len() as f64);
        let (ids, items): (Vec<_>, Vec<_>) = batch.into_iter().map(understand).unzip();
        let mut wait = RETRY_FIRST;
        let outcome = loop {
            match self.store.commit_cdr_batch(&items).await {
                Ok(outcome) => break outcome,
                Err(error) => {
                    tracing::warn!(%error, documents = items.len(), "CDRs not committed; trying again");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_LAST),
                    }
                }
            }
        };
        count(&outcome);
        if let Err(error) = self.queue.ack(&ids).await {
            // Harmless: they are delivered again and found to be stored.
            tracing::warn!(%error, "stored CDRs could not be taken off the queue");
        }
    }
}

fn count(outcome: &Outcome) {
    let counted = [
        ("voip_cdr_stored_total", outcome.inserted + outcome.replaced),
        ("voip_cdr_duplicates_total", outcome.duplicates),
        ("voip_cdr_quarantined_total", outcome.quarantined),
        ("voip_sip_events_total", outcome.sip_events),
    ];
    for (name, number) in counted {
        metrics::counter!(name).increment(number as u64);
    }
}

/// What a delivered document is, as the store takes it. What cannot be understood is kept whole.
fn understand(delivered: Delivered) -> (String, Item) {
    let Delivered { id, entry } = delivered;
    let content = match Kind::from_code(entry.kind) {
        Some(kind) => understood(kind, &entry.key, &entry.body),
        None => poison(format!("unknown kind {}", entry.kind), "queue", None),
    };
    let received = Timestamp::from_microsecond(entry.received_us).unwrap_or_else(|_| Timestamp::now());
    let Entry { journal_id, seq, node, body, .. } = entry;
    (id, Item { journal_id, seq, node, received, body, content })
}

/// What a document says; `key` is what its sender said of it beside.
pub fn understood(kind: Kind, key: &str, body: &Bytes) -> Content {
    let hint = (!key.is_empty()).then_some(key);
    let understood = match kind {
        Kind::Freeswitch => model::cdr::parse(body, hint).map(|leg| Content::Leg(Box::new(leg))),
        Kind::Channel => model::cdr::open::parse_open(body).map(|leg| Content::Leg(Box::new(leg))),
        Kind::Kamailio => model::sip_event::parse(body).map(|event| Content::Sip(Box::new(event))),
    };
    understood.unwrap_or_else(|rejected| poison(rejected.reason, kind.as_str(), rejected.uuid))
}

fn poison(reason: String, source: &str, uuid: Option<String>) -> Content {
    Content::Poison { reason, source: source.to_owned(), uuid }
}
