//! One look at everything that counts for a decision: the table's [`Observation`], gathered within a tenth of a second where
//! all is well. What does not answer keeps its last known face for a moment, and never holds up the rest.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Result;
use fsm::{Command, Lsn, Names, Observation, Point, Postgres, Redis, Refused, Role, State, Vip};
use host::files;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::Agent;
use super::heartbeat::{Log, Received};
use super::job::What;
use super::mind::Mind;
use crate::postgresql::facts::{self, Facts};
use crate::postgresql::session::Commits;
use crate::postgresql::{Server, cluster, include};
use crate::redis_role;

/// A session lives so long. A frozen postmaster leaves old ones alone; and an old one reads a changed file at another time
/// than the postmaster: what a server really runs with is what a new session is born with.
const SESSION_MAX: Duration = Duration::from_secs(1);
/// Without an answer for so long the server is hung.
const HUNG_AFTER: Duration = Duration::from_secs(5);
/// A primary whose PostgreSQL is away for so long is no primary: the standby may take over.
const FAILED_AFTER: Duration = Duration::from_secs(10);
/// One that lived so many lives in so long dies again and again.
const LIVES: usize = 4;
const LIVES_WITHIN: Duration = Duration::from_secs(60);
/// A standby that hears its primary and does not stream for so long asks itself whether it ever will.
const STREAMS_WITHIN: Duration = Duration::from_secs(3);
/// And for so long, it never will, whatever the reason.
const STREAMS_EVER: Duration = Duration::from_secs(60);
/// Starts of a standby in a row that ended without a server.
const FAILED_STARTS: u32 = 5;
/// One that lets nobody in yet may be replaying what it has.
const CONSISTENT_EVER: Duration = Duration::from_secs(300);
/// A machine that is there answers at once.
const ANSWERS: Duration = Duration::from_millis(700);
const REDIS_EVERY: Duration = Duration::from_secs(1);
const GATEWAY_EVERY: Duration = Duration::from_secs(1);

/// PostgreSQL's face, kept from look to look.
#[derive(Default)]
pub struct Face {
    session: Option<Client>,
    pub facts: Option<Facts>,
    /// The next session, under way, and when the last one was asked for.
    connecting: Option<JoinHandle<Result<Client>>>,
    asked: Option<Instant>,
    /// When a new session was last had, or refused with words.
    connected: Option<Instant>,
    spoke: Option<Instant>,
    /// Since when it runs without an answer.
    silent: Option<Instant>,
    /// Since when it should serve and does not.
    away: Option<Instant>,
    /// Since when it does not stream though its primary is heard.
    streamless: Option<Instant>,
    /// Where the timeline of that number began.
    began: Option<(u32, Lsn)>,
    pub lives: Lives,
    /// The life of the server that barriers and positions are of.
    life: Option<jiff::Timestamp>,
}

/// When the server's last lives began, since this node last stopped it on purpose.
#[derive(Default)]
pub struct Lives(VecDeque<Instant>);

impl Lives {
    fn begin(&mut self, now: Instant) {
        self.0.push_back(now);
        if self.0.len() > LIVES {
            self.0.pop_front();
        }
    }

    /// It is stopped on purpose: it did not die. A node that is switched over and rejoins again and again is sound.
    pub fn stopped(&mut self) {
        self.0.clear();
    }

    fn end_too_soon(&self, now: Instant) -> bool {
        self.0.len() >= LIVES && now.duration_since(self.0[0]) < LIVES_WITHIN
    }
}

/// What is asked seldom.
#[derive(Default)]
pub struct Seldom {
    redis: Option<(Instant, Redis)>,
    gateway: Option<(Instant, bool)>,
}

impl Agent {
    /// Looks at this node, and at what the peer said.
    pub(super) async fn look(&self, mind: &mut Mind, state: &State) -> Observation {
        for received in self.heart.as_ref().map(|heart| heart.take()).unwrap_or_default() {
            if let Some(heard) = &received.heard {
                mind.memory.hear(state, self.boot_id, heard, &self.table);
            }
            mind.grant = received.grant.or(mind.grant);
        }
        mind.fitness.look(self.snapshot.borrow().as_ref());
        let newest = || self.heart.as_ref().and_then(|heart| heart.newest());
        let postgres = self.postgres(mind, state, newest().as_ref()).await;
        let redis = self.redis(mind).await;
        let (vip_answers, peer_answers) = self.contradicted().await;
        let claimed_by_other = vip_answers || self.claims.as_ref().is_some_and(|claims| claims.is_claimed());
        let gateway_reached = self.gateway(mind).await;
        let vip = Vip { offered: self.offers_vip(), claimed_by_other, gateway_reached };
        // Last, because everything else may have taken its time.
        let peer = newest().and_then(|received| received.heard);
        mind.wait(state, peer.as_ref().is_some_and(|heard| heard.state.mark >= state.at()));
        Observation {
            boot_id: self.boot_id,
            peer,
            memory: mind.memory,
            grant: mind.grant,
            postgres,
            redis,
            vip,
            register: None,
            command: self.orders.command(),
            peer_answers,
            unfit: mind.fitness.is_unfit(),
            maintenance: self.places.maintenance().exists(),
            overdue: mind.overdue(),
        }
    }

