//! The pool: connections to the writable server only, every wait bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, QueueMode, RecycleError, RecycleResult};
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, Trust, check_writable};
use crate::hosts::Hosts;
use crate::limbo::Limbo;
use crate::{Error, Result, StoreConfig};

/// A connection that rested longer than this is asked whether its server still writes before it is used again. A
/// demotion restarts the server, so a busy connection cannot miss one.
const RESTED_MS: u64 = 1_000;

/// And has so long to answer: one that cannot is not worth waiting for, the next one may lead to another server.
const CHECKED: Duration = Duration::from_millis(500);
/// How often [`Store::watch`] looks, and how long a healthy server may take to say that it writes.
const WATCH_EVERY_MS: u64 = 250;
const SILENT_AFTER_MS: u64 = 1_000;

/// A connection that nobody has needed for so long is closed if there are more than enough.
const SPARE_AFTER_MS: u64 = 30_000;

pub(crate) type Pooled = managed::Object<Opener>;

pub(crate) struct Opener {
    config: Arc<StoreConfig>,
    hosts: Arc<Hosts>,
    trust: Arc<Trust>,
}

impl managed::Manager for Opener {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection> {
        Connection::open(&self.hosts, Arc::clone(&self.trust)).await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        if !connection.is_usable() {
            return Err(RecycleError::message("closed"));
        }
        if connection.made.elapsed() > self.config.connection_age_max {
            return Err(RecycleError::message("too old"));
        }
        if connection.used.elapsed() > Duration::from_millis(RESTED_MS) {
            let checked = timeout(CHECKED, check_writable(&connection.client)).await;
            if !matches!(checked, Ok(Ok(()))) {
                self.trust.lose();
                return Err(RecycleError::message("the server is silent or read-only"));
            }
        }
        connection.used = Instant::now();
        Ok(())
    }
}

/// The database, as `voip_admin` sees it. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) config: Arc<StoreConfig>,
    pool: managed::Pool<Opener>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) limbo: Arc<Limbo>,
}

/// How the pool stands, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Connections open now.
    pub open: usize,
    /// Of these, not in use.
    pub idle: usize,
    /// Connections at most.
    pub max: usize,
    /// Callers waiting for one.
    pub waiting: usize,
}

impl Store {
    /// Sets up the pool. Connects to nothing: the first call that needs the database does.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a configuration without hosts or connections.
    pub fn connect(config: StoreConfig) -> Result<Self> {
        if config.hosts.is_empty() {
            return Err(Error::Invalid { field: "hosts", reason: "name at least one server".to_owned() });
        }
        let config = Arc::new(config);
        let hosts = Arc::new(Hosts::new(&config));
        let opener = Opener { hosts: Arc::clone(&hosts), config: Arc::clone(&config), trust: Arc::default() };
        let pool = managed::Pool::builder(opener)
            .max_size(config.connections_max.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(config.acquire_timeout))
            .create_timeout(Some(config.connect_timeout))
            // The opener bounds its own look at a connection; this is for its bugs.
            .recycle_timeout(Some(config.tcp_user_timeout * 2))
            // The newest first, so that spare ones rest and can be seen to.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| Error::Invalid { field: "connections_max", reason: error.to_string() })?;
        Ok(Self { config, pool, hosts, limbo: Arc::default() })
    }

    pub(crate) async fn connection(&self) -> Result<Pooled> {
        if self.pool.status().available > self.config.connections_idle_max {
            let spare = Duration::from_millis(SPARE_AFTER_MS);
            self.pool.retain(|connection, _| connection.used.elapsed() < spare);
        }
        self.pool.get().await.map_err(|error| match error {
            managed::PoolError::Backend(error) => error,
            managed::PoolError::Timeout(what) => Error::Unavailable(
                match what {
                    managed::TimeoutType::Wait => "all connections are in use",
                    managed::TimeoutType::Create => "no writable server answered in time",
                    managed::TimeoutType::Recycle => "the server stopped answering",
                }
                .to_owned(),
            ),
            other => Error::Unavailable(other.to_string()),
        })
    }

    /// Looks, for ever, whether the writer still answers, on a connection of its own. When it does not, no connection to it
    /// is used again: after a take-over the first request goes to the new writer, instead of waiting for the dead one.
    pub async fn watch(&self) {
        let (every, silent) = (Duration::from_millis(WATCH_EVERY_MS), Duration::from_millis(SILENT_AFTER_MS));
        loop {
            let opener = self.pool.manager();
            if let Ok(eye) = Connection::open(&opener.hosts, Arc::clone(&opener.trust)).await {
                while matches!(timeout(silent, check_writable(&eye.client)).await, Ok(Ok(()))) {
                    sleep(every).await;
                }
                opener.trust.lose();
                tracing::debug!("the writer is silent, or writes no more");
            }
            sleep(every).await;
        }
    }

    /// Writes are refused because commits are not acknowledged: the standby is away.
    pub fn is_in_limbo(&self) -> bool {
        self.limbo.is_on()
    }

    /// How the pool stands.
    pub fn pool_status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus {
            open: status.size,
            idle: status.available,
            max: status.max_size,
            waiting: status.waiting,
        }
    }

    /// Closes every connection; calls after it fail as unavailable.
    pub fn close(&self) {
        self.pool.close();
    }
}
