//! Every route of the program. A newcomer starts here.

use std::sync::Arc;
use std::time::Duration;

use axum::error_handling::HandleErrorLayer;
use axum::extract::FromRef;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{BoxError, Router};
use http::StatusCode;
use metrics_exporter_prometheus::PrometheusHandle;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::cdr::intake::Intake;
use crate::cdr::{accounting, changes, export, http as intake_http, quarantine, retention, search, stats};
use crate::config::Network;
use crate::directory::{self, cache::Directory};
use crate::http::caller::Keys;
use crate::http::engines::EngineDoor;
use crate::http::problem::Problem;
use crate::observe::health::Health;
use crate::provisioning::{extensions, queues, users};
use crate::recordings::{self, Recordings, peer};
use crate::{http::openapi, observe};

/// Requests worked on at once; more are answered 503 at once instead of waiting without end.
const REQUESTS_AT_ONCE_MAX: usize = 2_048;

/// What the handlers share, behind one pointer: axum clones it several times a request, and a dozen counters shared by all
/// cores would cost more than a cached answer.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub intake: Intake,
    pub store: store::Store,
    pub directory: Directory,
    pub keys: Keys,
    pub door: EngineDoor,
    /// The other node's way to this one's recordings; none on a single node.
    pub peer_door: Option<EngineDoor>,
    pub recordings: Recordings,
    pub health: Health,
    pub metrics: PrometheusHandle,
    /// Networks that see metrics and the details of health.
    pub watchers: Arc<[Network]>,
}

impl From<Parts> for App {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

/// A handler takes the part it needs: `State<Store>`.
macro_rules! parts {
    ($($field:ident: $part:ty,)*) => {$(
        impl FromRef<App> for $part {
            fn from_ref(app: &App) -> Self {
                app.0.$field.clone()
            }
        }
    )*};
}

parts! {
    intake: Intake,
    store: store::Store,
    directory: Directory,
    keys: Keys,
    health: Health,
    recordings: Recordings,
    metrics: PrometheusHandle,
    watchers: Arc<[Network]>,
}

pub fn router(app: App, answer_timeout: Duration) -> Router {
    let engines = Router::new()
        .route("/fs/xml/directory", get(directory::answer).post(directory::answer))
        .route("/fs/xml/dialplan", get(directory::not_found).post(directory::not_found))
        .route("/fs/xml/configuration", get(directory::not_found).post(directory::not_found))
        .route("/fs/cdr", post(intake_http::freeswitch))
        .route("/fs/kamailio", post(intake_http::kamailio))
        .route_layer(app.0.door.clone());

    let api = Router::new()
        .route("/api/cdr", get(search::list))
        .route("/api/cdr/accounting", get(accounting::show))
        .route("/api/cdr/changes", get(changes::list))
        .route("/api/cdr/partitions", get(retention::partitions))
        .route("/api/cdr/retention", get(retention::show).put(retention::set))
        .route("/api/cdr/stats", get(stats::show))
        .route("/api/cdr/export", get(export::stream))
        .route("/api/cdr/quarantine", get(quarantine::list))
        .route("/api/cdr/quarantine/replay", post(quarantine::replay_all))
        .route("/api/cdr/quarantine/{id}", get(quarantine::show))
        .route("/api/cdr/quarantine/{id}/body", get(quarantine::body))
        .route("/api/cdr/quarantine/{id}/discard", post(quarantine::discard))
        .route("/api/cdr/quarantine/{id}/replay", post(quarantine::replay))
        .route("/api/extensions", get(extensions::list).post(extensions::create))
        .route(
            "/api/extensions/{id}",
            get(extensions::show).put(extensions::replace).delete(extensions::delete),
        )
        .route("/api/queues", get(queues::list).post(queues::create))
        .route("/api/queues/{id}", get(queues::show))
        .route("/api/users", get(users::list))
        .route("/api/recordings", get(recordings::http::list))
        .route("/api/recordings/{id}", get(recordings::http::show).put(recordings::http::hold))
        .route("/api/recordings/{id}/media", get(recordings::http::play))
        .route("/api/openapi.json", get(openapi::document));

    let watched = Router::new()
        .route("/health", get(observe::health::show))
        .route("/metrics", get(observe::metrics::show));

    let nodes = match app.0.peer_door.clone() {
        Some(door) => {
            Router::new().route("/peer/recordings/{node}/{*path}", get(peer::serve)).route_layer(door)
        }
        None => Router::new(),
    };

    let limits = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(overloaded))
        .load_shed()
        .concurrency_limit(REQUESTS_AT_ONCE_MAX)
        .timeout(answer_timeout);
    // The engines' routes bound their own waits and numbers (engines.rs): every phone's registration passes there.
    let people =
        Router::new().merge(api).merge(watched).layer(limits).layer(CatchPanicLayer::custom(panicked));
    Router::new()
        .merge(engines)
        .merge(nodes)
        .merge(people)
        .fallback(|| async { Problem::not_found("route; GET /api/openapi.json lists them") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this route does not take that method")
        })
        .with_state(app)
}

async fn overloaded(error: BoxError) -> Problem {
    if error.is::<tower::timeout::error::Elapsed>() {
        return Problem::outcome_unknown("no answer in time");
    }
    Problem::unavailable("too many requests at once", 1)
}

/// A bug in a handler is one failed request, never a dead daemon.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a request handler panicked; please report this with the lines above");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response()
}
