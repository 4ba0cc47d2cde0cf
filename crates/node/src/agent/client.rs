//! Asking the other node's agent. Blocking: from the agent itself by `spawn_blocking`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use spec::Node;

use super::auth::{self, Key, NODE_HEADER, NONCE_HEADER, SIGNATURE_HEADER, Signed, TIME_HEADER};
use crate::config::Config;

/// Of an answer: a snapshot, or a cluster's two files.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const CONNECT: Duration = Duration::from_secs(3);

/// The other agent, seen from a node that holds the cluster's key.
pub struct Client {
    base: String,
    key: Key,
    /// This node's name.
    node: String,
    /// The other's.
    to: String,
    agent: ureq::Agent,
}

/// An answer with its status code.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// A client's settings, the same for signed and unsigned requests.
pub fn http(total: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(total))
        .timeout_connect(Some(CONNECT))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build()
        .into()
}

/// `http://address:port`, with the brackets of IPv6.
pub fn base(address: IpAddr, port: u16) -> String {
    format!("http://{}", SocketAddr::new(address, port))
}

/// Reads an answer to its limit.
pub fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Answer { status, body })
}

impl Client {
    /// The agent of `peer` at one of its addresses, asked with `total` as the bound of each question.
    pub fn new(config: &Config, peer: &Node, address: IpAddr, total: Duration) -> Self {
        Self {
            base: base(address, config.cluster.ports.agent),
            key: Key::of(&config.secrets.cluster_key),
            node: config.name.clone(),
            to: peer.name.clone(),
            agent: http(total),
        }
    }

    /// The peer of a pair, on the peer link.
    ///
    /// # Errors
    /// A single node has none.
    pub fn of_peer(config: &Config, total: Duration) -> Result<Self> {
        let peer = config.peer().context("a single node has no peer")?;
        Ok(Self::new(config, peer, peer.peer_side(), total))
    }

    /// `GET`, signed; the answer's signature is checked.
    ///
    /// # Errors
    /// No answer, a forged one, or a refusal with its reason.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let signed = self.sign("GET", path, b"")?;
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in &signed {
            request = request.header(*name, value);
        }
        let response = request.call().with_context(|| format!("asking the agent at {}", self.base))?;
        self.take(response, &signed)
    }

    /// `POST` with a JSON body, signed; the answer's signature is checked.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let body = serde_json::to_vec(body)?;
        let signed = self.sign("POST", path, &body)?;
        let mut request =
            self.agent.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        for (name, value) in &signed {
            request = request.header(*name, value);
        }
        let response =
            request.send(&body[..]).with_context(|| format!("asking the agent at {}", self.base))?;
        self.take(response, &signed)
    }

    fn sign(&self, method: &str, path: &str, body: &[u8]) -> Result<[(&'static str, String); 4]> {
        let nonce = auth::nonce()?;
        let time_ms = jiff::Timestamp::now().as_millisecond();
        let message = Signed { node: &self.node, to: &self.to, time_ms, nonce: &nonce, method, path, body };
        let signature = self.key.sign(&message);
        Ok([
            (NODE_HEADER, self.node.clone()),
            (TIME_HEADER, time_ms.to_string()),
            (SIGNATURE_HEADER, signature),
            (NONCE_HEADER, nonce),
        ])
    }

    fn take<T: DeserializeOwned>(
        &self,
        response: ureq::http::Response<ureq::Body>,
        signed: &[(&'static str, String); 4],
    ) -> Result<T> {
        let signature = header(&response, SIGNATURE_HEADER);
        let nonce = &signed[3].1;
        let answer = read(response)?;
        if !self.key.is_answer(nonce, answer.status, &answer.body, &signature) {
            // An unsigned refusal is told, not believed: it changes nothing here.
            bail!("the agent at {} did not accept this node: {}", self.base, reason(&answer));
        }
        if answer.status >= 300 {
            bail!("{}", reason(&answer));
        }
        serde_json::from_slice(&answer.body)
            .with_context(|| format!("the agent at {} answered something unknown", self.base))
    }
}

fn header(response: &ureq::http::Response<ureq::Body>, name: &str) -> String {
    response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

/// The `error` of an answer, or its status.
pub fn reason(answer: &Answer) -> String {
    let said = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let said = said.as_ref().and_then(|value| value.get("error")).and_then(|error| error.as_str());
    said.map_or_else(|| format!("it answered {}", answer.status), str::to_owned)
}