    /// Whether another machine answers at the virtual address, or the other machine at its own: asked before a person's word is
    /// believed (failover.md 9). A port that refuses answers too.
    async fn contradicted(&self) -> (bool, bool) {
        if !matches!(self.orders.command(), Some(Command::Solo { .. })) {
            return (false, false);
        }
        let port = self.config.cluster.ports.api;
        let vip = self.config.cluster.vip.as_ref().filter(|_| !self.offers_vip()).map(|vip| vip.address);
        let [mut link, mut service] = [None, None];
        if let Some(peer) = self.config.peer() {
            (link, service) = (peer.peer_address, Some(peer.address));
        }
        tokio::join!(answers(vip, port), async {
            let (link, service) = tokio::join!(answers(link, port), answers(service, port));
            link || service
        })
    }

    async fn postgres(&self, mind: &mut Mind, state: &State, newest: Option<&Received>) -> Postgres {
        let data = &self.config.layout.paths.postgresql_data;
        let starting = mind.job.is(What::Start);
        let running = cluster::is_running(data) || starting;
        let facts = if running { self.facts(mind).await } else { None };
        let now = Instant::now();
        let face = &mut mind.face;
        if !running {
            (face.session, face.facts, face.silent, face.life) = (None, None, None, None);
            (face.connected, face.spoke) = (None, None);
            mind.barrier = None;
        }
        if running && facts.is_none() {
            face.silent.get_or_insert(now);
        } else {
            face.silent = None;
        }
        // Of this very barrier: what an earlier answer said was of an earlier one.
        let barrier_waits = facts.as_ref().is_some_and(|facts| facts.barrier_waits);
        // What it said a moment ago stands; a server that never answered is as its files say.
        let known = facts.or_else(|| face.facts.clone().filter(|_| running));
        let frozen = |since: Option<Instant>| since.is_some_and(|at| now.duration_since(at) > HUNG_AFTER);
        // One that says "not yet" speaks, for as long as it replays.
        let mute = frozen(face.silent) && face.spoke.is_none_or(|at| now.duration_since(at) > HUNG_AFTER);
        let stopping = mind.job.is(What::Stop);
        let hung = running && !starting && !stopping && (mute || frozen(face.connected));
        let serves = running && known.is_some() && !hung;
        if serves || !matches!(state.role, Role::Primary) {
            face.away = None;
        } else {
            face.away.get_or_insert(now);
        }
        let is_standby = known.as_ref().map_or_else(|| include::has_standby_signal(data), |f| f.in_recovery);
        let (names, upstream) = match &known {
            Some(facts) => {
                (include::names(&self.config, &facts.names), include::upstream(&self.config, &facts.conninfo))
            }
            None => self.written(),
        };
        let refused = self.refused(mind, running, known.as_ref(), newest);
        if known.as_ref().is_some_and(|facts| facts.receives || !facts.in_recovery) {
            mind.refused = None;
        }
        mind.refused = refused.or(mind.refused);
        // One that cannot even start has no log to go on with.
        if mind.failed_starts >= FAILED_STARTS && state.role == Role::Standby {
            mind.refused = Some(Refused::LogGone);
        }
        let refused = mind.refused;
        let barrier = match &mut mind.barrier {
            None => None,
            Some(barrier) => {
                barrier.seen_waiting |= barrier_waits;
                match barrier.outcome().await {
                    // Its session ended otherwise: nothing is known of it.
                    Some(false) => {
                        mind.barrier = None;
                        None
                    }
                    outcome => Some(fsm::Barrier {
                        at: barrier.at,
                        seen_waiting: barrier.seen_waiting,
                        returned: outcome == Some(true),
                    }),
                }
            }
        };
        Postgres {
            running,
            hung,
            // While a rewind works on it, it is the rewind's row that waits.
            complete: mind.job.is(What::Rewind) || cluster::is_complete(data),
            standby: is_standby,
            names,
            upstream,
            receiver: known.as_ref().is_none_or(|facts| facts.receiver),
            clients: include::clients_let_in(&self.config),
            flush: known.as_ref().map_or(0, |facts| facts.flush),
            replay: known.as_ref().map_or(0, |facts| facts.replay),
            switch_point: self.switch_point(mind, known.as_ref()),
            follower: known.as_ref().and_then(|facts| self.follower(facts)),
            barrier,
            row: known.as_ref().and_then(|facts| facts.row),
            slot: known.as_ref().is_none_or(|facts| facts.in_recovery || facts.kept_from.is_some()),
            refused,
            copy: mind.copied,
            noted: mind.noted,
        }
    }

