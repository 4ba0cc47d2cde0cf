//! Where finished legs go: posted, tried again, spooled.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::Uri;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::document::{self, Process};
use super::{Encoding, Leg};
use crate::http::Client;

/// FreeSWITCH's own user agent is `freeswitch-json/1.0`.
const USER_AGENT: &str = "freeswitch-json/1.0 (media-double)";
/// Documents in hand at a time; above it they are spooled without a try.
const PENDING_MAX: usize = 1_000;

/// Settings of json_cdr.conf.xml.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to post; `?uuid=` is appended.
    pub uri: Uri,
    /// `encode`.
    pub encoding: Encoding,
    /// `encode-values`.
    pub encode_values: bool,
    /// Extra tries after the first.
    pub retries: u32,
    /// Pause between two tries.
    pub delay: Duration,
    /// `err-log-dir`: where `<uuid>.cdr.json` is written when all tries failed.
    pub err_log_dir: PathBuf,
}

/// Takes finished legs.
pub struct Sink {
    settings: Settings,
    process: Process,
    client: Arc<Client>,
    pending: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Sink {
    /// A sink; its tasks are counted by `tasks`, so that a stop can wait for them.
    pub fn new(settings: Settings, process: Process, client: Arc<Client>, tasks: TaskTracker) -> Self {
        Self { settings, process, client, pending: Arc::new(Semaphore::new(PENDING_MAX)), tasks }
    }

    /// Takes a leg whose call is over. Returns at once.
    pub fn submit(self: &Arc<Self>, leg: Leg) {
        let sink = self.clone();
        self.tasks.spawn(async move {
            let uuid = leg.uuid().to_owned();
            if let Err(error) = sink.deliver(&leg).await {
                tracing::error!(%uuid, %error, "a CDR is lost: it could be neither posted nor spooled");
            }
        });
    }

    async fn deliver(&self, leg: &Leg) -> anyhow::Result<()> {
        let document = document::write(leg, &self.process, self.settings.encode_values)?;
        let (uuid, tries) = (leg.uuid(), 1 + self.settings.retries);
        if let Ok(_room) = self.pending.try_acquire() {
            for attempt in 1..=tries {
                match self.post(uuid, &document).await {
                    Ok(()) => return Ok(()),
                    Err(error) => tracing::warn!(uuid, attempt, tries, %error, "posting a CDR failed"),
                }
                if attempt < tries {
                    tokio::time::sleep(self.settings.delay).await;
                }
            }
        }
        let path = self.settings.err_log_dir.join(format!("{uuid}.cdr.json"));
        let content = self.settings.encoding.spool(&document);
        tokio::fs::write(&path, content).await.with_context(|| format!("writing {}", path.display()))?;
        tracing::warn!(uuid, path = %path.display(), "a CDR was spooled");
        Ok(())
    }

    async fn post(&self, uuid: &str, document: &str) -> anyhow::Result<()> {
        let Settings { uri, encoding, .. } = &self.settings;
        let uri: Uri = format!("{uri}?uuid={uuid}").parse()?;
        let body = encoding.body(document).into();
        let answer = self.client.post(&uri, USER_AGENT, encoding.content_type(), body).await?;
        anyhow::ensure!((200..300).contains(&answer.status), "voipadmind answered {}", answer.status);
        Ok(())
    }
}
