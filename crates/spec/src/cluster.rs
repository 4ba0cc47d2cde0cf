//! The top of `cluster.yaml`: who the nodes are, and in which of the three shapes they run.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use strictyaml::Limited;
use uuid::Uuid;

use crate::demo::Demo;
use crate::engines::{Cache, Cdr, Freeswitch, Logging, Postgresql, Redis, Server};
use crate::failover::Failover;
use crate::ports::Ports;
use crate::{Error, invariants};

/// A whole platform: one node in dev, two in the lab and in production.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    pub cluster: Identity,
    pub shape: Shape,
    pub nodes: Vec<Node>,
    /// The address that moves; none on a single node.
    #[serde(default)]
    pub vip: Option<Vip>,
    #[serde(default)]
    pub failover: Failover,
    #[serde(default)]
    pub ports: Ports,
    #[serde(default)]
    pub paths: PathOverrides,
    #[serde(default)]
    pub sip: Sip,
    #[serde(default)]
    pub postgresql: Postgresql,
    #[serde(default)]
    pub redis: Redis,
    #[serde(default)]
    pub server: Server,
    #[serde(default)]
    pub cdr: Cdr,
    #[serde(default)]
    pub cache: Cache,
    #[serde(default)]
    pub logging: Logging,
    #[serde(default)]
    pub freeswitch: Freeswitch,
    pub demo: Demo,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Made once by `tandem init`; nodes of different clusters refuse each other by it.
    pub id: Uuid,
    /// For people: shown in tables and logs.
    pub name: String,
}

/// The three places the same configuration runs in; they differ in paths, ports and addresses only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// One unprivileged node on loopback under `.tandem/`.
    Dev,
    /// Debian systems in containers on one machine.
    Lab,
    /// Debian servers.
    Node,
}

impl Shape {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Lab => "lab",
            Self::Node => "node",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub name: String,
    /// On the service network: phones, the API and the other node reach it here.
    pub address: IpAddr,
    /// On the link between the two nodes: replication and heartbeats. Without one the service network carries them.
    #[serde(default)]
    pub peer_address: Option<IpAddr>,
    /// The network interface that has `address`, and that of `peer_address`; found on the machine when left out.
    #[serde(default)]
    pub interface: Option<String>,
    #[serde(default)]
    pub peer_interface: Option<String>,
}

impl Node {
    /// Where the other node reaches this one's databases and agent.
    pub fn peer_side(&self) -> IpAddr {
        self.peer_address.unwrap_or(self.address)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Vip {
    pub address: IpAddr,
    /// Bits of the network part, as in `192.168.1.100/24`.
    pub prefix: u8,
    /// VRRP's virtual router id, unique on the network (RFC 9568).
    #[serde(default = "Vip::default_router_id")]
    pub router_id: Limited<1, 255>,
    /// A router of the service network, and a veto: a primary that does not reach it drops the address. Never a permission:
    /// reaching it makes nobody primary.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
}

impl Vip {
    fn default_router_id() -> Limited<1, 255> {
        Limited::new(100)
    }
}

/// Where things are when they are not where the shape puts them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathOverrides {
    /// FreeSWITCH's prefix (`<prefix>/bin/freeswitch`).
    pub freeswitch_prefix: Option<PathBuf>,
    /// Folder of FreeSWITCH's `mod_*.so`.
    pub freeswitch_mod: Option<PathBuf>,
    /// Folder of Kamailio's modules.
    pub kamailio_mod: Option<PathBuf>,
    /// Folder of PostgreSQL's server programs (`initdb`, `postgres`).
    pub postgresql_bin: Option<PathBuf>,
    /// Recordings and voicemail, where large disks are.
    pub storage: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sip {
    /// Networks (`192.168.1.0/24`) that flood protection never blocks: the office's own NAT address, the trunks.
    pub trusted_sources: Vec<String>,
}

impl Default for Sip {
    fn default() -> Self {
        Self { trusted_sources: vec![format!("{}/32", Ipv4Addr::LOCALHOST)] }
    }
}

impl Cluster {
    /// Reads `cluster.yaml`; `file` names it in errors.
    ///
    /// # Errors
    /// The first thing that is wrong: YAML, an unknown key, a value out of range, or a rule between keys.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let cluster: Self = strictyaml::parse(file, text)?;
        invariants::check(&cluster).map_err(|v| Error::at_key(file, text, &v.key, &v.problem, &v.cure))?;
        Ok(cluster)
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == name)
    }

    /// The other node of a pair.
    pub fn peer_of(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name != name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev_cluster_yaml;

    #[test]
    fn numbers_of_phones_are_text_even_without_quotes() {
        let text = dev_cluster_yaml(Uuid::nil(), "t", &Ports::dev(0));
        let quoted = Cluster::parse("c", &text).unwrap();
        let bare = text.replace("\"1001\"", "1001").replace("\"8001\"", "8001");
        assert_eq!(Cluster::parse("c", &bare).unwrap(), quoted);
        let zeros = text.replace("\"1001\"", "0012");
        assert_eq!(Cluster::parse("c", &zeros).unwrap().demo.extensions[0].extension, "0012");
    }
}
