//! The register of a cluster in etcd: the newest epoch and who owns it. Whoever would go on alone wins the next one here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fsm::Register;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::gateway::{Gateway, TOTAL};
use super::wire::{self, Pair};
use super::{ETCD_MEMBERS_MIN, Error, Result};

/// A thread that is late to notice that its time is over is left behind.
const GRACE: Duration = Duration::from_millis(100);
const FOUND_CHARS_MAX: usize = 200;

/// A cluster's two keys, `PREFIX/CLUSTER-ID/epoch` and `…/owner`, always written in one transaction. Cheap to clone.
#[derive(Clone)]
pub struct Etcd {
    gateway: Arc<Gateway>,
    /// Ends in '/'.
    keys: String,
    /// The member on this node, if there is one.
    own: Option<usize>,
}

impl Etcd {
    /// From `failover.etcd`. The member on one of the addresses `own` is asked first; the password is `etcd_password`.
    pub fn new(spec: &spec::Etcd, cluster: Uuid, own: &[IpAddr], password: Option<&str>) -> Self {
        let own = spec.endpoints.iter().position(|e| own.contains(&e.0.ip()));
        let user = spec.user.clone().map(|user| (user, password.unwrap_or_default().to_owned()));
        let gateway = Arc::new(Gateway::new(spec.endpoints.clone(), own.unwrap_or(0), user));
        Self { gateway, keys: format!("{}/{cluster}/", spec.prefix), own }
    }

    /// A linearizable read. `None`: nobody made the register, or somebody removed it; only a cluster that was never paired
    /// may then [`Etcd::init`] it.
    ///
    /// # Errors
    /// [`Error::Away`] after [`super::ETCD_ANSWER_MAX`] at most, [`Error::Damaged`].
    pub async fn read(&self) -> Result<Option<Register>> {
        let range: wire::Range = self.ask(wire::RANGE, wire::range(&self.keys)).await?;
        self.register(&range.kvs)
    }

    /// Compare-and-set: from epoch `from`, whoever owns it, to `to`. True: the register is `to`, by this call or an
    /// earlier one whose answer was lost: nobody else writes this owner, so asking twice is asking once.
    ///
    /// # Errors
    /// [`Error::Away`]: **ambiguous**, it may still be done. The next [`Etcd::read`] settles it.
    pub async fn cas(&self, from: u64, to: &Register) -> Result<bool> {
        if to.epoch <= from {
            return Err(Error::Backwards { from, to: to.epoch });
        }
        self.put_if(wire::is_value(&self.key("epoch"), &from.to_string()), to).await
    }

    /// Makes the register if it is not there. One that is there stays as it is.
    ///
    /// # Errors
    /// [`Error::Away`]: ambiguous, as [`Etcd::cas`].
    pub async fn init(&self, first: &Register) -> Result<()> {
        self.put_if(wire::is_absent(&self.key("epoch")), first).await.map(drop)
    }

    /// How many members vote.
    ///
    /// # Errors
    /// [`Error::TooFewMembers`] below three: such an etcd is no witness.
    pub async fn members(&self) -> Result<usize> {
        // 'linearizable' (3.5; 3.4 knows none) makes it a question to the majority.
        let answer: wire::Members =
            self.ask(wire::MEMBERS, serde_json::json!({ "linearizable": true })).await?;
        let voting = answer.members.iter().filter(|m| !m.is_learner).count();
        if voting < ETCD_MEMBERS_MIN { Err(Error::TooFewMembers(voting)) } else { Ok(voting) }
    }

    /// Where the member on this node leads, has one lead that is on neither of the `pair`'s addresses: else whoever survives
    /// this node waits for an election (a second) before it may ask. True: it was handed over now.
    ///
    /// # Errors
    /// [`Error::Away`]: this node's member does not answer, or found nobody to follow it.
    pub async fn lead_elsewhere(&self, pair: &[IpAddr]) -> Result<bool> {
        let Some(own) = self.own else { return Ok(false) };
        let status: wire::Status = self.ask_at(own, wire::STATUS, serde_json::json!({})).await?;
        if status.leader.is_empty() || status.leader != status.header.member_id {
            return Ok(false);
        }
        let all: wire::Members = self.ask_at(own, wire::MEMBERS, serde_json::json!({})).await?;
        let Some(witness) = all.members.into_iter().find(|member| member.is_beyond(pair)) else {
            return Ok(false);
        };
        let transfer = serde_json::json!({ "targetID": witness.id });
        self.blocking(move |gateway| gateway.tell(own, wire::TRANSFER, &transfer)).await?;
        Ok(true)
    }

    /// Of the etcd that answered: members that say different ones would decide apart. None before an answer.
    pub fn cluster_id(&self) -> Option<String> {
        self.gateway.cluster_id()
    }

    async fn put_if(&self, when: Value, to: &Register) -> Result<bool> {
        let then = vec![
            wire::put(&self.key("epoch"), &to.epoch.to_string()),
            wire::put(&self.key("owner"), &to.owner),
        ];
        let answer: wire::Txn = self.ask(wire::TXN, wire::txn(when, then, &self.keys)).await?;
        if answer.succeeded {
            return Ok(true);
        }
        let found = answer.responses.into_iter().find_map(|r| r.response_range).unwrap_or_default();
        Ok(self.register(&found.kvs)?.as_ref() == Some(to))
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.keys)
    }

    /// Both keys or none, and nothing else.
    fn register(&self, pairs: &[Pair]) -> Result<Option<Register>> {
        let pairs: Vec<_> = pairs.iter().map(Pair::text).collect();
        if pairs.is_empty() {
            return Ok(None);
        }
        let value = |name: &str| {
            let key = self.key(name);
            pairs.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
        };
        let epoch = value("epoch").and_then(|text| text.parse().ok());
        match (epoch, value("owner")) {
            (Some(epoch), Some(owner)) if !owner.is_empty() => {
                Ok(Some(Register { epoch, owner: owner.clone() }))
            }
            _ => {
                let found: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
                let found = found.join(" ").chars().take(FOUND_CHARS_MAX).collect();
                Err(Error::Damaged { key: self.keys.clone(), found })
            }
        }
    }

    async fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &'static str,
        question: Value,
    ) -> Result<T> {
        self.blocking(move |gateway| gateway.ask(path, &question)).await
    }

    /// Of this member, and no other.
    async fn ask_at<T: DeserializeOwned + Send + 'static>(
        &self,
        member: usize,
        path: &'static str,
        question: Value,
    ) -> Result<T> {
        self.blocking(move |gateway| gateway.ask_at(member, path, &question)).await
    }

    /// On a thread that may block, bounded once more.
    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Gateway) -> std::result::Result<T, String> + Send + 'static,
    ) -> Result<T> {
        let gateway = Arc::clone(&self.gateway);
        let asking = tokio::task::spawn_blocking(move || ask(&gateway));
        match tokio::time::timeout(TOTAL + GRACE, asking).await {
            Ok(Ok(answer)) => answer.map_err(Error::Away),
            Ok(Err(broken)) => Err(Error::Away(broken.to_string())),
            Err(_) => Err(Error::Away(format!("nothing within {} ms", (TOTAL + GRACE).as_millis()))),
        }
    }
}
