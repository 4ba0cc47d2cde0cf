//! Call queues and who answers them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::audit::{self, Actor, Change, shown};
use crate::idempotency::{self, Created};
use crate::page::{Page, id_after, limits};
use crate::tenant;
use crate::transaction::Transaction;
use crate::{Error, Result, Scope, Store};

/// Members of one queue at most.
pub const MEMBERS_MAX: usize = 1_000;

/// A queue as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Its id.
    pub id: i32,
    /// The tenant's SIP domain.
    pub domain: String,
    /// Unique in the domain.
    pub name: String,
    /// The first number that reaches it.
    pub extension: Option<String>,
    /// How the next agent is chosen: mod_callcenter's names, and `longest-idle`.
    pub strategy: String,
    /// Seconds; 0 for ever.
    pub max_wait_time: i32,
    /// Seconds; 0 for ever.
    pub max_wait_time_with_no_agent: i32,
    /// Whether tiers are rung one after the other.
    pub tier_rules_apply: bool,
    /// Seconds an abandoned caller keeps his place.
    pub discard_abandoned_after: i32,
    /// An inactive one cannot be reached.
    pub active: bool,
    /// Who answers.
    pub members: Vec<QueueMember>,
    /// UTC.
    pub created_at: Timestamp,
    /// UTC.
    pub updated_at: Timestamp,
}

/// One who answers a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMember {
    /// The user's name.
    pub username: String,
    /// mod_callcenter's level.
    pub tier: i32,
    /// Within the tier.
    pub position: i32,
}

/// What a queue shall be: for POST and PUT, which replaces all of it.
#[derive(Debug, Clone)]
pub struct QueueInput {
    /// The tenant; needed from the platform, and not changed by PUT.
    pub domain: Option<String>,
    /// 1 to 64 of `0-9 A-Z a-z _ . -`.
    pub name: String,
    /// A number to reach it by, made with it. `None` leaves its numbers alone.
    pub extension: Option<String>,
    /// See [`Queue::strategy`].
    pub strategy: String,
    /// Seconds.
    pub max_wait_time: i32,
    /// Seconds.
    pub max_wait_time_with_no_agent: i32,
    /// See [`Queue::tier_rules_apply`].
    pub tier_rules_apply: bool,
    /// Seconds.
    pub discard_abandoned_after: i32,
    /// See [`Queue::active`].
    pub active: bool,
    /// All its members. `None` leaves them alone.
    pub members: Option<Vec<QueueMember>>,
}

impl QueueInput {
    /// A queue with the seed's defaults.
    pub fn named(name: &str) -> Self {
        Self {
            domain: None,
            name: name.to_owned(),
            extension: None,
            strategy: "ring-all".to_owned(),
            max_wait_time: 300,
            max_wait_time_with_no_agent: 120,
            tier_rules_apply: true,
            discard_abandoned_after: 60,
            active: true,
            members: None,
        }
    }
}

