//! A primary whose standby is away takes writes and acknowledges none. The first that waits too long says so; from then on
//! writes are refused at once, instead of each holding a connection until its bound, and reads go on.
//!
//! It ends when a commit of our own is acknowledged, by this server or by the one that took over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::connection::Connection;
use crate::hosts::Hosts;
use crate::transaction::LEAVE_MARK;
use crate::{Error, Result};

/// A commit that is not acknowledged in this time is waiting for a standby, or for a disk that is as bad.
pub(crate) const SUSPECT_AFTER: Duration = Duration::from_millis(1_500);
/// The writer is looked for anew this often: another may have taken over.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Which server this is, in this life of it.
pub(crate) const SERVER: &str =
    "SELECT pg_postmaster_start_time()::text || coalesce(inet_server_addr()::text, '')";

#[derive(Default)]
pub(crate) struct Limbo(AtomicBool);

impl Limbo {
    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Refuses a write while it could not be acknowledged.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_on() {
            let why = "commits are not acknowledged now (the standby is away, or a disk hangs); nothing was changed; 'tandem status' says more";
            return Err(Error::Unavailable(why.to_owned()));
        }
        Ok(())
    }

    /// A commit is not acknowledged in time: writes are refused until one is.
    pub(crate) fn enter(self: &Arc<Self>, hosts: &Arc<Hosts>) {
        if self.0.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::warn!("a commit is not acknowledged: writes are refused until one is");
        let (limbo, hosts) = (Arc::clone(self), Arc::clone(hosts));
        tokio::spawn(async move {
            until_acknowledged(&hosts).await;
            limbo.0.store(false, Ordering::Release);
            tracing::info!("commits are acknowledged again");
        });
    }
}

/// Returns when a commit was acknowledged. One waits at a time, without an end of its own; it is left when its server is not
/// the writer any more.
async fn until_acknowledged(hosts: &Hosts) {
    loop {
        if let Ok((connection, server)) = connect(hosts).await {
            let commit = connection.client.simple_query(LEAVE_MARK);
            tokio::select! {
                // A wait that somebody cancelled ends well, and proves nothing.
                done = commit => if done.is_ok() && !connection.wait_was_cancelled() { return },
                () = until_moved(hosts, &server) => {}
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Returns when another server is the writer, or this one in another life.
async fn until_moved(hosts: &Hosts, server: &str) {
    loop {
        sleep(LOOK_EVERY).await;
        if let Ok((_, now)) = connect(hosts).await
            && now != server
        {
            return;
        }
    }
}

async fn connect(hosts: &Hosts) -> Result<(Connection, String)> {
    let connection = Connection::open(hosts, Arc::default()).await?;
    let asked = timeout(SUSPECT_AFTER, connection.client.query_one(SERVER, &[])).await;
    let row = asked.map_err(|_| Error::Unavailable("the server stopped answering".to_owned()))??;
    Ok((connection, row.try_get(0)?))
}
