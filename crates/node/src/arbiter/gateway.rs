//! One question to etcd: put to its members in turn, from the one that answered last, until one answers or the time is over.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use spec::Endpoint;

use super::wire;

/// Of a question to all members together.
pub const TOTAL: Duration = Duration::from_millis(1_500);
/// A member is asked for this long at least: less is no question.
const SHARE_MIN: Duration = Duration::from_millis(150);
/// A host that is off answers no SYN; on a network of one site a live one does in a few.
const CONNECT: Duration = Duration::from_millis(250);
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Of what a member says of an error.
const SAID_CHARS_MAX: usize = 200;

pub struct Gateway {
    endpoints: Vec<Endpoint>,
    /// The member asked first.
    first: AtomicUsize,
    user: Option<(String, String)>,
    token: Mutex<Option<String>>,
    /// Of the first member that answered: an endpoint of another etcd decides nothing here.
    cluster_id: OnceLock<String>,
    agent: ureq::Agent,
}

impl Gateway {
    pub fn new(endpoints: Vec<Endpoint>, first: usize, user: Option<(String, String)>) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            // A connection kept to a member that died would cost its share of the next question.
            .max_idle_connections(0)
            .build()
            .into();
        let (token, cluster_id) = (Mutex::new(None), OnceLock::new());
        Self { endpoints, first: AtomicUsize::new(first), user, token, cluster_id, agent }
    }

    /// The first answer. The question may have reached members before it, so it must be one that does no harm twice.
    ///
    /// # Errors
    /// What each member said, or that it did not.
    pub fn ask<T: DeserializeOwned>(&self, path: &str, question: &Value) -> Result<T, String> {
        let (deadline, count) = (Instant::now() + TOTAL, self.endpoints.len());
        let start = self.first.load(Ordering::Relaxed);
        let mut said = Vec::new();
        for turn in 0..count {
            let index = (start + turn) % count;
            let left = deadline.saturating_duration_since(Instant::now());
            if left < SHARE_MIN {
                said.push("no time was left for the others".to_owned());
                break;
            }
            let others = u32::try_from(count - turn).unwrap_or(u32::MAX);
            let until = Instant::now() + (left / others).max(SHARE_MIN);
            match self.ask_one(&self.endpoints[index], path, question, until) {
                Ok(answer) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(why) => said.push(format!("{}: {why}", self.endpoints[index])),
            }
        }
        Err(said.join("; "))
    }

    /// Of one member alone.
    ///
    /// # Errors
    /// What it said, or that it did not.
    pub fn ask_at<T: DeserializeOwned>(
        &self,
        member: usize,
        path: &str,
        question: &Value,
    ) -> Result<T, String> {
        self.named(member, |endpoint| self.ask_one(endpoint, path, question, Instant::now() + TOTAL))
    }

    /// To one member, whose answer says nothing more than that it was done.
    ///
    /// # Errors
    /// As [`Gateway::ask_at`].
    pub fn tell(&self, member: usize, path: &str, question: &Value) -> Result<(), String> {
        self.named(member, |endpoint| self.body(endpoint, path, question, Instant::now() + TOTAL).map(drop))
    }

    fn named<T>(&self, member: usize, ask: impl Fn(&Endpoint) -> Result<T, String>) -> Result<T, String> {
        let endpoint = &self.endpoints[member];
        ask(endpoint).map_err(|why| format!("{endpoint}: {why}"))
    }

    pub fn cluster_id(&self) -> Option<String> {
        self.cluster_id.get().cloned()
    }

    fn ask_one<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        path: &str,
        question: &Value,
        until: Instant,
    ) -> Result<T, String> {
        let body = self.body(endpoint, path, question, until)?;
        self.is_ours(&body)?;
        serde_json::from_slice(&body).map_err(|error| format!("an answer that is not understood: {error}"))
    }

    fn body(
        &self,
        endpoint: &Endpoint,
        path: &str,
        question: &Value,
        until: Instant,
    ) -> Result<Vec<u8>, String> {
        let mut token = self.token(endpoint, until)?;
        let mut answer = self.post(endpoint, path, question, token.as_deref(), until)?;
        if token.is_some() && is_unauthenticated(&answer) {
            // Tokens end by themselves after some minutes.
            self.keep_token(None);
            token = self.token(endpoint, until)?;
            answer = self.post(endpoint, path, question, token.as_deref(), until)?;
        }
        match answer {
            (200, body) => Ok(body),
            (status, body) => Err(refusal(status, &body)),
        }
    }

    fn post(
        &self,
        endpoint: &Endpoint,
        path: &str,
        question: &Value,
        token: Option<&str>,
        until: Instant,
    ) -> Result<(u16, Vec<u8>), String> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("no answer in time".into());
        }
        let mut request =
            self.agent.post(format!("{endpoint}{path}")).config().timeout_global(Some(left)).build();
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let request = request.header("content-type", "application/json");
        let mut response = request.send(question.to_string()).map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        body.map(|body| (status, body)).map_err(|e| e.to_string())
    }

    /// A user's token, asked for when there is none.
    fn token(&self, endpoint: &Endpoint, until: Instant) -> Result<Option<String>, String> {
        let Some((name, password)) = &self.user else { return Ok(None) };
        let kept = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if kept.is_some() {
            return Ok(kept);
        }
        let question = json!({ "name": name, "password": password });
        let (status, body) = self.post(endpoint, wire::AUTHENTICATE, &question, None, until)?;
        if status != 200 {
            return Err(format!("the user '{name}' is not let in: {}", refusal(status, &body)));
        }
        let token: wire::Token =
            serde_json::from_slice(&body).map_err(|_| "a token that is not understood".to_owned())?;
        self.keep_token(Some(token.token.clone()));
        Ok(Some(token.token))
    }

    fn keep_token(&self, token: Option<String>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    fn is_ours(&self, body: &[u8]) -> Result<(), String> {
        let answer: wire::Headed = serde_json::from_slice(body).map_err(|_| "an answer without a header")?;
        let found = answer.header.cluster_id;
        if found.is_empty() {
            return Err("an answer that does not say of which etcd".into());
        }
        let ours = self.cluster_id.get_or_init(|| found.clone());
        if *ours == found {
            return Ok(());
        }
        Err(format!("a member of another etcd (cluster_id {found}, not {ours})"))
    }
}

/// etcd answers a bad or an ended token with 401 or 400, by release.
fn is_unauthenticated((status, body): &(u16, Vec<u8>)) -> bool {
    *status == 401 || (*status == 400 && String::from_utf8_lossy(body).contains("auth token"))
}

/// `error` of etcd's answer, or its status.
fn refusal(status: u16, body: &[u8]) -> String {
    let said = serde_json::from_slice::<Value>(body).ok();
    let said = said.as_ref().and_then(|value| value["error"].as_str().or(value["message"].as_str()));
    let said = said.map(|text| text.chars().take(SAID_CHARS_MAX).collect::<String>());
    said.unwrap_or_else(|| format!("status {status}"))
}