impl Store {
    /// A page of queues by id; `domain` narrows a platform's list to one tenant.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a foreign `after`.
    pub async fn queues(
        &self,
        scope: Scope,
        domain: Option<&str>,
        limit: u16,
        after: Option<&str>,
    ) -> Result<Page<Queue>> {
        let after = id_after(after)?;
        let (items, rows) = limits(limit);
        let mut tx = self.read(scope).await?;
        let rows =
            tx.search(LIST, &[(&after, Type::INT4), (&domain, Type::TEXT), (&rows, Type::INT8)]).await?;
        tx.commit().await?;
        let queues = rows.iter().map(queue).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(queues, items, |queue| queue.id.to_string()))
    }

    /// One queue.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for another tenant's.
    pub async fn queue(&self, scope: Scope, id: i32) -> Result<Queue> {
        let mut tx = self.read(scope).await?;
        let found = get(&mut tx, id).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// Makes a queue, with its number and members where the request names them.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Conflict`] with the field; [`Error::Unknown`]: ask again with the same key.
    pub async fn create_queue(&self, actor: &Actor, input: &QueueInput) -> Result<Created<Queue>> {
        let mut tx = self.write(actor.scope).await?;
        if let Some(item) = idempotency::claim(&mut tx, actor).await? {
            tx.commit().await?;
            return Ok(Created { item, replayed: true });
        }
        let domain_id = tenant::of_request(&mut tx, actor.scope, input.domain.as_deref()).await?;
        let row = tx.query_opt(CREATE, &values(&domain_id, input)).await?.ok_or(Error::NotFound)?;
        let id: i32 = row.try_get(0)?;
        reach(&mut tx, domain_id, id, input).await?;
        let item = get(&mut tx, id).await?;
        let after = Some(shown(&item)?);
        log(&mut tx, actor, "create", id, domain_id, None, after).await?;
        idempotency::keep(&mut tx, actor, &item).await?;
        tx.commit().await?;
        Ok(Created { item, replayed: false })
    }

    /// Replaces a queue.
    ///
    /// # Errors
    /// As [`create_queue`](Self::create_queue), and [`Error::NotFound`].
    pub async fn update_queue(&self, actor: &Actor, id: i32, input: &QueueInput) -> Result<Queue> {
        let mut tx = self.write(actor.scope).await?;
        let domain_id = lock(&mut tx, id).await?;
        let before = get(&mut tx, id).await?;
        tx.execute(UPDATE, &values(&id, input)).await?;
        reach(&mut tx, domain_id, id, input).await?;
        let item = get(&mut tx, id).await?;
        log(&mut tx, actor, "update", id, domain_id, Some(shown(&before)?), Some(shown(&item)?)).await?;
        tx.commit().await?;
        Ok(item)
    }

    /// Deletes a queue, its memberships and the numbers that reach it. Calls keep its name.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unknown`].
    pub async fn delete_queue(&self, actor: &Actor, id: i32) -> Result<()> {
        let mut tx = self.write(actor.scope).await?;
        let domain_id = lock(&mut tx, id).await?;
        let before = get(&mut tx, id).await?;
        tx.execute(DELETE, &[&id]).await?;
        log(&mut tx, actor, "delete", id, domain_id, Some(shown(&before)?), None).await?;
        tx.commit().await
    }
}

async fn get(tx: &mut Transaction, id: i32) -> Result<Queue> {
    tx.query_opt(GET, &[&id]).await?.as_ref().map_or(Err(Error::NotFound), queue)
}

async fn lock(tx: &mut Transaction, id: i32) -> Result<i32> {
    Ok(tx.query_opt(LOCK, &[&id]).await?.ok_or(Error::NotFound)?.try_get(0)?)
}

/// The queue's number and members, where the request names them.
async fn reach(tx: &mut Transaction, domain_id: i32, id: i32, input: &QueueInput) -> Result<()> {
    if let Some(number) = &input.extension {
        // The number may reach this queue already; another's makes the statement fail on the unique number.
        if tx.query_opt(REACHED_BY, &[&id, number]).await?.is_none() {
            tx.execute(GIVE_NUMBER, &[&domain_id, number, &id]).await?;
        }
    }
    let Some(members) = &input.members else { return Ok(()) };
    if members.len() > MEMBERS_MAX {
        return Err(Error::Invalid { field: "members", reason: format!("at most {MEMBERS_MAX}") });
    }
    let names: Vec<&str> = members.iter().map(|member| member.username.as_str()).collect();
    let tiers: Vec<i32> = members.iter().map(|member| member.tier).collect();
    let positions: Vec<i32> = members.iter().map(|member| member.position).collect();
    tx.execute(DISMISS, &[&id, &names]).await?;
    let found = tx.execute(APPOINT, &[&domain_id, &id, &names, &tiers, &positions]).await?;
    if usize::try_from(found) != Ok(names.len()) {
        return Err(Error::Invalid { field: "members", reason: "no such user in this domain".to_owned() });
    }
    Ok(())
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
    audit::log(tx, actor, Change { action, entity: "queue", entity_id, domain_id, before, after }).await
}

