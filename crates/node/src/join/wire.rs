//! What a joining node and the primary's agent say to each other.

use std::net::IpAddr;

use fsm::Point;
use serde::{Deserialize, Serialize};

/// Signs the body of [`Request`] with the token.
pub const TOKEN_SIGNATURE: &str = "x-tandem-token-signature";

/// `POST /join`: the only message of a node that has no cluster's key yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The token's public part.
    pub token: String,
    /// Makes every request another, so that an answer cannot be replayed.
    pub nonce: String,
    /// Which node it wants to be; none: the one that is free.
    pub node: Option<String>,
    /// What it calls itself, for the inviting node's log.
    pub host: String,
    /// PostgreSQL's major version there.
    pub postgresql: String,
}

/// The sealed answer: everything that makes the second node one of the cluster.
#[derive(Clone, Serialize, Deserialize)]
pub struct Welcome {
    pub cluster_yaml: String,
    pub secrets_yaml: String,
    pub terms: Terms,
}

/// What is copied from where, and under which name it will stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The node that joins.
    pub node: String,
    /// The primary it copies from, and where that is reached.
    pub primary: String,
    pub address: IpAddr,
    pub at: Point,
    /// PostgreSQL's version there: `15.18`.
    pub postgresql: String,
    /// The data's own identity: a copy that is to be resumed must be of the same.
    pub system_id: i64,
    /// Bytes of the databases there.
    pub size_bytes: u64,
    /// The primary's clock, milliseconds since 1970.
    pub now_ms: i64,
}

/// `POST /joining`: a node that has the key asks again for the terms, because a run of its broke.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    pub postgresql: String,
}

/// `POST /joined`: the standby runs; asked again until it is `Paired`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    pub at: Point,
}

/// How far the primary is with its standby.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Progress {
    /// It does not stream, or is behind: said in words.
    Waiting { why: String },
    /// Every acknowledged commit is on both nodes from now on.
    Paired { sync_state: String },
}
