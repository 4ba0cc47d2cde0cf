//! The arbiter's side of a decision (failover.md 8): what etcd's register says now, the next epoch won there, the peer
//! powered off.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fsm::{Mode, Observation, Register, Role, State};

use crate::arbiter::{self, Etcd};
use crate::config::Config;

/// An election takes the leader anywhere; two deaths within this time meet a slower etcd, no wrong one.
const LEADS_ELSEWHERE_EVERY: Duration = Duration::from_secs(5);

/// A question whose answer was lost can be granted late.
const STEADY_PAUSE: Duration = Duration::from_secs(60);
/// A steady pair does not wait for an etcd that is away.
const AWAY_PAUSE: Duration = Duration::from_secs(30);

/// Who is asked.
pub enum Judge {
    Nobody,
    Fence { command: Vec<String>, timeout: Duration, node: String, address: IpAddr },
    Etcd { etcd: Arc<Etcd>, pair: Vec<IpAddr>, is_there: Arc<AtomicBool>, due: Due },
}

/// When the register is to be read although nothing seems to turn on it. In a steady state it is of this node's epoch. It may
/// not be after a start, nor once the next epoch was asked for: what was won must be used, though the peer came back
/// meanwhile, or nobody can ever go on alone again.
#[derive(Default)]
pub struct Due(Mutex<(Option<Instant>, u64)>);

impl Due {
    fn is_now(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.is_none_or(|at| Instant::now() >= at)
    }

    /// The next epoch is asked for, or was: what is being read meanwhile is of before.
    fn doubt(&self) {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *due = (None, due.1 + 1);
    }

    fn doubts(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Read in so many doubts.
    fn after(&self, pause: Option<Duration>, doubts: u64) {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if due.1 == doubts {
            due.0 = pause.map(|pause| Instant::now() + pause);
        }
    }
}

/// The register as this epoch's, where it is not there, or is of a time without etcd.
async fn raise(etcd: &Etcd, now: &Register) -> arbiter::Result<()> {
    etcd.init(now).await?;
    match etcd.read().await? {
        Some(old) if old.epoch < now.epoch => etcd.cas(old.epoch, now).await.map(drop),
        _ => Ok(()),
    }
}

/// The register, where a decision turns on it or it is due; else, and where etcd does not answer, none.
async fn register(etcd: &Etcd, due: &Due, epoch: u64, turns_on_it: bool) -> Option<Register> {
    if !turns_on_it && !due.is_now() {
        return None;
    }
    let doubts = due.doubts();
    match etcd.read().await {
        Ok(register) => {
            let is_steady = register.as_ref().is_some_and(|it| it.epoch == epoch);
            due.after(is_steady.then_some(STEADY_PAUSE), doubts);
            register
        }
        Err(error) => {
            due.after(Some(AWAY_PAUSE), doubts);
            tracing::debug!("etcd: {error}");
            None
        }
    }
}

impl Judge {
    /// As `failover:` of cluster.yaml says.
    ///
    /// # Errors
    /// An arbiter without its section, which cluster.yaml's own rules refuse.
    pub fn of(config: &Config) -> Result<Self> {
        let failover = &config.cluster.failover;
        Ok(match failover.arbiter {
            spec::Arbiter::None => Self::Nobody,
            spec::Arbiter::Fence => {
                let fence = failover.fence.as_ref().context("failover.fence is missing")?;
                let peer = config.peer().context("a single node has nobody to fence")?;
                Self::Fence {
                    command: fence.command.clone(),
                    timeout: Duration::from_millis(fence.timeout_ms.get()),
                    node: peer.name.clone(),
                    address: peer.address,
                }
            }
            spec::Arbiter::Etcd => {
                let etcd = failover.etcd.as_ref().context("failover.etcd is missing")?;
                let node = config.node()?;
                let addresses = |node: &spec::Node| [Some(node.address), node.peer_address];
                let own: Vec<IpAddr> = addresses(node).into_iter().flatten().collect();
                let pair = config.cluster.nodes.iter().flat_map(addresses).flatten().collect();
                let password = config.secrets.etcd_password.as_deref();
                let etcd = Etcd::new(etcd, config.cluster.cluster.id, &own, password);
                Self::Etcd { etcd: Arc::new(etcd), pair, is_there: Arc::default(), due: Due::default() }
            }
        })
    }

