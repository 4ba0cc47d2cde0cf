//! Extensions: the numbers of a tenant, what each reaches, and the digest secrets of its users.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::audit::{self, Actor, Change, shown};
use crate::idempotency::{self, Created};
use crate::page::{Page, id_after, limits};
use crate::tenant;
use crate::transaction::Transaction;
use crate::{Error, Result, Scope, Store};

/// An extension as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Its id.
    pub id: i32,
    /// The tenant's SIP domain.
    pub domain: String,
    /// The number or SIP user name; of type `trunk_out` also a pattern.
    pub extension: String,
    /// user, queue, ivr, voicemail, trunk_out or conference.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub description: Option<String>,
    /// Set for type user.
    pub user_id: Option<i32>,
    /// Set for type queue.
    pub queue_id: Option<i32>,
    /// Set for type ivr.
    pub ivr_id: Option<i32>,
    /// Set for type voicemail.
    pub voicemail_box_id: Option<i32>,
    /// Set for type trunk_out.
    pub trunk_id: Option<i32>,
    /// Set for type conference.
    pub conference_id: Option<i32>,
    /// Free for the tenant's own use.
    pub service_ref: Value,
    /// Calls to it must pass FreeSWITCH.
    pub need_media: bool,
    /// The policy that says what is recorded.
    pub recording_policy_id: Option<i32>,
    /// An inactive one cannot be reached and cannot log in.
    pub active: bool,
    /// It has a digest secret.
    pub has_secret: bool,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
}

/// What an extension shall be: for POST and PUT, which replaces all of it.
#[derive(Debug, Clone, Default)]
pub struct ExtensionInput {
    /// The tenant; needed from the platform, and not changed by PUT.
    pub domain: Option<String>,
    /// The number, user name or pattern.
    pub extension: String,
    /// user, queue, ivr, voicemail, trunk_out or conference.
    pub kind: String,
    /// At most 255 characters.
    pub description: Option<String>,
    /// For type user. `None` there: the user whose name is the extension, made if need be.
    pub user_id: Option<i32>,
    /// For type queue.
    pub queue_id: Option<i32>,
    /// For type ivr.
    pub ivr_id: Option<i32>,
    /// For type voicemail.
    pub voicemail_box_id: Option<i32>,
    /// For type trunk_out.
    pub trunk_id: Option<i32>,
    /// For type conference.
    pub conference_id: Option<i32>,
    /// A JSON object, 8 KiB at most.
    pub service_ref: Option<Value>,
    /// `None`: only what is not a user.
    pub need_media: Option<bool>,
    /// A policy of the same domain.
    pub recording_policy_id: Option<i32>,
    /// `None`: active.
    pub active: Option<bool>,
    /// A new digest secret. `None` keeps the old one, unless the number changes: HA1 is made of it.
    pub credentials: Option<Credentials>,
}

