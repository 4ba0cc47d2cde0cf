//! `/api/queues`: queues and their members.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use model::text;
use serde::{Deserialize, Serialize};
use store::Store;
use store::page::Page;
use store::queues::{MEMBERS_MAX, Queue, QueueInput, QueueMember};

use super::{Listing, Request, to_the_end};
use crate::http::caller::{Access, Caller};
use crate::http::input::{Json as Body, Query, page_items};
use crate::http::problem::Problem;

/// A queue as it shall be. Times are in seconds.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Queue)]
pub struct Wanted {
    /// The tenant's domain: needed from platform keys.
    domain: Option<String>,
    /// 1 to 64 of `0-9 A-Z a-z _ . -`.
    name: String,
    /// A number to reach it by; the extension is made with it.
    extension: Option<String>,
    /// mod_callcenter's names; `longest-idle` is taken for `longest-idle-agent`. Default `ring-all`.
    strategy: Option<String>,
    max_wait_time: Option<i32>,
    max_wait_time_with_no_agent: Option<i32>,
    tier_rules_apply: Option<bool>,
    discard_abandoned_after: Option<i32>,
    active: Option<bool>,
    members: Option<Vec<Member>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    username: String,
    /// mod_callcenter's level: lower ones ring first. Default 1.
    tier: Option<i32>,
    /// Order within the tier. Default 1.
    position: Option<i32>,
}

#[utoipa::path(get, path = "/api/queues", params(Listing), tag = "queues", security(("key" = [])),
    responses((status = 200, description = "One page: items, next")))]
pub async fn list(
    caller: Caller,
    State(store): State<Store>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<Queue>>, Problem> {
    let scope = caller.may(Access::Read, "queues")?;
    let items = page_items(listing.limit.as_deref())?;
    Ok(Json(store.queues(scope, listing.domain.as_deref(), items, listing.after.as_deref()).await?))
}

#[utoipa::path(post, path = "/api/queues", request_body = Wanted, tag = "queues", security(("key" = [])),
    responses((status = 201), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub async fn create(
    caller: Caller,
    State(store): State<Store>,
    request: Request,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    let scope = caller.may(Access::Write, "queues")?;
    let actor = request.actor(&caller, scope, &wanted);
    let input = input(wanted)?;
    let created = to_the_end(async move { store.create_queue(&actor, &input).await }).await?;
    let location = format!("/api/queues/{}", created.item.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(created.item)).into_response())
}

#[utoipa::path(get, path = "/api/queues/{id}", tag = "queues", security(("key" = [])),
    params(("id" = i32, Path)), responses((status = 200), (status = 404, body = Problem)))]
pub async fn show(
    caller: Caller,
    State(store): State<Store>,
    path: Path<String>,
) -> Result<Json<Queue>, Problem> {
    let scope = caller.may(Access::Read, "queues")?;
    let id = path.parse().map_err(|_| Problem::not_found("queue"))?;
    Ok(Json(store.queue(scope, id).await?))
}

fn input(wanted: Wanted) -> Result<QueueInput, Problem> {
    text::reference("name", &wanted.name)?;
    if let Some(extension) = &wanted.extension {
        text::sip_user("extension", extension)?;
    }
    let members = wanted.members.map(members).transpose()?;
    let defaults = QueueInput::named(&wanted.name);
    Ok(QueueInput {
        domain: wanted.domain,
        extension: wanted.extension,
        strategy: wanted.strategy.unwrap_or(defaults.strategy),
        max_wait_time: wanted.max_wait_time.unwrap_or(defaults.max_wait_time),
        max_wait_time_with_no_agent: wanted
            .max_wait_time_with_no_agent
            .unwrap_or(defaults.max_wait_time_with_no_agent),
        tier_rules_apply: wanted.tier_rules_apply.unwrap_or(defaults.tier_rules_apply),
        discard_abandoned_after: wanted.discard_abandoned_after.unwrap_or(defaults.discard_abandoned_after),
        active: wanted.active.unwrap_or(defaults.active),
        members,
        name: wanted.name,
    })
}

fn members(wanted: Vec<Member>) -> Result<Vec<QueueMember>, Problem> {
    if wanted.len() > MEMBERS_MAX {
        return Err(Problem::field("members", format!("has at most {MEMBERS_MAX} entries")));
    }
    let member = |m: Member| QueueMember {
        username: m.username,
        tier: m.tier.unwrap_or(1),
        position: m.position.unwrap_or(1),
    };
    Ok(wanted.into_iter().map(member).collect())
}
