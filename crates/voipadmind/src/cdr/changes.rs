//! `GET /api/cdr/changes`: every stored leg in the order it was committed, for billing and other systems that copy them.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use store::Store;
use store::cdr_read::LEG_FIELDS;

use super::filters::{Params, zone};
use super::search::{Fields, shown};
use crate::http::caller::{Access, Caller};
use crate::http::input::{Query, page_items};
use crate::http::problem::Problem;

/// The feed's parameters.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Feed {
    /// `next` of the answer before; `now` for the end of the feed; left out, its beginning.
    after: Option<String>,
    /// 1 to 500, default 50.
    limit: Option<String>,
    /// A tenant's domain; for platform keys.
    domain: Option<String>,
    /// Names of fields, comma between them.
    fields: Option<String>,
    /// The time zone (IANA name) of the answer's times. Default UTC.
    tz: Option<String>,
}

#[utoipa::path(get, path = "/api/cdr/changes", params(Feed), tag = "cdr", security(("key" = [])),
    description = "Legs that were stored, replaced (a provisional one by the true one) or filed under another call after `after`. \
        No gap, and each state of a leg once: a leg that comes again, known by `leg_uuid` and `start_time`, replaces the earlier. \
        Ask again with `next` at any time; at once while `more` is true.",
    responses((status = 200, description = "items, next, more"), (status = 400, body = Problem)))]
pub async fn list(
    caller: Caller,
    State(store): State<Store>,
    Query(feed): Query<Feed>,
) -> Result<Json<Value>, Problem> {
    let scope = caller.may(Access::Read, "cdr")?;
    let zone = zone(feed.tz.as_deref())?;
    let mut asked: Params = feed.fields.map(|fields| ("fields".to_owned(), fields)).into_iter().collect();
    let fields = Fields::take(&mut asked, LEG_FIELDS)?;
    let items = page_items(feed.limit.as_deref())?;
    let changes = store.cdr_changes(scope, feed.domain.as_deref(), items, feed.after.as_deref()).await?;
    shown(&changes, &fields, &zone)
}