/// Digest secrets of one SIP user, in lower-case hex (`model::ha1`).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// MD5 of `user:realm:password`.
    pub ha1: String,
    /// MD5 of `user@realm:realm:password`, for phones that send that as their user name.
    pub ha1b: Option<String>,
    /// SHA-256 of `user:realm:password` (RFC 7616).
    pub ha1_sha256: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl Store {
    /// A page of extensions by id; `domain` narrows a platform's list to one tenant.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a foreign `after`.
    pub async fn extensions(
        &self,
        scope: Scope,
        domain: Option<&str>,
        limit: u16,
        after: Option<&str>,
    ) -> Result<Page<Extension>> {
        let after = id_after(after)?;
        let (items, rows) = limits(limit);
        let mut tx = self.read(scope).await?;
        let rows =
            tx.search(LIST, &[(&after, Type::INT4), (&domain, Type::TEXT), (&rows, Type::INT8)]).await?;
        tx.commit().await?;
        let extensions = rows.iter().map(extension).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(extensions, items, |extension| extension.id.to_string()))
    }

    /// One extension.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for another tenant's.
    pub async fn extension(&self, scope: Scope, id: i32) -> Result<Extension> {
        let mut tx = self.read(scope).await?;
        let found = get(&mut tx, id).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// Makes an extension.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Conflict`] with the field; [`Error::Unknown`]: ask again with the same key.
    pub async fn create_extension(
        &self,
        actor: &Actor,
        input: &ExtensionInput,
    ) -> Result<Created<Extension>> {
        let mut tx = self.write(actor.scope).await?;
        if let Some(item) = idempotency::claim(&mut tx, actor).await? {
            tx.commit().await?;
            return Ok(Created { item, replayed: true });
        }
        let domain_id = tenant::of_request(&mut tx, actor.scope, input.domain.as_deref()).await?;
        let user_id = user_of(&mut tx, actor, domain_id, input).await?;
        let row = tx.query_opt(CREATE, &values(&domain_id, input, &user_id, &defaults(input))).await?;
        let id: i32 = row.ok_or(Error::NotFound)?.try_get(0)?;
        if let Some(credentials) = &input.credentials {
            replace_credentials(&mut tx, domain_id, id, credentials).await?;
        }
        let item = get(&mut tx, id).await?;
        let after = Some(shown(&item)?);
        log(&mut tx, actor, "create", id, domain_id, None, after).await?;
        idempotency::keep(&mut tx, actor, &item).await?;
        tx.commit().await?;
        Ok(Created { item, replayed: false })
    }

    /// Replaces an extension.
    ///
    /// # Errors
    /// As [`create_extension`](Self::create_extension), and [`Error::NotFound`].
    pub async fn update_extension(
        &self,
        actor: &Actor,
        id: i32,
        input: &ExtensionInput,
    ) -> Result<Extension> {
        let mut tx = self.write(actor.scope).await?;
        let domain_id = lock(&mut tx, id).await?;
        let before = get(&mut tx, id).await?;
        let user_id = user_of(&mut tx, actor, domain_id, input).await?;
        tx.execute(UPDATE, &values(&id, input, &user_id, &defaults(input))).await?;
        match &input.credentials {
            Some(credentials) => replace_credentials(&mut tx, domain_id, id, credentials).await?,
            None if before.extension != input.extension => {
                tx.execute(FORGET_CREDENTIALS, &[&id]).await?;
            }
            None => {}
        }
        let item = get(&mut tx, id).await?;
        log(&mut tx, actor, "update", id, domain_id, Some(shown(&before)?), Some(shown(&item)?)).await?;
        tx.commit().await?;
        Ok(item)
    }

    /// Deletes an extension with its secret, and the user that was made with it, if nothing else became of that user.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unknown`].
    pub async fn delete_extension(&self, actor: &Actor, id: i32) -> Result<()> {
        let mut tx = self.write(actor.scope).await?;
        let domain_id = lock(&mut tx, id).await?;
        let before = get(&mut tx, id).await?;
        tx.execute(DELETE, &[&id]).await?;
        log(&mut tx, actor, "delete", id, domain_id, Some(shown(&before)?), None).await?;
        if let Some(user_id) = before.user_id {
            delete_user_made_with(&mut tx, actor, domain_id, user_id, before.created_at).await?;
        }
        tx.commit().await
    }
}

async fn get(tx: &mut Transaction, id: i32) -> Result<Extension> {
    tx.query_opt(GET, &[&id]).await?.as_ref().map_or(Err(Error::NotFound), extension)
}

/// Holds the row to the end of the transaction, so that the audit's `before` is what the change met.
async fn lock(tx: &mut Transaction, id: i32) -> Result<i32> {
    Ok(tx.query_opt(LOCK, &[&id]).await?.ok_or(Error::NotFound)?.try_get(0)?)
}

