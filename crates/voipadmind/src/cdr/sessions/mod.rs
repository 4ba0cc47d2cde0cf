//! Does every session that FreeSWITCH ended have its record?
//!
//! In: each end (`CHANNEL_DESTROY`) and how many sessions there were (`HEARTBEAT`), by the event socket. Out: the numbers of those that
//! ended, told to the store, which holds them against the numbers of the documents that came; and what is missing, for `/health`
//! and `/metrics` ([`records`]). What ended while nobody listened (a lost connection, a restart of this program) is found by the
//! holes in the numbers: what is neither heard nor goes on at two looks.
//! Never: an end that is forgotten because the database is away, or a wait of FreeSWITCH for us.

mod heard;
pub mod records;

use std::collections::{HashMap, HashSet};
use std::io::{Error, Result};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use model::cdr::session::{self, SessionEvent};
use store::Store;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::open::channels;
use super::open::event_socket::EventSocket;
use crate::config;
use heard::Heard;

const TELL_EVERY: Duration = Duration::from_secs(5);
const RECONNECT_AFTER: Duration = Duration::from_secs(2);
/// A heartbeat comes every 20 s. Without one the connection is made anew: its other side may be gone without a word.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// Channels asked for their numbers at one look; the next look asks the rest.
const ASKED_MAX: usize = 1_000;

/// This node's FreeSWITCH, counted.
pub struct Sessions {
    port: u16,
    password: config::Secret,
    node: String,
    store: Store,
    heard: Mutex<Heard>,
}

/// What the teller remembers.
#[derive(Default)]
struct Teller {
    /// Numbers of the channels that go on, by uuid.
    numbers: HashMap<String, i64>,
    /// The run and hour (since the epoch) told to be listened to.
    listening: Option<(String, i64)>,
}

impl Sessions {
    /// `None` where the event socket's password is not configured: nobody counts then.
    pub fn new(freeswitch: &config::Freeswitch, node: &str, store: Store) -> Option<Self> {
        let password = freeswitch.esl_password.clone();
        (!password.is_empty()).then(|| Self {
            port: freeswitch.esl_port.get() as u16,
            password,
            node: node.to_owned(),
            store,
            heard: Mutex::default(),
        })
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        tokio::join!(self.follow(), self.tell());
    }

    fn heard<T>(&self, with: impl FnOnce(&mut Heard) -> T) -> T {
        with(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn connect(&self) -> Result<EventSocket> {
        EventSocket::connect(self.port, self.password.expose()).await
    }

    async fn follow(&self) {
        loop {
            if let Err(error) = self.follow_connection().await {
                tracing::debug!(%error, "FreeSWITCH's event socket is away; its sessions are counted when it is back");
            }
            sleep(RECONNECT_AFTER).await;
        }
    }

    async fn follow_connection(&self) -> Result<()> {
        let mut socket = self.connect().await?;
        self.heard(Heard::connected);
        socket.command("event json CHANNEL_DESTROY HEARTBEAT").await?;
        loop {
            let Ok(message) = timeout(SILENCE_MAX, socket.next()).await else { return Ok(()) };
            let message = message?;
            if message.kind != "text/event-json" {
                continue;
            }
            match session::event(&message.body) {
                Ok(Some(event)) => {
                    if let SessionEvent::Ended(_) = event {
                        metrics::counter!("voip_sessions_ended_total").increment(1);
                    }
                    self.heard(|heard| heard.take(event));
                }
                Ok(None) => {}
                // Its number stays open, and is found.
                Err(rejected) => {
                    tracing::debug!(%rejected, "FreeSWITCH told of a session in an unknown way");
                }
            }
        }
    }

    async fn tell(&self) {
        let mut tick = interval(TELL_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut teller = Teller::default();
        loop {
            tick.tick().await;
            if let Err(error) = self.tell_once(&mut teller).await {
                tracing::debug!(%error, "the end of sessions is not told; trying again");
            }
        }
    }

    async fn tell_once(&self, teller: &mut Teller) -> Result<()> {
        loop {
            let untold = self.heard(|heard| heard.untold());
            let Some(first) = untold.first() else { break };
            let told = self.store.tell_ended_sessions(&self.node, &first.core_uuid, &untold).await;
            told.map_err(Error::other)?;
            self.heard(|heard| heard.told(untold.len()));
        }
        let Some(core) = self.heard(|heard| heard.core()) else { return Ok(()) };
        self.tell_listening(teller, &core).await?;
        if let Some((core, last)) = self.heard(|heard| heard.unknown()) {
            let open = self.store.open_sessions(&core, last).await.map_err(Error::other)?;
            self.heard(|heard| heard.opened(&core, last, open));
        }
        self.judge(teller).await
    }

    async fn tell_listening(&self, teller: &mut Teller, core: &str) -> Result<()> {
        let now = Timestamp::now();
        let listening = Some((core.to_owned(), now.as_second().div_euclid(3_600)));
        if teller.listening != listening {
            self.store.tell_listening(&self.node, core, now).await.map_err(Error::other)?;
            teller.listening = listening;
        }
        Ok(())
    }

    /// Finds what ended unheard.
    async fn judge(&self, teller: &mut Teller) -> Result<()> {
        let Some(core) = self.heard(|heard| heard.to_judge()) else { return Ok(()) };
        let Some(running) = self.running(&mut teller.numbers).await? else { return Ok(()) };
        let unheard = self.heard(|heard| heard.judge(&core, &running));
        if unheard.is_empty() {
            return Ok(());
        }
        self.store.tell_unheard_sessions(&self.node, &core, &unheard).await.map_err(Error::other)?;
        tracing::info!(
            sessions = unheard.len(),
            "sessions ended while nobody listened to FreeSWITCH; their records count all the same"
        );
        self.heard(|heard| heard.told_unheard(&core, &unheard));
        Ok(())
    }

    /// The numbers of the channels that go on; `None` while not all are known.
    async fn running(&self, numbers: &mut HashMap<String, i64>) -> Result<Option<HashSet<i64>>> {
        let mut socket = self.connect().await?;
        let list = channels(&socket.api("show channels as json").await?)?;
        let channels: HashSet<String> = list.into_iter().map(|channel| channel.uuid).collect();
        numbers.retain(|uuid, _| channels.contains(uuid));
        let unknown: Vec<&String> = channels.iter().filter(|uuid| !numbers.contains_key(*uuid)).collect();
        for uuid in unknown.iter().take(ASKED_MAX) {
            let answer = socket.api(&format!("uuid_getvar {uuid} session_id")).await?;
            // One that ended meanwhile has none.
            if let Ok(number) = String::from_utf8_lossy(&answer).trim().parse() {
                numbers.insert((*uuid).clone(), number);
            }
        }
        Ok((unknown.len() <= ASKED_MAX).then(|| numbers.values().copied().collect()))
    }
}
