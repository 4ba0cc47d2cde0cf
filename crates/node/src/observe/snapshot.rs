//! The document. Its keys are documented in `docs/status.md` and are stable: keys are added, never changed or taken away.
//!
//! Every part has a default, so that nodes of two versions read each other while one of them is upgraded.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::agent::Doing;

/// One node, as it saw itself at `sampled_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub node: String,
    pub cluster: String,
    pub cluster_id: Uuid,
    /// Of tandem, on that node.
    pub version: String,
    pub sampled_at: Timestamp,
    /// primary, standby, rejoining, demoted or hold; none where the node never had one.
    #[serde(default)]
    pub role: Option<String>,
    /// solo or paired.
    #[serde(default)]
    pub mode: Option<String>,
    #[serde(default)]
    pub epoch: Option<u64>,
    #[serde(default)]
    pub join: Option<u64>,
    /// An operator forced this epoch (`tandem solo --peer-is-dead`).
    #[serde(default)]
    pub forced: bool,
    /// Why the role is not known.
    #[serde(default)]
    pub state_problem: Option<String>,
    #[serde(default)]
    pub postgresql: Postgresql,
    #[serde(default)]
    pub redis: Redis,
    #[serde(default)]
    pub vip: Option<Vip>,
    #[serde(default)]
    pub services: Vec<Service>,
    /// Kamailio's answer to an OPTIONS.
    #[serde(default)]
    pub kamailio: SipAnswer,
    #[serde(default)]
    pub media: Media,
    #[serde(default)]
    pub voip_admin: VoipAdmin,
    #[serde(default)]
    pub machine: Machine,
    /// What the agent is about, and what a person may type; none where no agent runs.
    #[serde(default)]
    pub doing: Option<Doing>,
    /// The newest last.
    #[serde(default)]
    pub transitions: Vec<Transition>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Postgresql {
    /// It answered a query.
    pub running: bool,
    /// Why it did not.
    pub problem: Option<String>,
    pub version: Option<String>,
    pub started_at: Option<Timestamp>,
    pub in_recovery: Option<bool>,
    /// It takes writes; whether they are acknowledged is `writes_waiting`.
    pub writable: bool,
    pub timeline: Option<u32>,
    /// What the primary waits for: empty means that it waits for nobody.
    pub sync_names: String,
    /// Commits that wait for a standby now.
    pub writes_waiting: u64,
    pub connections: u64,
    pub connections_max: u64,
    /// A standby's own way behind what it received.
    pub replay_lag_bytes: Option<u64>,
    /// Since the last transaction it replayed; 0 when all that was received is replayed.
    pub replay_lag_seconds: Option<f64>,
    /// A standby's connection to its primary.
    pub receiver: Option<Receiver>,
    /// A primary's standbys.
    pub standbys: Vec<Standby>,
    pub slots: Vec<Slot>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Receiver {
    /// `streaming`, else what it is about.
    pub status: String,
    pub from_host: Option<String>,
    pub slot: Option<String>,
    /// Sent by the primary and not yet on this disk.
    pub lag_bytes: Option<u64>,
    /// Since the primary's last message.
    pub silent_seconds: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standby {
    /// `<node>_e<epoch>_j<join>`.
    pub name: String,
    pub address: Option<String>,
    /// startup, catchup, streaming, backup.
    pub state: String,
    /// async, potential, sync, quorum.
    pub sync_state: String,
    /// Behind the primary: not yet on its disk, not yet visible there.
    pub flush_lag_bytes: Option<u64>,
    pub replay_lag_bytes: Option<u64>,
    pub flush_lag_seconds: Option<f64>,
    pub replay_lag_seconds: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slot {
    pub name: String,
    pub active: bool,
    /// WAL kept for it.
    pub retained_bytes: Option<u64>,
    /// reserved, extended, unreserved, lost.
    pub wal_status: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redis {
    pub running: bool,
    pub problem: Option<String>,
    pub version: Option<String>,
    pub run_id: Option<String>,
    /// master or slave, as Redis says.
    pub role: Option<String>,
    /// A replica's link: up or down.
    pub link: Option<String>,
    pub master: Option<String>,
    pub offset: Option<u64>,
    /// A replica's way behind what its master sent; a master's: its slowest replica's.
    pub lag_bytes: Option<u64>,
    /// A replica's silence from its master; a master's: its slowest replica's.
    pub lag_seconds: Option<u64>,
    pub replicas: u64,
    pub memory_bytes: Option<u64>,
    pub memory_max_bytes: Option<u64>,
    /// Whether its append-only file is written.
    pub append_only_ok: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vip {
    pub address: String,
    pub held: bool,
    pub interface: Option<String>,
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// The short name: postgresql, kamailio.
    pub name: String,
    /// systemd's unit.
    pub unit: String,
    /// active, activating, failed, inactive, absent (no such unit), unknown.
    pub state: String,
    pub active: bool,
    pub since: Option<Timestamp>,
    /// Of its Debian package.
    pub version: Option<String>,
    pub pid: Option<u32>,
    pub memory_bytes: Option<u64>,
    /// By systemd, since it was started by hand.
    pub restarts: u32,
    /// How its last run ended, if badly: exit-code, signal, oom-kill, watchdog.
    pub result: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SipAnswer {
    pub answers: bool,
    /// The status code of the answer.
    pub code: Option<u16>,
    pub milliseconds: Option<u32>,
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Media {
    /// `freeswitch`, or `double` for the lab's test program.
    pub engine: String,
    pub sip: SipAnswer,
}

/// What voipadmind says of itself on `/health`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VoipAdmin {
    pub answers: bool,
    /// ok, degraded, failing.
    pub status: Option<String>,
    pub database: Option<String>,
    pub redis: Option<String>,
    pub journal: Option<String>,
    /// CDRs durable here and not yet known to be in the database.
    pub journal_pending: Option<u64>,
    /// None where nobody counts FreeSWITCH's sessions.
    pub records: Option<Records>,
    pub problem: Option<String>,
}

/// Whether every session of both nodes' FreeSWITCH has its record, of the last seven days.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Records {
    /// Owe one that did not come.
    pub missing: u64,
    /// Ended while nobody listened, and have none.
    pub unheard: u64,
    /// ok, or how many of which node when.
    pub what: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    pub cores: u32,
    pub load: [f32; 3],
    pub memory_bytes: u64,
    pub memory_available_bytes: u64,
    pub uptime_seconds: u64,
    pub disks: Vec<Disk>,
    /// None: nobody here says (no chrony, no timesyncd).
    pub clock_synchronised: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// The folder asked about; several may be one filesystem.
    pub path: String,
    pub total_bytes: u64,
    /// What an unprivileged process may still write.
    pub free_bytes: u64,
    pub inodes_free_percent: u8,
    pub problem: Option<String>,
}

/// A change of the node's role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    pub at: Timestamp,
    pub from: String,
    pub to: String,
    pub reason: String,
}
