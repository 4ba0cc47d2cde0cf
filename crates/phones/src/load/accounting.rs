//! Calls tried = calls accounted for: every Call-ID the load used is looked for in `GET /api/cdr`.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::interrupt::Interrupt;
use crate::Env;

/// How long records may take after the last call.
const WAIT: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// A single request.
const REQUEST: Duration = Duration::from_secs(20);
/// Items of one page, the API's most.
const PAGE_ITEMS: u32 = 500;
/// Others may call meanwhile.
const PAGES_MAX: usize = 200;

/// What the records say of the calls that were tried.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Accounted {
    /// Calls with exactly one finished record that agrees whether it was answered.
    pub whole: usize,
    /// Call-IDs with what their record lacks.
    pub wrong: Vec<(String, &'static str)>,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Item>,
    next: Option<String>,
}

/// What is looked at of a call.
#[derive(Debug, Deserialize)]
struct Item {
    sip_call_id: Option<String>,
    answer_time: Option<Value>,
    end_time: Option<Value>,
}

/// What is known of one Call-ID's records.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    records: u32,
    answered: bool,
    ended: bool,
}

/// Asks until every call of `tried` (Call-ID, whether it was answered) has its record, or [`WAIT`] is over.
///
/// # Errors
/// The API does not answer, or refuses.
pub fn account(
    env: &Env,
    since: Timestamp,
    tried: &HashMap<String, bool>,
    interrupt: &Interrupt,
) -> Result<Accounted> {
    let config = ureq::Agent::config_builder().timeout_global(Some(REQUEST)).http_status_as_error(false);
    let agent = config.build().new_agent();
    let deadline = Instant::now() + WAIT;
    loop {
        let accounted = judge(tried, &look(&agent, env, since, tried)?);
        if accounted.wrong.is_empty() || Instant::now() >= deadline || interrupt.came() {
            return Ok(accounted);
        }
        sleep(PAUSE);
    }
}

fn look(
    agent: &ureq::Agent,
    env: &Env,
    since: Timestamp,
    tried: &HashMap<String, bool>,
) -> Result<HashMap<String, Seen>> {
    let url = format!("{}/api/cdr", env.api);
    let mut seen = HashMap::new();
    let mut after: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let request = agent.get(&url).header("Authorization", format!("Bearer {}", env.api_key));
        let mut request = request.query("from", since.to_string()).query("limit", PAGE_ITEMS.to_string());
        if let Some(after) = &after {
            request = request.query("after", after);
        }
        let mut answer = request.call().with_context(|| format!("asking {url}"))?;
        let (status, body) =
            (answer.status(), answer.body_mut().with_config().limit(64 << 20).read_to_string());
        let body = body.with_context(|| format!("reading {url}"))?;
        if !status.is_success() {
            bail!("{url} says {status}: {body}");
        }
        let page: Page =
            serde_json::from_str(&body).with_context(|| format!("{url} does not answer in JSON"))?;
        note(&mut seen, &page.items, tried);
        after = page.next;
        if after.is_none() {
            return Ok(seen);
        }
    }
    bail!("{url} has more than {PAGES_MAX} pages of calls since {since}: somebody else calls too")
}

fn note(seen: &mut HashMap<String, Seen>, items: &[Item], tried: &HashMap<String, bool>) {
    for item in items {
        let Some(call_id) = item.sip_call_id.as_ref().filter(|call_id| tried.contains_key(*call_id)) else {
            continue;
        };
        let seen = seen.entry(call_id.clone()).or_default();
        seen.records += 1;
        seen.answered |= item.answer_time.is_some();
        seen.ended |= item.end_time.is_some();
    }
}

fn judge(tried: &HashMap<String, bool>, seen: &HashMap<String, Seen>) -> Accounted {
    let mut accounted = Accounted::default();
    for (call_id, answered) in tried {
        match lack(*answered, seen.get(call_id).copied().unwrap_or_default()) {
            None => accounted.whole += 1,
            Some(lack) => accounted.wrong.push((call_id.clone(), lack)),
        }
    }
    accounted.wrong.sort();
    accounted
}

fn lack(answered: bool, seen: Seen) -> Option<&'static str> {
    match seen {
        Seen { records: 0, .. } => Some("has no record"),
        Seen { records: 2.., .. } => Some("is recorded as several calls"),
        Seen { ended: false, .. } => Some("has not ended in its record"),
        Seen { answered: false, .. } if answered => Some("was answered, and its record says not"),
        Seen { answered: true, .. } if !answered => Some("was not answered, and its record says it was"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_call_needs_one_record_that_says_the_same() {
        let tried: HashMap<String, bool> =
            [("a", true), ("b", false), ("c", true), ("d", true), ("e", true), ("f", false), ("g", true)]
                .map(|(id, answered)| (id.to_owned(), answered))
                .into();
        let item = |id: &str, answered: bool, ended: bool| {
            let time = |there: bool| if there { json!("2026-11-22T10:00:00Z") } else { Value::Null };
            json!({ "sip_call_id": id, "answer_time": time(answered), "end_time": time(ended), "x": 1 })
        };
        let page = json!({ "next": null, "items": [
            item("a", true, true), item("b", false, true), item("c", true, false), item("d", true, true),
            item("d", true, true), item("e", false, true), item("f", true, true), item("somebody", true, true),
            { "sip_call_id": null },
        ]});
        let page: Page = serde_json::from_value(page).unwrap();
        let mut seen = HashMap::new();
        note(&mut seen, &page.items, &tried);
        let accounted = judge(&tried, &seen);
        assert_eq!(accounted.whole, 2);
        let wrong: Vec<String> = accounted.wrong.iter().map(|(id, lack)| format!("{id} {lack}")).collect();
        assert_eq!(
            wrong,
            [
                "c has not ended in its record",
                "d is recorded as several calls",
                "e was answered, and its record says not",
                "f was not answered, and its record says it was",
                "g has no record",
            ]
        );
    }
}
