//! The agent's life: start, the tasks, the service manager's watchdog, the end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fsm::Role;
use host::files;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use super::auth::{Door, Key};
use super::claims::Claims;
use super::driver::{self, Doing};
use super::heartbeat::{self, Heart, Identity, Saying, Timing};
use super::judge::Judge;
use super::orders::Orders;
use super::pulse::Pulse;
use super::{Agent, Held, control, http};
use crate::apply::AGENT;
use crate::command;
use crate::config::Config;
use crate::observe::{Observer, Place};
use crate::places::Places;
use crate::postgresql::{Server, cluster};
use crate::services::Services;
use crate::state;

const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// A pass asks PostgreSQL, Redis and the arbiter, each within its bound; what takes longer is a job beside it.
const PASS_MAX: Duration = Duration::from_secs(60);
/// A look asks every engine at once, each within a second.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// systemd's answer whether this is a restart.
const RESTARTS: Duration = Duration::from_secs(3);
/// As CPUSchedulingPriority of the unit.
const PRIORITY: &str = "20";
/// Of this boot (proc_sys_kernel(5)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Agent {
    /// Reads the state: what is unusable makes the node hold.
    ///
    /// # Errors
    /// A service's user is missing.
    pub fn new(places: Places, config: Config, services: Arc<dyn Services>) -> Result<Arc<Self>> {
        let id = config.cluster.cluster.id;
        let held: Held = match state::load(&places, id, &config.name) {
            Ok(Some(state)) => Ok(state),
            Ok(None) => Err(format!(
                "{} is not there; 'tandem apply' makes the first node, 'tandem join' the second",
                places.state().display()
            )),
            Err(unusable) => Err(unusable.to_string()),
        };
        let users = &config.layout.users;
        let boot_id: Uuid = std::fs::read_to_string(BOOT_ID)
            .with_context(|| format!("reading {BOOT_ID}"))?
            .trim()
            .parse()
            .with_context(|| format!("reading {BOOT_ID}"))?;
        let failover = &config.cluster.failover;
        let peer = config.peer().map_or("", |peer| peer.name.as_str());
        let arbiter = match failover.arbiter {
            spec::Arbiter::None => fsm::Arbiter::None,
            spec::Arbiter::Fence => fsm::Arbiter::Fence,
            spec::Arbiter::Etcd => fsm::Arbiter::Etcd,
        };
        let key = Key::of(&config.secrets.cluster_key);
        let every = Duration::from_millis(failover.heartbeat_ms.get());
        let mut life = [0u8; 8];
        getrandom::fill(&mut life).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
        let heart = config.peer().map(|peer| {
            let who = Identity {
                key: key.clone(),
                cluster: id,
                me: &config.name,
                peer: &peer.name,
                boot_id,
                arbiter: failover.arbiter.as_str(),
                life: u64::from_le_bytes(life),
            };
            let heart = Heart::new(who, Timing { every, gone_after: failover.detection() });
            // From its first heartbeat on: a restart of the agent is no death of the node.
            heart.say(Saying {
                state: held.as_ref().ok().cloned(),
                postgres_failed: false,
                postgres_stopped: !cluster::is_running(&config.layout.paths.postgresql_data),
                fit: false,
                log: None,
                grant: None,
            });
            heart
        });
        Ok(Arc::new(Self {
            table: fsm::Config::new(peer, arbiter),
            boot_id,
            doing: watch::Sender::new(Doing::default()),
            orders: Orders::default(),
            arbiter: Arc::new(Judge::of(&config)?),
            claims: Claims::of(config.cluster.vip.as_ref().map(|vip| vip.address)),
            heart,
            server: Server::of(&config),
            postgresql_user: command::user(&users.postgresql, "postgresql")?,
            redis_user: command::user(&users.redis, "redis-server")?,
            door: Door::new(key, jiff::Timestamp::now().as_millisecond()),
            held: watch::Sender::new(held),
            snapshot: watch::Sender::new(None),
            pass: Pulse::new("a pass over this node's role", PASS_MAX),
            look: Pulse::new("a look at this node", LOOK_MAX),
            services,
            config,
            places,
        }))
    }

    pub(super) fn beat_every(&self) -> Duration {
        Duration::from_millis(self.config.cluster.failover.heartbeat_ms.get())
    }

    /// Until something came that may change a decision.
    pub(super) async fn news(&self) {
        let heard = async {
            match &self.heart {
                Some(heart) => heart.news.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = heard => {}
            () = self.orders.came.notified() => {}
        }
    }

    /// This node's and the peer's addresses, network by network.
    fn paths(&self) -> Result<Vec<(IpAddr, IpAddr)>> {
        let Some(peer) = self.config.peer() else { return Ok(Vec::new()) };
        let node = self.config.node()?;
        let link = node.peer_address.zip(peer.peer_address);
        Ok(link.into_iter().chain([(node.address, peer.address)]).collect())
    }

    /// Where it listens: loopback, and the side the peer is on.
    fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let port = self.config.cluster.ports.agent;
        let mut all = vec![IpAddr::from(Ipv4Addr::LOCALHOST), self.config.node()?.peer_side()];
        all.dedup();
        // A node that joins asks where its operator says: on either network.
        let service = self.config.node()?.address;
        if !all.contains(&service) {
            all.push(service);
        }
        Ok(all.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

/// What the agent starts from.
pub struct Configured {
    config: Config,
    place: Place,
}

/// Reads the configuration, before anything is bound or started.
///
/// # Errors
/// It is wrong: starting again would not help.
pub fn configure(places: &Places) -> Result<Configured> {
    let read = || {
        let config = Config::load(places, &places.etc(), None)?;
        let place = Place::load(&places.etc()).context("reading this node's configuration")?;
        Ok(Configured { config, place })
    };
    read().inspect_err(|_| {
        // No agent will come to say what this node is: what the last one said is void.
        if places.role().exists() {
            let _ = std::fs::write(places.role(), "0\n");
        }
    })
}

/// Runs until SIGTERM or SIGINT. The engines go on without it.
///
/// # Errors
/// The system gives what an agent needs not.
pub fn run(places: &Places, services: Arc<dyn Services>, configured: Configured) -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).without_time().init();
    files::folder(&places.run(), 0o755, None)
        .with_context(|| format!("making {}", places.run().display()))?;
    let agent = Agent::new(places.clone(), configured.config, services)?;
    lock_memory();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(live(agent, configured.place))
}

