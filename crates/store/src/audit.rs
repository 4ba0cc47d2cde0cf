//! Who changed what: a row beside every change, in its transaction.

use serde::Serialize;
use serde_json::Value;

use crate::transaction::Transaction;
use crate::{Error, Result, Scope};

/// Who asks, in whose rows, and how his repetition is recognised.
#[derive(Debug, Clone)]
pub struct Actor {
    /// As the audit log names him, such as `key:abcd1234`.
    pub who: String,
    /// Whose rows he may see and change.
    pub scope: Scope,
    /// The request's `Idempotency-Key`, with the SHA-256 of the request.
    pub idempotency: Option<IdempotencyKey>,
}

/// A key under which a POST is done once.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// As the client sent it, 1 to 255 characters.
    pub key: String,
    /// SHA-256 of method, path and body: the same key with another request is a mistake.
    pub request_sha256: [u8; 32],
}

/// One change.
pub(crate) struct Change<'a> {
    /// `create`, `update` or `delete`.
    pub(crate) action: &'static str,
    /// `extension`, `queue`, …
    pub(crate) entity: &'static str,
    pub(crate) entity_id: &'a str,
    pub(crate) domain_id: i32,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

pub(crate) async fn log(tx: &mut Transaction, actor: &Actor, change: Change<'_>) -> Result<()> {
    let Change { action, entity, entity_id, domain_id, before, after } = change;
    tx.execute(LOG, &[&actor.who, &action, &entity, &entity_id, &domain_id, &before, &after]).await.map(drop)
}

/// A thing as the audit log and the idempotency table keep it: as the API shows it.
pub(crate) fn shown(thing: &impl Serialize) -> Result<Value> {
    serde_json::to_value(thing).map_err(|error| Error::Database(error.to_string()))
}

pub(crate) const LOG: &str =
    "INSERT INTO voip.audit_log (who, action, entity, entity_id, domain_id, before, after)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
