//! The document of one leg: the same structure, names and order as the captures.

use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use super::leg::{App, Direction, Leg, Other, Profile};
use super::{times, url_encode};
use crate::rtp::Counters;

/// Bytes of a G.711 frame of 20 ms with its RTP header, and without.
const FRAME_BYTES: (u64, u64) = (172, 160);

/// What is the same in every document of one run.
#[derive(Debug, Clone)]
pub struct Process {
    /// `Core-UUID`: new at each start.
    pub core_uuid: String,
    /// Host name.
    pub hostname: String,
}

/// A JSON object whose keys stay in order, whatever a map of serde_json does.
struct Object(Vec<(String, String)>);

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[derive(serde::Serialize)]
struct Document<'a> {
    #[serde(rename = "core-uuid")]
    core_uuid: &'a str,
    switchname: &'static str,
    channel_data: ChannelData,
    #[serde(rename = "callStats")]
    call_stats: Value,
    variables: Object,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_log: Option<AppLog<'a>>,
    callflow: Vec<Flow<'a>>,
}

#[derive(serde::Serialize)]
struct ChannelData {
    state: &'static str,
    direction: &'static str,
    state_number: &'static str,
    flags: &'static str,
    caps: &'static str,
}

#[derive(serde::Serialize)]
struct AppLog<'a> {
    applications: &'a [App],
}

#[derive(serde::Serialize)]
struct Flow<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    dialplan: &'static str,
    profile_index: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<Value>,
    caller_profile: FlowProfile<'a>,
    times: Value,
}

#[derive(serde::Serialize)]
struct FlowProfile<'a> {
    #[serde(flatten)]
    profile: &'a Profile,
    #[serde(skip_serializing_if = "Option::is_none")]
    originator: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    originatee: Option<Value>,
}

/// Writes the document of `leg`. `encode_values` is the setting `encode-values` of json_cdr.conf.xml.
pub fn write(leg: &Leg, process: &Process, encode_values: bool) -> serde_json::Result<String> {
    let document = Document {
        core_uuid: &process.core_uuid,
        switchname: crate::SWITCHNAME,
        channel_data: ChannelData {
            state: "CS_REPORTING",
            direction: direction(leg),
            state_number: "11",
            flags: "0=1;40=1;42=1;45=1;113=1;114=1",
            caps: "1=1;2=1;3=1;4=1;5=1;6=1;8=1;9=1;10=1",
        },
        call_stats: leg.media.map_or(json!({}), call_stats),
        variables: variables(leg, process, encode_values),
        app_log: (!leg.apps.is_empty()).then_some(AppLog { applications: &leg.apps }),
        callflow: callflow(leg),
    };
    serde_json::to_string(&document)
}

fn direction(leg: &Leg) -> &'static str {
    match leg.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

fn variables(leg: &Leg, process: &Process, encode_values: bool) -> Object {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: &str| out.push((name.to_owned(), value.to_owned()));
    put("direction", direction(leg));
    if leg.direction == Direction::Outbound {
        put("is_outbound", "true");
    }
    put("uuid", leg.uuid());
    put("Core-UUID", &process.core_uuid);
    put("FreeSWITCH-Hostname", &process.hostname);
    put("FreeSWITCH-Switchname", crate::SWITCHNAME);
    put("Event-Date-Timestamp", &leg.times.created.to_string());
    for (name, value) in leg.variables() {
        put(name, value);
    }
    put("hangup_cause", leg.cause.name());
    put("hangup_cause_q850", &leg.cause.q850().to_string());
    put("digits_dialed", "none");
    for (name, value) in times::variables(&leg.times) {
        put(&name, &value);
    }
    if let Some(last) = leg.apps.last() {
        put("last_app", last.app_name);
        put("last_arg", &last.app_data);
    }
    put("caller_id", &format!("\"{}\" <{}>", leg.profile.caller_id_name, leg.profile.caller_id_number));
    if let Some(media) = leg.media {
        for (name, value) in rtp_variables(media) {
            put(&name, &value);
        }
    }
    if encode_values {
        for (_, value) in &mut out {
            *value = url_encode(value);
        }
    }
    Object(out)
}

