//! Which server is the writer: the hosts are tried in turn, each for its share of the time, the last good one first.
//!
//! tokio-postgres takes several hosts too, but its time-out ends with the TCP handshake: a server that is frozen, whose
//! kernel still accepts, would use up the time of all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};

use crate::{Error, Result, StoreConfig};

/// A connection that only waits is probed after this long, so that LISTEN learns of a dead server.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

pub(crate) struct Hosts {
    configs: Vec<(String, Config)>,
    /// One host's part of the connect time-out.
    share: Duration,
    last_good: AtomicUsize,
}

impl Hosts {
    pub(crate) fn new(config: &StoreConfig) -> Self {
        let configs: Vec<_> = config
            .hosts
            .iter()
            .map(|(host, port)| (format!("{host}:{port}"), postgres(config, host, *port)))
            .collect();
        let count = u32::try_from(configs.len()).unwrap_or(1).max(1);
        Self { configs, share: config.connect_timeout / count, last_good: AtomicUsize::new(0) }
    }

    /// A connection to the server that writes.
    pub(crate) async fn connect(&self) -> Result<(Client, Connection<Socket, NoTlsStream>)> {
        let first = self.last_good.load(Ordering::Relaxed);
        let mut reasons = Vec::new();
        for n in 0..self.configs.len() {
            let index = (first + n) % self.configs.len();
            let (name, config) = &self.configs[index];
            match timeout(self.share, config.connect(NoTls)).await {
                Ok(Ok(connected)) => {
                    self.last_good.store(index, Ordering::Relaxed);
                    return Ok(connected);
                }
                Ok(Err(error)) => reasons.push(format!("{name}: {}", Error::from(error))),
                Err(_) => reasons.push(format!("{name}: no answer in {} ms", self.share.as_millis())),
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
