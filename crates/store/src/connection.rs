//! One connection: its statements prepared once, and an ear for the one warning that makes a COMMIT worthless.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use futures_util::stream::{StreamExt, poll_fn};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage, Socket, Statement};

use crate::hosts::Hosts;
use crate::{Error, Result};

/// A count of broken confidences. Where one connection fails by silence, its siblings are as old and lead to the same
/// server: none is tried again, for each would cost its time-out.
#[derive(Default)]
pub(crate) struct Trust(AtomicU64);

impl Trust {
    pub(crate) fn lose(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A connection of the pool.
pub(crate) struct Connection {
    pub(crate) client: Client,
    statements: HashMap<&'static str, Statement>,
    wait_cancelled: Arc<AtomicBool>,
    trust: Arc<Trust>,
    /// What the count was when this connection was made.
    trusted_at: u64,
    pub(crate) made: Instant,
    pub(crate) used: Instant,
}

impl Connection {
    pub(crate) async fn open(hosts: &Hosts, trust: Arc<Trust>) -> Result<Self> {
        let trusted_at = trust.0.load(Ordering::Acquire);
        let (client, driver) = hosts.connect().await?;
        let wait_cancelled = Arc::new(AtomicBool::new(false));
        tokio::spawn(drive(driver, Arc::clone(&wait_cancelled)));
        let now = Instant::now();
        Ok(Self {
            client,
            statements: HashMap::new(),
            wait_cancelled,
            trust,
            trusted_at,
            made: now,
            used: now,
        })
    }

    /// The statement, prepared at its first use on this connection.
    pub(crate) async fn prepared(&mut self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(crate) fn is_usable(&self) -> bool {
        let trusted = self.trusted_at == self.trust.0.load(Ordering::Acquire);
        trusted && !self.client.is_closed() && !self.wait_was_cancelled()
    }

    /// The server has fallen silent, or is not what it was.
    pub(crate) fn lose_trust(&self) {
        self.trust.lose();
    }

    /// Whether the server has said that it gave up waiting for the standby: that commit is not an acknowledgement.
    pub(crate) fn wait_was_cancelled(&self) -> bool {
        self.wait_cancelled.load(Ordering::Acquire)
    }
}

/// Fails on a server that cannot write.
pub(crate) async fn check_writable(client: &Client) -> Result<()> {
    let rows = client.simple_query("SHOW transaction_read_only").await?;
    let read_only = rows.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) != Some("off"),
        _ => false,
    });
    if read_only { Err(Error::Unavailable("the server is read-only".to_owned())) } else { Ok(()) }
}

/// Carries the connection's traffic until it ends. Warnings come before the reply they belong to, so the flag is set
/// before the COMMIT that raised it returns.
async fn drive(mut driver: tokio_postgres::Connection<Socket, NoTlsStream>, wait_cancelled: Arc<AtomicBool>) {
    let mut messages = poll_fn(move |cx| driver.poll_message(cx));
    while let Some(message) = messages.next().await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                // The server's texts may be translated, so its source routine is what is looked at (syncrep.c).
                if notice.routine() == Some("SyncRepWaitForLSN") {
                    wait_cancelled.store(true, Ordering::Release);
                }
                tracing::debug!(code = notice.code().code(), "PostgreSQL says: {}", notice.message());
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!("a database connection ended: {error}");
                return;
            }
        }
    }
}