/// A page that must be read back from a slow disk is a heartbeat that comes late (failover.md 12).
fn lock_memory() {
    // Without the unit's LimitMEMLOCK every later allocation could fail.
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY);
    if !unlimited {
        tracing::warn!("memory is not locked: LimitMEMLOCK of the unit is not infinity");
    } else if let Err(error) = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE) {
        tracing::warn!("memory is not locked: {error}");
    }
}

/// The unit makes this process real-time; its threads are born without (SCHED_RESET_ON_FORK), so that what it starts is. The
/// runtime's workers, which send the heartbeats, get it back.
fn real_time() {
    let pid = std::process::id().to_string();
    let mut chrt = std::process::Command::new("chrt");
    chrt.args(["--all-tasks", "--reset-on-fork", "--rr", "--pid", PRIORITY, &pid]);
    if let Err(error) = command::run(&mut chrt, "chrt") {
        tracing::warn!("heartbeats are not sent in real time: {error:#}");
    }
}

async fn live(agent: Arc<Agent>, place: Place) -> Result<()> {
    real_time();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // What an agent before this one wrote stands until the first pass: a primary's calls do not notice a restart.
    agent.withhold_where_not_primary()?;
    let mut tasks = tasks(&agent)?;
    tasks.spawn(watch_node(Arc::clone(&agent), place));
    // Ready before the role is: systemd waits for READY before it starts what is ordered after this unit, and the role
    // asks systemd to start PostgreSQL.
    tell(&[NotifyState::Ready]);
    tracing::info!(node = agent.config.name, version = env!("CARGO_PKG_VERSION"), "the agent runs");
    let every = sd_notify::watchdog_enabled().map_or(Duration::from_secs(5), |limit| limit / 3);
    let mut alive = interval(every);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            ended = one_ends(&mut tasks) => return Err(ended),
            _ = alive.tick() => match hangs(&agent) {
                None => tell(&[NotifyState::Watchdog]),
                Some(what) => tracing::error!("{what}: the service manager will start the agent again"),
            },
        }
    }
    tell(&[NotifyState::Stopping]);
    agent.leave().await?;
    tracing::info!("the agent ends; PostgreSQL and Redis go on");
    Ok(())
}

