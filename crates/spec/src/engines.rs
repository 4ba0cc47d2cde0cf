//! What can be set of each engine. Every default is one that runs on a small machine.

use serde::{Deserialize, Serialize};
use strictyaml::{Bytes, Limited, Span};

/// Sizes that are left out come from the machine (`render::Machine`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgresql {
    pub max_connections: Limited<20, 2000>,
    pub shared_buffers: Option<Bytes>,
    /// What the planner may assume of the page cache.
    pub effective_cache_size: Option<Bytes>,
    /// Of each sort or hash, not of the server.
    pub work_mem: Option<Bytes>,
    pub maintenance_work_mem: Option<Bytes>,
    /// WAL between checkpoints; also what a restart has to read again.
    pub max_wal_size: Option<Bytes>,
    /// WAL kept for a peer that is away, whether it has a slot or not.
    pub wal_keep_size: Bytes,
    /// WAL a slot may keep at most: beyond it the peer has to be copied anew, but this node's disk is not filled.
    pub max_slot_wal_keep_size: Bytes,
}

impl Default for Postgresql {
    fn default() -> Self {
        Self {
            max_connections: Limited::new(300),
            shared_buffers: None,
            effective_cache_size: None,
            work_mem: None,
            maintenance_work_mem: None,
            max_wal_size: None,
            wal_keep_size: Bytes(256 << 20),
            max_slot_wal_keep_size: Bytes(4 << 30),
        }
    }
}

/// What is left out comes from the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    pub maxmemory: Option<Bytes>,
}

/// voipadmind's HTTP server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    pub read_timeout: Span,
    pub write_timeout: Span,
    /// Connections to PostgreSQL at most, and kept idle.
    pub database_max_open_conns: Limited<2, 1000>,
    pub database_max_idle_conns: Limited<0, 1000>,
    pub database_conn_max_lifetime: Span,
    pub redis_pool_size: Limited<1, 256>,
    /// Networks (`192.168.1.0/24`) that may speak to /fs/..., besides this node.
    pub fs_allow: Vec<String>,
    /// Networks that may read the details of /health and /metrics, and the exporters, besides loopback.
    pub metrics_allow: Vec<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            read_timeout: Span::from_secs(30),
            write_timeout: Span::from_secs(30),
            database_max_open_conns: Limited::new(20),
            database_max_idle_conns: Limited::new(10),
            database_conn_max_lifetime: Span::from_secs(3600),
            redis_pool_size: Limited::new(10),
            fs_allow: Vec::new(),
            metrics_allow: Vec::new(),
        }
    }
}

/// Whether a CDR may be acknowledged while the peer is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// 200 with the local fsync alone when the peer is down, counted and shown.
    Replicated,
    /// 503 when the peer is down, so that FreeSWITCH spools.
    Strict,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cdr {
    pub durability: Durability,
    pub queue_name: String,
    /// Rows a transaction; larger when behind.
    pub batch_size: Limited<1, 5_000>,
    pub batch_timeout: Span,
    pub workers: Limited<1, 64>,
    /// Disk the journal may take while the database is away.
    pub journal_max: Bytes,
}

impl Default for Cdr {
    fn default() -> Self {
        Self {
            durability: Durability::Replicated,
            queue_name: "cdr_queue".into(),
            batch_size: Limited::new(100),
            batch_timeout: Span::from_secs(5),
            workers: Limited::new(4),
            journal_max: Bytes(4 << 30),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    pub directory_ttl: Span,
    pub extension_ttl: Span,
    pub enable_local_cache: bool,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    pub level: LogLevel,
    pub format: LogFormat,
}

impl Default for Logging {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Json }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Freeswitch {
    /// Sessions (legs) at once: two for a bridged call.
    pub max_sessions: Limited<10, 20_000>,
    pub sessions_per_second: Limited<1, 2_000>,
}

impl Default for Freeswitch {
    fn default() -> Self {
        Self { max_sessions: Limited::new(2_000), sessions_per_second: Limited::new(100) }
    }
}
