//! `GET /api/cdr/partitions` and `/api/cdr/retention`: what is kept, and for how long. Set by platform keys only.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Scope, Store};

use crate::http::caller::{Access, Caller};
use crate::http::input::Json as Body;
use crate::http::problem::Problem;
use crate::provisioning::{Request, to_the_end};

/// How long the calls of a tenant are to be kept.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Retention)]
pub struct Wanted {
    /// The tenant's domain; left out or null: all that have no rule of their own.
    domain: Option<String>,
    /// 1 to 36500 days from a call's start; null: no rule, and without a common one they are kept for ever.
    days: Option<i32>,
}

#[utoipa::path(get, path = "/api/cdr/partitions", tag = "cdr", security(("key" = [])),
    responses((status = 200, description = "items: one a month"), (status = 403, body = Problem)))]
pub async fn partitions(caller: Caller, State(store): State<Store>) -> Result<Json<Value>, Problem> {
    caller.may_for_platform(Access::Read, "cdr")?;
    Ok(Json(json!({"items": store.cdr_partitions().await?})))
}

#[utoipa::path(get, path = "/api/cdr/retention", tag = "cdr", security(("key" = [])),
    responses((status = 200, description = "items: domain, days")))]
pub async fn show(caller: Caller, State(store): State<Store>) -> Result<Json<Value>, Problem> {
    let scope = caller.may(Access::Read, "cdr")?;
    Ok(Json(json!({"items": store.cdr_retention(scope).await?})))
}

#[utoipa::path(put, path = "/api/cdr/retention", request_body = Wanted, tag = "cdr", security(("key" = [])),
    responses((status = 204), (status = 403, body = Problem), (status = 422, body = Problem)))]
pub async fn set(
    caller: Caller,
    State(store): State<Store>,
    request: Request,
    Body(wanted): Body<Wanted>,
) -> Result<StatusCode, Problem> {
    caller.may_for_platform(Access::Write, "cdr")?;
    let actor = request.actor(&caller, Scope::Platform, &wanted);
    let Wanted { domain, days } = wanted;
    to_the_end(async move { store.set_cdr_retention(&actor, domain.as_deref(), days).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
