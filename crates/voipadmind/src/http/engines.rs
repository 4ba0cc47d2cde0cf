//! The door of `/fs/…`: only this node's engines and the listed networks, with basic auth (RFC 7617).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use ::http::{HeaderValue, StatusCode, header};
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pin_project_lite::pin_project;
use subtle::ConstantTimeEq;
use tower::{Layer, Service};

use crate::config::{Fs, Network};
use crate::http::input::is_listed;
use crate::http::problem::Problem;
use crate::http::router::panicked;

/// Requests of engines worked on at once: FreeSWITCH's sessions wait for theirs, and waiting without end helps none.
const REQUESTS_AT_ONCE_MAX: usize = 2_048;

/// Who an engine must be to be heard, as a layer around its routes. The credentials are compared in constant time, as they
/// are sent: an engine's client writes the same token for every request, and this is on the way of every phone's
/// registration. For the same reason it is a layer of its own make: axum's layers from functions allocate four times.
#[derive(Clone)]
pub struct EngineDoor(Arc<Door>);

struct Door {
    allow: Vec<Network>,
    /// None without a password: nobody is admitted.
    token: Option<String>,
    taken: AtomicUsize,
}

/// A request that was let in, until it is answered or given up.
struct Place(EngineDoor);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why somebody was not let in.
enum Refusal {
    Address,
    Credentials,
    Full,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Address => {
                metrics::counter!("voip_fs_refused_total", "why" => "address").increment(1);
                let why = "only this node's engines and fs.allow may ask here\n";
                (StatusCode::FORBIDDEN, why).into_response()
            }
            Self::Credentials => {
                metrics::counter!("voip_fs_refused_total", "why" => "credentials").increment(1);
                let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"voip-admin\", charset=\"UTF-8\"")];
                (StatusCode::UNAUTHORIZED, challenge, "wrong user or password\n").into_response()
            }
            Self::Full => Problem::unavailable("too many requests at once", 1).into_response(),
        }
    }
}

impl EngineDoor {
    pub fn new(fs: &Fs) -> Self {
        let token = || STANDARD.encode(format!("{}:{}", fs.user, fs.password.expose()));
        let token = (!fs.password.is_empty()).then(token);
        if token.is_none() {
            tracing::warn!("fs.password is not set: FreeSWITCH and Kamailio are answered 401 until it is");
        }
        Self(Arc::new(Door { allow: fs.allow.clone(), token, taken: AtomicUsize::new(0) }))
    }

    fn admit(&self, request: &Request) -> Result<Place, Refusal> {
        // No address is a server that was put together wrongly: nobody is admitted.
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        if !peer.is_some_and(|peer| is_listed(peer.0, &self.0.allow)) {
            return Err(Refusal::Address);
        }
        if !self.admits_credentials(request.headers().get(header::AUTHORIZATION)) {
            return Err(Refusal::Credentials);
        }
        let before = self.0.taken.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.clone());
        if before >= REQUESTS_AT_ONCE_MAX { Err(Refusal::Full) } else { Ok(place) }
    }

    fn admits_credentials(&self, authorization: Option<&HeaderValue>) -> bool {
        let given = authorization
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .map(|(_, token)| token.trim());
        let pair = given.zip(self.0.token.as_deref());
        pair.is_some_and(|(given, expected)| given.as_bytes().ct_eq(expected.as_bytes()).into())
    }
}

impl<S> Layer<S> for EngineDoor {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { door: self.clone(), inner }
    }
}

/// Routes behind the door. A bug in one of their handlers is one failed request.
#[derive(Clone)]
pub struct Guarded<S> {
    door: EngineDoor,
    inner: S,
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.door.admit(&request) {
            Ok(place) => Answer::Inside { handler: self.inner.call(request), _place: place },
            Err(refusal) => Answer::Refused { refusal: Some(refusal.into_response()) },
        }
    }
}

pin_project! {
    /// The answer of a route behind the door.
    #[project = AnswerProjection]
    pub enum Answer<F> {
        Refused { refusal: Option<Response> },
        Inside { #[pin] handler: F, _place: Place },
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answer<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            AnswerProjection::Refused { refusal } => match refusal.take() {
                Some(refusal) => Poll::Ready(Ok(refusal)),
                None => Poll::Pending,
            },
            AnswerProjection::Inside { handler, .. } => {
                // Not polled again after a panic: it is answered.
                let polled = catch_unwind(AssertUnwindSafe(|| handler.poll(cx)));
                polled.unwrap_or_else(|panic| Poll::Ready(Ok(panicked(panic))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::{ServiceExt, service_fn};

    use super::*;

    fn door() -> EngineDoor {
        let token = Some(STANDARD.encode("fs:secret"));
        EngineDoor(Arc::new(Door { allow: Vec::new(), token, taken: AtomicUsize::new(0) }))
    }

    fn request(peer: &str, authorization: &str) -> Request {
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
        request.headers_mut().insert(header::AUTHORIZATION, authorization.parse().unwrap());
        request
    }

    fn engine() -> Request {
        request("127.0.0.1:1", &format!("basic {}", STANDARD.encode("fs:secret")))
    }

    #[tokio::test]
    async fn who_is_let_in_and_how_many() {
        let door = door();
        let taken = || door.0.taken.load(Ordering::Relaxed);
        let inside = door.layer(service_fn(|_| async { Ok("in".into_response()) }));
        let status = async |request| inside.clone().oneshot(request).await.unwrap().status();
        assert_eq!(status(engine()).await, 200);
        assert_eq!(status(request("192.0.2.1:1", "Basic x")).await, 403);
        assert_eq!(status(request("127.0.0.1:1", "Basic x")).await, 401);
        assert_eq!(status(Request::new(Body::empty())).await, 403, "no address");
        assert_eq!(taken(), 0);
        door.0.taken.store(REQUESTS_AT_ONCE_MAX, Ordering::Relaxed);
        assert_eq!(status(engine()).await, 503);
        assert_eq!(taken(), REQUESTS_AT_ONCE_MAX, "a refused one takes no place");
    }

    #[tokio::test]
    async fn a_place_is_free_again_after_a_panic_and_after_a_request_given_up() {
        let door = door();
        let broken = door.layer(service_fn(|_: Request| async {
            assert!(std::hint::black_box(false), "a bug");
            Ok("".into_response())
        }));
        assert_eq!(broken.oneshot(engine()).await.unwrap().status(), 500);
        let slow = door.layer(service_fn(|_| std::future::pending()));
        let waiting = slow.clone().call(engine());
        assert_eq!(door.0.taken.load(Ordering::Relaxed), 1);
        drop(waiting);
        assert_eq!(door.0.taken.load(Ordering::Relaxed), 0);
    }
}
