use std::time::Duration;

use store::Store;

const CHECK_EVERY: Duration = Duration::from_secs(6 * 3600);
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Keeps three months of partitions ahead, so that none has to be made while calls wait. One that is missing all the same
/// is made by the batch that needs it. At the same times what only grows by use is swept.
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
        tokio::time::sleep(if made.is_ok() { CHECK_EVERY } else { RETRY_AFTER }).await;
    }
}
