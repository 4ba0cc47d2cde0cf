//! `/etc/voip-admin/config.yaml`: every key of the seed's section 5.2, and ours.
//!
//! In: a path. Out: a [`Config`] in which every value is usable. A wrong file never gets as far as a bound port.
//! Passwords may come from the environment instead (`VOIP_ADMIN_DATABASE_PASSWORD`, `VOIP_ADMIN_REDIS_PASSWORD`,
//! `VOIP_ADMIN_FS_PASSWORD`, `VOIP_ADMIN_ESL_PASSWORD`), which wins over the file.

mod load;
mod network;
mod secret;

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use strictyaml::{Bytes, Limited, Span};

pub use load::load;
pub use network::Network;
pub use secret::Secret;

type Port = Limited<1, 65_535>;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub node: Node,
    pub server: Server,
    pub database: Database,
    pub redis: Redis,
    #[serde(default)]
    pub cdr: Cdr,
    #[serde(default)]
    pub cache: Cache,
    #[serde(default)]
    pub fs: Fs,
    #[serde(default)]
    pub recordings: Recordings,
    #[serde(default)]
    pub freeswitch: Freeswitch,
    #[serde(default)]
    pub kamailio: Kamailio,
    #[serde(default)]
    pub metrics: Metrics,
    #[serde(default)]
    pub logging: Logging,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// This node's name in `cluster.yaml`; stored with every CDR it takes in.
    pub name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub host: IpAddr,
    pub port: Port,
    /// A request's head and body must have arrived by then.
    #[serde(default = "seconds::<30>")]
    pub read_timeout: Span,
    /// An answer must have been made by then.
    #[serde(default = "seconds::<30>")]
    pub write_timeout: Span,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// One host or a list; the one that takes writes is used.
    pub host: OneOrMore,
    pub port: Port,
    pub database: String,
    pub user: String,
    #[serde(default)]
    pub password: Secret,
    #[serde(default = "limited::<20, 2, 1_000>")]
    pub max_open_conns: Limited<2, 1_000>,
    /// More than these are closed when nobody has needed them for half a minute.
    #[serde(default = "limited::<10, 0, 1_000>")]
    pub max_idle_conns: Limited<0, 1_000>,
    #[serde(default = "seconds::<3600>")]
    pub conn_max_lifetime: Span,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    pub host: OneOrMore,
    pub port: Port,
    #[serde(default)]
    pub password: Secret,
    #[serde(default = "limited::<0, 0, 15>")]
    pub db: Limited<0, 15>,
    /// Taken for the seed's sake: one connection carries all requests at once, and each worker has its own.
    #[serde(default = "limited::<10, 1, 256>")]
    pub pool_size: Limited<1, 256>,
}

/// Intake, queue and workers (design: accounting for every call).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cdr {
    pub queue_name: String,
    pub batch_size: Limited<1, 5_000>,
    pub batch_timeout: Span,
    pub workers: Limited<1, 64>,
    pub durability: Durability,
    pub journal_dir: PathBuf,
    pub journal_max: Bytes,
    /// FreeSWITCH's err-log-dir, swept into the journal.
    pub spool_dir: Option<PathBuf>,
    /// Where Kamailio leaves events it could not post.
    pub kamailio_spool_dir: Option<PathBuf>,
}

/// When a CDR is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Local fsync and the peer's acknowledgement; without a peer the local fsync, counted.
    Replicated,
    /// Without a peer: 503, and FreeSWITCH spools.
    Strict,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    pub directory_ttl: Span,
    /// Taken for the seed's sake: extensions are looked up by Kamailio, whose tables hold them for ten minutes and hear of
    /// changes at once.
    pub extension_ttl: Span,
    pub enable_local_cache: bool,
}

/// Who may speak to `/fs/…`: basic auth, from this node and the listed networks. Without a password (the seed's file has
/// none) the door stays shut, and the log says so.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fs {
    pub user: String,
    pub password: Secret,
    pub allow: Vec<Network>,
}

/// Where recordings are: one tree a node, `<dir>/<node>/YYYY/MM/DD/<uuid>.wav`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recordings {
    pub dir: PathBuf,
    /// How often new, copied and expired ones are looked for.
    pub check_every: Span,
    /// How often every file is read again and compared with its SHA-256.
    pub check_again: Span,
    /// The other node; none where there is none.
    pub peer: Option<RecordingsPeer>,
}

/// The other node's voipadmind, which has what is not on this node's disk yet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingsPeer {
    /// Its name in `cluster.yaml`.
    pub name: String,
    /// Such as `http://10.0.0.2:8080`.
    pub url: String,
    /// The addresses it asks from.
    pub allow: Vec<Network>,
    /// The same on both nodes, and for this alone.
    pub password: Secret,
}

/// This node's FreeSWITCH, which tells of the calls that go on. Without the password (the seed's file has none) calls are
/// known when they have ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Freeswitch {
    /// Of mod_event_socket, on 127.0.0.1.
    pub esl_port: Port,
    pub esl_password: Secret,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kamailio {
    /// JSON-RPC of this node's Kamailio, told when a secret or a route has changed.
    pub rpc_url: Option<String>,
}

/// Who sees `/metrics` and the details of `/health` besides loopback.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    pub allow: Vec<Network>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    pub level: Level,
    pub format: LogFormat,
    /// `stderr`, or a file that is appended to.
    pub output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Text,
}

/// `host: a` or `host: [a, b]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a host or a list of hosts")]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Self::One(host) => vec![host.clone()],
            Self::More(hosts) => hosts.clone(),
        }
    }
}

impl Default for Fs {
    fn default() -> Self {
        Self { user: "freeswitch".into(), password: Secret::default(), allow: Vec::new() }
    }
}

impl Default for Freeswitch {
    fn default() -> Self {
        Self { esl_port: Port::new(8_021), esl_password: Secret::default() }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self { name: "n1".into() }
    }
}

impl Default for Cdr {
    fn default() -> Self {
        Self {
            queue_name: "cdr_queue".into(),
            batch_size: Limited::new(100),
            batch_timeout: Span::from_secs(5),
            workers: Limited::new(4),
            durability: Durability::Replicated,
            journal_dir: "/var/lib/voip-admin/journal".into(),
            journal_max: Bytes(4 << 30),
            spool_dir: None,
            kamailio_spool_dir: None,
        }
    }
}

impl Default for Recordings {
    fn default() -> Self {
        Self {
            dir: "/storage/recordings".into(),
            check_every: Span::from_secs(10),
            check_again: Span::from_secs(7 * 86_400),
            peer: None,
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            directory_ttl: Span::from_secs(300),
            extension_ttl: Span::from_secs(600),
            enable_local_cache: true,
        }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self { level: Level::Info, format: LogFormat::Json, output: "stderr".into() }
    }
}

fn seconds<const S: u64>() -> Span {
    Span::from_secs(S)
}

fn limited<const DEFAULT: u64, const MIN: u64, const MAX: u64>() -> Limited<MIN, MAX> {
    Limited::new(DEFAULT)
}
