//! The configuration file. `tandem render` writes it; nothing in it is secret.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::call;
use crate::cdr::Encoding;

/// Largest configuration or marker file read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Environment variable with the password of the /fs endpoints; `http.password_file` wins over it.
pub const PASSWORD_ENV: &str = "MEDIA_DOUBLE_HTTP_PASSWORD";

/// Everything the double has to be told. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where SIP is answered: the port of FreeSWITCH's profile `kamailio`.
    pub listen: SocketAddr,
    /// The Kamailio that users are called through.
    pub kamailio: SocketAddr,
    /// Addresses packets are taken from, beside `kamailio`'s: the Kamailios of the pair and the VIP.
    #[serde(default)]
    pub accept_from: Vec<IpAddr>,
    /// RTP.
    pub rtp: Rtp,
    /// voipadmind.
    pub http: Http,
    /// mod_json_cdr.
    pub cdr: Cdr,
    /// Queues and their agents.
    #[serde(default)]
    pub queues: Vec<Queue>,
    /// Longest times of a call.
    #[serde(default)]
    pub limits: Limits,
    /// SIP's T1; the RFC's value unless a test is in a hurry.
    #[serde(default = "default_t1_ms")]
    pub t1_ms: u64,
}

/// RTP port range, both ends included; on the address of `listen`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rtp {
    /// First port.
    pub port_min: u16,
    /// Last port.
    pub port_max: u16,
}

/// How voipadmind is reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// URL of the directory, such as `http://127.0.0.1:8080/fs/xml/directory`.
    pub directory_url: String,
    /// User of both URLs.
    pub user: String,
    /// File of mode 0600 whose first line is the password; without it [`PASSWORD_ENV`] is read.
    pub password_file: Option<PathBuf>,
    /// Longest wait for an answer.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

/// Settings of json_cdr.conf.xml, with the defaults of the one that `tandem render` writes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cdr {
    /// URL to post to, such as `http://127.0.0.1:8080/fs/cdr`.
    pub url: String,
    /// `json`, `urlencoded` or `base64`.
    #[serde(default = "default_encode")]
    pub encode: Encoding,
    /// Percent-encode the values under `variables`.
    #[serde(default)]
    pub encode_values: bool,
    /// Extra tries.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// Pause between tries.
    #[serde(default = "default_delay_ms")]
    pub delay_ms: u64,
    /// Where CDRs are spooled.
    pub err_log_dir: PathBuf,
}

/// A queue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Name without domain.
    pub name: String,
    /// Tenant's domain.
    pub domain: String,
    /// User names of the agents, in the order they are called.
    pub agents: Vec<String>,
    /// How long one agent's phone rings.
    #[serde(default = "default_agent_ring_ms")]
    pub agent_ring_ms: u64,
    /// How long a caller waits.
    #[serde(default = "default_wait_ms")]
    pub wait_ms: u64,
    /// Pause after every agent was tried in vain.
    #[serde(default = "default_round_pause_ms")]
    pub round_pause_ms: u64,
}

/// Longest times of a call.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Ringing of a user called directly.
    pub ring_ms: u64,
    /// A menu, a mailbox, a conference.
    pub prompt_ms: u64,
    /// Talking.
    pub call_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ring_ms: 60_000, prompt_ms: 300_000, call_ms: 7_200_000 }
    }
}

fn default_t1_ms() -> u64 {
    500
}
fn default_timeout_ms() -> u64 {
    5_000
}
fn default_encode() -> Encoding {
    Encoding::Json
}
fn default_retries() -> u32 {
    2
}
fn default_delay_ms() -> u64 {
    1_000
}
fn default_agent_ring_ms() -> u64 {
    20_000
}
fn default_wait_ms() -> u64 {
    300_000
}
fn default_round_pause_ms() -> u64 {
    2_000
}

impl Config {
    /// Reads and checks `path`.
    ///
    /// # Errors
    /// The file cannot be read, is no such configuration (with line and key), or contradicts itself.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = read_bounded(path)?;
        let config: Self = serde_saphyr::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        config.check().with_context(|| format!("in {}", path.display()))?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            !self.listen.ip().is_unspecified(),
            "listen: {} names no address a phone could be told; give the node's own",
            self.listen
        );
        let Rtp { port_min, port_max } = self.rtp;
        ensure!(port_min < port_max, "rtp: port_min {port_min} is not below port_max {port_max}");
        for queue in &self.queues {
            let name = &queue.name;
            ensure!(!queue.agents.is_empty(), "queues: {name} has no agents");
            for word in queue.agents.iter().chain([&queue.name, &queue.domain]) {
                ensure!(is_word(word), "queues: {word:?} in {name}: only letters, digits, '.', '-' and '_'");
            }
        }
        for url in [&self.http.directory_url, &self.cdr.url] {
            let uri: http::Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
            ensure!(
                uri.scheme_str() == Some("http") && uri.host().is_some(),
                "{url}: must begin with http://host"
            );
        }
        ensure!(
            self.cdr.err_log_dir.is_dir(),
            "cdr.err_log_dir: {} is no directory; create it",
            self.cdr.err_log_dir.display()
        );
        Ok(())
    }

    /// The password of the /fs endpoints.
    pub fn password(&self) -> anyhow::Result<String> {
        let Some(path) = &self.http.password_file else {
            return std::env::var(PASSWORD_ENV)
                .with_context(|| format!("set http.password_file, or {PASSWORD_ENV} in the environment"));
        };
        let mode = std::fs::metadata(path)
            .with_context(|| format!("reading {}", path.display()))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            bail!("{} can be read by others: chmod 600 {}", path.display(), path.display());
        }
        Ok(read_bounded(path)?.lines().next().unwrap_or_default().to_owned())
    }
}

impl From<&Queue> for call::Queue {
    fn from(queue: &Queue) -> Self {
        Self {
            name: queue.name.clone(),
            domain: queue.domain.clone(),
            agents: queue.agents.clone(),
            agent_ring_max: Duration::from_millis(queue.agent_ring_ms),
            wait_max: Duration::from_millis(queue.wait_ms),
            round_pause: Duration::from_millis(queue.round_pause_ms),
        }
    }
}

impl From<&Limits> for call::Limits {
    fn from(limits: &Limits) -> Self {
        Self {
            ring_max: Duration::from_millis(limits.ring_ms),
            prompt_max: Duration::from_millis(limits.prompt_ms),
            call_max: Duration::from_millis(limits.call_ms),
        }
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// Reads a small text file.
pub fn read_bounded(path: &Path) -> anyhow::Result<String> {
    let length = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.len();
    ensure!(length <= FILE_BYTES_MAX, "{} is larger than {FILE_BYTES_MAX} bytes", path.display());
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
