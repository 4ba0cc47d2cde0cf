//! Heartbeats: what each node says of itself, ten times a second, on every network the two share (failover.md 12).
//!
//! A datagram is an HMAC and JSON. It echoes the newest sequence number heard of the other, so that a node knows whether it
//! is heard itself. Nothing depends on a clock. A replayed datagram of an agent that runs is refused by its number; one
//! of an earlier life is taken for its sender only while nothing newer is heard, and echoes nothing that is recent.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fsm::{Grant, Heard, Lsn, State};
use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::auth::Key;

/// Of the datagram's shape.
const VERSION: u32 = 1;
const SEAL_BYTES: usize = 32;
/// One Ethernet frame: a heartbeat is never fragmented.
const DATAGRAM_BYTES_MAX: usize = 1400;
/// Heartbeats kept for the driver, which takes them ten times a second; more than a peer sends in seconds.
const HEARD_MAX: usize = 64;
/// A driver that hangs so long is a PostgreSQL that nobody sees to.
const DRIVER_SILENT: Duration = Duration::from_secs(10);
const BIND_AGAIN: Duration = Duration::from_secs(1);

/// How long silence is silence.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub every: Duration,
    /// After this the peer is gone: so many intervals.
    pub gone_after: Duration,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saying {
    /// None: a node that holds without a state it can trust.
    pub state: Option<State>,
    /// PostgreSQL died and does not come back.
    pub postgres_failed: bool,
    /// PostgreSQL does not run.
    pub postgres_stopped: bool,
    /// It could serve calls.
    pub fit: bool,
    pub log: Option<Log>,
    pub grant: Option<Grant>,
}

impl Saying {
    /// Of a node that holds without a state it can trust.
    pub const fn nothing() -> Self {
        Self {
            state: None,
            postgres_failed: true,
            postgres_stopped: false,
            fit: false,
            log: None,
            grant: None,
        }
    }
}

/// Where a primary's log is, for its standby to judge whether it can go on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    pub timeline: u32,
    /// Where this timeline left the one before.
    pub began: Lsn,
    pub flush: Lsn,
    /// From where on it is kept for the peer; none without the peer's slot.
    pub kept_from: Option<Lsn>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Beat {
    version: u32,
    cluster: Uuid,
    from: String,
    to: String,
    /// Of this life of the agent.
    life: u64,
    number: u64,
    boot_id: Uuid,
    /// Who has a say in a transition there: both nodes must have the same.
    arbiter: String,
    echo: Option<Echo>,
    says: Saying,
}

/// The part of a heartbeat that every version has.
#[derive(Deserialize)]
struct Envelope {
    version: u32,
    cluster: Uuid,
    from: String,
    to: String,
    arbiter: String,
}

/// The peer lives, and nothing it says counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strange {
    pub why: String,
    /// Its silence afterwards is no reason to go on alone.
    lasting: bool,
    at: Instant,
}

/// The newest heartbeat heard of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Echo {
    life: u64,
    number: u64,
    boot_id: Uuid,
}

/// A heartbeat and when it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub heard: Option<Heard>,
    pub log: Option<Log>,
    pub grant: Option<Grant>,
    at: Instant,
}

/// Both directions. Shared by the tasks that send and receive, and the driver.
pub struct Heart {
    key: Key,
    cluster: Uuid,
    me: String,
    peer: String,
    boot_id: Uuid,
    arbiter: String,
    life: u64,
    pub timing: Timing,
    says: watch::Sender<Saying>,
    ears: Mutex<Ears>,
    /// A heartbeat came that is not like the one before.
    pub news: Notify,
}

struct Ears {
    /// Since when without a break, and when it was looked at last.
    listens: Instant,
    listened: Instant,
    driver: Instant,
    number_sent: u64,
    /// My newest numbers and when they were sent.
    sent: VecDeque<(u64, Instant)>,
    /// The life and number heard last, and when.
    newest: Option<(Echo, Instant)>,
    strange: Option<Strange>,
    /// Not yet taken by the driver.
    heard: VecDeque<Received>,
    last: Option<Received>,
    refused: u64,
}

impl Default for Ears {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            listens: now,
            listened: now,
            driver: now,
            number_sent: 0,
            sent: VecDeque::new(),
            newest: None,
            strange: None,
            heard: VecDeque::new(),
            last: None,
            refused: 0,
        }
    }
}

/// Who a heart beats for.
pub struct Identity<'a> {
    pub key: Key,
    pub cluster: Uuid,
    pub me: &'a str,
    pub peer: &'a str,
    pub boot_id: Uuid,
    /// `none`, `fence` or `etcd`.
    pub arbiter: &'a str,
    /// Random, of this life of the agent.
    pub life: u64,
}

