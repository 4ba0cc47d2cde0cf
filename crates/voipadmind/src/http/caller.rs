//! Who calls the API, and what they may see: the one place where a key becomes a [`Scope`].
//!
//! Architecture invariant: no handler builds a `Scope` by itself. A tenant's key can only ever yield that tenant's;
//! what it does not own answers 404, so that ids of others cannot be told from ids that do not exist.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use store::keys::ApiKey;
use store::{Scope, Store};
use subtle::ConstantTimeEq;

use crate::http::problem::Problem;

/// Characters of a key by which it is looked up; the rest is the secret.
pub const KEY_PREFIX_CHARS: usize = 12;
const KEY_BYTES_MAX: usize = 128;
/// A key that was revoked may live this long on a node whose change listener is cut off.
const KEY_CACHE: Duration = Duration::from_secs(10);
const KEYS_CACHED_MAX: u64 = 10_000;

/// Known keys by prefix; unknown prefixes too, so that guessing costs the database nothing.
#[derive(Clone)]
pub struct Keys {
    store: Store,
    cache: Cache<String, Option<Arc<ApiKey>>>,
}

impl Keys {
    pub fn new(store: Store) -> Self {
        Self { store, cache: Cache::builder().max_capacity(KEYS_CACHED_MAX).time_to_live(KEY_CACHE).build() }
    }

    pub fn forget_all(&self) {
        self.cache.invalidate_all();
    }

    async fn find(&self, prefix: &str) -> Result<Option<Arc<ApiKey>>, Problem> {
        if let Some(known) = self.cache.get(prefix).await {
            return Ok(known);
        }
        let found = self.store.api_key(prefix).await?.map(Arc::new);
        self.cache.insert(prefix.to_owned(), found.clone()).await;
        Ok(found)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// An authenticated caller of `/api/…`.
#[derive(Debug, Clone)]
pub struct Caller {
    key: Arc<ApiKey>,
}

impl Caller {
    /// The key's scope, if it may do `access` to `resource` (`cdr`, `extensions`, `queues`, `users`, `recordings`).
    ///
    /// # Errors
    /// 403 naming the scope that is missing.
    pub fn may(&self, access: Access, resource: &str) -> Result<Scope, Problem> {
        let granted = self.key.scopes.get(resource).or_else(|| self.key.scopes.get("*"));
        let enough = match access {
            Access::Read => granted.is_some_and(|g| g == "read" || g == "write"),
            Access::Write => granted.is_some_and(|g| g == "write"),
        };
        if enough {
            return Ok(self.key.scope);
        }
        let needed = if access == Access::Read { "read" } else { "write" };
        Err(Problem::new(StatusCode::FORBIDDEN, format!("this key lacks the scope {resource}:{needed}")))
    }

    /// As [`may`](Self::may), for what belongs to no tenant.
    ///
    /// # Errors
    /// 403 for a tenant's key, or naming the scope that is missing.
    pub fn may_for_platform(&self, access: Access, resource: &str) -> Result<(), Problem> {
        match self.may(access, resource)? {
            Scope::Platform => Ok(()),
            Scope::Tenant(_) => {
                Err(Problem::new(StatusCode::FORBIDDEN, "this is for the platform's keys only"))
            }
        }
    }

    /// The caller as the audit log and the idempotency keys know it.
    pub fn who(&self) -> String {
        format!("key:{}", self.key.prefix)
    }

    /// The tenant's own domain; none for a platform's key, which names one.
    pub fn domain(&self) -> Option<&str> {
        self.key.domain.as_deref()
    }
}

impl<S> FromRequestParts<S> for Caller
where
    Keys: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let token = token(&parts.headers)
            .ok_or_else(|| refused("send 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"))?;
        let wrong = || refused("unknown, expired or revoked API key");
        let prefix =
            token.get(..KEY_PREFIX_CHARS).filter(|_| token.len() <= KEY_BYTES_MAX).ok_or_else(wrong)?;
        let key = Keys::from_ref(state).find(prefix).await?.ok_or_else(wrong)?;
        let digest = Sha256::digest(token.as_bytes());
        let matches: bool = digest.as_slice().ct_eq(&key.hash).into();
        // The store finds no expired key; one that expires while it is kept here is caught by this.
        let fresh = key.expires_at.is_none_or(|at| at > Timestamp::now());
        if !(matches && fresh) {
            return Err(wrong());
        }
        if !from_allowed_network(&key, parts) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "this key may not be used from this address"));
        }
        Ok(Self { key })
    }
}

fn from_allowed_network(key: &ApiKey, parts: &Parts) -> bool {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    key.networks.is_empty()
        || peer.is_some_and(|peer| key.networks.iter().any(|network| network.contains(peer)))
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| {
        v.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, t)| t.trim())
    });
    bearer.or_else(|| headers.get("x-api-key").and_then(|v| v.to_str().ok()).map(str::trim))
}

fn refused(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}
