//! The tenants' configuration over the API: extensions, queues, users.
//!
//! In: JSON. Out: the resource as it now is. Every change is one transaction with its audit row.
//! Never: a clear SIP password stored or logged, or text that an engine would obey instead of show.

pub mod extensions;
pub mod queues;
pub mod users;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Method, Uri};
use model::text::TextError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::Scope;
use store::audit::{Actor, IdempotencyKey};

use crate::http::caller::Caller;
use crate::http::problem::Problem;

const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Where a list begins and how much of it is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    /// A tenant's domain; for platform keys.
    pub domain: Option<String>,
    /// 1 to 500, default 50.
    pub limit: Option<String>,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// What identifies a repeated request: `Idempotency-Key`, method and path. The body is added by [`Request::actor`].
pub struct Request {
    method: Method,
    uri: Uri,
    key: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Request {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let key = match parts.headers.get("idempotency-key") {
            None => None,
            Some(value) => {
                let text = value.to_str().ok().filter(|t| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&t.len()));
                let wrong = || Problem::parameter("Idempotency-Key", "is 1 to 255 visible ASCII characters");
                Some(text.ok_or_else(wrong)?.to_owned())
            }
        };
        Ok(Self { method: parts.method.clone(), uri: parts.uri.clone(), key })
    }
}

impl Request {
    /// Who asks, for the audit log, and how this very request is recognised when it is sent again.
    pub fn actor(self, caller: &Caller, scope: Scope, body: &impl Serialize) -> Actor {
        let idempotency = self.key.map(|key| {
            let body = serde_json::to_vec(body).unwrap_or_default();
            let mut request = Sha256::new();
            request.update(format!("{} {}\n", self.method, self.uri));
            request.update(body);
            IdempotencyKey { key, request_sha256: request.finalize().into() }
        });
        Actor { who: caller.who(), scope, idempotency }
    }
}

/// Runs a write to its end even if the client hangs up: a transaction that waits for the standby is never cancelled.
pub async fn to_the_end<T: Send + 'static>(
    write: impl Future<Output = store::Result<T>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(write).await {
        Ok(done) => Ok(done?),
        Err(panicked) => Err(store::Error::Unknown(panicked.to_string()).into()),
    }
}

impl From<TextError> for Problem {
    fn from(error: TextError) -> Self {
        Self::field(error.field, error.to_string())
    }
}
