//! Start and stop.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call::Switch;
use crate::cdr::{Process, Settings, Sink};
use crate::config::Config;
use crate::http::{Client, Credentials, Directory};
use crate::rtp::Ports;
use crate::sip::endpoint::Endpoint;
use crate::sip::timers::Timers;

/// How long a stop waits for calls to end and CDRs to be posted.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// The double at work.
pub struct Running {
    address: SocketAddr,
    calls_stop: CancellationToken,
    socket_stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    /// Binds the SIP socket and takes calls.
    ///
    /// # Errors
    /// The password cannot be read, or the port is taken.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let credentials = Credentials::basic(&config.http.user, &config.password()?)?;
        let client = Arc::new(Client::new(credentials, Duration::from_millis(config.http.timeout_ms)));
        let timers = Timers::from_t1(Duration::from_millis(config.t1_ms));
        let endpoint = Endpoint::bind(config.listen, config.kamailio, &config.accept_from, timers).await;
        let endpoint = Arc::new(endpoint.with_context(|| format!("SIP cannot listen on {}", config.listen))?);
        let (calls_stop, socket_stop, tasks) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let process = Process::new();
        let directory_uri = config.http.directory_url.parse()?;
        let directory = Directory::new(client.clone(), directory_uri, &process.hostname, &process.core_uuid);
        let settings = Settings {
            uri: config.cdr.url.parse()?,
            encoding: config.cdr.encode,
            encode_values: config.cdr.encode_values,
            retries: config.cdr.retries,
            delay: Duration::from_millis(config.cdr.delay_ms),
            err_log_dir: config.cdr.err_log_dir.clone(),
        };
        let switch = Arc::new(Switch {
            endpoint: endpoint.clone(),
            ports: Ports::new(config.listen.ip(), config.rtp.port_min, config.rtp.port_max),
            directory,
            cdrs: Arc::new(Sink::new(settings, process, client, tasks.clone())),
            queues: config.queues.iter().map(Into::into).collect(),
            limits: (&config.limits).into(),
            stop: calls_stop.clone(),
            tasks: tasks.clone(),
            claimed: Mutex::default(),
        });
        let (sender, invites) = Endpoint::invite_queue();
        let address = endpoint.local();
        tokio::spawn(endpoint.run(sender, socket_stop.clone()));
        tokio::spawn(switch.serve(invites));
        Ok(Self { address, calls_stop, socket_stop, tasks })
    }

    /// Where SIP is answered.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every call, waits for their BYEs and CDRs (bounded), closes the socket.
    pub async fn stop(self) {
        self.calls_stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "stopped while calls or CDRs were under way");
        }
        self.socket_stop.cancel();
    }
}