/// All that makes an agent, but for its look at the node for people. None of them ends by itself.
pub(super) fn tasks(agent: &Arc<Agent>) -> Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    for address in agent.addresses()? {
        tasks.spawn(http::serve(Arc::clone(agent), address));
    }
    for (mine, theirs) in agent.paths()? {
        if let Some(heart) = &agent.heart {
            let port = agent.config.cluster.ports.agent;
            tasks.spawn(heartbeat::on(Arc::clone(heart), mine, theirs, port));
        }
    }
    tasks.spawn(driver::drive(Arc::clone(agent)));
    let arbiter = Arc::clone(&agent.arbiter);
    tasks.spawn(async move { arbiter.keep().await });
    if agent.claims.is_some() {
        let agent = Arc::clone(agent);
        tasks.spawn(async move {
            if let Some(claims) = &agent.claims {
                claims.listen().await;
            }
        });
    }
    tasks.spawn(control::serve(Arc::clone(agent)));
    Ok(tasks)
}

impl Agent {
    /// A standby, or a node that holds, has no address from its first moment on.
    fn withhold_where_not_primary(&self) -> Result<()> {
        match &*self.held.borrow() {
            Ok(state) if state.role == Role::Primary => Ok(()),
            _ => self.write_role(false),
        }
    }

    /// keepalived watches the role: where the agent is gone for good nobody knows whether this node may hold the address.
    /// A new program or configuration is a second without it, in which the role cannot change.
    pub(super) async fn leave(&self) -> Result<()> {
        let services = Arc::clone(&self.services);
        let asked = tokio::task::spawn_blocking(move || services.is_restarting(AGENT));
        match timeout(RESTARTS, asked).await {
            Ok(Ok(true)) => Ok(()),
            _ => self.write_role(false),
        }
    }
}

/// Waits until a task ends, which is a fault whatever it ends with.
async fn one_ends(tasks: &mut JoinSet<()>) -> anyhow::Error {
    match tasks.join_next().await {
        Some(Err(error)) => anyhow::anyhow!("a task of the agent's broke: {error}"),
        _ => anyhow::anyhow!("a task of the agent's ended"),
    }
}

fn hangs(agent: &Agent) -> Option<String> {
    let now = Instant::now();
    agent.pass.hangs(now).or_else(|| agent.look.hangs(now))
}

async fn watch_node(agent: Arc<Agent>, place: Place) {
    let mut observer = Observer::new(place);
    let mut every = interval(SAMPLE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        every.tick().await;
        let mut snapshot = observer.sample().await;
        snapshot.doing = Some(agent.doing.borrow().clone());
        agent.look.beat();
        let written = serde_json::to_vec(&snapshot)
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(files::write(&agent.places.status(), 0o644, None, &text)?));
        if let Err(error) = written {
            tracing::warn!("the snapshot cannot be written: {error:#}");
        }
        agent.snapshot.send_replace(Some(snapshot));
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!("telling the service manager: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_read_leaves_no_address_behind() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        assert!(configure(&places).is_err() && !places.role().exists());
        std::fs::create_dir_all(places.run()).unwrap();
        std::fs::write(places.role(), "1\n").unwrap();
        assert!(configure(&places).is_err());
        assert_eq!(std::fs::read_to_string(places.role()).unwrap(), "0\n");
    }

    #[tokio::test]
    async fn a_task_that_breaks_is_not_survived() {
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        tasks.spawn(async { panic!("a bug") });
        let told = one_ends(&mut tasks).await.to_string();
        assert!(told.contains("broke") && told.contains("a bug"), "{told}");
        tasks.spawn(async {});
        assert!(one_ends(&mut tasks).await.to_string().contains("ended"));
    }
}
