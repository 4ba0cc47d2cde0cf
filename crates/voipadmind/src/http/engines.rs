//! The door of `/fs/…`: only this node's engines and the listed networks, with basic auth (RFC 7617).

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{HeaderValue, StatusCode, header};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::{Fs, Network};
use crate::http::input::is_listed;

/// Who an engine must be to be heard. The credentials are kept as digests, compared in constant time.
#[derive(Clone)]
pub struct EngineDoor {
    allow: Arc<[Network]>,
    /// None without a password: nobody is admitted.
    expected: Option<[u8; 32]>,
}

impl EngineDoor {
    pub fn new(fs: &Fs) -> Self {
        let digest = || Sha256::digest(format!("{}:{}", fs.user, fs.password.expose())).into();
        let expected = (!fs.password.is_empty()).then(digest);
        if expected.is_none() {
            tracing::warn!("fs.password is not set: FreeSWITCH and Kamailio are answered 401 until it is");
        }
        Self { allow: fs.allow.clone().into(), expected }
    }

    fn admits_address(&self, peer: SocketAddr) -> bool {
        is_listed(peer, &self.allow)
    }

    fn admits_credentials(&self, authorization: Option<&HeaderValue>) -> bool {
        let given = authorization
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, token)| base64::engine::general_purpose::STANDARD.decode(token.trim()).ok());
        let pair = given.zip(self.expected);
        pair.is_some_and(|(given, expected)| Sha256::digest(given).ct_eq(&expected).into())
    }
}

pub async fn guard(
    State(door): State<EngineDoor>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if !door.admits_address(peer) {
        metrics::counter!("voip_fs_refused_total", "why" => "address").increment(1);
        return (StatusCode::FORBIDDEN, "only this node's engines and fs.allow may ask here\n")
            .into_response();
    }
    if !door.admits_credentials(request.headers().get(header::AUTHORIZATION)) {
        metrics::counter!("voip_fs_refused_total", "why" => "credentials").increment(1);
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"voip-admin\", charset=\"UTF-8\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "wrong user or password\n").into_response();
    }
    next.run(request).await
}
