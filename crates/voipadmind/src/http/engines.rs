//! The door of `/fs/…`: only this node's engines and the listed networks, with basic auth (RFC 7617).

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{HeaderValue, StatusCode, header};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::config::{Fs, Network};
use crate::http::input::is_listed;
use crate::http::problem::Problem;

/// Requests of engines worked on at once: FreeSWITCH's sessions wait for theirs, and waiting without end helps none.
const REQUESTS_AT_ONCE_MAX: usize = 2_048;

/// Who an engine must be to be heard. The credentials are compared in constant time, as they are sent: an engine's client
/// writes the same token for every request, and this is on the way of every phone's registration.
#[derive(Clone)]
pub struct EngineDoor {
    allow: Arc<[Network]>,
    /// None without a password: nobody is admitted.
    token: Option<Arc<str>>,
    places: Arc<Semaphore>,
}

impl EngineDoor {
    pub fn new(fs: &Fs) -> Self {
        let token = || STANDARD.encode(format!("{}:{}", fs.user, fs.password.expose())).into();
        let token = (!fs.password.is_empty()).then(token);
        if token.is_none() {
            tracing::warn!("fs.password is not set: FreeSWITCH and Kamailio are answered 401 until it is");
        }
        let places = Arc::new(Semaphore::new(REQUESTS_AT_ONCE_MAX));
        Self { allow: fs.allow.clone().into(), token, places }
    }

    fn admits_address(&self, peer: SocketAddr) -> bool {
        is_listed(peer, &self.allow)
    }

    fn admits_credentials(&self, authorization: Option<&HeaderValue>) -> bool {
        let given = authorization
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .map(|(_, token)| token.trim());
        let pair = given.zip(self.token.as_deref());
        pair.is_some_and(|(given, expected)| given.as_bytes().ct_eq(expected.as_bytes()).into())
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
    let Ok(_place) = door.places.try_acquire() else {
        return Problem::unavailable("too many requests at once", 1).into_response();
    };
    next.run(request).await
}