impl Heart {
    pub fn new(who: Identity<'_>, timing: Timing) -> Arc<Self> {
        let silent = Saying::nothing();
        Arc::new(Self {
            key: who.key,
            cluster: who.cluster,
            me: who.me.to_owned(),
            peer: who.peer.to_owned(),
            boot_id: who.boot_id,
            arbiter: who.arbiter.to_owned(),
            life: who.life,
            timing,
            says: watch::Sender::new(silent),
            ears: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// Says this from now on, and at once if it is something new.
    pub fn say(&self, saying: Saying) {
        self.says.send_if_modified(|said| {
            let is_news = *said != saying;
            *said = saying;
            is_news
        });
    }

    /// Called by the driver whenever it has gone round: a node whose driver hangs is no primary.
    pub fn driver_lives(&self) {
        self.ears().driver = Instant::now();
    }

    /// All heartbeats since the last call, the oldest first.
    pub fn take(&self) -> Vec<Received> {
        self.ears().heard.drain(..).collect()
    }

    /// Whether silence means anything: a node that began to listen just now, or slept, has not been told nothing.
    pub fn has_listened(&self) -> bool {
        let ears = self.ears();
        let recent = |last: &Received| last.at.elapsed() <= self.timing.gone_after;
        let heard = ears.last.as_ref().filter(|last| recent(last)).and_then(|last| last.heard.as_ref());
        heard.is_some_and(|heard| heard.echoes_me) || ears.listens.elapsed() > self.timing.gone_after
    }

    /// Called every interval by who listens.
    fn listen(&self) {
        let mut ears = self.ears();
        let now = Instant::now();
        if now.duration_since(ears.listened) > self.timing.gone_after / 2 {
            tracing::warn!("this agent slept, or its machine did: the other node is listened to anew");
            ears.listens = now;
        }
        ears.listened = now;
    }

    /// The newest one, if it is of the last intervals.
    pub fn newest(&self) -> Option<Received> {
        self.ears().last.clone().filter(|last| last.at.elapsed() <= self.timing.gone_after)
    }

    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next datagram.
    fn beat(&self) -> Vec<u8> {
        let mut says = self.says.borrow().clone();
        let mut ears = self.ears();
        says.postgres_failed |= ears.driver.elapsed() > DRIVER_SILENT;
        ears.number_sent += 1;
        let number = ears.number_sent;
        let now = Instant::now();
        ears.sent.push_back((number, now));
        let forget = self.timing.gone_after * 2;
        while ears.sent.front().is_some_and(|(_, at)| now.duration_since(*at) > forget) {
            ears.sent.pop_front();
        }
        let beat = Beat {
            version: VERSION,
            cluster: self.cluster,
            from: self.me.clone(),
            to: self.peer.clone(),
            life: self.life,
            number,
            boot_id: self.boot_id,
            arbiter: self.arbiter.clone(),
            echo: ears.newest.map(|(echo, _)| echo),
            says,
        };
        drop(ears);
        let body = serde_json::to_vec(&beat).unwrap_or_default();
        let mut datagram = self.key.seal_beat(&body).to_vec();
        datagram.extend(body);
        datagram
    }

    /// A datagram from the network; false if it was refused.
    fn hear(&self, datagram: &[u8]) -> bool {
        let understood = self.understand(datagram);
        let mut ears = self.ears();
        let beat = match understood {
            Ok(beat) => beat,
            Err(strange) => {
                ears.refused += 1;
                ears.strange = strange.or(ears.strange.take());
                return false;
            }
        };
        ears.strange = None;
        let now = Instant::now();
        let number = Echo { life: beat.life, number: beat.number, boot_id: beat.boot_id };
        let echoes_me = beat.echo.is_some_and(|echo| {
            let recent = |(number, at): &(u64, Instant)| {
                *number == echo.number && now.duration_since(*at) <= self.timing.gone_after
            };
            echo.life == self.life && ears.sent.iter().any(recent)
        });
        let fresh = match ears.newest {
            None => true,
            Some((newest, _)) if newest.life == beat.life => beat.number > newest.number,
            // Another life of the peer's agent: a new one knows me, or the old one is silent.
            Some((_, at)) => echoes_me || now.duration_since(at) > self.timing.gone_after,
        };
        if !fresh {
            // By the other network, a moment later: nothing to count.
            ears.refused += u64::from(ears.newest.is_none_or(|(newest, _)| newest.life != beat.life));
            return false;
        }
        ears.newest = Some((number, now));
        let answers = beat.echo.map(|echo| echo.boot_id);
        let (failed, stopped, fit) = (beat.says.postgres_failed, beat.says.postgres_stopped, beat.says.fit);
        let heard = beat.says.state.map(|state| Heard {
            state,
            boot_id: beat.boot_id,
            echoes_me,
            answers,
            postgres_failed: failed,
            postgres_stopped: stopped,
            fit,
        });
        let received = Received { heard, log: beat.says.log, grant: beat.says.grant, at: now };
        let tells = |it: &Received| {
            let heard = it.heard.as_ref();
            heard.map(|heard| (heard.state.clone(), heard.echoes_me, heard.postgres_stopped, it.grant))
        };
        let is_news = ears.last.as_ref().is_none_or(|last| tells(last) != tells(&received));
        if ears.heard.len() == HEARD_MAX {
            ears.heard.pop_front();
        }
        ears.heard.push_back(received.clone());
        ears.last = Some(received);
        drop(ears);
        if is_news {
            self.news.notify_one();
        }
        true
    }

    /// Why the peer, which lives, is not understood.
    pub fn strange(&self) -> Option<String> {
        let ears = self.ears();
        let strange = ears.strange.as_ref()?;
        let counts = strange.lasting || strange.at.elapsed() <= self.timing.gone_after;
        counts.then(|| strange.why.clone())
    }

    /// The error is empty for what is none of the peer's.
    fn understand(&self, datagram: &[u8]) -> Result<Beat, Option<Strange>> {
        let (seal, body) = datagram.split_at_checked(SEAL_BYTES).ok_or(None)?;
        if !self.key.is_beat(body, seal) {
            return Err(None);
        }
        let envelope: Envelope = serde_json::from_slice(body).map_err(|_| None)?;
        if envelope.from != self.peer || envelope.to != self.me {
            return Err(None);
        }
        let strange = |why: String, lasting| Err(Some(Strange { why, lasting, at: Instant::now() }));
        let peer = &self.peer;
        if envelope.cluster != self.cluster {
            let why =
                format!("{peer} is of another cluster ({}); compare cluster.id on both", envelope.cluster);
            return strange(why, false);
        }
        if envelope.arbiter != self.arbiter {
            let why = format!(
                "failover.arbiter is '{}' on {peer} and '{}' here: nothing is decided until both have the same; \
                 'tandem apply' on both",
                envelope.arbiter, self.arbiter
            );
            return strange(why, true);
        }
        let newer = format!(
            "{peer} speaks version {} of the heartbeats, this node {VERSION}: nothing is decided while it does; install \
             the same package on both",
            envelope.version
        );
        if envelope.version != VERSION {
            return strange(newer, false);
        }
        let Ok(beat) = serde_json::from_slice::<Beat>(body) else { return strange(newer, false) };
        let its_own = beat.says.state.as_ref().is_none_or(|state| {
            state.version == fsm::VERSION && state.cluster == self.cluster && state.node == self.peer
        });
        if its_own { Ok(beat) } else { strange(newer, false) }
    }
}

/// Sends and receives between one pair of addresses, for as long as the agent lives. A network may come up after it.
pub async fn on(heart: Arc<Heart>, mine: IpAddr, theirs: IpAddr, port: u16) {
    loop {
        match UdpSocket::bind(SocketAddr::new(mine, port)).await {
            Ok(socket) => {
                let error = beats(&heart, &socket, SocketAddr::new(theirs, port)).await;
                tracing::warn!(%mine, "heartbeats: {error}");
            }
            Err(error) => tracing::debug!(%mine, "no heartbeats yet: {error}"),
        }
        sleep(BIND_AGAIN).await;
    }
}

/// Until the socket is of no use any more.
async fn beats(heart: &Heart, socket: &UdpSocket, to: SocketAddr) -> std::io::Error {
    let mut every = interval(heart.timing.every);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut says = heart.says.subscribe();
    let mut datagram = [0u8; DATAGRAM_BYTES_MAX];
    loop {
        tokio::select! {
            _ = every.tick() => heart.listen(),
            changed = says.changed() => if changed.is_err() { return std::io::ErrorKind::BrokenPipe.into() },
            received = socket.recv_from(&mut datagram) => {
                match received {
                    Ok((length, from)) if from.ip() == to.ip() => {
                        heart.hear(&datagram[..length]);
                    }
                    // A stranger's; or the peer's port was closed for a moment (ICMP).
                    Ok(_) | Err(_) => {}
                }
                continue;
            }
        }
        // A network that is down is what the heartbeats are there to show.
        let _ = socket.send_to(&heart.beat(), to).await;
    }
}

#[cfg(test)]
mod tests;
