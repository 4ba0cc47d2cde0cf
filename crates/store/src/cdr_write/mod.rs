//! Journal records become rows: legs, SIP evidence, quarantine, and the receipts that let a journal forget.
//!
//! In: [`Item`]s in any order, from several workers on two nodes, any of them twice. Out: an [`Outcome`], and then all of
//! it is committed. Never: a record refused because of another one's data, or a receipt without its row.

pub(crate) mod calls;
pub(crate) mod dialogs;
pub(crate) mod insert;
pub(crate) mod ledger;
pub(crate) mod locks;
pub mod open;
pub(crate) mod quarantine;
pub(crate) mod recordings;
pub(crate) mod sessions;
pub(crate) mod summaries;

use bytes::Bytes;
use jiff::Timestamp;
use model::Leg;
use model::sip_event::SipEvent;
use uuid::Uuid;

use crate::transaction::Transaction;
use crate::{Error, Result, Scope, Store};
use ledger::Ledger;
use locks::Locks;

/// Items of one transaction at most: each holds up to four advisory locks, and the server's lock table is finite.
pub const BATCH_ITEMS_MAX: usize = 500;

/// How often a batch starts anew because its calls turned out to hang together with others'. Each time it knows more
/// of the tree above it, whose depth is that of a call's transfers.
pub(crate) const ATTEMPTS_MAX: usize = 16;

/// One journal record on its way into the database.
#[derive(Debug, Clone)]
pub struct Item {
    /// The journal it lies in.
    pub journal_id: Uuid,
    /// Its number there.
    pub seq: u64,
    /// The node whose engine reported it.
    pub node: String,
    /// When it was received.
    pub received: Timestamp,
    /// As it was posted. Kept when the record cannot be stored.
    pub body: Bytes,
    /// What it was understood to be.
    pub content: Content,
}

/// What a record was understood to be.
#[derive(Debug, Clone)]
pub enum Content {
    /// A CDR of FreeSWITCH.
    Leg(Box<Leg>),
    /// A dialog event of Kamailio.
    Sip(Box<SipEvent>),
    /// Not understood: quarantined whole.
    Poison {
        /// Why, as a sentence.
        reason: String,
        /// Which engine it came from: `freeswitch` or `kamailio`.
        source: String,
        /// The leg's uuid as far as known.
        uuid: Option<String>,
    },
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows that are new.
    pub inserted: usize,
    /// Provisional rows replaced by the true ones.
    pub replaced: usize,
    /// Legs that were stored already.
    pub duplicates: usize,
    /// Rows of other legs that were filed under another call.
    pub rekeyed: usize,
    /// SIP events taken in as evidence.
    pub sip_events: usize,
    /// Records kept in quarantine.
    pub quarantined: usize,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.replaced += other.replaced;
        self.duplicates += other.duplicates;
        self.rekeyed += other.rekeyed;
        self.sip_events += other.sip_events;
        self.quarantined += other.quarantined;
    }
}

impl Store {
    /// Stores a batch, with receipts for every record of it. `Ok` means committed: all of it may be acknowledged.
    /// A record whose data the database refuses goes to quarantine alone; the others are stored.
    ///
    /// # Errors
    /// Any error means: give the whole batch again. What was stored of it is then found as duplicates.
    pub async fn commit_cdr_batch(&self, items: &[Item]) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        // Parts still to do; a part that holds a culprit is halved until the culprit is alone.
        let mut parts: Vec<&[Item]> = items.chunks(BATCH_ITEMS_MAX).rev().collect();
        while let Some(part) = parts.pop() {
            match self.commit_part(part).await {
                Ok(done) => outcome += done,
                Err(refusal) if refusal.is_of_the_data() => match part {
                    [culprit] => outcome += self.quarantine_alone(culprit, &refusal).await?,
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }

    async fn commit_part(&self, items: &[Item]) -> Result<Outcome> {
        insert::ensure_partitions(self, items).await?;
        let mut locks = Locks::of_items(items);
        for _ in 0..ATTEMPTS_MAX {
            let mut transaction = self.write_by_keys(Scope::Platform).await?;
            locks.take(&mut transaction).await?;
            if let Some(outcome) = write(&mut transaction, items, &mut locks).await? {
                leave_receipts(&mut transaction, items).await?;
                transaction.commit().await?;
                return Ok(outcome);
            }
            transaction.rollback().await;
        }
        Err(Error::Unavailable("the calls of this batch change faster than they can be locked".to_owned()))
    }

    async fn quarantine_alone(&self, item: &Item, refusal: &Error) -> Result<Outcome> {
        let mut transaction = self.write(Scope::Platform).await?;
        quarantine::keep(&mut transaction, &[quarantine::Kept::refused(item, refusal)]).await?;
        Ledger::refused(item).write(&mut transaction).await?;
        sessions::note(&mut transaction, std::slice::from_ref(item)).await?;
        leave_receipts(&mut transaction, std::slice::from_ref(item)).await?;
        transaction.commit().await?;
        tracing::warn!(node = item.node, seq = item.seq, "a record went to quarantine: {refusal}");
        Ok(Outcome { quarantined: 1, ..Outcome::default() })
    }

    /// Makes the partitions of this month and the three after it, so that none has to be made when its first call ends.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Database`].
    pub async fn prepare_cdr_partitions(&self) -> Result<()> {
        let mut transaction = self.write(Scope::Platform).await?;
        transaction.query(PREPARE_PARTITIONS, &[]).await?;
        transaction.commit().await
    }
}

/// Months are UTC's: in another zone the last day of one plus a month can be the same month again.
pub(crate) const PREPARE_PARTITIONS: &str = "SELECT voip.ensure_cdr_partition(
        (date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month') AT TIME ZONE 'UTC')
    FROM generate_series(0, 3) n";

/// Writes everything but receipts, or answers `None` when a call needs a lock that is not held: `locks` then knows it.
pub(crate) async fn write(
    tx: &mut Transaction,
    items: &[Item],
    locks: &mut Locks,
) -> Result<Option<Outcome>> {
    let mut outcome = Outcome::default();
    let events = dialogs::events(items);
    outcome.sip_events = events.len();
    let direct = dialogs::merge(tx, &events).await?;
    let legs = insert::candidates(items, direct);
    let Some(calls) = calls::read(tx, &legs, locks).await? else { return Ok(None) };
    calls::write(tx, &legs, &calls, &mut outcome).await?;
    let mut ledger = Ledger::of(items);
    ledger.legs(&legs, &calls);
    ledger.write(tx).await?;
    sessions::note(tx, items).await?;
    let poison: Vec<_> = items.iter().filter_map(quarantine::Kept::poison).collect();
    outcome.quarantined = poison.len();
    quarantine::keep(tx, &poison).await?;
    Ok(Some(outcome))
}

/// One row a journal. It also is the WAL write that makes the commit wait when every leg was there already.
async fn leave_receipts(tx: &mut Transaction, items: &[Item]) -> Result<()> {
    let mut journals: Vec<Uuid> = items.iter().map(|item| item.journal_id).collect();
    journals.sort_unstable();
    journals.dedup();
    for journal in journals {
        let mut seqs: Vec<i64> = items
            .iter()
            .filter(|item| item.journal_id == journal)
            .map(|item| item.seq.cast_signed())
            .collect();
        seqs.sort_unstable();
        seqs.dedup();
        tx.execute(LEAVE_RECEIPTS, &[&journal, &seqs]).await?;
    }
    Ok(())
}

pub(crate) const LEAVE_RECEIPTS: &str = "INSERT INTO voip.cdr_receipts (journal_id, seqs) VALUES ($1, $2)";
