//! The arbiter's side of a decision (failover.md 8): what etcd's register says now, the next epoch won there, the peer
//! powered off.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fsm::{Mode, Observation, Register, Role, State};

use crate::arbiter::{self, Etcd};
use crate::config::Config;

/// An election takes the leader anywhere; two deaths within this time meet a slower etcd, no wrong one.
const LEADS_ELSEWHERE_EVERY: Duration = Duration::from_secs(5);

/// Who is asked.
pub enum Judge {
    Nobody,
    Fence { command: Vec<String>, timeout: Duration, node: String, address: IpAddr },
    Etcd { etcd: Arc<Etcd>, pair: Vec<IpAddr>, is_there: Arc<AtomicBool> },
}

/// The register as this epoch's, where it is not there, or is of a time without etcd.
async fn raise(etcd: &Etcd, now: &Register) -> arbiter::Result<()> {
    etcd.init(now).await?;
    match etcd.read().await? {
        Some(old) if old.epoch < now.epoch => etcd.cas(old.epoch, now).await.map(drop),
        _ => Ok(()),
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
                Self::Etcd { etcd: Arc::new(etcd), pair, is_there: Arc::default() }
            }
        })
    }

    /// Adds the register to what is seen where a decision may turn on it: steady states do not need it. And sees to it that
    /// there is one before it is needed.
    pub async fn look(&self, observed: &mut Observation, state: &State) {
        let Self::Etcd { etcd, is_there, .. } = self else { return };
        let alone = observed.peer.as_ref().is_none_or(|peer| {
            !peer.echoes_me || peer.postgres_failed || peer.postgres_stopped || peer.state.mark >= state.at()
        });
        if alone || observed.command.is_some() {
            match etcd.read().await {
                Ok(register) => observed.register = register,
                Err(error) => tracing::debug!("etcd: {error}"),
            }
        }
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
        let Self::Etcd { etcd, .. } = self else { bail!("no etcd is configured") };
        let won = etcd.cas(from, to).await?;
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
