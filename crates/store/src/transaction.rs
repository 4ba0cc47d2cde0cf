//! Transactions: each names its tenant, bounds its statements, and knows whether its commit was acknowledged.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use crate::connection::Connection;
use crate::hosts::Hosts;
use crate::limbo::{Limbo, SUSPECT_AFTER};
use crate::pool::Pooled;
use crate::{Error, Result, Store};

/// Whose rows a call may see and change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every tenant's.
    Platform,
    /// Those of one `voip.domains.id`.
    Tenant(i32),
}

impl Scope {
    /// The value of the setting `voip.tenant`, which row-level security reads. Digits or `*`: safe in SQL text.
    fn setting(self) -> String {
        match self {
            Self::Platform => "*".to_owned(),
            Self::Tenant(id) => id.to_string(),
        }
    }

    /// The tenant, where there is one.
    pub fn tenant(self) -> Option<i32> {
        match self {
            Self::Platform => None,
            Self::Tenant(id) => Some(id),
        }
    }
}

pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The server's own time-out comes first; this one is for a server that has stopped answering.
const SERVER_HEAD_START: Duration = Duration::from_secs(2);

/// How long a transaction that was given up may take to roll back before its connection is thrown away instead.
const ROLLBACK_MS: u64 = 1_000;

/// An open transaction. Dropped without [`commit`](Self::commit), it is rolled back.
pub(crate) struct Transaction {
    /// `None` only once committed or given up.
    connection: Option<Pooled>,
    statement_timeout: Duration,
    commit_timeout: Duration,
    hosts: Arc<Hosts>,
    limbo: Arc<Limbo>,
}

impl Store {
    /// A transaction that reads.
    pub(crate) async fn read(&self, scope: Scope) -> Result<Transaction> {
        self.begin(scope, "BEGIN READ ONLY").await
    }

    /// A transaction that could write, and only looks: in limbo too.
    pub(crate) async fn look(&self) -> Result<Transaction> {
        self.begin(Scope::Platform, "BEGIN").await
    }

    /// A transaction that writes.
    pub(crate) async fn write(&self, scope: Scope) -> Result<Transaction> {
        self.limbo.check()?;
        self.begin(scope, "BEGIN").await
    }

    /// A transaction that writes a batch and finds its neighbours by their keys, whose best plan is the same whatever the
    /// keys. The planner would think otherwise: a month's partition is new twelve times a year, without statistics,
    /// and then a hundred keys look like half the table.
    pub(crate) async fn write_by_keys(&self, scope: Scope) -> Result<Transaction> {
        self.limbo.check()?;
        self.begin(
            scope,
            "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan",
        )
        .await
    }

    /// One statement that names no tenant and reads through a function of the owner: no transaction, one round trip.
    pub(crate) async fn ask(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>> {
        let mut connection = self.connection().await?;
        let answer = timeout(self.config.statement_timeout, async {
            let statement = connection.prepared(sql).await?;
            connection.client.query(&statement, params).await
        })
        .await;
        match answer {
            Ok(rows) => Ok(rows?),
            Err(_) => {
                connection.lose_trust();
                drop(Pooled::take(connection));
                Err(silent())
            }
        }
    }

    async fn begin(&self, scope: Scope, begin: &str) -> Result<Transaction> {
        let mut transaction = Transaction {
            connection: Some(self.connection().await?),
            statement_timeout: self.config.statement_timeout,
            commit_timeout: self.config.commit_timeout,
            hosts: Arc::clone(&self.hosts),
            limbo: Arc::clone(&self.limbo),
        };
        let timeout_ms = self.config.statement_timeout.as_millis();
        let tenant = scope.setting();
        transaction
            .batch(&format!(
                "{begin}; SET LOCAL statement_timeout = {timeout_ms}; SET LOCAL voip.tenant = '{tenant}'"
            ))
            .await?;
        Ok(transaction)
    }
}

impl Transaction {
    /// A prepared statement's rows.
    pub(crate) async fn query(&mut self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>> {
        self.bounded(async |connection| {
            let statement = connection.prepared(sql).await?;
            connection.client.query(&statement, params).await
        })
        .await
    }

    /// As [`query`](Self::query), for at most one row.
    pub(crate) async fn query_opt(&mut self, sql: &'static str, params: Params<'_>) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// A prepared statement's count of rows.
    pub(crate) async fn execute(&mut self, sql: &'static str, params: Params<'_>) -> Result<u64> {
        self.bounded(async |connection| {
            let statement = connection.prepared(sql).await?;
            connection.client.execute(&statement, params).await
        })
        .await
    }

    /// A statement planned anew with its values, for searches whose best plan depends on them (which filters are
    /// given, which months a range touches).
    pub(crate) async fn search(
        &mut self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>> {
        self.bounded(async |connection| connection.client.query_typed(sql, params).await).await
    }

    /// Statements without parameters or results.
    pub(crate) async fn batch(&mut self, sql: &str) -> Result<()> {
        self.bounded(async |connection| connection.client.batch_execute(sql).await).await
    }

    async fn bounded<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T> {
        let bound = self.statement_timeout + SERVER_HEAD_START;
        let connection = self.connection.as_deref_mut().ok_or_else(silent)?;
        match timeout(bound, work(connection)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                if error.is_closed() || error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
                    self.abandon();
                }
                Err(error.into())
            }
            Err(_) => {
                self.abandon();
                Err(silent())
            }
        }
    }

