//! `GET /api/cdr`: calls with their legs, or (`view=legs`) the legs themselves; newest first, one keyset page at a time.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;
use model::Direction;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Store;
use store::cdr_read::CdrFilter;

use crate::http::caller::{Access, Caller};
use crate::http::input::{Query, page_items};
use crate::http::problem::Problem;

/// Filters; all that are given must hold. Times are RFC 3339, or without offset in `tz`; `from` ≤ start_time < `to`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// `calls` (default) or `legs`.
    view: Option<String>,
    /// The uuid of any leg of the call, or the call's.
    uuid: Option<String>,
    from: Option<String>,
    to: Option<String>,
    caller: Option<String>,
    destination: Option<String>,
    /// `inbound`, `outbound` or `internal`.
    direction: Option<String>,
    hangup_cause: Option<String>,
    /// The queue's name, without domain.
    queue: Option<String>,
    /// A tenant's domain; for platform keys.
    domain: Option<String>,
    /// The time zone (IANA name) of times without offset, and of the answer's times. Default UTC.
    tz: Option<String>,
    /// 1 to 500, default 50.
    limit: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
}

#[utoipa::path(get, path = "/api/cdr", params(Filters), tag = "cdr", security(("key" = [])),
    responses((status = 200, description = "One page: items, next"), (status = 400, body = Problem)))]
pub async fn list(
    caller: Caller,
    State(store): State<Store>,
    Query(filters): Query<Filters>,
) -> Result<Json<Value>, Problem> {
    let scope = caller.may(Access::Read, "cdr")?;
    let zone = zone(filters.tz.as_deref())?;
    let filter = filter(&filters, &zone)?;
    match filters.view.as_deref() {
        None | Some("calls") => shown(&store.calls(scope, &filter).await?, &zone),
        Some("legs") => shown(&store.legs(scope, &filter).await?, &zone),
        Some(_) => Err(Problem::parameter("view", "is 'calls' or 'legs'")),
    }
}

fn filter(asked: &Filters, zone: &TimeZone) -> Result<CdrFilter, Problem> {
    let direction = |name: &str| {
        Direction::from_name(name)
            .ok_or_else(|| Problem::parameter("direction", "is 'inbound', 'outbound' or 'internal'"))
    };
    Ok(CdrFilter {
        uuid: asked.uuid.clone(),
        from: asked.from.as_deref().map(|t| time("from", t, zone)).transpose()?,
        to: asked.to.as_deref().map(|t| time("to", t, zone)).transpose()?,
        caller: asked.caller.clone(),
        destination: asked.destination.clone(),
        direction: asked.direction.as_deref().map(direction).transpose()?,
        hangup_cause: asked.hangup_cause.clone(),
        queue: asked.queue.clone(),
        domain: asked.domain.clone(),
        limit: page_items(asked.limit.as_deref())?,
        after: asked.after.clone(),
    })
}

pub(crate) fn zone(name: Option<&str>) -> Result<TimeZone, Problem> {
    name.map_or(Ok(TimeZone::UTC), |name| {
        TimeZone::get(name)
            .map_err(|_| Problem::parameter("tz", "is an IANA time zone such as Europe/Berlin"))
    })
}

/// RFC 3339 with offset, or a date or time without one, read in `zone`.
pub(crate) fn time(field: &str, text: &str, zone: &TimeZone) -> Result<Timestamp, Problem> {
    // A '+' that was not percent-encoded arrives as a space.
    let text = text.trim().replace(' ', "+");
    let civil = || text.parse::<civil::DateTime>().ok().and_then(|t| t.to_zoned(zone.clone()).ok());
    text.parse::<Timestamp>().ok().or_else(|| civil().map(|z| z.timestamp())).ok_or_else(|| {
        Problem::parameter(field, "is a time such as 2026-11-22T10:00:00Z, or a date such as 2026-11-22")
    })
}

/// A page (or one thing) as JSON, its times in `zone`.
pub(crate) fn shown(page: &impl Serialize, zone: &TimeZone) -> Result<Json<Value>, Problem> {
    let mut value = serde_json::to_value(page).map_err(|error| {
        tracing::error!(%error, "an answer has no form in JSON");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    })?;
    if *zone != TimeZone::UTC {
        move_times(&mut value, zone);
    }
    Ok(Json(value))
}

/// Rewrites every `…_time` and `…_at` of calls and their legs with the zone's offset; three levels deep at most.
fn move_times(value: &mut Value, zone: &TimeZone) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| move_times(item, zone)),
        Value::Object(fields) => {
            for (name, field) in fields {
                let is_time = name.ends_with("_time") || name.ends_with("_at");
                let time = field.as_str().filter(|_| is_time).and_then(|t| t.parse().ok());
                match time {
                    Some(time) => *field = in_zone(time, zone).into(),
                    None => move_times(field, zone),
                }
            }
        }
        _ => {}
    }
}

fn in_zone(time: Timestamp, zone: &TimeZone) -> String {
    time.display_with_offset(zone.to_offset(time)).to_string()
}
