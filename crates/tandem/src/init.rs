//! `tandem init`: cluster.yaml and secrets.yaml, written once.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use spec::{Arbiter, Endpoint, Etcd, Failover, Fence};
use spec::{CLUSTER_FILE, Cluster, Limited, NewCluster, Node, Ports, SECRETS_FILE, Secrets, Shape, Vip};
use spec::{dev_cluster_yaml, node_cluster_yaml};
use uuid::Uuid;

use crate::dev::Place;
use host::files;
use host::say;

/// Two servers, or one to begin with.
#[derive(Args)]
pub struct PairArgs {
    /// A server: its name, its address, and its address on the link to the other one. Twice for a pair.
    #[arg(long, value_name = "NAME=ADDRESS[,PEERADDRESS]")]
    node: Vec<NodeArg>,
    /// The address that moves between them, with its network's prefix.
    #[arg(long, value_name = "ADDRESS/PREFIX", requires = "node")]
    vip: Option<VipArg>,
    /// A router of their network.
    #[arg(long, value_name = "ADDRESS", requires = "vip")]
    gateway: Option<IpAddr>,
    /// A member of an etcd on three hosts or more, as http://ADDRESS:2379, three times: it becomes the failover's arbiter.
    #[arg(long, value_name = "URL", requires = "node", conflicts_with = "fence_command")]
    etcd_endpoint: Vec<Endpoint>,
    /// A word of the command that powers a node off, its program first; {node} and {address} are replaced: it becomes the
    /// failover's arbiter. May be repeated.
    #[arg(long, value_name = "WORD", requires = "node", allow_hyphen_values = true)]
    fence_command: Vec<String>,
    /// The first tenant's SIP domain.
    #[arg(long, requires = "node", default_value = "default.local")]
    domain: String,
    #[arg(long, requires = "node", value_enum, default_value_t = ShapeArg::Node)]
    shape: ShapeArg,
    /// The cluster's name, for people.
    #[arg(long, requires = "node", default_value = "tandem")]
    name: String,
    /// A network that may speak to /fs/... besides the nodes. May be repeated, as the next two.
    #[arg(long, requires = "node", value_name = "NETWORK")]
    fs_allow: Vec<String>,
    /// A network that may read metrics.
    #[arg(long, requires = "node", value_name = "NETWORK")]
    metrics_allow: Vec<String>,
    /// A network that flood protection never blocks.
    #[arg(long, requires = "node", value_name = "NETWORK")]
    trusted_source: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ShapeArg {
    Node,
    Lab,
}

#[derive(Debug, Clone)]
struct NodeArg(Node);

impl FromStr for NodeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, addresses) = text.split_once('=').ok_or("write NAME=ADDRESS, such as n1=192.168.1.101")?;
        let (address, peer) = match addresses.split_once(',') {
            Some((address, peer)) => (address, Some(peer)),
            None => (addresses, None),
        };
        Ok(Self(Node {
            name: name.into(),
            address: parse_address(address)?,
            peer_address: peer.map(parse_address).transpose()?,
            interface: None,
            peer_interface: None,
        }))
    }
}

#[derive(Debug, Clone)]
struct VipArg(Vip);

impl FromStr for VipArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) =
            text.split_once('/').ok_or("write ADDRESS/PREFIX, such as 192.168.1.100/24")?;
        Ok(Self(Vip {
            address: parse_address(address)?,
            prefix: prefix.parse().map_err(|_| format!("'{prefix}' is no prefix length"))?,
            router_id: Limited::new(100),
            gateway: None,
        }))
    }
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is no IP address"))
}

/// The arbiter is the one something was said about.
fn failover(endpoints: Vec<Endpoint>, command: Vec<String>) -> Failover {
    let mut failover = Failover::default();
    if !endpoints.is_empty() {
        failover.arbiter = Arbiter::Etcd;
        failover.etcd = Some(Etcd { endpoints, prefix: Etcd::default_prefix(), user: None });
    } else if !command.is_empty() {
        failover.arbiter = Arbiter::Fence;
        failover.fence = Some(Fence { command, timeout_ms: Fence::default_timeout_ms() });
    }
    failover
}

/// Writes both files of a cluster of servers below `dir`; existing ones are never touched.
pub fn pair(dir: &Path, args: PairArgs) -> Result<()> {
    let (file, secrets_file) = (dir.join(CLUSTER_FILE), dir.join(SECRETS_FILE));
    if let Some(existing) = [&file, &secrets_file].into_iter().find(|f| f.exists()) {
        bail!("{} is there already; edit it, or choose another folder with --dir", existing.display());
    }
    let gateway = args.gateway;
    let text = node_cluster_yaml(&NewCluster {
        id: Uuid::new_v4(),
        name: args.name,
        shape: match args.shape {
            ShapeArg::Node => Shape::Node,
            ShapeArg::Lab => Shape::Lab,
        },
        nodes: args.node.into_iter().map(|n| n.0).collect(),
        vip: args.vip.map(|v| Vip { gateway, ..v.0 }),
        failover: failover(args.etcd_endpoint, args.fence_command),
        domain: args.domain,
        trusted_sources: args.trusted_source,
        fs_allow: args.fs_allow,
        metrics_allow: args.metrics_allow,
    });
    let cluster = Cluster::parse(&file.display().to_string(), &text)?;
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    write_secrets(&secrets_file, &cluster, None)?;
    // Last: a cluster.yaml means that both are there.
    files::write(&file, 0o644, None, text.as_bytes())
        .with_context(|| format!("writing {}", file.display()))?;
    say!("wrote {} and {}", file.display(), secrets_file.display());
    Ok(())
}

fn write_secrets(file: &Path, cluster: &Cluster, owner: files::Owner) -> Result<()> {
    let secrets = Secrets::generate(cluster.demo.extensions.iter().map(|e| e.extension.as_str()))
        .context("no randomness from the operating system")?;
    files::write(file, 0o600, owner, secrets.to_yaml().as_bytes())
        .with_context(|| format!("writing {}", file.display()))
}

/// Writes both files below `dir`; existing ones are never touched.
pub fn run(dir: &Path, port_offset: u16) -> Result<()> {
    let place = Place::create(dir)?;
    let _claim = place.claim()?;
    if !write(&place, port_offset)? {
        bail!("{} has a {CLUSTER_FILE} already; edit it, or choose another folder with --dir", dir.display());
    }
    say!("wrote {} and {}", dir.join(CLUSTER_FILE).display(), dir.join(SECRETS_FILE).display());
    Ok(())
}

/// Writes what is missing; false when there was a cluster.yaml.
pub fn write(place: &Place, port_offset: u16) -> Result<bool> {
    let file = place.root.join(CLUSTER_FILE);
    let existing = files::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let text = match &existing {
        Some(text) => text.clone(),
        None => dev_cluster_yaml(Uuid::new_v4(), "tandem-dev", &Ports::dev(port_offset)),
    };
    let secrets_file = place.root.join(SECRETS_FILE);
    if !secrets_file.exists() {
        let cluster = Cluster::parse(&file.display().to_string(), &text)?;
        write_secrets(&secrets_file, &cluster, None)?;
    }
    if existing.is_none() {
        // Last: a cluster.yaml means that both are there.
        files::write(&file, 0o644, None, text.as_bytes())
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(existing.is_none())
}
