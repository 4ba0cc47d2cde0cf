//! `GET /api/openapi.json`: what the API takes and gives, as OpenAPI 3.1.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::cdr::{accounting, changes, export, quarantine, retention, search, stats};
use crate::observe::{health, metrics};
use crate::provisioning::{extensions, queues, users};
use crate::recordings;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tandem", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        search::list,
        accounting::show,
        changes::list,
        export::stream,
        retention::partitions,
        retention::show,
        retention::set,
        stats::show,
        quarantine::list,
        quarantine::show,
        quarantine::body,
        quarantine::replay,
        quarantine::replay_all,
        quarantine::discard,
        extensions::list,
        extensions::create,
        extensions::show,
        extensions::replace,
        extensions::delete,
        queues::list,
        queues::create,
        queues::show,
        users::list,
        recordings::http::list,
        recordings::http::show,
        recordings::http::hold,
        recordings::http::play,
        health::show,
        metrics::show,
    ),
    modifiers(&ApiKey)
)]
struct Document;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        document.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

static JSON: LazyLock<String> = LazyLock::new(|| Document::openapi().to_json().unwrap_or_default());

pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], JSON.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `/api` route of the router is documented with its methods, and nothing else is.
    #[test]
    fn documents_the_router() {
        let router = include_str!("router.rs");
        let start = router.find("let api =").unwrap();
        let routes = &router[start..start + router[start..].find(';').unwrap()];
        let mut written: Vec<String> = routes
            .split(".route(")
            .skip(1)
            .flat_map(|route| {
                let path = route.split('"').nth(1).unwrap().to_owned();
                let methods = ["get", "post", "put", "delete"].into_iter();
                let used = methods.filter(|method| route.contains(&format!("{method}("))).collect::<Vec<_>>();
                used.into_iter().map(move |method| format!("{method} {path}"))
            })
            .filter(|route| route != "get /api/openapi.json")
            .collect();
        let document: serde_json::Value = serde_json::from_str(&JSON).unwrap();
        let mut documented: Vec<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |m| format!("{m} {path}"))
            })
            .filter(|route| route.contains("/api/"))
            .collect();
        written.sort();
        documented.sort();
        assert_eq!(written, documented);
        assert_eq!(document["openapi"], "3.1.0");
    }
}
