//! Calls that go on, known from answer on: FreeSWITCH's event socket tells which of its channels were answered, and which
//! recording has begun or ended.
//!
//! In: `CHANNEL_ANSWER`, `RECORD_START`, `RECORD_STOP`, and every half minute the list of channels. Out: documents of open legs, which go the way
//! of all documents ([`Intake`]) and become provisional rows, and the time each was last seen. The CDR replaces such a row when
//! it comes; a leg that nobody has seen for three lists is closed as `NODE_FAILURE` at the time it was last seen, by whichever
//! node is there to do it. An event that is missed costs nothing: the next list has its channel, the CDR its recording.
//! Never: a document that is not the truth about a channel, or a wait of FreeSWITCH for us.

pub(super) mod event_socket;

use std::io::Result;
use std::time::Duration;

use serde::Deserialize;
use store::Store;
use store::cdr_write::open::{SEEN_EVERY_S, UNSEEN_MAX_S};
use tokio::sync::Notify;
use tokio::time::{interval, sleep, timeout};

use super::Kind;
use super::intake::Intake;
use crate::config;
use event_socket::EventSocket;

const SEEN_EVERY: Duration = Duration::from_secs(SEEN_EVERY_S);
/// So many lists in a row were told before anybody's legs are closed: until then, after a pause in which no node could
/// write, the other one may only not have come to it yet.
const TOLD_MIN: u64 = UNSEEN_MAX_S / SEEN_EVERY_S;
/// FreeSWITCH writes its list of channels behind their events: what was answered just before we are let in is in it by then.
const LISTED_AFTER: Duration = Duration::from_secs(2);
const RECONNECT_AFTER: Duration = Duration::from_secs(2);
/// Channels asked for one by one after one list; the next list finds the rest.
const DUMPS_MAX: usize = 200;
/// A connection on which nothing came for so long is made anew: its other side may be gone without a word.
const SILENCE_MAX: Duration = Duration::from_secs(3_600);

/// This node's FreeSWITCH, watched for its open calls.
pub struct Watch {
    port: u16,
    password: config::Secret,
    intake: Intake,
    store: Store,
    /// Events may have been missed: the channels are to be listed now.
    resync: Notify,
}

impl Watch {
    /// `None`, said once, where the event socket's password is not configured.
    pub fn new(freeswitch: &config::Freeswitch, intake: Intake, store: Store) -> Option<Self> {
        if freeswitch.esl_password.is_empty() {
            tracing::info!(
                "freeswitch.esl_password is not set: calls are known when they have ended, not before"
            );
            return None;
        }
        let (port, password) = (freeswitch.esl_port.get() as u16, freeswitch.esl_password.clone());
        Some(Self { port, password, intake, store, resync: Notify::new() })
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        tokio::join!(self.follow(), self.tell());
    }

    async fn connect(&self) -> Result<EventSocket> {
        EventSocket::connect(self.port, self.password.expose()).await
    }

    /// Takes in every channel that is answered, over one connection after another.
    async fn follow(&self) {
        let mut told = false;
        loop {
            let mut connected = false;
            if let Err(error) = self.follow_connection(&mut connected).await
                && (connected || !told)
            {
                tracing::warn!(%error, "FreeSWITCH's event socket is away; its open calls are not followed until it is back");
                told = true;
            }
            sleep(RECONNECT_AFTER).await;
        }
    }

    async fn follow_connection(&self, connected: &mut bool) -> Result<()> {
        let mut socket = self.connect().await?;
        // Its end a call's CDR tells, and its recording too. But a recording is there without that, and from its first second.
        socket.command("event json CHANNEL_ANSWER RECORD_START RECORD_STOP").await?;
        *connected = true;
        tracing::info!("following FreeSWITCH's open calls");
        self.resync.notify_one();
        loop {
            let Ok(message) = timeout(SILENCE_MAX, socket.next()).await else { return Ok(()) };
            let message = message?;
            if message.kind == "text/event-json" {
                self.take(&message.body).await;
            }
        }
    }