    /// The peer's standby that is caught up.
    fn follower(&self, facts: &Facts) -> Option<Point> {
        let peer = &self.config.peer()?.name;
        facts.standbys.iter().find_map(|name| include::join_of(name, peer))
    }

    /// None: no answer just now. Never waits for a connection.
    async fn facts(&self, mind: &mut Mind) -> Option<Facts> {
        let face = &mut mind.face;
        face.connect(&self.server).await;
        let client = face.session.as_ref()?;
        let slot = self.peer_slot().unwrap_or_default();
        let facts = match facts::ask(client, mind.barrier.as_ref().map(|it| it.pid), &slot).await {
            Ok(facts) => facts,
            Err(error) => {
                tracing::debug!("PostgreSQL: {error:#}");
                face.session = None;
                return None;
            }
        };
        if face.life.replace(facts.started) != Some(facts.started) {
            // Another life of the server: what was under way in the last one is void.
            face.lives.begin(Instant::now());
            mind.barrier = None;
            face.began = None;
        }
        if face.began.is_none_or(|(timeline, _)| timeline != facts.timeline) && !facts.in_recovery {
            face.began = facts::began(client, facts.timeline).await.ok().map(|at| (facts.timeline, at));
        }
        face.facts = Some(facts.clone());
        mind.failed_starts = 0;
        Some(facts)
    }

    /// What the include file says, of a server that says nothing.
    fn written(&self) -> (Names, Option<Point>) {
        let text = files::read(&include::path(&self.config)).ok().flatten().unwrap_or_default();
        let value = |setting: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(setting)?.strip_prefix(" = '"));
            line.and_then(|value| value.strip_suffix('\'')).unwrap_or_default()
        };
        let [names, conninfo, _] = include::OWNED;
        (include::names(&self.config, value(names)), include::upstream(&self.config, value(conninfo)))
    }

    /// Where the timeline began that this node promoted itself to; only while that is to be judged.
    fn switch_point(&self, mind: &Mind, facts: Option<&Facts>) -> Option<Lsn> {
        mind.noted?;
        let facts = facts.filter(|facts| !facts.in_recovery)?;
        mind.face.began.filter(|(timeline, _)| *timeline == facts.timeline).map(|(_, began)| began)
    }

    /// Whether the primary can continue this standby's log: judged from where both logs are, because what the server writes
    /// of it may be in any language, or on a full disk.
    fn refused(
        &self,
        mind: &mut Mind,
        running: bool,
        facts: Option<&Facts>,
        newest: Option<&Received>,
    ) -> Option<Refused> {
        let face = &mut mind.face;
        let theirs = newest.and_then(|it| it.log);
        let streams = facts.is_some_and(|facts| !facts.in_recovery || facts.receives);
        let Some(theirs) = theirs.filter(|_| running && !streams) else {
            face.streamless = None;
            return None;
        };
        let since = face.streamless.get_or_insert_with(Instant::now).elapsed();
        match facts {
            None => (since > CONSISTENT_EVER).then_some(Refused::LogGone),
            Some(_) if since < STREAMS_WITHIN => None,
            Some(mine) => judge(mine.timeline, mine.flush, theirs)
                .or((since > STREAMS_EVER).then_some(Refused::LogGone)),
        }
    }

    async fn redis(&self, mind: &mut Mind) -> Redis {
        if let Some((at, redis)) = mind.seldom.redis
            && at.elapsed() < REDIS_EVERY
        {
            return redis;
        }
        let redis = redis_role::role(&self.config).await;
        mind.seldom.redis = Some((Instant::now(), redis));
        redis
    }

    async fn gateway(&self, mind: &mut Mind) -> bool {
        let Some(gateway) = self.config.cluster.vip.as_ref().and_then(|vip| vip.gateway) else { return true };
        if self.config.node().is_ok_and(|node| super::gateway::is_unplugged(node.address)) {
            return false;
        }
        if let Some((at, reached)) = mind.seldom.gateway
            && at.elapsed() < GATEWAY_EVERY
        {
            return reached;
        }
        let reached = super::gateway::is_reached(gateway).await;
        mind.seldom.gateway = Some((Instant::now(), reached));
        reached
    }

    /// What this node says of itself, but for its state.
    pub(super) fn log(&self, mind: &Mind) -> Option<Log> {
        // A server that is silent now says nothing of its log.
        let answers = mind.face.silent.is_none();
        let facts = mind.face.facts.as_ref().filter(|facts| answers && !facts.in_recovery)?;
        let (timeline, began) = mind.face.began?;
        (timeline == facts.timeline).then_some(Log {
            timeline,
            began,
            flush: facts.flush,
            kept_from: facts.kept_from,
        })
    }

    pub(super) fn postgres_failed(&self, mind: &Mind) -> bool {
        mind.face.lives.end_too_soon(Instant::now())
            || mind.face.away.is_some_and(|since| since.elapsed() > FAILED_AFTER)
    }

    pub(super) fn peer_slot(&self) -> Option<String> {
        self.config.peer().map(|peer| fsm::slot(&peer.name))
    }
}

