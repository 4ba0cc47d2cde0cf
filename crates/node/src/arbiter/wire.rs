//! etcd's v3 JSON gateway: what is asked and what is answered (etcd.io, `api_grpc_gateway`; the same in 3.4 and 3.5).
//! 64-bit numbers are strings, bytes are base64, and what is false, zero or empty is left out.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

pub const RANGE: &str = "/v3/kv/range";
pub const TXN: &str = "/v3/kv/txn";
pub const MEMBERS: &str = "/v3/cluster/member/list";
pub const STATUS: &str = "/v3/maintenance/status";
pub const TRANSFER: &str = "/v3/maintenance/transfer-leadership";
pub const AUTHENTICATE: &str = "/v3/auth/authenticate";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Header {
    pub cluster_id: String,
    /// Who answered.
    pub member_id: String,
}

/// Only the header, which every answer has.
#[derive(Debug, Deserialize)]
pub struct Headed {
    pub header: Header,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Range {
    pub kvs: Vec<Pair>,
}

#[derive(Debug, Deserialize)]
pub struct Pair {
    key: String,
    #[serde(default)]
    value: String,
}

impl Pair {
    /// Key and value as text; what is no text is replaced.
    pub fn text(&self) -> (String, String) {
        let plain = |text: &str| {
            STANDARD
                .decode(text)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .unwrap_or_default()
        };
        (plain(&self.key), plain(&self.value))
    }
}

#[derive(Debug, Deserialize)]
pub struct Txn {
    #[serde(default)]
    pub succeeded: bool,
    #[serde(default)]
    pub responses: Vec<Response>,
}

#[derive(Debug, Deserialize)]
pub struct Response {
    #[serde(default)]
    pub response_range: Option<Range>,
}

#[derive(Debug, Deserialize)]
pub struct Members {
    #[serde(default)]
    pub members: Vec<Member>,
}

/// Of the member that is asked.
#[derive(Debug, Deserialize)]
pub struct Status {
    pub header: Header,
    /// The member that leads, as this one knows; empty during an election.
    #[serde(default)]
    pub leader: String,
}

#[derive(Debug, Deserialize)]
pub struct Member {
    #[serde(default, rename = "ID")]
    pub id: String,
    #[serde(default, rename = "clientURLs")]
    pub client_urls: Vec<String>,
    /// A learner has no vote.
    #[serde(default, rename = "isLearner")]
    pub is_learner: bool,
}

impl Member {
    /// It votes, and its clients find it on none of these addresses.
    pub fn is_beyond(&self, addresses: &[IpAddr]) -> bool {
        let is_on = |url: &String| {
            let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            host.trim_end_matches('/').parse::<SocketAddr>().is_ok_and(|at| addresses.contains(&at.ip()))
        };
        !self.is_learner && !self.client_urls.is_empty() && !self.client_urls.iter().any(is_on)
    }
}

#[derive(Debug, Deserialize)]
pub struct Token {
    pub token: String,
}

fn bytes(text: &str) -> String {
    STANDARD.encode(text)
}

/// All keys that begin with `prefix`. Linearizable, as etcd's reads are unless `serializable` is asked for.
pub fn range(prefix: &str) -> Value {
    json!({ "key": bytes(prefix), "range_end": bytes(&after(prefix)) })
}

pub fn put(key: &str, value: &str) -> Value {
    json!({ "request_put": { "key": bytes(key), "value": bytes(value) } })
}

/// True while the key was never made.
pub fn is_absent(key: &str) -> Value {
    json!({ "target": "CREATE", "result": "EQUAL", "key": bytes(key), "create_revision": "0" })
}

pub fn is_value(key: &str, value: &str) -> Value {
    json!({ "target": "VALUE", "result": "EQUAL", "key": bytes(key), "value": bytes(value) })
}

/// One transaction: `then` if `when` holds, else the keys of `prefix` as they are.
pub fn txn(when: Value, then: Vec<Value>, prefix: &str) -> Value {
    json!({ "compare": [when], "success": then, "failure": [{ "request_range": range(prefix) }] })
}

/// The first key after all that begin with `prefix`; ours end in '/', so their last byte has a next one.
fn after(prefix: &str) -> String {
    let mut bytes = prefix.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last = last.saturating_add(1);
    }
    String::from_utf8(bytes).unwrap_or_default()
}
