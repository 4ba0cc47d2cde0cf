//! `GET /api/cdr`: calls with their legs, or (`view=legs`) the legs themselves; newest first, one keyset page at a time.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Map, Value};
use store::Store;
use store::cdr_read::{CALL_FIELDS, CALL_FIELDS_OF_LEGS, LEG_FIELDS};
use store::search::{CountOf, Cursor, PageOf};

use super::filters::{self, Filters, Params};
use crate::http::caller::{Access, Caller};
use crate::http::input::{Query, page_items};
use crate::http::problem::Problem;

#[utoipa::path(get, path = "/api/cdr", tag = "cdr", security(("key" = [])),
    description = "Calls, newest first; all filters given must hold. Texts compare exactly, `123*` by their beginning, `*123` \
        by their end (`\\*` is a star). `queue!=x` is the contrary of `queue=x`, for every text, `extension`, `user` and `q850`. \
        Filters look at the row that stands for the call, but `callee`, `agent`, `extension`, `user`, `trunk`, `recorded`, \
        `sip_call_id` and `uuid` at any of its legs. A call has `status` (answered, voicemail, abandoned, missed, busy, rejected, \
        failed), `wait_seconds`, `talk_seconds`, `hangup_by` (caller, callee, system) and `events`, its timeline: time, event, who, \
        leg_uuid, detail. A leg has its own status, where it can also be `elsewhere`.",
    params(
        Filters,
        ("view" = Option<String>, Query, description = "`calls` (default) or `legs`: each filter then looks at the leg itself"),
        ("limit" = Option<String>, Query, description = "1 to 500, default 50"),
        ("after" = Option<String>, Query, description = "`next` of another page: older ones"),
        ("before" = Option<String>, Query, description = "`previous` of another page: newer ones"),
        ("count" = Option<String>, Query, description = "`exact` (seconds over years), `estimate` or `none` (default)"),
        ("fields" = Option<String>, Query, description = "names of fields, comma between them; without `legs`, `recordings` and `events` faster"),
        ("tz" = Option<String>, Query, description = "IANA name: times without offset are read in it, and all are shown in it"),
    ),
    responses((status = 200, description = "One page: items, next, previous, count"), (status = 400, body = Problem)))]
pub async fn list(
    caller: Caller,
    State(store): State<Store>,
    Query(mut params): Query<Params>,
) -> Result<Json<Value>, Problem> {
    let scope = caller.may(Access::Read, "cdr")?;
    let zone = filters::zone(params.remove("tz").as_deref())?;
    let legs = View::take(&mut params)? == View::Legs;
    let fields = Fields::take(&mut params, if legs { LEG_FIELDS } else { CALL_FIELDS })?;
    let page = PageOf {
        limit: page_items(params.remove("limit").as_deref())?,
        cursor: cursor(&mut params)?,
        count: count(&mut params)?,
        heads_only: !CALL_FIELDS_OF_LEGS.iter().any(|name| fields.has(name)),
    };
    let filter = filters::take(&mut params, &zone)?;
    filters::nothing_left(&params)?;
    if legs {
        shown(&store.legs(scope, &filter, &page).await?, &fields, &zone)
    } else {
        shown(&store.calls(scope, &filter, &page).await?, &fields, &zone)
    }
}

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Calls,
    Legs,
}

impl View {
    /// # Errors
    /// 400 for another word.
    pub fn take(params: &mut Params) -> Result<Self, Problem> {
        match params.remove("view").as_deref() {
            None | Some("calls") => Ok(Self::Calls),
            Some("legs") => Ok(Self::Legs),
            Some(_) => Err(Problem::parameter("view", "is 'calls' or 'legs'")),
        }
    }
}

fn cursor(params: &mut Params) -> Result<Option<Cursor>, Problem> {
    match (params.remove("after"), params.remove("before")) {
        (Some(_), Some(_)) => Err(Problem::parameter("before", "goes without 'after'")),
        (Some(after), None) => Ok(Some(Cursor::After(after))),
        (None, before) => Ok(before.map(Cursor::Before)),
    }
}

fn count(params: &mut Params) -> Result<Option<CountOf>, Problem> {
    match params.remove("count").as_deref() {
        None | Some("none") => Ok(None),
        Some("exact") => Ok(Some(CountOf::Exact)),
        Some("estimate") => Ok(Some(CountOf::Estimate)),
        Some(_) => Err(Problem::parameter("count", "is 'exact', 'estimate' or 'none'")),
    }
}

/// Which fields are shown; `None`: all.
pub struct Fields(Option<Vec<&'static str>>);

impl Fields {
    /// # Errors
    /// 400 for a name that is none of `known`.
    pub fn take(params: &mut Params, known: &'static [&'static str]) -> Result<Self, Problem> {
        let Some(asked) = params.remove("fields") else { return Ok(Self(None)) };
        let field = |name: &str| {
            known.iter().copied().find(|it| *it == name).ok_or_else(|| {
                Problem::parameter("fields", format!("'{name}' is none of {}", known.join(", ")))
            })
        };
        asked.split(',').map(field).collect::<Result<_, _>>().map(|fields| Self(Some(fields)))
    }

    /// Whether the caller named them.
    pub fn are_named(&self) -> bool {
        self.0.is_some()
    }

    /// The names, in the order asked for.
    pub fn names(self, known: &[&'static str]) -> Vec<&'static str> {
        self.0.unwrap_or_else(|| known.to_vec())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|fields| fields.contains(&name))
    }
}

/// A page as JSON, its times in `zone`.
pub fn shown(page: &impl Serialize, fields: &Fields, zone: &TimeZone) -> Result<Json<Value>, Problem> {
    let mut value = json(page)?;
    if let (Some(items), Some(names)) = (value.get_mut("items").and_then(Value::as_array_mut), &fields.0) {
        items.iter_mut().filter_map(Value::as_object_mut).for_each(|item| keep(item, names));
    }
    move_times(&mut value, zone);
    Ok(Json(value))
}

pub fn keep(item: &mut Map<String, Value>, names: &[&str]) {
    item.retain(|name, _| names.contains(&name.as_str()));
}

/// # Errors
/// None that can be met; told as an internal one.
pub fn json(thing: &impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(thing).map_err(|error| {
        tracing::error!(%error, "an answer has no form in JSON");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    })
}

/// Rewrites every `…_time` and `…_at` of calls, their legs and recordings, and the `time` of their events, with the zone's
/// offset; three levels deep at most. In UTC they are already.
pub fn move_times(value: &mut Value, zone: &TimeZone) {
    if *zone == TimeZone::UTC {
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| move_times(item, zone)),
        Value::Object(fields) => {
            for (name, field) in fields {
                let is_time = name == "time" || name.ends_with("_time") || name.ends_with("_at");
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

pub fn in_zone(time: Timestamp, zone: &TimeZone) -> String {
    time.display_with_offset(zone.to_offset(time)).to_string()
}
