//! Writes through the API, each on a connection of its own: no connection that hangs holds up the next request.

use std::time::Duration;

use anyhow::{Context, Result};
use phones::Env;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{Desk, Outcome, Probe};

const EVERY: Duration = Duration::from_millis(100);
/// Longer than a healthy answer on a busy machine, shorter than the API's own bound of a commit.
const ANSWER: Duration = Duration::from_millis(2_500);
const CONNECT: Duration = Duration::from_millis(1_000);
/// What was not acknowledged is asked again with the same key, as a good client does: never two rows of it.
const TRIES_MAX: u32 = 8;
const TRY_AGAIN: Duration = Duration::from_millis(2_000);
/// Requests that are asked again meanwhile; the rest is given up, and nothing is expected of it.
const AGAIN_MAX: usize = 40;

#[derive(Clone)]
pub struct Target {
    url: String,
    key: String,
    domain: String,
}

impl Target {
    /// The API at the virtual address itself, not through the lab's forwarder.
    pub fn of(env: &Env) -> Result<Self> {
        let vip = &env.lab.as_ref().context("no lab")?.vip;
        let port = env.fs_url.rsplit_once(':').map_or("8080", |(_, port)| port);
        Ok(Self {
            url: format!("http://{vip}:{port}/api/queues"),
            key: env.api_key.clone(),
            domain: env.domain.clone(),
        })
    }
}

pub async fn run(desk: Desk, target: Target) {
    let again = std::sync::Arc::new(tokio::sync::Semaphore::new(AGAIN_MAX));
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !desk.is_over() {
        ticks.tick().await;
        let (desk, target, again) = (desk.clone(), target.clone(), again.clone());
        tokio::spawn(async move {
            let number = desk.number();
            if write(&desk, &target, number).await {
                return;
            }
            let Ok(_place) = again.try_acquire() else { return };
            for _ in 1..TRIES_MAX {
                sleep(TRY_AGAIN).await;
                if desk.is_over() || write(&desk, &target, number).await {
                    return;
                }
            }
        });
    }
}

/// One attempt; whether it was acknowledged.
async fn write(desk: &Desk, target: &Target, number: u64) -> bool {
    let name = format!("f{}-http-{number}", desk.run);
    let (asked, sent) = (target.clone(), desk.now());
    let answer = tokio::task::spawn_blocking(move || post(&asked, &name)).await;
    let outcome = answer.unwrap_or_else(|_| Outcome::Bad("the probe broke".into()));
    let good = matches!(outcome, Outcome::Good(_));
    desk.tell(Probe::Http, number, sent, outcome);
    good
}

fn post(target: &Target, name: &str) -> Outcome {
    let body = serde_json::json!({ "domain": target.domain, "name": name }).to_string();
    let request = agent(ANSWER, CONNECT).post(&target.url);
    let request = request.header("Authorization", format!("Bearer {}", target.key));
    let request = request.header("Idempotency-Key", name).header("Content-Type", "application/json");
    answered(request.send(body), 201)
}

/// A client without a memory.
pub fn agent(answer: Duration, connect: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(answer)).timeout_connect(Some(connect));
    config.http_status_as_error(false).max_idle_connections(0).build().new_agent()
}

/// One status is an acknowledgement; 503 with "outcome: unknown" and all else is none.
pub fn answered(answer: Result<http_answer::Answer, ureq::Error>, good: u16) -> Outcome {
    match answer {
        Ok(answer) if answer.status().as_u16() == good => Outcome::Good(None),
        Ok(mut answer) => {
            let status = answer.status().as_u16();
            let body = answer.body_mut().read_to_string().unwrap_or_default();
            let unknown = if body.contains("unknown") { ", outcome unknown" } else { "" };
            Outcome::Bad(format!("{status}{unknown}"))
        }
        Err(ureq::Error::Timeout(_)) => Outcome::Bad("no answer in time".into()),
        Err(ureq::Error::Io(error)) => Outcome::Bad(error.kind().to_string()),
        Err(error) => Outcome::Bad(error.to_string()),
    }
}

mod http_answer {
    pub type Answer = ureq::http::Response<ureq::Body>;
}
