//! JSON-RPC 2.0 to this node's Kamailio (jsonrpcs over xhttp, loopback only): drop what a change made untrue.

use std::time::Duration;

use axum::body::Body;
use http::{Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

/// Kamailio is on the same machine; its tables expire by themselves should this fail.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// The hash tables that hold what the database says (`templates/kamailio`): HA1s, routes, domains.
const TABLES: [&str; 3] = ["auth", "route", "domain"];

pub struct Kamailio {
    client: Client<HttpConnector, Body>,
    url: String,
}

impl Kamailio {
    /// None when the URL cannot be one; the configuration's check has said so already.
    pub fn new(url: &str) -> Option<Self> {
        url.parse::<http::Uri>().ok()?;
        Some(Self { client: Client::builder(TokioExecutor::new()).build_http(), url: url.to_owned() })
    }

    /// Drops one user's secret and every route of the domain: a route may name the user by another number.
    pub async fn forget(&self, domain: &str, user: Option<&str>) {
        if let Some(user) = user {
            self.call("htable.delete", &["auth", &format!("{user}@{domain}")]).await;
        } else {
            self.call("htable.flush", &["auth"]).await;
        }
        for table in &TABLES[1..] {
            self.call("htable.flush", &[table]).await;
        }
    }

    pub async fn forget_all(&self) {
        for table in TABLES {
            self.call("htable.flush", &[table]).await;
        }
    }

    async fn call(&self, method: &str, params: &[&str]) {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).to_string();
        let request =
            Request::post(&self.url).header(header::CONTENT_TYPE, "application/json").body(body.into());
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
