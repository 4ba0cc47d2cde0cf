//! One POST with basic auth, a time-out and a bounded answer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

/// Longest answer read: a directory document is about 2 KB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// User and password of the /fs endpoints.
pub struct Credentials(HeaderValue);

impl Credentials {
    /// Basic auth of `user` and `password`; marked sensitive, so that no log shows it.
    pub fn basic(user: &str, password: &str) -> anyhow::Result<Self> {
        let mut value =
            HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

/// What came back.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body, at most [`ANSWER_BYTES_MAX`].
    pub body: Bytes,
}

/// A client that posts.
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    credentials: Credentials,
    timeout: Duration,
}

impl Client {
    /// A client with these credentials; `timeout` covers a whole exchange.
    pub fn new(credentials: Credentials, timeout: Duration) -> Self {
        Self { pool: Pool::builder(TokioExecutor::new()).build_http(), credentials, timeout }
    }

    /// Posts `body`.
    ///
    /// # Errors
    /// The server could not be reached, or was too slow, or said too much. Any status is an [`Answer`].
    pub async fn post(
        &self,
        uri: &Uri,
        user_agent: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let request = Request::post(uri)
            .header(header::USER_AGENT, user_agent)
            .header(header::ACCEPT, "*/*")
            .header(header::CONTENT_TYPE, content_type)
            .header(header::AUTHORIZATION, &self.credentials.0)
            .body(Full::new(body))?;
        let exchange = async {
            let response = self.pool.request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("reading the answer: {error}"))?.to_bytes();
            Ok(Answer { status, body })
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => anyhow::bail!("no answer within {} ms", self.timeout.as_millis()),
        }
    }
}