/// The parameters of CREATE and UPDATE; the first is the domain's or the queue's id.
fn values<'a>(id: &'a i32, input: &'a QueueInput) -> [&'a (dyn tokio_postgres::types::ToSql + Sync); 8] {
    [
        id,
        &input.name,
        &input.strategy,
        &input.max_wait_time,
        &input.max_wait_time_with_no_agent,
        &input.tier_rules_apply,
        &input.discard_abandoned_after,
        &input.active,
    ]
}

fn queue(row: &Row) -> Result<Queue> {
    let members: Value = row.try_get("members")?;
    Ok(Queue {
        id: row.try_get("id")?,
        domain: row.try_get("domain")?,
        name: row.try_get("name")?,
        extension: row.try_get("extension")?,
        strategy: row.try_get("strategy")?,
        max_wait_time: row.try_get("max_wait_time")?,
        max_wait_time_with_no_agent: row.try_get("max_wait_time_with_no_agent")?,
        tier_rules_apply: row.try_get("tier_rules_apply")?,
        discard_abandoned_after: row.try_get("discard_abandoned_after")?,
        active: row.try_get("active")?,
        members: serde_json::from_value(members).map_err(|error| Error::Database(error.to_string()))?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

macro_rules! select {
    () => {
        "SELECT q.id, d.domain, q.name, q.extension, q.strategy, q.max_wait_time, q.max_wait_time_with_no_agent,
            q.tier_rules_apply, q.discard_abandoned_after, q.active, q.created_at, q.updated_at,
            coalesce((SELECT jsonb_agg(jsonb_build_object('username', u.username, 'tier', m.tier, 'position', m.position)
                                       ORDER BY m.tier, m.position, u.username)
                        FROM voip.queue_members m JOIN voip.users u ON u.id = m.user_id
                       WHERE m.queue_id = q.id AND m.active), '[]') AS members
         FROM voip.queues q JOIN voip.domains d ON d.id = q.domain_id "
    };
}

pub(crate) const LIST: &str = concat!(
    select!(),
    "WHERE q.id > $1 AND ($2::text IS NULL OR d.domain = lower($2)) ORDER BY q.id LIMIT $3"
);
pub(crate) const GET: &str = concat!(select!(), "WHERE q.id = $1");
pub(crate) const LOCK: &str = "SELECT domain_id FROM voip.queues WHERE id = $1 FOR UPDATE";
pub(crate) const CREATE: &str = "INSERT INTO voip.queues (domain_id, name, strategy, max_wait_time,
        max_wait_time_with_no_agent, tier_rules_apply, discard_abandoned_after, active)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
pub(crate) const UPDATE: &str = "UPDATE voip.queues SET name = $2, strategy = $3, max_wait_time = $4,
        max_wait_time_with_no_agent = $5, tier_rules_apply = $6, discard_abandoned_after = $7, active = $8
    WHERE id = $1";
pub(crate) const DELETE: &str = "DELETE FROM voip.queues WHERE id = $1";
pub(crate) const REACHED_BY: &str = "SELECT FROM voip.extensions WHERE queue_id = $1 AND extension = $2";
pub(crate) const GIVE_NUMBER: &str =
    "INSERT INTO voip.extensions (domain_id, extension, type, queue_id, need_media)
    VALUES ($1, $2, 'queue', $3, true)";
pub(crate) const DISMISS: &str = "DELETE FROM voip.queue_members m USING voip.users u
    WHERE m.queue_id = $1 AND u.id = m.user_id AND NOT u.username = ANY ($2::text[])";
pub(crate) const APPOINT: &str = "INSERT INTO voip.queue_members (domain_id, queue_id, user_id, tier, position)
    SELECT $1, $2, u.id, n.tier, n.position
      FROM unnest($3::text[], $4::int4[], $5::int4[]) AS n (username, tier, position)
      JOIN voip.users u ON u.domain_id = $1 AND u.username = n.username
    ON CONFLICT (queue_id, user_id) DO UPDATE SET tier = EXCLUDED.tier, position = EXCLUDED.position, active = true";