impl Face {
    /// A session that was born after the last change of the configuration.
    pub fn renew(&mut self, session: Client) {
        // What an older one said may be of another configuration.
        self.facts = None;
        self.session = Some(session);
        self.connected = Some(Instant::now());
    }

    /// No answer of this server came yet, or the last session ended.
    pub const fn is_strange(&self) -> bool {
        self.session.is_none()
    }

    /// Takes the session that came, and asks for the next.
    async fn connect(&mut self, server: &Server) {
        let now = Instant::now();
        if let Some(ended) = self.connecting.take_if(|connecting| connecting.is_finished()) {
            match ended.await {
                Ok(Ok(session)) => self.renew(session),
                Ok(Err(error)) => {
                    let spoken = error.downcast_ref::<tokio_postgres::Error>().and_then(|e| e.as_db_error());
                    // It speaks: full, starting, or stopping.
                    if spoken.is_some() {
                        (self.connected, self.spoke) = (Some(now), Some(now));
                    }
                    tracing::debug!("PostgreSQL: {error:#}");
                }
                Err(error) => tracing::debug!("PostgreSQL: {error}"),
            }
        }
        let closed = self.session.as_ref().is_none_or(Client::is_closed);
        if closed {
            self.session = None;
        }
        let old = self.asked.is_none_or(|at| now.duration_since(at) > SESSION_MAX);
        if self.connecting.is_none() && (closed || old) {
            self.asked = Some(now);
            let server = server.clone();
            self.connecting = Some(tokio::spawn(async move { server.connect(Commits::Local).await }));
        }
    }
}

async fn answers(address: Option<IpAddr>, port: u16) -> bool {
    let Some(address) = address else { return false };
    match timeout(ANSWERS, TcpStream::connect(SocketAddr::new(address, port))).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}

impl Seldom {
    /// Redis was told something: what it is must be asked anew.
    pub fn forget_redis(&mut self) {
        self.redis = None;
    }
}

/// Whether a log that ends at `flush` on `timeline` can go on with theirs.
fn judge(timeline: u32, flush: Lsn, theirs: Log) -> Option<Refused> {
    let diverged = match theirs.timeline.checked_sub(timeline) {
        Some(0) => flush > theirs.flush,
        Some(1) => flush > theirs.began,
        // Further apart, or ahead of the primary: pg_rewind finds out.
        _ => true,
    };
    if diverged {
        return Some(Refused::Diverged);
    }
    theirs.kept_from.is_some_and(|from| flush < from).then_some(Refused::LogGone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_dies_again_and_again_failed_and_one_that_is_stopped_again_and_again_did_not() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut lives = Lives::default();
        for life in 0..3 {
            lives.begin(at(life));
            assert!(!lives.end_too_soon(at(life)));
        }
        lives.begin(at(3));
        assert!(lives.end_too_soon(at(4)));
        assert!(!lives.end_too_soon(at(61)), "it lives on");
        let mut lives = Lives::default();
        for switchover in 0..20 {
            lives.begin(at(switchover));
            assert!(!lives.end_too_soon(at(switchover)));
            lives.stopped();
        }
    }

    #[test]
    fn a_log_is_judged_by_where_it_ends() {
        let theirs = Log { timeline: 2, began: 100, flush: 150, kept_from: Some(50) };
        assert_eq!(judge(2, 150, theirs), None);
        assert_eq!(judge(2, 151, theirs), Some(Refused::Diverged));
        assert_eq!(judge(1, 100, theirs), None);
        assert_eq!(judge(1, 101, theirs), Some(Refused::Diverged));
        assert_eq!(judge(3, 10, theirs), Some(Refused::Diverged));
        assert_eq!(judge(1, 49, theirs), Some(Refused::LogGone));
        assert_eq!(judge(1, 49, Log { kept_from: None, ..theirs }), None, "its slot is made in a moment");
    }
}
