//! `GET /api/cdr/accounting`: what became of every document and of every session that owed one, by node and hour. Platform keys
//! only.

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::Store;
use store::accounting::HOURS_MAX;

use super::filters::{Params, nothing_left, time, zone};
use crate::http::caller::{Access, Caller};
use crate::http::input::Query;
use crate::http::problem::Problem;

/// Without `from`.
const RANGE_DEFAULT: SignedDuration = SignedDuration::from_hours(24);

#[utoipa::path(get, path = "/api/cdr/accounting", tag = "cdr", security(("key" = [])),
    description = "Per node and hour. By arrival: legs' documents and Kamailio's events given to the database, rows stored, duplicates, \
        quarantined, and still held; `legs` = `stored` + `duplicates` + `quarantined`, but for rows made of events. By their end: \
        `sessions_ended`, FreeSWITCH's own count; of these, `exempt` owe no record (refused before they began, or told to make none), \
        `pending` may still get theirs (10 minutes), `missing` owe one that did not come and must be 0, `unheard` ended while nobody \
        listened to FreeSWITCH and have none. All five are null where nobody counted: the media double, or no event socket. \
        `sessions_without_record` names up to 100, the owing ones first.",
    params(
        ("from" = Option<String>, Query, description = "RFC 3339; default a day before `to`"),
        ("to" = Option<String>, Query, description = "RFC 3339; default now"),
    ),
    responses((status = 200, description = "items, sessions_without_record, truncated"), (status = 403, body = Problem)))]
pub async fn show(
    caller: Caller,
    State(store): State<Store>,
    Query(mut params): Query<Params>,
) -> Result<Json<Value>, Problem> {
    caller.may_for_platform(Access::Read, "cdr")?;
    let utc = zone(None)?;
    let mut taken = |name: &str| params.remove(name).map(|text| time(name, &text, &utc)).transpose();
    let (from, to) = (taken("from")?, taken("to")?);
    nothing_left(&params)?;
    let to = to.unwrap_or_else(Timestamp::now);
    let from = from.unwrap_or_else(|| to.saturating_sub(RANGE_DEFAULT).unwrap_or(Timestamp::MIN));
    let items = store.cdr_accounting(from, to).await?;
    let without = store.missing_sessions(from, to).await?;
    let truncated = i64::try_from(items.len()).is_ok_and(|items| items >= HOURS_MAX);
    Ok(Json(json!({"items": items, "sessions_without_record": without, "truncated": truncated})))
}
