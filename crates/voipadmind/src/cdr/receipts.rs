//! The journal's forgetting. A receipt is written in the same transaction as the row it stands for, so what a lost
//! database loses, it loses together; and a receipt is taken by a commit that waits for the standby, so what is
//! forgotten is on every node that has to have it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use journal::Journal;
use store::Store;
use tokio_util::sync::CancellationToken;

const TAKE_EVERY: Duration = Duration::from_millis(500);

pub async fn run(journal: Arc<Journal>, store: Store, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TAKE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if journal.stats().pending_records > 0 {
            match store.take_receipts(journal.id()).await {
                Ok(seqs) => journal.forget(&ranges(&seqs)),
                Err(error) => tracing::debug!(%error, "receipts not taken; the journal keeps its records"),
            }
        }
        report(&journal);
    }
}

/// Ascending numbers as ranges.
fn ranges(seqs: &[u64]) -> Vec<RangeInclusive<u64>> {
    seqs.chunk_by(|a, b| a + 1 == *b).filter_map(|run| Some(*run.first()?..=*run.last()?)).collect()
}

fn report(journal: &Journal) {
    let stats = journal.stats();
    let age_us =
        stats.pending_oldest_received_us.map_or(0, |us| Timestamp::now().as_microsecond().saturating_sub(us));
    metrics::gauge!("voip_cdr_journal_bytes").set(stats.bytes as f64);
    metrics::gauge!("voip_cdr_journal_pending").set(stats.pending_records as f64);
    metrics::gauge!("voip_cdr_lag_seconds").set(age_us as f64 / 1e6);
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn runs_become_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), [1..=3, 7..=7, 9..=10]);
        assert_eq!(ranges(&[]), []);
    }
}