/// The counts this program keeps; a relay has no jitter buffer, so all that follows from one is zero.
fn call_stats(media: Counters) -> Value {
    let (raw, payload) = FRAME_BYTES;
    let direction = |packets: u64| {
        json!({
            "raw_bytes": packets * raw, "media_bytes": packets * payload,
            "packet_count": packets, "media_packet_count": packets, "skip_packet_count": 0,
            "jitter_packet_count": 0, "dtmf_packet_count": 0, "cng_packet_count": 0, "flush_packet_count": 0,
        })
    };
    json!({ "audio": { "inbound": direction(media.received), "outbound": direction(media.sent) } })
}

fn rtp_variables(media: Counters) -> Vec<(String, String)> {
    let (raw, payload) = FRAME_BYTES;
    let mut out = Vec::new();
    for (way, packets) in [("in", media.received), ("out", media.sent)] {
        let mut put =
            |name: &str, value: u64| out.push((format!("rtp_audio_{way}_{name}"), value.to_string()));
        put("raw_bytes", packets * raw);
        put("media_bytes", packets * payload);
        put("packet_count", packets);
        put("media_packet_count", packets);
        put("skip_packet_count", 0);
    }
    out
}

/// Newest first. A queue's bridging closes the first profile and opens a second.
fn callflow(leg: &Leg) -> Vec<Flow<'_>> {
    let mut flow = Vec::new();
    let t = &leg.times;
    let or_zero = |moment: Option<i64>| moment.unwrap_or(0).to_string();
    let times = |created: i64, bridged: Option<i64>, hungup: Option<i64>, transferred: Option<i64>| {
        json!({
            "created_time": t.created.to_string(), "profile_created_time": created.to_string(),
            "progress_time": or_zero(t.progress), "progress_media_time": or_zero(t.progress_media),
            "answered_time": or_zero(t.answered), "bridged_time": or_zero(bridged),
            "last_hold_time": "0", "hold_accum_time": "0", "hangup_time": or_zero(hungup),
            "resurrect_time": "0", "transfer_time": or_zero(transferred),
        })
    };
    let (originator, originatee) = match &leg.other {
        Some(Other::Originator(other)) => (Some(json!({ "originator_caller_profiles": [other] })), None),
        Some(Other::Originatee(other)) => (None, Some(json!({ "originatee_caller_profiles": [other] }))),
        None => (None, None),
    };
    let linked = FlowProfile { profile: &leg.profile, originator, originatee };
    let plain = FlowProfile { profile: &leg.profile, originator: None, originatee: None };
    let mut push = |profile_index, caller_profile, times| {
        let (dialplan, extension) = (leg.profile.dialplan, extension(leg));
        flow.push(Flow { dialplan, profile_index, extension, caller_profile, times });
    };
    match t.transferred {
        Some(moved) => {
            push("2", linked, times(moved, t.bridged, t.hungup, None));
            push("1", plain, times(t.created, None, None, Some(moved)));
        }
        None => push("1", linked, times(t.created, t.bridged, t.hungup, None)),
    }
    flow
}

/// The dialplan extension, on legs that walked the dialplan.
fn extension(leg: &Leg) -> Option<Value> {
    if leg.apps.is_empty() {
        return None;
    }
    let apps: Vec<Value> =
        leg.apps.iter().map(|app| json!({ "app_name": app.app_name, "app_data": app.app_data })).collect();
    Some(json!({ "name": "tandem", "number": leg.profile.destination_number, "applications": apps }))
}

impl Process {
    /// This run's identity.
    pub fn new() -> Self {
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let hostname = hostname.trim().to_owned();
        Self { core_uuid: uuid::Uuid::new_v4().to_string(), hostname }
    }
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdr::Cause;

    #[test]
    fn values_under_variables_are_encoded_and_nothing_else_is() {
        let profile = Profile { caller_id_name: "Zoë \"x\" @".into(), ..Profile::default() };
        let mut leg = Leg::new(Direction::Inbound, profile);
        leg.set("vp_domain", "a@b");
        leg.run("respond", "404");
        leg.hang_up(Cause::UnallocatedNumber, "send_refuse");
        let text = write(&leg, &Process::new(), true).expect("serialises");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(document["switchname"], "media-double");
        assert_eq!(document["variables"]["vp_domain"], "a%40b");
        assert_eq!(document["variables"]["hangup_cause"], "UNALLOCATED_NUMBER");
        assert_eq!(document["callflow"][0]["caller_profile"]["caller_id_name"], "Zoë \"x\" @");
        assert!(text.starts_with(r#"{"core-uuid":"#), "keys stand in FreeSWITCH's order");
    }
}
