//! News of changed configuration, by LISTEN on a connection of its own.

use std::time::Duration;

use futures_util::stream::{StreamExt, poll_fn};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, NoTls};

use crate::{Result, Store};

/// News that wait to be read. A reader that falls further behind is told to drop everything instead.
pub const NEWS_QUEUED_MAX: usize = 1_024;

const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// A quiet connection is asked this often whether its server is still there and still the primary.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

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
        let store = self.clone();
        tokio::spawn(async move {
            let mut pause = RECONNECT_FIRST;
            while !sender.is_closed() {
                match listen(&store, &sender, &mut pause).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(
                        pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                        "listening for changes of configuration failed, and is tried again: {error}"
                    ),
                }
                tokio::select! {
                    () = sleep(pause) => {}
                    () = sender.closed() => return,
                }
                pause = (pause * 2).min(RECONNECT_MAX);
            }
        });
        receiver
    }
}

/// One connection's life. `Ok` when the receiver is gone.
async fn listen(store: &Store, sender: &mpsc::Sender<News>, pause: &mut Duration) -> Result<()> {
    let opened = timeout(store.config.connect_timeout, store.config.postgres().connect(NoTls)).await;
    let (client, mut connection) = opened.map_err(|_| silent())??;
    let mut messages = poll_fn(move |cx| connection.poll_message(cx)).fuse();
    let listening = client.batch_execute("LISTEN voip_changed");
    tokio::pin!(listening);
    let mut up = false;
    let mut missed = false;
    loop {
        // What did not fit is told as one Resync as soon as there is room.
        if missed && sender.try_send(News::Resync).is_ok() {
            missed = false;
        }
        tokio::select! {
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    let news = serde_json::from_str(notification.payload()).map_or(News::Resync, News::Changed);
                    missed |= sender.try_send(news).is_err();
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(silent()),
            },
            done = &mut listening, if !up => {
                done?;
                up = true;
                *pause = RECONNECT_FIRST;
                // Only now nothing more can be missed.
                missed |= sender.try_send(News::Resync).is_err();
            }
            () = sleep(ALIVE_EVERY) => {}
            () = sender.closed() => return Ok(()),
        }
    }
}

fn silent() -> crate::Error {
    crate::Error::Unavailable("the server stopped answering".to_owned())
}
