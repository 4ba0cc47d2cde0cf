//! From asynchronous to synchronous, proven (failover.md 4, a to c): a commit is *seen* waiting for a name nobody has,
//! then released by the standby itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::session::{Commits, Server, answer};

const POLL: Duration = Duration::from_millis(50);
/// Until the commit is seen waiting: a reload reaches every backend in milliseconds.
const WAITING: Duration = Duration::from_secs(5);
/// Until the standby releases it.
const RELEASED: Duration = Duration::from_secs(15);

/// One each [`POLL`] for as long as [`WAITING`].
const COMMITS_MAX: usize = 100;
const BARRIER_COMMIT: &str = "BEGIN; SELECT pg_logical_emit_message(true, 'tandem', 'barrier'); COMMIT";

/// Changes `synchronous_standby_names`; the server has been told to reload when it returns.
pub trait SetNames {
    fn set(&self, name: &str) -> impl Future<Output = Result<()>> + Send;
}

/// Proves that commits wait for `standby`. On an error the caller takes the names back: nothing was promised yet.
pub async fn prove(server: &Server, standby: &str, names: &impl SetNames) -> Result<()> {
    let watcher = server.connect(Commits::Local).await?;
    let waiter = server.connect(Commits::Synchronous).await?;
    let pid: i32 = answer(waiter.query_one("SELECT pg_backend_pid()", &[])).await?.get(0);
    names.set(fsm::BARRIER).await?;
    until_seen_waiting(&watcher, waiter, pid, standby, names).await
}

async fn until_seen_waiting(
    watcher: &Client,
    waiter: Client,
    pid: i32,
    standby: &str,
    names: &impl SetNames,
) -> Result<()> {
    let seen = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&seen);
    // A task of its own: its commit is never cancelled by a bound of ours. The setting must have reached this backend
    // before it commits, so it commits again until one commit was seen to wait.
    let mut commit = tokio::spawn(async move {
        for _ in 0..COMMITS_MAX {
            waiter.batch_execute(BARRIER_COMMIT).await?;
            if told.load(Ordering::Acquire) {
                break;
            }
            sleep(POLL).await;
        }
        Ok::<_, tokio_postgres::Error>(())
    });
    let seeing = timeout(WAITING, async {
        let sql = "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $1";
        loop {
            let row = answer(watcher.query_opt(sql, &[&pid])).await?;
            if row.and_then(|r| r.get::<_, Option<bool>>(0)) == Some(true) {
                seen.store(true, Ordering::Release);
                return anyhow::Ok(());
            }
            sleep(POLL).await;
        }
    });
    match seeing.await {
        Ok(seen) => seen?,
        Err(_) => bail!("no commit was seen waiting: synchronous replication did not take effect"),
    }
    names.set(standby).await?;
    // Without a record of its own the walsender has nothing to tell, and the release takes seconds.
    answer(watcher.query_one("SELECT pg_logical_emit_message(true, 'tandem', 'nudge')", &[])).await?;
    timeout(RELEASED, &mut commit)
        .await
        .with_context(|| {
            format!("the standby {standby} streams, but did not confirm a commit in {RELEASED:?}")
        })?
        .context("the barrier's task ended")??;
    Ok(())
}
