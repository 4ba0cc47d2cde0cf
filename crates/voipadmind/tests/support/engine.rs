//! An engine that posts to voipadmind: each thread of a test has its own.

use std::time::Duration;

use base64::Engine as _;

use super::{Answer, answer};

#[derive(Clone)]
pub struct Engine {
    agent: ureq::Agent,
    base: String,
    authorization: String,
}

impl Engine {
    pub(super) fn new(base: String) -> Self {
        let credentials = format!("{}:{}", super::FS_USER, super::FS_PASSWORD);
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .new_agent();
        let credentials = base64::engine::general_purpose::STANDARD.encode(credentials);
        Self { agent, base, authorization: format!("Basic {credentials}") }
    }

    /// # Errors
    /// A connection that broke, or no answer in time: nobody knows whether the document was kept.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Content-Type", content_type);
        request.header("Authorization", &self.authorization).send(body).map(answer)
    }
}
