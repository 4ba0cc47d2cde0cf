//! What stands around the double in a test.

pub mod kamailio;
pub mod voipadmind;

use std::path::Path;

use media_double::{Config, Running};
use tempfile::TempDir;

pub use kamailio::Kamailio;
pub use voipadmind::Voipadmind;

/// Retransmissions come this soon, so that tests are quick: T1.
pub const T1_MS: u64 = 30;

/// A double, with what it talks to.
pub struct Bench {
    pub kamailio: Kamailio,
    pub voipadmind: Voipadmind,
    pub running: Option<Running>,
    pub spool: TempDir,
}

impl Bench {
    /// A double with one queue, `support@default.local`, of the agents 1002 and 1003.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same, with its configuration changed.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let (mut kamailio, voipadmind) = (Kamailio::bind().await, Voipadmind::start().await);
        let spool = tempfile::tempdir().expect("temp dir");
        let mut config = config(&kamailio.address().to_string(), &voipadmind.base, spool.path());
        change(&mut config);
        let running = Running::start(&config).await.expect("the double starts");
        kamailio.double = running.address();
        Self { kamailio, voipadmind, running: Some(running), spool }
    }

    pub async fn stop(&mut self) {
        self.running.take().expect("not stopped twice").stop().await;
    }
}

/// The configuration file of a test.
pub fn config_text(kamailio: &str, base: &str, spool: &Path) -> String {
    format!(
        "listen: 127.0.0.1:0\nkamailio: {kamailio}\nt1_ms: {T1_MS}\n\
         rtp: {{ port_min: 30000, port_max: 39999 }}\n\
         http: {{ directory_url: '{base}/fs/xml/directory', user: fs, password_file: {0}/password }}\n\
         cdr: {{ url: '{base}/fs/cdr', retries: 1, delay_ms: 20, err_log_dir: {0} }}\n\
         queues:\n  - {{ name: support, domain: default.local, agents: ['1002', '1003'], agent_ring_ms: 1000, round_pause_ms: 50 }}\n",
        spool.display()
    )
}

fn config(kamailio: &str, base: &str, spool: &Path) -> Config {
    let password = spool.join("password");
    std::fs::write(&password, "secret\n").expect("written");
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode");
    let path = spool.join("config.yaml");
    std::fs::write(&path, config_text(kamailio, base, spool)).expect("written");
    Config::load(&path).expect("a valid configuration")
}
