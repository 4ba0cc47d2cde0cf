use ::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Every error answer of the API: `application/problem+json` (RFC 9457), naming the field and the cure.
///
/// What the caller may know goes in here; what only the operator may know (SQL, addresses, paths) goes to the log
/// where the error is turned into a `Problem`.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    #[serde(skip)]
    pub status: StatusCode,
    /// The HTTP status again, for readers that only keep the body.
    #[serde(rename = "status")]
    pub code: u16,
    pub title: String,
    pub detail: String,
    /// The parameter or body field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// `unknown` when a write may or may not have happened: ask again with the same Idempotency-Key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let code = status.as_u16();
        Self { status, code, title, detail: detail.into(), field: None, outcome: None, retry_after_s: None }
    }
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }
    /// A query parameter or header that cannot be read.
    pub fn parameter(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no such {what}"))
    }
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u32) -> Self {
        let retry_after_s = Some(retry_after_s);
        Self { retry_after_s, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
    /// A write whose end nobody saw.
    pub fn outcome_unknown(detail: &str) -> Self {
        Self { outcome: Some("unknown"), ..Self::unavailable(detail, 2) }
    }
    pub fn too_large(what: &str, bytes_max: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{what} is larger than {bytes_max} bytes"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        use store::Error;
        match error {
            Error::Unavailable(why) => {
                tracing::warn!(why, "the database is not available for a request");
                Self::unavailable("the database is not available; nothing was changed", 2)
            }
            Error::TooSlow(why) => {
                tracing::warn!(why, "a search was stopped");
                Self::unavailable(
                    "this takes too long; nothing was changed. Narrow a search by 'from' and 'to', count with count=estimate",
                    2,
                )
            }
            Error::Unknown(why) => {
                tracing::warn!(why, "a commit was not acknowledged");
                Self::outcome_unknown(
                    "no acknowledgement came in time: ask again with the same Idempotency-Key",
                )
            }
            Error::Conflict { field, reason } => {
                Self { field: Some(field.into()), ..Self::new(StatusCode::CONFLICT, reason) }
            }
            Error::Invalid { field: field @ ("after" | "before"), reason } => Self::parameter(field, reason),
            Error::Invalid { field, reason } => Self::field(field, reason),
            Error::NotFound => Self::not_found("thing here"),
            Error::Database(why) => {
                tracing::error!(
                    why,
                    "the database refused a request of ours; this is a bug or a broken installation"
                );
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the log has it")
            }
        }
    }
}
