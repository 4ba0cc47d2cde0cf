//! What the agent answers. Every route is here.
//!
//! | route | who | |
//! |---|---|---|
//! | `GET /status` | the peer, signed | the snapshot |
//! | `GET /metrics` | loopback, the peer's addresses | Prometheus |
//! | `POST /join` | who holds a token | the cluster's files, sealed |
//! | `POST /joining` | the peer, signed | the terms of the join under way |
//! | `POST /joined` | the peer, signed | how far the pairing is |
//! | `POST /order` | the peer, signed | a switchover that was typed there |

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use super::auth::{NODE_HEADER, NONCE_HEADER, SIGNATURE_HEADER, Signed, TIME_HEADER};
use super::joining::Refusal;
use super::orders::Order;
use super::{Agent, metrics};
use crate::join::wire::{self, Again, Joined};

const BODY_BYTES_MAX: usize = 64 << 10;
/// Of an answer that is signed: a snapshot.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const CONNECTIONS_MAX: usize = 64;
const HEADERS: Duration = Duration::from_secs(5);
/// Longest a connection lives, idle or not.
const CONNECTION: Duration = Duration::from_secs(120);
/// A join waits for a barrier commit.
const REQUEST: Duration = Duration::from_secs(45);
/// Until an address that is not there yet is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(1);

type Shared = State<Arc<Agent>>;

/// The routes.
pub fn router(agent: Arc<Agent>) -> Router {
    let signed = Router::new()
        .route("/status", get(status))
        .route("/joining", post(joining))
        .route("/joined", post(joined))
        .route("/order", post(order))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&agent), signed));
    Router::new()
        .route("/metrics", get(prometheus))
        .route("/join", post(join))
        .merge(signed)
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .with_state(agent)
}

/// Listens on one address for as long as the agent lives. The peer link may come up after it.
pub async fn serve(agent: Arc<Agent>, address: SocketAddr) {
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => tracing::warn!(%address, "cannot listen yet: {error}; trying again"),
        }
        sleep(BIND_AGAIN).await;
    };
    tracing::info!(%address, "listening");
    accept(router(agent), listener).await;
}

/// Answers what comes to the listener.
pub async fn accept(router: Router, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, remote)) => {
                let router = router.clone().layer(Extension(remote));
                tokio::spawn(async move {
                    let _ = timeout(CONNECTION, connection(router, stream)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("accepting a connection: {error}");
                sleep(BIND_AGAIN).await;
            }
        }
    }
}

async fn connection(router: Router, stream: TcpStream) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection ended: {error}");
    }
}

async fn status(State(agent): Shared) -> Response {
    match &*agent.snapshot.borrow() {
        Some(snapshot) => Json(snapshot).into_response(),
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, "no snapshot yet"),
    }
}

async fn prometheus(State(agent): Shared, Extension(remote): Extension<SocketAddr>) -> Response {
    if !may_look(&agent, remote.ip()) {
        return refuse(StatusCode::FORBIDDEN, "metrics are for this node and its peer");
    }
    match &*agent.snapshot.borrow() {
        Some(snapshot) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::text(snapshot)).into_response()
        }
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, "no snapshot yet"),
    }
}

fn may_look(agent: &Agent, from: IpAddr) -> bool {
    let listed = |node: &spec::Node| node.address == from || node.peer_address == Some(from);
    from.is_loopback() || agent.config.cluster.nodes.iter().any(listed)
}

async fn join(State(agent): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<wire::Request>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "this is no join request");
    };
    let signature = text(&headers, wire::TOKEN_SIGNATURE);
    match agent.welcome(&request, &body, signature).await {
        Ok(sealed) => ([(header::CONTENT_TYPE, "application/octet-stream")], sealed).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn joining(State(agent): Shared, Json(again): Json<Again>) -> Response {
    agent.terms_again(&again).await.map_or_else(Refusal::into_response, |terms| Json(terms).into_response())
}

async fn order(State(agent): Shared, Json(order): Json<Order>) -> Response {
    match order {
        Order::Switchover => Json(agent.order(order).await).into_response(),
        _ => refuse(StatusCode::FORBIDDEN, "typed on the other node, only a switchover is taken"),
    }
}

async fn joined(State(agent): Shared, Json(joined): Json<Joined>) -> Response {
    agent.progress(&joined).await.map_or_else(Refusal::into_response, |done| Json(done).into_response())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refuse(self.status, &self.words)
    }
}

fn refuse(status: StatusCode, words: &str) -> Response {
    (status, Json(serde_json::json!({ "error": words }))).into_response()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Admits the peer's signed requests, and signs what they are answered.
async fn signed(State(agent): Shared, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "too large");
    };
    let nonce = text(&parts.headers, NONCE_HEADER).to_owned();
    let node = text(&parts.headers, NODE_HEADER);
    let message = Signed {
        node,
        to: &agent.config.name,
        time_ms: text(&parts.headers, TIME_HEADER).parse().unwrap_or(0),
        nonce: &nonce,
        method: parts.method.as_str(),
        path: parts.uri.path_and_query().map_or("/", |p| p.as_str()),
        body: &body,
    };
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let admitted = agent.door.admit(&message, text(&parts.headers, SIGNATURE_HEADER), now_ms);
    if let Err(refused) = admitted {
        return refuse(StatusCode::UNAUTHORIZED, &refused.to_string());
    }
    // Its own name is no peer's: what this node once said is not held before it as another's.
    if agent.config.peer().is_none_or(|peer| peer.name != node) {
        return refuse(StatusCode::FORBIDDEN, "only the other node of this pair is answered");
    }
    let (mut parts, body) = next.run(Request::from_parts(parts, Body::from(body))).await.into_parts();
    let Ok(body) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the answer is too large");
    };
    let signature = agent.door.key().sign_answer(&nonce, parts.status.as_u16(), &body);
    if let Ok(value) = HeaderValue::from_str(&signature) {
        parts.headers.insert(HeaderName::from_static(SIGNATURE_HEADER), value);
    }
    Response::from_parts(parts, Body::from(body))
}
