//! `failover:`: when the other node counts as gone, and who besides the two nodes has a say in what follows.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};
use strictyaml::Limited;

use crate::invariants::{Check, broken};
use crate::{Cluster, Shape};

/// The least and the most `heartbeat_ms x heartbeat_misses` may be. Below, a loaded machine's hiccup is a death; above,
/// nobody waits so long for a call.
const DETECTION_MS: std::ops::RangeInclusive<u64> = 300..=5_000;
/// Two of three are a majority when one is gone; two of two are not.
const ETCD_MEMBERS_MIN: usize = 3;
const ETCD_ENDPOINTS_MAX: usize = 9;
const PREFIX_CHARS_MAX: usize = 128;
const FENCE_WORDS_MAX: usize = 32;
const FENCE_WORD_BYTES_MAX: usize = 1024;
/// What a fence's words may hold, to be replaced by the name and the address of the node to be powered off.
pub const FENCE_NODE: &str = "{node}";
pub const FENCE_ADDRESS: &str = "{address}";

/// Safety rests on none of these numbers: a false alarm costs the losing side's `local` writes, never an acknowledged one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Failover {
    /// Between two heartbeats to the peer, on each network.
    pub heartbeat_ms: Limited<50, 1_000>,
    /// Heartbeats in a row that do not come before the peer counts as gone.
    pub heartbeat_misses: Limited<3, 20>,
    pub arbiter: Arbiter,
    /// With `arbiter: fence` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// With `arbiter: etcd` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<Etcd>,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            heartbeat_ms: Limited::new(100),
            heartbeat_misses: Limited::new(5),
            arbiter: Arbiter::None,
            fence: None,
            etcd: None,
        }
    }
}

impl Failover {
    /// How long a silent peer is waited for.
    ///
    /// It has no relation to VRRP's dead time (3 x 200 ms and a skew of 122 ms): keepalived on a standby is in fault and
    /// looks for no adverts. Its clock starts when the role file allows the address, after the take-over, and comes on top.
    pub const fn detection(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms.get().saturating_mul(self.heartbeat_misses.get()))
    }
}

/// Who, besides the two nodes, decides whether one may go on alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arbiter {
    /// Nobody: a standby takes over freely; a primary without its standby waits for a person.
    #[default]
    None,
    /// A command that powers the other node off, run by whoever would go on alone.
    Fence,
    /// A register that both sides compare and set.
    Etcd,
}

impl Arbiter {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fence => "fence",
            Self::Etcd => "etcd",
        }
    }
}

impl std::str::FromStr for Arbiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::None, Self::Fence, Self::Etcd];
        all.into_iter()
            .find(|arbiter| arbiter.as_str() == text)
            .ok_or_else(|| format!("'{text}' is no arbiter: none, fence or etcd"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    /// A program by its whole path and its words; no shell reads them. Exit status 0 says: the node is off.
    pub command: Vec<String>,
    /// The program is killed then, and nothing is confirmed.
    #[serde(default = "Fence::default_timeout_ms")]
    pub timeout_ms: Limited<500, 120_000>,
}

impl Fence {
    pub const fn default_timeout_ms() -> Limited<500, 120_000> {
        Limited::new(20_000)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Etcd {
    pub endpoints: Vec<Endpoint>,
    /// The cluster's key is `PREFIX/CLUSTER-ID/epoch`, so that several platforms can ask one etcd.
    #[serde(default = "Etcd::default_prefix")]
    pub prefix: String,
    /// A user of etcd's own, with `etcd_password` in secrets.yaml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Etcd {
    pub fn default_prefix() -> String {
        "/tandem".into()
    }
}

/// Where a member answers clients: `http://ADDRESS:PORT`. An address, since no name is resolved in the middle of a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint(pub SocketAddr);

impl std::str::FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err(format!("'{text}' wants TLS, which is not spoken to etcd yet: write http://…"));
        }
        let bare = text.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        bare.and_then(|b| b.parse().ok())
            .filter(|address: &SocketAddr| address.port() > 0)
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "'{text}' is no endpoint: write http://ADDRESS:PORT, such as http://192.168.1.10:2379"
                )
            })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

pub(crate) fn check(c: &Cluster) -> Check {
    let f = &c.failover;
    detection(f)?;
    if c.nodes.len() < 2 && f.arbiter != Arbiter::None {
        return broken(
            "failover.arbiter",
            format!("is {} on a single node, which has nobody to decide about", f.arbiter.as_str()),
            "write 'none', or add the second node",
        );
    }
    let sections = [
        ("failover.fence", f.fence.is_some(), Arbiter::Fence),
        ("failover.etcd", f.etcd.is_some(), Arbiter::Etcd),
    ];
    for (key, there, of) in sections {
        if there && f.arbiter != of {
            return broken(
                key,
                format!(
                    "is of the arbiter '{}', and failover.arbiter is '{}'",
                    of.as_str(),
                    f.arbiter.as_str()
                ),
                format!("write 'arbiter: {}', or remove the section", of.as_str()),
            );
        }
        if !there && f.arbiter == of {
            return broken(
                "failover.arbiter",
                format!("is '{}', and there is no section '{key}'", of.as_str()),
                match of {
                    Arbiter::Etcd => "write etcd: {endpoints: [http://…:2379, http://…:2379, http://…:2379]}",
                    _ => "write fence: {command: [/path/of/program, \"{node}\"]}",
                },
            );
        }
    }
    if let Some(fence) = &f.fence {
        command(fence)?;
    }
    f.etcd.as_ref().map_or(Ok(()), |etcd| self::etcd(c, etcd))
}

