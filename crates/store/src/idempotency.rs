//! A POST that is sent again under its Idempotency-Key makes nothing new: it answers what the first one made.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::audit::{Actor, shown};
use crate::transaction::Transaction;
use crate::{Error, Result};

/// What a POST made, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created<T> {
    /// The thing.
    pub item: T,
    /// It was made by an earlier request with this key.
    pub replayed: bool,
}

/// Claims the key, waiting for a request that holds it. `Some` is the earlier request's answer.
pub(crate) async fn claim<T: DeserializeOwned>(tx: &mut Transaction, actor: &Actor) -> Result<Option<T>> {
    let Some(key) = &actor.idempotency else { return Ok(None) };
    let sha256: &[u8] = &key.request_sha256;
    if tx.execute(CLAIM, &[&actor.who, &key.key, &sha256, &actor.scope.tenant()]).await? == 1 {
        return Ok(None);
    }
    let row = tx.query_opt(EARLIER, &[&actor.who, &key.key]).await?.ok_or(Error::NotFound)?;
    let request: Vec<u8> = row.try_get(0)?;
    if request != key.request_sha256 {
        return Err(Error::Conflict {
            field: "Idempotency-Key",
            reason: "this key was used for another request".to_owned(),
        });
    }
    let answer: Option<Value> = row.try_get(1)?;
    // The caller takes this as a confirmation, so it waits for the standby like the first one.
    tx.leave_mark().await?;
    let answer = answer.ok_or_else(|| Error::Database("an idempotency key without its answer".to_owned()))?;
    serde_json::from_value(answer).map(Some).map_err(|error| Error::Database(error.to_string()))
}

/// Keeps the answer with the key.
pub(crate) async fn keep(tx: &mut Transaction, actor: &Actor, answer: &impl Serialize) -> Result<()> {
    let Some(key) = &actor.idempotency else { return Ok(()) };
    tx.execute(KEEP, &[&actor.who, &key.key, &shown(answer)?]).await.map(drop)
}

pub(crate) const CLAIM: &str = "INSERT INTO voip.idempotency_keys (who, key, request_sha256, domain_id)
    VALUES ($1, $2, $3, $4) ON CONFLICT (who, key) DO NOTHING";
pub(crate) const EARLIER: &str =
    "SELECT request_sha256, response FROM voip.idempotency_keys WHERE who = $1 AND key = $2";
pub(crate) const KEEP: &str = "UPDATE voip.idempotency_keys SET response = $3 WHERE who = $1 AND key = $2";
