//! Documents as mod_json_cdr posts them, each with a leg's uuid of its own.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use phones::Env;
use tokio::time::{MissedTickBehavior, interval};

use super::http::{agent, answered};
use super::{Desk, Outcome, Probe};

const EVERY: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_millis(2_500);
const CONNECT: Duration = Duration::from_millis(1_000);
/// Documents under way at once: more are not begun, as FreeSWITCH has as many threads as calls that end.
const WAITING_MAX: usize = 50;

#[derive(Clone)]
pub struct Target {
    url: String,
    basic: String,
    domain: String,
}

impl Target {
    pub fn of(env: &Env) -> Self {
        let basic = STANDARD.encode(format!("{}:{}", env.fs_user, env.fs_password));
        Self {
            url: format!("{}/fs/cdr", env.fs_url),
            basic: format!("Basic {basic}"),
            domain: env.domain.clone(),
        }
    }
}

pub async fn run(desk: Desk, target: Target) {
    let waiting = std::sync::Arc::new(tokio::sync::Semaphore::new(WAITING_MAX));
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !desk.is_over() {
        ticks.tick().await;
        let Ok(place) = waiting.clone().try_acquire_owned() else { continue };
        let (desk, target) = (desk.clone(), target.clone());
        tokio::spawn(async move {
            let number = desk.number();
            let (uuid, sent) = (format!("f{}-cdr-{number}", desk.run), desk.now());
            let answer = tokio::task::spawn_blocking(move || post(&target, &uuid)).await;
            desk.tell(
                Probe::Cdr,
                number,
                sent,
                answer.unwrap_or_else(|_| Outcome::Bad("the probe broke".into())),
            );
            drop(place);
        });
    }
}

fn post(target: &Target, uuid: &str) -> Outcome {
    let request = agent(ANSWER, CONNECT).post(format!("{}?uuid={uuid}", target.url));
    let request = request.header("Authorization", &target.basic).header("Content-Type", "application/json");
    answered(request.send(document(uuid, &target.domain, Timestamp::now())), 200)
}

/// What FreeSWITCH says of a direct call of two seconds, without what is not read.
fn document(uuid: &str, domain: &str, end: Timestamp) -> String {
    let end_us = end.as_microsecond();
    let variables = serde_json::json!({
        "direction": "inbound", "uuid": uuid, "vp_domain": domain, "sip_from_user": "1001", "sip_from_host": domain,
        "caller_id_number": "1001", "destination_number": "1002", "sip_call_id": uuid,
        "start_uepoch": (end_us - 3_000_000).to_string(), "answer_uepoch": (end_us - 2_000_000).to_string(),
        "end_uepoch": end_us.to_string(), "duration": "3", "billsec": "2", "hangup_cause": "NORMAL_CLEARING",
    });
    serde_json::json!({
        "core-uuid": "f0000000-0000-4000-8000-000000000000", "switchname": "faults",
        "channel_data": { "state": "CS_REPORTING", "direction": "inbound" }, "variables": variables,
        "callflow": [{ "profile_index": "1", "caller_profile": {
            "username": "1001", "dialplan": "XML", "caller_id_number": "1001", "destination_number": "1002", "uuid": uuid,
            "source": "mod_sofia", "context": "kamailio", "chan_name": "sofia/kamailio/1001" },
            "times": { "created_time": (end_us - 3_000_000).to_string(),
                "answered_time": (end_us - 2_000_000).to_string(), "hangup_time": end_us.to_string() } }],
    })
    .to_string()
}
