//! `/api/recordings`: who recorded what, the audio, and legal hold.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::audit::Actor;
use store::recordings::{Recording, RecordingFilter, STATES};
use store::search::Column;
use store::{Scope, Store};

use super::Recordings;
use super::media::{self, Asked};
use crate::cdr::filters::{pattern, time, zone};
use crate::cdr::search::{json, move_times};
use crate::http::caller::{Access, Caller};
use crate::http::input::{Json as Body, Query, page_items};
use crate::http::problem::Problem;
use crate::provisioning::to_the_end;

/// Filters; all that are given must hold. Times are RFC 3339, or without offset in `tz`; `from` ≤ start_time < `to`, where
/// start_time is the leg's.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Filters {
    /// The uuid of any leg of the call, or the call's.
    uuid: Option<String>,
    from: Option<String>,
    to: Option<String>,
    /// A number, or with a `*` at its end or its beginning: `0891*`.
    caller: Option<String>,
    /// As `caller`.
    destination: Option<String>,
    /// `inbound`, `outbound` or `internal`.
    direction: Option<String>,
    /// The queue's name, without domain.
    queue: Option<String>,
    /// The agent's user name, without domain.
    agent: Option<String>,
    /// A tenant's domain; for platform keys.
    domain: Option<String>,
    /// `recording`, `stored`, `replicated`, `missing`, `changed` or `deleting`.
    state: Option<String>,
    /// Seconds.
    duration_min: Option<String>,
    /// Seconds.
    duration_max: Option<String>,
    /// `true` or `false`.
    legal_hold: Option<String>,
    /// The time zone (IANA name) of times without offset, and of the answer's times. Default UTC.
    tz: Option<String>,
    /// 1 to 500, default 50.
    limit: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
}

/// `tz` of one recording.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Zone {
    /// The time zone (IANA name) of the answer's times. Default UTC.
    tz: Option<String>,
}

/// What may be changed of a recording.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Hold)]
pub struct Wanted {
    /// Retention leaves it alone until this is false again.
    legal_hold: bool,
}

#[utoipa::path(get, path = "/api/recordings", params(Filters), tag = "recordings", security(("key" = [])),
    responses((status = 200, description = "One page: items, next"), (status = 400, body = Problem)))]
pub async fn list(
    caller: Caller,
    State(store): State<Store>,
    Query(filters): Query<Filters>,
) -> Result<Json<Value>, Problem> {
    let scope = caller.may(Access::Read, "recordings")?;
    let zone = zone(filters.tz.as_deref())?;
    let filter = filter(&filters, &zone)?;
    shown(&store.recordings(scope, &filter).await?, &zone)
}

/// The metadata as JSON; the audio for `Accept: audio/*`.
#[utoipa::path(get, path = "/api/recordings/{id}", params(("id" = i64, Path), Zone), tag = "recordings",
    security(("key" = [])), responses((status = 200, content((Value = "application/json"), (Vec<u8> = "audio/wav"))),
    (status = 404, body = Problem)))]
pub async fn show(
    caller: Caller,
    State(store): State<Store>,
    State(recordings): State<Recordings>,
    path: Path<String>,
    Query(Zone { tz }): Query<Zone>,
    asked: Asked,
) -> Result<Response, Problem> {
    let (scope, recording) = found(&caller, &store, &path).await?;
    if wants_audio(&asked.headers) {
        return media::answer(&recordings, store, recording, actor(&caller, scope), asked).await;
    }
    let shown = shown(&recording, &zone(tz.as_deref())?)?;
    Ok(([(header::VARY, "Accept")], shown).into_response())
}

/// The audio. One range of bytes is answered with 206, several with the whole.
#[utoipa::path(get, path = "/api/recordings/{id}/media", params(("id" = i64, Path)), tag = "recordings",
    security(("key" = [])), responses((status = 200, body = Vec<u8>, content_type = "audio/wav"), (status = 206),
    (status = 304), (status = 404, body = Problem), (status = 409, body = Problem), (status = 410, body = Problem),
    (status = 416)))]
pub async fn play(
    caller: Caller,
    State(store): State<Store>,
    State(recordings): State<Recordings>,
    path: Path<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let (scope, recording) = found(&caller, &store, &path).await?;
    media::answer(&recordings, store, recording, actor(&caller, scope), asked).await
}