    /// Makes this transaction write WAL even if it changes no row, so that its commit waits for the standby: told
    /// "it is there already", a caller relies on that row as if he had written it.
    pub(crate) async fn leave_mark(&mut self) -> Result<()> {
        self.query(LEAVE_MARK, &[]).await.map(drop)
    }

    /// Commits. Waiting for the standby is not a statement's time: the server's time-out would cut the wait short and
    /// report success. Past our own bound the connection is dropped, and the outcome is unknown.
    pub(crate) async fn commit(mut self) -> Result<()> {
        let connection = self.connection.as_deref_mut().ok_or_else(silent)?;
        let answer = {
            let sent = connection.client.batch_execute("SET LOCAL statement_timeout = 0; COMMIT");
            let mut sent = pin!(sent);
            match timeout(SUSPECT_AFTER.min(self.commit_timeout), &mut sent).await {
                Err(_) => {
                    self.limbo.enter(&self.hosts);
                    timeout(self.commit_timeout.saturating_sub(SUSPECT_AFTER), sent).await
                }
                soon => soon,
            }
        };
        let cancelled = connection.wait_was_cancelled();
        let outcome = match answer {
            Ok(Ok(())) if !cancelled => {
                // Back to the pool.
                connection.used = Instant::now();
                self.connection = None;
                return Ok(());
            }
            Ok(Ok(())) => Error::Unknown("the wait for the standby was cancelled".to_owned()),
            Ok(Err(error)) if error.as_db_error().is_none() => Error::Unknown(error.to_string()),
            // The server's word is that it rolled back; but ended by an administrator it may have been committing.
            Ok(Err(error)) if error.code() == Some(&SqlState::ADMIN_SHUTDOWN) => {
                Error::Unknown(error.to_string())
            }
            Ok(Err(error)) => error.into(),
            Err(_) => Error::Unknown("the commit was not acknowledged in time".to_owned()),
        };
        self.abandon();
        Err(outcome)
    }

    /// Rolls back, and waits for it: who goes on at once wants the locks free.
    pub(crate) async fn rollback(mut self) {
        if self.batch("ROLLBACK").await.is_ok() {
            self.connection = None;
        }
    }

    /// Closes the connection, and trusts its siblings no more: the server rolls back what was not committed.
    fn abandon(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.lose_trust();
            drop(Pooled::take(connection));
        }
    }
}

impl Drop for Transaction {
    /// A refused value is everyday business and must not cost a connection: it is rolled back beside the caller's way.
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            drop(Pooled::take(connection));
            return;
        };
        runtime.spawn(async move {
            let rolled_back = connection.client.batch_execute("ROLLBACK");
            let bound = Duration::from_millis(ROLLBACK_MS);
            if !matches!(timeout(bound, rolled_back).await, Ok(Ok(()))) {
                drop(Pooled::take(connection));
            }
        });
    }
}

fn silent() -> Error {
    Error::Unavailable("the server stopped answering".to_owned())
}

pub(crate) const LEAVE_MARK: &str = "SELECT pg_logical_emit_message(true, 'voip', '')";
