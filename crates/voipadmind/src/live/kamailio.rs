//! JSON-RPC 2.0 to this node's Kamailio (jsonrpcs over xhttp, loopback only): what a change made untrue. The tables and
//! their keys are told in `templates/kamailio/route_rpc.cfg`.

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use store::changes::Changed;

use crate::config;

/// Kamailio is on the same machine; its tables expire by themselves should this fail.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
pub struct Kamailio {
    client: Client<HttpConnector, Body>,
    url: String,
    authorization: String,
}

impl Kamailio {
    /// None when no usable URL is configured. The credentials are those of the engines' door.
    pub fn new(kamailio: &config::Kamailio, fs: &config::Fs) -> Option<Self> {
        let url = kamailio.rpc_url.clone().filter(|url| url.parse::<http::Uri>().is_ok())?;
        let token = STANDARD.encode(format!("{}:{}", fs.user, fs.password.expose()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Some(Self { client, url, authorization: format!("Basic {token}") })
    }

    /// Tells of one changed row. What Kamailio then still has, it serves only while the database is away; a deleted
    /// secret not even then.
    pub async fn changed(&self, change: &Changed) {
        let (Some(domain), key) = (&change.domain, &change.key) else { return self.changed_unknown().await };
        match (change.table.as_str(), key) {
            ("domains", _) => {
                self.delete(&format!("domain:{domain}")).await;
                self.older_is_stale(&format!("auth:{domain}")).await;
            }
            ("extensions" | "sip_credentials", Some(user)) => {
                self.delete(&format!("auth:{user}@{domain}")).await
            }
            // A person is not an extension: any of the tenant's secrets may be his.
            ("extensions" | "sip_credentials" | "users", _) => {
                self.older_is_stale(&format!("auth:{domain}")).await;
            }
            _ => {}
        }
        self.older_is_stale(&format!("route:{domain}")).await;
    }

    /// News may have been missed: everything is asked again when it is next needed.
    pub async fn changed_unknown(&self) {
        self.older_is_stale("all").await;
    }

    async fn delete(&self, key: &str) {
        self.call("htable.delete", json!(["cache", key])).await;
    }

    /// Kamailio counts in whole seconds. What it asked for in this very second may be from before the change, so the next
    /// second is told.
    async fn older_is_stale(&self, what: &str) {
        let now = jiff::Timestamp::now().as_second();
        self.call("htable.seti", json!(["changed", what, now + 1])).await;
    }

    async fn call(&self, method: &str, params: Value) {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).to_string();
        let request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, &self.authorization)
            .body(body.into());
        let Ok(request) = request else { return };
        let answer = tokio::time::timeout(CALL_TIMEOUT, self.client.request(request)).await;
        match answer {
            Ok(Ok(response)) if response.status().is_success() => {}
            Ok(Ok(response)) => {
                tracing::debug!(
                    method,
                    status = response.status().as_u16(),
                    "Kamailio refused an invalidation"
                );
            }
            Ok(Err(error)) => tracing::debug!(method, %error, "Kamailio not told of a change"),
            Err(_) => tracing::debug!(method, "Kamailio did not answer in time"),
        }
    }
}