/// The user an extension of type user belongs to.
async fn user_of(
    tx: &mut Transaction,
    actor: &Actor,
    domain_id: i32,
    input: &ExtensionInput,
) -> Result<Option<i32>> {
    if input.kind != "user" || input.user_id.is_some() {
        return Ok(input.user_id);
    }
    if let Some(made) = tx.query_opt(MAKE_USER, &[&domain_id, &input.extension, &input.description]).await? {
        let id: i32 = made.try_get(0)?;
        let after = Some(json!({"id": id, "username": input.extension, "full_name": input.description}));
        let entity_id = &id.to_string();
        let (action, entity) = ("create", "user");
        audit::log(tx, actor, Change { action, entity, entity_id, domain_id, before: None, after }).await?;
        return Ok(Some(id));
    }
    let row = tx.query_opt(USER_BY_NAME, &[&domain_id, &input.extension]).await?.ok_or(Error::NotFound)?;
    Ok(Some(row.try_get(0)?))
}

/// A user of the very transaction that made the extension, never changed since and referred to by nothing, is nobody's.
async fn delete_user_made_with(
    tx: &mut Transaction,
    actor: &Actor,
    domain_id: i32,
    id: i32,
    made_at: Timestamp,
) -> Result<()> {
    // Locked by a statement of its own: the next one sees what was referring to the user until then.
    if tx.query_opt(LOCK_USER_MADE_AT, &[&id, &made_at]).await?.is_none() {
        return Ok(());
    }
    let Some(gone) = tx.query_opt(DELETE_USER_OF_NOTHING, &[&id]).await? else { return Ok(()) };
    let (username, full_name): (String, Option<String>) = (gone.try_get(0)?, gone.try_get(1)?);
    let before = Some(json!({"id": id, "username": username, "full_name": full_name}));
    let entity_id = &id.to_string();
    let (action, entity) = ("delete", "user");
    audit::log(tx, actor, Change { action, entity, entity_id, domain_id, before, after: None }).await
}

async fn replace_credentials(
    tx: &mut Transaction,
    domain_id: i32,
    id: i32,
    credentials: &Credentials,
) -> Result<()> {
    // Not an upsert: that would need the right to read what is there.
    tx.execute(FORGET_CREDENTIALS, &[&id]).await?;
    let Credentials { ha1, ha1b, ha1_sha256 } = credentials;
    tx.execute(STORE_CREDENTIALS, &[&id, &domain_id, ha1, ha1b, ha1_sha256]).await.map(drop)
}

async fn log(
    tx: &mut Transaction,
    actor: &Actor,
    action: &'static str,
    id: i32,
    domain_id: i32,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    let entity_id = &id.to_string();
    audit::log(tx, actor, Change { action, entity: "extension", entity_id, domain_id, before, after }).await
}

/// Values that stand for what the request left out.
struct Defaults {
    service_ref: Value,
    need_media: bool,
    active: bool,
}

fn defaults(input: &ExtensionInput) -> Defaults {
    Defaults {
        service_ref: input.service_ref.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        need_media: input.need_media.unwrap_or(input.kind != "user"),
        active: input.active.unwrap_or(true),
    }
}

/// The parameters of CREATE and UPDATE; the first is the domain's or the extension's id.
fn values<'a>(
    id: &'a i32,
    input: &'a ExtensionInput,
    user_id: &'a Option<i32>,
    defaults: &'a Defaults,
) -> [&'a (dyn tokio_postgres::types::ToSql + Sync); 14] {
    [
        id,
        &input.extension,
        &input.kind,
        &input.description,
        user_id,
        &input.queue_id,
        &input.ivr_id,
        &input.voicemail_box_id,
        &input.trunk_id,
        &input.conference_id,
        &defaults.service_ref,
        &defaults.need_media,
        &input.recording_policy_id,
        &defaults.active,
    ]
}