    /// Adds the register to what is seen where a decision may turn on it: steady states do not need it. And sees to it that
    /// there is one before it is needed.
    pub async fn look(&self, observed: &mut Observation, state: &State) {
        let Self::Etcd { etcd, is_there, due, .. } = self else { return };
        let alone = observed.peer.as_ref().is_none_or(|peer| {
            !peer.echoes_me || peer.postgres_failed || peer.postgres_stopped || peer.state.mark >= state.at()
        });
        observed.register = register(etcd, due, state.epoch, alone || observed.command.is_some()).await;
        // Only where nobody can have taken the next epoch and lost the register since.
        let unrivalled = state.mode == Mode::Solo
            || observed.peer.as_ref().is_some_and(|peer| {
                peer.echoes_me && peer.state.role == Role::Standby && peer.state.epoch == state.epoch
            });
        if state.role == Role::Primary && unrivalled && !is_there.swap(true, Ordering::AcqRel) {
            let (etcd, is_there) = (Arc::clone(etcd), Arc::clone(is_there));
            let first = Register { epoch: state.epoch, owner: state.owner.clone() };
            tokio::spawn(async move {
                if let Err(error) = raise(&etcd, &first).await {
                    tracing::warn!("etcd's register: {error}; trying again");
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    is_there.store(false, Ordering::Release);
                }
            });
        }
    }

    /// For as long as the agent lives: this node's member of etcd does not lead where one beyond the pair can.
    pub async fn keep(&self) {
        let Self::Etcd { etcd, pair, .. } = self else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LEADS_ELSEWHERE_EVERY).await;
            match etcd.lead_elsewhere(pair).await {
                Ok(true) => {
                    tracing::info!("etcd's leader was on this node: a member beyond the pair leads now")
                }
                Ok(false) => {}
                Err(error) => tracing::debug!("etcd's leader: {error}"),
            }
        }
    }

    /// Wins the next epoch, or does not: the register's next reading tells.
    ///
    /// # Errors
    /// No etcd, or an answer that is none.
    pub async fn take_epoch(&self, from: u64, to: &Register) -> Result<()> {
        let Self::Etcd { etcd, due, .. } = self else { bail!("no etcd is configured") };
        // Before and after, since an answer that is lost may be a yes.
        due.doubt();
        let asked = etcd.cas(from, to).await;
        due.doubt();
        let won = asked?;
        tracing::info!(epoch = to.epoch, won, "etcd was asked for the next epoch");
        Ok(())
    }

    /// Returns when the peer is off.
    ///
    /// # Errors
    /// The fence did not say so: nothing is known of the peer.
    pub async fn fence(&self) -> Result<()> {
        let Self::Fence { command, timeout, node, address } = self else { bail!("no fence is configured") };
        tracing::warn!(node, "powering the other node off");
        arbiter::fence(command, *timeout, node, *address).await?;
        tracing::warn!(node, "the other node is off");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use spec::Endpoint;
    use testkit::or_skip;
    use uuid::Uuid;

    use super::*;

    /// In chaos a primary won the next epoch for a standby that was away for half a second, did not use it, and when it died
    /// nobody could follow.
    #[tokio::test]
    async fn an_epoch_that_was_won_is_seen_though_the_peer_is_back() {
        let server = or_skip!(testkit::Etcd::start(3));
        let endpoints = server.addresses().into_iter().map(Endpoint).collect();
        let spec = spec::Etcd { endpoints, prefix: spec::Etcd::default_prefix(), user: None };
        let etcd = Etcd::new(&spec, Uuid::from_u128(7), &[], None);
        let now = |epoch| Register { epoch, owner: "n1".into() };
        etcd.init(&now(1)).await.unwrap();
        let judge = Judge::Etcd {
            etcd: Arc::new(etcd),
            pair: Vec::new(),
            is_there: Arc::default(),
            due: Due::default(),
        };
        let Judge::Etcd { etcd, due, .. } = &judge else { unreachable!() };
        assert_eq!(register(etcd, due, 1, false).await, Some(now(1)), "read at a start");
        assert_eq!(register(etcd, due, 1, false).await, None, "a steady pair does not need it");
        judge.take_epoch(1, &now(2)).await.unwrap();
        for _ in 0..3 {
            assert_eq!(register(etcd, due, 1, false).await, Some(now(2)), "until it is used");
        }
        assert_eq!(register(etcd, due, 2, false).await, Some(now(2)));
        assert_eq!(register(etcd, due, 2, false).await, None);
        // One that began before the next epoch was asked for says nothing of after.
        due.doubt();
        due.after(Some(STEADY_PAUSE), due.doubts() - 1);
        assert!(due.is_now());
        drop(server);
        due.doubt();
        assert_eq!(register(etcd, due, 2, false).await, None);
        assert!(!due.is_now(), "an etcd that is away is not waited for at every look");
    }
}
