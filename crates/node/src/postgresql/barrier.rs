//! A commit that proves: written to be seen waiting for the standby, and released by nobody else (failover.md 4, 3, 13).
//!
//! Its session is made for it and used for nothing after it: what one commit showed says nothing of the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use fsm::Point;
use futures_util::future::poll_fn;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, NoTls};

use super::facts::{TABLES, signed};
use super::session::{Server, answer};

/// One commit under way, or done. Dropped, its session is closed: a commit that nobody looks at any more counts for nothing.
pub struct Barrier {
    pub at: Point,
    /// Its backend.
    pub pid: i32,
    pub seen_waiting: bool,
    done: JoinHandle<Result<()>>,
    outcome: Option<bool>,
}

impl Barrier {
    /// Begins the commit of the row (at, nonce). It waits for as long as it takes: its wait is never cancelled.
    ///
    /// # Errors
    /// No session, or the row cannot be written.
    pub async fn commit(server: &Server, at: Point, nonce: u64) -> Result<Self> {
        let mut config = server.config();
        config.options("-c synchronous_commit=on -c statement_timeout=0 -c lock_timeout=5s");
        let (client, mut connection) =
            answer(config.connect(NoTls)).await.context("a session for the barrier")?;
        let cancelled = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&cancelled);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                // A cancelled wait returns success with this warning: no acknowledgement (syncrep.c).
                if let AsyncMessage::Notice(notice) = message
                    && notice.routine() == Some("SyncRepWaitForLSN")
                {
                    heard.store(true, Ordering::Release);
                }
            }
        });
        let pid: i32 = answer(client.query_one("SELECT pg_backend_pid()", &[])).await?.get(0);
        let row = format!(
            "BEGIN; SET LOCAL client_min_messages = warning; {TABLES}; DELETE FROM tandem.barrier; \
             INSERT INTO tandem.barrier (epoch, joined, nonce) VALUES ({}, {}, {}); SELECT pg_logical_emit_message(true, 'tandem', 'barrier')",
            signed(at.epoch),
            signed(at.join),
            signed(nonce)
        );
        // A row of its own: one that another barrier's commit still waits with is not seen here, and locks nothing.
        let done = tokio::spawn(async move {
            client.batch_execute(&row).await.context("the barrier's row")?;
            client.batch_execute("COMMIT").await.context("the barrier's commit")?;
            anyhow::ensure!(!cancelled.load(Ordering::Acquire), "the barrier's wait was cancelled");
            Ok(())
        });
        Ok(Self { at, pid, seen_waiting: false, done, outcome: None })
    }

    /// Some(true): acknowledged. Some(false): its session ended otherwise, nothing is known of it. None: not yet.
    pub async fn outcome(&mut self) -> Option<bool> {
        if self.outcome.is_none() && self.done.is_finished() {
            let ended = (&mut self.done).await.context("the barrier's task").flatten();
            if let Err(error) = &ended {
                tracing::warn!("{error:#}");
            }
            self.outcome = Some(ended.is_ok());
        }
        self.outcome
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        self.done.abort();
    }
}
