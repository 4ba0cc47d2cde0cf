//! The first tenant: rendered into FreeSWITCH's queue and menu files and seeded into the database, from one place.

use serde::{Deserialize, Serialize};
use strictyaml::Limited;

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Demo {
    /// SIP domain and digest realm.
    pub domain: String,
    pub tenant_name: String,
    pub extensions: Vec<Extension>,
    pub queue: Queue,
    pub ivr: Ivr,
    pub trunk: Trunk,
}

/// A phone. Its number is its SIP user name; its password stands in `secrets.yaml` under `phones`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    pub extension: String,
    pub full_name: String,
    pub role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Agent,
    Supervisor,
    Admin,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    pub extension: String,
    pub name: String,
    pub strategy: Strategy,
    /// Extensions that answer it.
    pub agents: Vec<String>,
}

/// How a queue chooses among its agents, in the seed's words; FreeSWITCH calls `longest-idle` otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    RingAll,
    RoundRobin,
    LongestIdle,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ivr {
    pub extension: String,
    pub name: String,
    /// Seconds a caller has for each choice.
    pub timeout_seconds: Limited<1, 60>,
    pub max_failures: Limited<1, 10>,
    pub max_timeouts: Limited<1, 10>,
    pub entries: Vec<IvrEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IvrEntry {
    pub digit: String,
    pub action: IvrAction,
    /// An extension of this domain.
    pub target: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IvrAction {
    Queue,
    Transfer,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    pub name: String,
    /// Dialled numbers that take it: `X` a digit, `N` 2-9, `Z` 1-9, `.` one or more.
    pub pattern: String,
    /// Taken off the number before it is sent.
    pub prefix: String,
    pub host: String,
    pub port: u16,
}
