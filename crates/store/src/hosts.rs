//! Which server is the writer: the last good host is asked first, the others a moment later beside it, as RFC 8305 does with
//! addresses. A dead server costs that moment, and no time-out.
//!
//! tokio-postgres takes several hosts too, but one after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep, timeout};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};

use crate::{Error, Result, StoreConfig};

/// Before the next host is asked beside the one that has not answered yet: a server that is there answers sooner.
const STAGGER: Duration = Duration::from_millis(100);
/// A connection that only waits is probed after this long, so that LISTEN learns of a dead server.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

pub(crate) struct Hosts {
    configs: Vec<(String, Config)>,
    /// For each host.
    patience: Duration,
    last_good: AtomicUsize,
}

impl Hosts {
    pub(crate) fn new(config: &StoreConfig) -> Self {
        let configs: Vec<_> = config
            .hosts
            .iter()
            .map(|(host, port)| (format!("{host}:{port}"), postgres(config, host, *port)))
            .collect();
        Self { configs, patience: config.connect_timeout, last_good: AtomicUsize::new(0) }
    }

    /// A connection to the server that writes.
    pub(crate) async fn connect(&self) -> Result<(Client, Connection<Socket, NoTlsStream>)> {
        let first = self.last_good.load(Ordering::Relaxed);
        let count = self.configs.len();
        let mut racing: FuturesUnordered<_> = (0..count)
            .map(|n| async move {
                sleep(STAGGER * u32::try_from(n).unwrap_or(u32::MAX)).await;
                let index = (first + n) % count;
                (index, timeout(self.patience, self.configs[index].1.connect(NoTls)).await)
            })
            .collect();
        let mut reasons = Vec::new();
        while let Some((index, outcome)) = racing.next().await {
            let name = &self.configs[index].0;
            match outcome {
                Ok(Ok(connected)) => {
                    self.last_good.store(index, Ordering::Relaxed);
                    return Ok(connected);
                }
                Ok(Err(error)) => reasons.push(format!("{name}: {}", Error::from(error))),
                Err(_) => reasons.push(format!("{name}: no answer in {} ms", self.patience.as_millis())),
            }
        }
        Err(Error::Unavailable(reasons.join("; ")))
    }
}

fn postgres(config: &StoreConfig, host: &str, port: u16) -> Config {
    let mut postgres = Config::new();
    postgres
        .host(host)
        .port(port)
        .dbname(&config.dbname)
        .user(&config.user)
        .application_name("voipadmind")
        // Refuses a server that cannot write.
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .tcp_user_timeout(config.tcp_user_timeout)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES);
    if !config.password.is_empty() {
        postgres.password(&config.password);
    }
    postgres
}