    /// An event or a dump of a channel.
    async fn take(&self, event: &[u8]) {
        match model::cdr::open::document(event) {
            Ok(Some((uuid, document))) => {
                if let Err(refusal) = self.intake.accept(Kind::Channel, &uuid, document.into()).await {
                    tracing::debug!(uuid, %refusal, "what a channel told was not taken in; the next list or its CDR has it");
                }
            }
            Ok(None) => {}
            Err(rejected) => tracing::debug!(%rejected, "FreeSWITCH told of a channel in an unknown way"),
        }
    }

    /// Says again and again which legs go on, and closes those that nobody has any more. While FreeSWITCH is away it has none.
    async fn tell(&self) {
        let mut tick = interval(SEEN_EVERY);
        let mut told = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.resync.notified() => {
                    sleep(LISTED_AFTER).await;
                    tick.reset();
                }
            }
            let legs = self.channels().await.unwrap_or_default();
            metrics::gauge!("voip_open_legs").set(legs.len() as f64);
            match self.store.see_open_legs(&legs).await {
                Ok(unknown) => {
                    told += 1;
                    if let Err(error) = self.ask(&unknown).await {
                        tracing::debug!(%error, "open calls not asked for; the next list has them");
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "open calls not told; trying again");
                    told = 0;
                }
            }
            if told >= TOLD_MIN {
                self.close_unseen().await;
            }
        }
    }

    async fn channels(&self) -> Result<Vec<String>> {
        answered(&self.connect().await?.api("show channels as json").await?)
    }

    /// Takes in the legs that no row is of: their event was missed, or is on its way.
    async fn ask(&self, legs: &[String]) -> Result<()> {
        if legs.is_empty() {
            return Ok(());
        }
        let mut socket = self.connect().await?;
        for uuid in legs.iter().take(DUMPS_MAX) {
            // Of a channel that is gone by now FreeSWITCH says "-ERR", which is no event.
            let dump = socket.api(&format!("uuid_dump {uuid} json")).await?;
            if dump.starts_with(b"{") {
                self.take(&dump).await;
            }
        }
        Ok(())
    }

    async fn close_unseen(&self) {
        match self.store.close_unseen_legs().await {
            Ok(0) => {}
            Ok(legs) => {
                tracing::warn!(
                    legs,
                    "calls ended with their node or without a word: closed as NODE_FAILURE at the time last seen"
                );
                metrics::counter!("voip_open_legs_closed_total").increment(legs as u64);
            }
            Err(error) => tracing::debug!(%error, "lost calls not closed; trying again"),
        }
    }
}

#[derive(Deserialize)]
struct Channels {
    /// Absent where there are none.
    #[serde(default)]
    rows: Vec<Channel>,
}

#[derive(Deserialize)]
pub(super) struct Channel {
    pub(super) uuid: String,
    callstate: String,
}

/// The channels of `show channels as json`.
pub(super) fn channels(list: &[u8]) -> Result<Vec<Channel>> {
    let channels: Channels = serde_json::from_slice(list)?;
    Ok(channels.rows)
}

/// Those that were answered.
fn answered(list: &[u8]) -> Result<Vec<String>> {
    let answered =
        channels(list)?.into_iter().filter(|it| matches!(&*it.callstate, "ACTIVE" | "HELD" | "UNHELD"));
    Ok(answered.map(|channel| channel.uuid).collect())
}

#[cfg(test)]
mod tests {
    use super::answered;

    #[test]
    fn a_list_without_channels_has_no_rows() {
        assert!(answered(br#"{"row_count":0}"#).unwrap().is_empty());
        let list =
            br#"{"row_count":3,"rows":[{"uuid":"a","callstate":"HELD"},{"uuid":"b","callstate":"RINGING"},
            {"uuid":"c","callstate":"ACTIVE","name":"sofia/kamailio/1003"}]}"#;
        assert_eq!(answered(list).unwrap(), ["a", "c"]);
        assert!(answered(b"-ERR").is_err());
    }
}
