use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use journal::{AppendError, FullReason, Journal, Record};
use tokio::sync::{Notify, watch};

use super::Kind;

/// How long an acknowledgement waits for Redis. The document is durable already; this only keeps the promise that a
/// healthy queue has it too, without letting a sick one hold FreeSWITCH's session threads.
const PUSH_WAIT: Duration = Duration::from_millis(250);

/// How far the journal has been pushed to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The master and its replica have every record up to this one.
    Replicated(u64),
    /// The master has, and no replica follows it: nobody waits for one.
    Alone(u64),
    /// Redis does not answer: nobody waits for it.
    Down,
}

/// Takes documents in: durable first, then acknowledged.
#[derive(Clone)]
pub struct Intake {
    journal: Arc<Journal>,
    appended: Arc<Notify>,
    pushed: watch::Receiver<Pushed>,
    /// Whether a copy on the other node is promised by configuration, so that its absence counts as degraded.
    has_peer: bool,
    strict: bool,
}

/// Why a document was not acknowledged. Nothing of it was kept; the sender keeps it.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the document is larger than the journal takes ({0} bytes)")]
    TooLarge(usize),
    #[error("the journal takes nothing more: {reason}")]
    Full { reason: FullReason, retry_after_s: u32 },
    #[error("the journal cannot write: {0}")]
    Broken(String),
    #[error("no second copy could be made and cdr.durability is strict")]
    NoCopy,
}

impl Intake {
    pub fn new(
        journal: Arc<Journal>,
        appended: Arc<Notify>,
        pushed: watch::Receiver<Pushed>,
        has_peer: bool,
        strict: bool,
    ) -> Self {
        Self { journal, appended, pushed, has_peer, strict }
    }

    /// Makes a document durable. When this returns `Ok` the document survives the death of the process and of the
    /// machine's power; `key` is what is known of its identity (the leg's uuid), at most 255 bytes of it are kept.
    ///
    /// # Errors
    /// [`Refusal`]; the sender must keep the document.
    pub async fn accept(&self, kind: Kind, key: &str, body: Bytes) -> Result<(), Refusal> {
        metrics::counter!("voip_cdr_received_total", "kind" => kind.as_str()).increment(1);
        let started = std::time::Instant::now();
        let outcome = self.append(kind, key, body).await;
        match &outcome {
            Ok(()) => {
                metrics::counter!("voip_cdr_acknowledged_total", "kind" => kind.as_str()).increment(1);
                metrics::histogram!("voip_cdr_ack_seconds").record(started.elapsed().as_secs_f64());
            }
            Err(refusal) => {
                metrics::counter!("voip_cdr_refused_total", "reason" => refusal.reason()).increment(1);
            }
        }
        outcome
    }

    async fn append(&self, kind: Kind, key: &str, body: Bytes) -> Result<(), Refusal> {
        let bytes = body.len();
        let received_us = Timestamp::now().as_microsecond();
        let key = key.chars().take(KEY_CHARS_MAX).collect();
        let record = Record { kind: kind.code(), received_us, key, body };
        let seq = self.journal.append(record).await.map_err(|e| match e {
            AppendError::TooLarge { .. } => Refusal::TooLarge(bytes),
            AppendError::Full { reason, retry_after_s } => Refusal::Full { reason, retry_after_s },
            other => Refusal::Broken(other.to_string()),
        })?;
        self.appended.notify_one();
        let copied = self.wait_copied(seq).await;
        if copied || !self.has_peer {
            return Ok(());
        }
        if self.strict {
            return Err(Refusal::NoCopy);
        }
        metrics::counter!("voip_cdr_ack_degraded_total").increment(1);
        Ok(())
    }

    /// Both nodes' Redis have it.
    async fn wait_copied(&self, seq: u64) -> bool {
        let mut pushed = self.pushed.clone();
        let reached = pushed.wait_for(|p| match p {
            Pushed::Replicated(through) | Pushed::Alone(through) => *through >= seq,
            Pushed::Down => true,
        });
        let reached = tokio::time::timeout(PUSH_WAIT, reached).await;
        reached.is_ok_and(|p| p.is_ok_and(|p| matches!(*p, Pushed::Replicated(_))))
    }
}

/// Four bytes a character at most: the journal keeps 255 bytes of a key.
pub const KEY_CHARS_MAX: usize = 63;

impl Refusal {
    fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::Full { .. } => "journal_full",
            Self::Broken(_) => "journal_broken",
            Self::NoCopy => "no_copy",
        }
    }
}
