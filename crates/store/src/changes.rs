//! News of changed configuration, by LISTEN on a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{StreamExt, poll_fn};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};

use crate::connection::check_writable;
use crate::hosts::Hosts;
use crate::{Error, Result, Store};

/// News that wait to be read. A reader that falls further behind is told to drop everything instead.
pub const NEWS_QUEUED_MAX: usize = 1_024;

const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// A quiet connection is asked this often whether its server is still there and still the one that writes.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
const ALIVE_ANSWER: Duration = Duration::from_secs(3);

/// News for whoever caches configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// This row changed.
    Changed(Changed),
    /// Some news may have been missed: drop everything. Always the first news of a connection.
    Resync,
}

/// A changed row, as the trigger `voip.notify_change` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Changed {
    /// The table, without its schema.
    pub table: String,
    /// The tenant's SIP domain; `None` where it is gone or the row is the platform's.
    pub domain: Option<String>,
    /// The number, name or prefix; `None` where its owner is gone.
    pub key: Option<String>,
}

impl Store {
    /// Listens until the receiver is dropped, reconnecting with growing pauses.
    pub fn changes(&self) -> mpsc::Receiver<News> {
        let (sender, receiver) = mpsc::channel(NEWS_QUEUED_MAX);
        let listener = Listener { sender, missed: Arc::default() };
        let hosts = Hosts::new(&self.config);
        tokio::spawn(async move {
            let mut pause = RECONNECT_FIRST;
            while !listener.sender.is_closed() {
                if let Err(error) = listener.listen(&hosts, &mut pause).await {
                    let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                    tracing::warn!(
                        pause_ms,
                        "listening for changes of configuration is tried again: {error}"
                    );
                }
                tokio::select! {
                    () = sleep(pause) => {}
                    () = listener.sender.closed() => return,
                }
                pause = (pause * 2).min(RECONNECT_MAX);
            }
        });
        receiver
    }
}

#[derive(Clone)]
struct Listener {
    sender: mpsc::Sender<News>,
    /// Something did not fit into the channel.
    missed: Arc<AtomicBool>,
}

impl Listener {
    /// One connection's life.
    async fn listen(&self, hosts: &Hosts, pause: &mut Duration) -> Result<()> {
        let (client, connection) = hosts.connect().await?;
        let mut driver = tokio::spawn(self.clone().drive(connection));
        timeout(ALIVE_ANSWER, client.batch_execute("LISTEN voip_changed")).await.map_err(|_| silent())??;
        *pause = RECONNECT_FIRST;
        // Only now nothing more can be missed.
        self.tell(News::Resync);
        loop {
            tokio::select! {
                () = sleep(ALIVE_EVERY) => self.check(&client).await?,
                _ = &mut driver => return Err(silent()),
                () = self.sender.closed() => return Ok(()),
            }
        }
    }

    async fn check(&self, client: &Client) -> Result<()> {
        if self.missed.swap(false, Ordering::AcqRel) {
            self.tell(News::Resync);
        }
        timeout(ALIVE_ANSWER, check_writable(client)).await.map_err(|_| silent())?
    }

    async fn drive(self, mut connection: Connection<Socket, NoTlsStream>) {
        let mut messages = poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message {
                self.tell(serde_json::from_str(notification.payload()).map_or(News::Resync, News::Changed));
            }
        }
    }

    /// Never waits: the connection must be kept flowing, or the server's own queue of news fills up.
    fn tell(&self, news: News) {
        if self.sender.try_send(news).is_err() {
            self.missed.store(true, Ordering::Release);
        }
    }
}

fn silent() -> Error {
    Error::Unavailable("the connection broke or its server is silent".to_owned())
}
