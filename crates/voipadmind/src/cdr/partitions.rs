use std::time::Duration;

use store::Store;
use store::retention::Expired;

const CHECK_EVERY: Duration = Duration::from_secs(6 * 3600);
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Keeps three months of partitions ahead, so that none has to be made while calls wait. One that is missing all the same
/// is made by the batch that needs it. At the same times what only grows by use is swept, and calls that nobody keeps longer
/// are deleted.
pub async fn keep_ahead(store: Store) {
    loop {
        let made = store.prepare_cdr_partitions().await;
        if let Err(error) = &made {
            tracing::debug!(%error, "partitions not checked; trying again");
        }
        match store.sweep().await {
            Ok(swept) => tracing::debug!(?swept, "forgot what is old"),
            Err(error) => tracing::debug!(%error, "old records not swept; trying again"),
        }
        match store.expire_cdr().await {
            Ok(expired) => {
                if expired != Expired::default() {
                    tracing::info!(rows = expired.rows, months = ?expired.partitions, "deleted calls that nobody keeps longer");
                }
                metrics::counter!("voip_cdr_expired_rows_total").increment(expired.rows);
                metrics::counter!("voip_cdr_expired_partitions_total")
                    .increment(expired.partitions.len() as u64);
            }
            Err(error) => tracing::debug!(%error, "expired calls not deleted; trying again"),
        }
        tokio::time::sleep(if made.is_ok() { CHECK_EVERY } else { RETRY_AFTER }).await;
    }
}