#[utoipa::path(put, path = "/api/recordings/{id}", request_body = Wanted, tag = "recordings", security(("key" = [])),
    params(("id" = i64, Path)), responses((status = 200), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn hold(
    caller: Caller,
    State(store): State<Store>,
    path: Path<String>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Recording>, Problem> {
    let scope = caller.may(Access::Write, "recordings")?;
    let (id, actor) = (id(&path)?, actor(&caller, scope));
    to_the_end(async move { store.hold_recording(&actor, id, wanted.legal_hold).await }).await.map(Json)
}

/// A page or one recording as JSON, its times in `zone`.
fn shown(thing: &impl Serialize, zone: &TimeZone) -> Result<Json<Value>, Problem> {
    let mut value = json(thing)?;
    move_times(&mut value, zone);
    Ok(Json(value))
}

async fn found(caller: &Caller, store: &Store, path: &Path<String>) -> Result<(Scope, Recording), Problem> {
    let scope = caller.may(Access::Read, "recordings")?;
    Ok((scope, store.recording(scope, id(path)?).await?))
}

fn id(path: &Path<String>) -> Result<i64, Problem> {
    path.parse().map_err(|_| Problem::not_found("recording"))
}

fn actor(caller: &Caller, scope: Scope) -> Actor {
    Actor { who: caller.who(), scope, idempotency: None }
}

/// A player asks for audio and takes anything; whoever names JSON gets JSON.
fn wants_audio(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut audio = false;
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let kind = parts.next().unwrap_or_default();
        let refused =
            parts.any(|it| it.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0)));
        match kind.as_str() {
            "application/json" if !refused => return false,
            "audio/*" | "audio/wav" | "audio/wave" | "audio/x-wav" | "audio/vnd.wave" => audio |= !refused,
            _ => {}
        }
    }
    audio
}

fn filter(asked: &Filters, zone: &TimeZone) -> Result<RecordingFilter, Problem> {
    let known = |state: &String| STATES.contains(&state.as_str());
    if asked.state.as_ref().is_some_and(|state| !known(state)) {
        return Err(Problem::parameter("state", format!("is one of {}", STATES.join(", "))));
    }
    if asked.direction.as_deref().is_some_and(|direction| model::Direction::from_name(direction).is_none()) {
        return Err(Problem::parameter("direction", "is 'inbound', 'outbound' or 'internal'"));
    }
    let number =
        |field, text: Option<&str>| text.map(|text| pattern(field, Column::Caller, text)).transpose();
    let truth =
        |text: &str| text.parse().map_err(|_| Problem::parameter("legal_hold", "is 'true' or 'false'"));
    Ok(RecordingFilter {
        uuid: asked.uuid.clone(),
        from: asked.from.as_deref().map(|t| time("from", t, zone)).transpose()?,
        to: asked.to.as_deref().map(|t| time("to", t, zone)).transpose()?,
        caller: number("caller", asked.caller.as_deref())?,
        destination: number("destination", asked.destination.as_deref())?,
        direction: asked.direction.clone(),
        queue: asked.queue.clone(),
        agent: asked.agent.clone(),
        domain: asked.domain.clone(),
        state: asked.state.clone(),
        duration_min: seconds("duration_min", asked.duration_min.as_deref())?,
        duration_max: seconds("duration_max", asked.duration_max.as_deref())?,
        legal_hold: asked.legal_hold.as_deref().map(truth).transpose()?,
        limit: page_items(asked.limit.as_deref())?,
        after: asked.after.clone(),
    })
}

fn seconds(field: &str, text: Option<&str>) -> Result<Option<i32>, Problem> {
    let wrong = || Problem::parameter(field, "is a number of seconds, 0 or more");
    text.map(|text| text.parse().ok().filter(|seconds| *seconds >= 0).ok_or_else(wrong)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_get_audio_and_programs_json() {
        for (accept, audio) in [
            ("", false),
            ("*/*", false),
            ("application/json", false),
            ("audio/*", true),
            ("audio/wav", true),
            ("Audio/Wav; q=0.5", true),
            ("audio/*;q=0", false),
            ("audio/ogg", false),
            ("application/json, audio/*", false),
            // What Firefox' and Chromium's players send.
            (
                "audio/webm,audio/ogg,audio/wav,audio/*;q=0.9,application/ogg;q=0.7,video/*;q=0.6,*/*;q=0.5",
                true,
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_audio(&headers), audio, "{accept}");
        }
    }
}
