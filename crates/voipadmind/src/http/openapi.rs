//! `GET /api/openapi.json`: what the API takes and gives, as OpenAPI 3.1.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::problem::Problem;
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
    components(schemas(Problem)),
    modifiers(&Keys)
)]
struct Document;

/// What every guarded route has in common: a key in either header, and how it is refused.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        components.add_security_scheme("header", SecurityScheme::ApiKey(header));
        let operations = document.paths.paths.values_mut().flat_map(|path| {
            [&mut path.get, &mut path.post, &mut path.put, &mut path.delete].into_iter().flatten()
        });
        for operation in operations {
            let Some(security) = &mut operation.security else { continue };
            security.push(SecurityRequirement::new("header", Vec::<String>::new()));
            let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            for (status, reason) in [
                ("401", "no key, or one that is not known"),
                ("403", "the key may not do this"),
                ("422", "a field is wrong: `field` names it"),
                ("503", "the database is away: try again after Retry-After"),
            ] {
                let response = ResponseBuilder::new()
                    .description(reason)
                    .content("application/problem+json", problem.clone())
                    .build();
                operation.responses.responses.entry(status.to_owned()).or_insert(response.into());
            }
        }
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

    #[test]
    fn each_body_has_a_schema_of_its_own_and_every_reference_leads_somewhere() {
        let document: serde_json::Value = serde_json::from_str(&JSON).unwrap();
        let body = |path: &str, method: &str| {
            let schema =
                &document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"];
            let name = schema["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let properties = document["components"]["schemas"][name]["properties"].as_object().unwrap();
            (name.to_owned(), properties.keys().next().unwrap().to_owned())
        };
        let of = |name: &str, first: &str| (name.to_owned(), first.to_owned());
        assert_eq!(body("/api/recordings/{id}", "put"), of("Hold", "legal_hold"));
        assert_eq!(body("/api/extensions", "post").0, "Extension");
        assert_eq!(body("/api/extensions/{id}", "put").0, "Extension");
        assert_eq!(body("/api/queues", "post").0, "Queue");
        assert_eq!(body("/api/cdr/retention", "put").0, "Retention");
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for part in JSON.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
    }
}