fn detection(f: &Failover) -> Check {
    let detection_ms = f.heartbeat_ms.get().saturating_mul(f.heartbeat_misses.get());
    if DETECTION_MS.contains(&detection_ms) {
        return Ok(());
    }
    let (least, most) = (DETECTION_MS.start(), DETECTION_MS.end());
    broken(
        "failover.heartbeat_ms",
        format!(
            "{least} ms <= heartbeat_ms x heartbeat_misses <= {most} ms does not hold: {} ms x {} = {detection_ms} ms",
            f.heartbeat_ms.get(),
            f.heartbeat_misses.get()
        ),
        if detection_ms < *least {
            "raise one of them: a busy machine must not pass for a dead one"
        } else {
            "lower one of them: callers do not wait so long"
        },
    )
}

fn command(fence: &Fence) -> Check {
    let key = "failover.fence.command";
    let Some((program, words)) = fence.command.split_first() else {
        return broken(key, "is empty", "write [/path/of/program, \"{node}\"]");
    };
    if !Path::new(program).is_absolute() {
        return broken(
            key,
            format!("'{program}' is no whole path"),
            "write the program's path from '/'; it is not looked for, and no shell reads it",
        );
    }
    let too_long = fence.command.iter().any(|w| w.len() > FENCE_WORD_BYTES_MAX || w.contains('\0'));
    if fence.command.len() > FENCE_WORDS_MAX || too_long {
        return broken(
            key,
            format!("has more than {FENCE_WORDS_MAX} words, or one over {FENCE_WORD_BYTES_MAX} bytes"),
            "put what is long into a program of your own, and name that",
        );
    }
    let unknown = |word: &String| {
        let rest = word.replace(FENCE_NODE, "").replace(FENCE_ADDRESS, "");
        rest.contains(['{', '}'])
    };
    if let Some(word) = fence.command.iter().find(|w| unknown(w)) {
        return broken(
            key,
            format!("'{word}' holds a brace that is not replaced"),
            format!(
                "{FENCE_NODE} and {FENCE_ADDRESS} are, by the name and the address of the node to be powered off"
            ),
        );
    }
    let named = |word: &String| word.contains(FENCE_NODE) || word.contains(FENCE_ADDRESS);
    if named(program) || !words.iter().any(named) {
        return broken(
            key,
            "does not say which node: it is the same on both, and must never power off its own",
            format!("give the program {FENCE_NODE} or {FENCE_ADDRESS} as a word"),
        );
    }
    Ok(())
}

fn etcd(c: &Cluster, etcd: &Etcd) -> Check {
    let key = "failover.etcd.endpoints";
    let hosts: BTreeSet<IpAddr> = etcd.endpoints.iter().map(|e| e.0.ip()).collect();
    let two_of_one = |node: &crate::Node| {
        hosts.contains(&node.address)
            && node.peer_address.is_some_and(|it| it != node.address && hosts.contains(&it))
    };
    if hosts.len() < etcd.endpoints.len() || c.nodes.iter().any(two_of_one) {
        return broken(
            key,
            "name one host twice, whose death would stop both",
            "give each member a host of its own",
        );
    }
    if hosts.len() < ETCD_MEMBERS_MIN {
        return broken(
            key,
            format!("name {} members: with two members either's death stops both", hosts.len()),
            "name three, one of them on a third host; without one write 'arbiter: none'",
        );
    }
    if hosts.len() > ETCD_ENDPOINTS_MAX {
        return broken(
            key,
            format!("name {} members, of which a question could not reach the last in time", hosts.len()),
            format!("name {ETCD_MEMBERS_MIN} to {ETCD_ENDPOINTS_MAX}"),
        );
    }
    let vip = c.vip.as_ref().map(|v| v.address);
    let nobodys = |ip: &&IpAddr| {
        ip.is_unspecified()
            || ip.is_multicast()
            || (c.shape != Shape::Dev && ip.is_loopback())
            || vip == Some(**ip)
    };
    if let Some(ip) = hosts.iter().find(nobodys) {
        return broken(
            key,
            format!("{ip} is no address of one host that both nodes reach"),
            "write the host's own address on the network",
        );
    }
    let prefix = &etcd.prefix;
    let fits = (2..=PREFIX_CHARS_MAX).contains(&prefix.len())
        && prefix.starts_with('/')
        && !prefix.ends_with('/')
        && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.-".contains(&b));
    if !fits {
        return broken(
            "failover.etcd.prefix",
            format!("'{prefix}' is no prefix of a key"),
            format!(
                "use 2 to {PREFIX_CHARS_MAX} letters, digits and '/_.-', beginning and not ending with '/'"
            ),
        );
    }
    match etcd.user.as_deref() {
        Some(user)
            if !(1..=64).contains(&user.len())
                || !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) =>
        {
            broken(
                "failover.etcd.user",
                format!("'{user}' is no name"),
                "use 1 to 64 letters, digits, '_', '.' and '-'",
            )
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