fn extension(row: &Row) -> Result<Extension> {
    Ok(Extension {
        id: row.try_get("id")?,
        domain: row.try_get("domain")?,
        extension: row.try_get("extension")?,
        kind: row.try_get("type")?,
        description: row.try_get("description")?,
        user_id: row.try_get("user_id")?,
        queue_id: row.try_get("queue_id")?,
        ivr_id: row.try_get("ivr_id")?,
        voicemail_box_id: row.try_get("voicemail_box_id")?,
        trunk_id: row.try_get("trunk_id")?,
        conference_id: row.try_get("conference_id")?,
        service_ref: row.try_get("service_ref")?,
        need_media: row.try_get("need_media")?,
        recording_policy_id: row.try_get("recording_policy_id")?,
        active: row.try_get("active")?,
        has_secret: row.try_get("has_secret")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

macro_rules! select {
    () => {
        "SELECT e.id, d.domain, e.extension, e.type, e.description, e.user_id, e.queue_id, e.ivr_id, e.voicemail_box_id,
            e.trunk_id, e.conference_id, e.service_ref, e.need_media OR e.type NOT IN ('user', 'trunk_out') AS need_media,
            e.recording_policy_id, e.active,
            EXISTS (SELECT FROM voip.sip_credentials s WHERE s.extension_id = e.id) AS has_secret,
            e.created_at, e.updated_at
         FROM voip.extensions e JOIN voip.domains d ON d.id = e.domain_id "
    };
}

pub(crate) const LIST: &str = concat!(
    select!(),
    "WHERE e.id > $1 AND ($2::text IS NULL OR d.domain = lower($2)) ORDER BY e.id LIMIT $3"
);
pub(crate) const GET: &str = concat!(select!(), "WHERE e.id = $1");
pub(crate) const LOCK: &str = "SELECT domain_id FROM voip.extensions WHERE id = $1 FOR UPDATE";
pub(crate) const CREATE: &str = "INSERT INTO voip.extensions (domain_id, extension, type, description, user_id, queue_id,
        ivr_id, voicemail_box_id, trunk_id, conference_id, service_ref, need_media, recording_policy_id, active)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING id";
pub(crate) const UPDATE: &str = "UPDATE voip.extensions SET extension = $2, type = $3, description = $4, user_id = $5,
        queue_id = $6, ivr_id = $7, voicemail_box_id = $8, trunk_id = $9, conference_id = $10, service_ref = $11,
        need_media = $12, recording_policy_id = $13, active = $14
    WHERE id = $1";
pub(crate) const DELETE: &str = "DELETE FROM voip.extensions WHERE id = $1";
pub(crate) const MAKE_USER: &str =
    "INSERT INTO voip.users (domain_id, username, full_name) VALUES ($1, $2, $3)
    ON CONFLICT (domain_id, username) DO NOTHING RETURNING id";
/// now() is the transaction's: rows with the same created_at are of one POST.
pub(crate) const LOCK_USER_MADE_AT: &str =
    "SELECT id FROM voip.users WHERE id = $1 AND created_at = $2 AND updated_at = $2 FOR UPDATE";
pub(crate) const DELETE_USER_OF_NOTHING: &str = "DELETE FROM voip.users u WHERE id = $1
        AND NOT EXISTS (SELECT FROM voip.extensions e WHERE e.user_id = u.id)
        AND NOT EXISTS (SELECT FROM voip.queue_members m WHERE m.user_id = u.id)
        AND NOT EXISTS (SELECT FROM voip.voicemail_boxes v WHERE v.user_id = u.id)
    RETURNING username, full_name";
pub(crate) const USER_BY_NAME: &str = "SELECT id FROM voip.users WHERE domain_id = $1 AND username = $2";
pub(crate) const FORGET_CREDENTIALS: &str = "DELETE FROM voip.sip_credentials WHERE extension_id = $1";
pub(crate) const STORE_CREDENTIALS: &str = "INSERT INTO voip.sip_credentials (extension_id, domain_id, ha1, ha1b, ha1_sha256) VALUES ($1, $2, $3, $4, $5)";
