//! `GET /api/cdr/stats`: calls counted in groups.

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::Store;
use store::search::{CdrFilter, GROUPS_MAX, GroupBy, StatsOf};

use super::filters::{self, Filters, Params};
use super::search::{json as as_json, move_times};
use crate::http::caller::{Access, Caller};
use crate::http::input::Query;
use crate::http::problem::Problem;

/// A range of times at most: every call in it is read.
const RANGE_DAYS_MAX: i64 = 366;
/// Without `from`.
const RANGE_DEFAULT: SignedDuration = SignedDuration::from_hours(24);
/// The seconds a caller may wait, where `within` does not say it: four in five within twenty seconds is the old rule.
const WITHIN_S: i32 = 20;
const WITHIN_S_MAX: i32 = 86_400;

#[utoipa::path(get, path = "/api/cdr/stats", tag = "cdr", security(("key" = [])),
    description = "Calls, answered, abandoned, ASR, ACD, waits and service level in groups. Filters as in `/api/cdr`; without \
        `from` the last 24 hours, at most 366 days.",
    params(
        Filters,
        ("by" = Option<String>, Query, description = "`none` (default), `hour`, `day`, `queue`, `agent` (each who was rung; filters look at agents' legs), `cause`, `direction` or `status`"),
        ("within" = Option<String>, Query, description = "seconds a queue's caller may wait for the service level; default 20"),
        ("tz" = Option<String>, Query, description = "IANA name: the zone of hours and days. Default UTC"),
    ),
    responses((status = 200, description = "items, from, to, truncated"), (status = 400, body = Problem)))]
pub async fn show(
    caller: Caller,
    State(store): State<Store>,
    Query(mut params): Query<Params>,
) -> Result<Json<Value>, Problem> {
    let scope = caller.may(Access::Read, "cdr")?;
    let zone = filters::zone(params.remove("tz").as_deref())?;
    let stats = StatsOf { by: by(&mut params)?, zone: name_of(&zone), within_s: within(&mut params)? };
    let mut filter = filters::take(&mut params, &zone)?;
    filters::nothing_left(&params)?;
    let (from, to) = bounded(&mut filter)?;
    let groups = store.cdr_stats(scope, &filter, &stats).await?;
    let truncated = i64::try_from(groups.len()).is_ok_and(|groups| groups >= GROUPS_MAX);
    let mut items = as_json(&groups)?;
    move_times(&mut items, &zone);
    Ok(Json(json!({"items": items, "from": from, "to": to, "truncated": truncated})))
}

fn by(params: &mut Params) -> Result<GroupBy, Problem> {
    let Some(name) = params.remove("by") else { return Ok(GroupBy::Nothing) };
    GroupBy::from_name(&name).ok_or_else(|| {
        Problem::parameter("by", "is none, hour, day, queue, agent, cause, direction or status")
    })
}

fn within(params: &mut Params) -> Result<i32, Problem> {
    let Some(text) = params.remove("within") else { return Ok(WITHIN_S) };
    let seconds = text.parse().ok().filter(|seconds| (0..=WITHIN_S_MAX).contains(seconds));
    seconds
        .ok_or_else(|| Problem::parameter("within", format!("is a number of seconds up to {WITHIN_S_MAX}")))
}

fn name_of(zone: &jiff::tz::TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

/// Gives the range both ends.
fn bounded(filter: &mut CdrFilter) -> Result<(Timestamp, Timestamp), Problem> {
    let to = filter.to.unwrap_or_else(Timestamp::now);
    let from = filter.from.unwrap_or_else(|| to.saturating_sub(RANGE_DEFAULT).unwrap_or(Timestamp::MIN));
    if to.duration_since(from) > SignedDuration::from_hours(RANGE_DAYS_MAX * 24) {
        return Err(Problem::parameter("from", format!("is at most {RANGE_DAYS_MAX} days before 'to'")));
    }
    (filter.from, filter.to) = (Some(from), Some(to));
    Ok((from, to))
}
