//! `GET /api/cdr`, until the calls that were made are there.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde_json::Value;

use super::record::{Call, Page};

/// How long records may take.
const WAIT: Duration = Duration::from_secs(15);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// A single request.
const REQUEST: Duration = Duration::from_secs(5);
/// Calls looked at: others may be made meanwhile.
const PAGE_ITEMS: u32 = 100;

/// The API of a node.
pub struct Api {
    base: String,
    key: String,
    agent: ureq::Agent,
}

/// A call that must appear.
#[derive(Debug)]
pub struct Wanted {
    call_id: String,
    queued: bool,
}

impl Wanted {
    /// A call between two phones.
    pub fn direct(call_id: String) -> Self {
        Self { call_id, queued: false }
    }

    /// A call to a queue that an agent answered.
    pub fn queued(call_id: String) -> Self {
        Self { call_id, queued: true }
    }

    /// What the record still lacks; nothing once it is whole.
    fn lacks(&self, call: Option<&Call>) -> Option<&'static str> {
        let Some(call) = call else { return Some("is not there") };
        if call.legs.is_empty() || !call.legs.iter().all(|leg| leg.record.end_time.is_some()) {
            return Some("has not ended");
        }
        if self.queued && call.record.queue.is_none() {
            return Some("names no queue");
        }
        let answered_agent = |leg: &super::record::Leg| leg.record.agent.is_some() && leg.record.billsec > 0;
        // The member's own leg names the agent too: theirs is one more.
        if self.queued && call.legs.iter().filter(|leg| answered_agent(leg)).count() < 2 {
            return Some("has no leg of an agent who answered");
        }
        None
    }
}

impl Api {
    /// The API at `base`, asked with `key`.
    pub fn new(base: &str, key: &str) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(REQUEST)).http_status_as_error(false);
        Self { base: base.to_owned(), key: key.to_owned(), agent: config.build().new_agent() }
    }

    /// Whether the node is up.
    pub fn check(&self) -> Result<()> {
        let url = format!("{}/health", self.base);
        let answer = self.agent.get(&url).call();
        let answer = answer.with_context(|| {
            format!("no node answers at {}; start one with 'make up' or 'make dev'", self.base)
        })?;
        let status = answer.status();
        if !status.is_success() {
            bail!("{url} says {status}: the node is not ready; see 'make status'");
        }
        Ok(())
    }

    /// The wanted calls, in order, as soon as they are whole.
    ///
    /// # Errors
    /// One is not after [`WAIT`]; says which, and what it lacks.
    pub fn wait_for(&self, wanted: &[Wanted], since: &Timestamp) -> Result<Vec<Value>> {
        let deadline = Instant::now() + WAIT;
        loop {
            let items = self.calls_since(since)?;
            let mut found = Vec::new();
            let mut lacking = None;
            for wanted in wanted {
                let item = items.iter().find(|item| item["sip_call_id"] == wanted.call_id.as_str());
                let call = item.map(Call::read).transpose().context("reading a call's record")?;
                match wanted.lacks(call.as_ref()) {
                    Some(lack) => lacking = Some((wanted, lack)),
                    None => found.extend(item.cloned()),
                }
            }
            match lacking {
                None => return Ok(found),
                Some((wanted, lack)) if Instant::now() >= deadline => bail!(
                    "after {} s the record of the call with Call-ID {} {lack}; see 'make logs' (voipadmind)",
                    WAIT.as_secs(),
                    wanted.call_id
                ),
                Some(_) => sleep(PAUSE),
            }
        }
    }

    fn calls_since(&self, since: &Timestamp) -> Result<Vec<Value>> {
        let url = format!("{}/api/cdr", self.base);
        let request = self.agent.get(&url).header("Authorization", format!("Bearer {}", self.key));
        let request = request.query("from", since.to_string()).query("limit", PAGE_ITEMS.to_string());
        let mut answer = request.call().with_context(|| format!("asking {url}"))?;
        let (status, body) = (answer.status(), answer.body_mut().read_to_string().context("reading calls")?);
        if !status.is_success() {
            bail!("{url} says {status}: {body}");
        }
        let page: Page =
            serde_json::from_str(&body).with_context(|| format!("{url} does not answer in JSON"))?;
        Ok(page.items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_queue_call_is_whole_with_its_agents_leg() {
        let wanted = Wanted::queued("x".into());
        let member =
            json!({ "queue": "support", "agent": "1002", "billsec": 4, "end_time": "2026-11-22T10:00:04Z" });
        let busy =
            json!({ "queue": "support", "agent": "1003", "billsec": 0, "end_time": "2026-11-22T10:00:01Z" });
        let call = |legs: &[&Value]| {
            let mut call = member.clone();
            call["legs"] = json!(legs);
            Call::read(&call).expect("readable")
        };
        assert_eq!(wanted.lacks(None), Some("is not there"));
        assert_eq!(wanted.lacks(Some(&call(&[]))), Some("has not ended"));
        assert_eq!(wanted.lacks(Some(&call(&[&member, &busy]))), Some("has no leg of an agent who answered"));
        assert_eq!(wanted.lacks(Some(&call(&[&member, &busy, &member]))), None);
        assert_eq!(Wanted::direct("x".into()).lacks(Some(&call(&[&busy]))), None);
        let open = json!({ "billsec": 0, "end_time": null });
        assert_eq!(Wanted::direct("x".into()).lacks(Some(&call(&[&open]))), Some("has not ended"));
    }
}
