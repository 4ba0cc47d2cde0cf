//! What every template sees: `cluster.yaml` as it is, the secrets, and where things are on this node.

use std::net::IpAddr;

use serde::Serialize;
use sha2::{Digest, Sha256};
use spec::{Cluster, Identity, Node, Secrets, Shape, Vip};

use crate::ranges::{Block, blocks};
use crate::{Cores, Layout, MemoryMax, Paths, RenderError, Sizes, Users};

/// The seed's, for a node rendered on another machine than its own.
const INTERFACE: &str = "eth0";

/// The templates' variables, the same for all of them. A template that names anything else does not render.
///
/// Lengths of time are text with their unit (`30s`); sizes are bytes, to be divided by the unit that is written.
#[derive(Serialize)]
pub struct Context<'a> {
    cluster: &'a Identity,
    /// `dev`, `lab` or `node`.
    shape: Shape,
    node: &'a Node,
    /// None on a single node.
    peer: Option<&'a Node>,
    vip: Option<&'a Vip>,
    ports: &'a spec::Ports,
    paths: &'a Paths,
    users: &'a Users,
    secrets: &'a Secrets,
    sip: &'a spec::Sip,
    postgresql: &'a spec::Postgresql,
    /// Bytes of PostgreSQL's and Redis' own, written or the machine's.
    sizes: Sizes,
    memory_max: MemoryMax,
    /// None where nobody is pinned.
    cores: Option<Cores>,
    /// This node's address on the link between the nodes, or its only one; the peer's too.
    peer_side: IpAddr,
    peer_peer_side: Option<IpAddr>,
    /// Every address of the peer, and of both nodes.
    peer_addresses: Vec<IpAddr>,
    both_nodes: Vec<IpAddr>,
    /// None unless a member of the failover's etcd is on this node.
    etcd: Option<EtcdMember>,
    /// The ports nobody may take as a source, for `ip_local_reserved_ports`.
    reserved_ports: String,
    rtp_masks: Vec<Block>,
    /// Between the nodes' rsync, derived from the cluster's key.
    recordings_password: String,
    /// Between the nodes' voipadminds, likewise.
    recordings_media_password: String,
    /// The network interface of the service network, and of the link to the peer (the same without a link).
    interface: &'a str,
    peer_interface: &'a str,
    /// PostgreSQL's major version.
    postgresql_version: &'a str,
    server: &'a spec::Server,
    cdr: &'a spec::Cdr,
    cache: &'a spec::Cache,
    logging: &'a spec::Logging,
    freeswitch: &'a spec::Freeswitch,
    demo: &'a spec::Demo,
}

impl<'a> Context<'a> {
    /// The context of one node.
    ///
    /// # Errors
    /// [`RenderError::UnknownNode`].
    pub fn new(
        cluster: &'a Cluster,
        secrets: &'a Secrets,
        node: &str,
        layout: &'a Layout,
    ) -> Result<Self, RenderError> {
        let unknown = || RenderError::UnknownNode {
            asked: node.into(),
            known: cluster.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        let this = cluster.node(node).ok_or_else(unknown)?;
        let sizes = layout.machine.sizes(cluster);
        let found = |address| layout.interfaces.get(&address).map_or(INTERFACE, String::as_str);
        let interface = this.interface.as_deref().unwrap_or_else(|| found(this.address));
        let peer_interface = match (&this.peer_interface, this.peer_address) {
            (Some(written), _) => written,
            (None, Some(address)) => found(address),
            (None, None) => interface,
        };
        // A container's cores are its neighbours' too.
        let cores = (cluster.shape == Shape::Node).then(|| layout.machine.pinning()).flatten();
        Ok(Self {
            cluster: &cluster.cluster,
            shape: cluster.shape,
            node: this,
            peer: cluster.peer_of(node),
            vip: cluster.vip.as_ref(),
            ports: &cluster.ports,
            paths: &layout.paths,
            users: &layout.users,
            secrets,
            sip: &cluster.sip,
            postgresql: &cluster.postgresql,
            peer_side: this.peer_side(),
            peer_peer_side: cluster.peer_of(node).map(Node::peer_side),
            peer_addresses: cluster.peer_of(node).into_iter().flat_map(addresses).collect(),
            etcd: etcd_member(cluster, this),
            both_nodes: cluster.nodes.iter().flat_map(addresses).collect(),
            reserved_ports: reserved_ports(&cluster.ports),
            rtp_masks: blocks(cluster.ports.rtp_min, cluster.ports.rtp_max),
            recordings_password: derived(secrets, "recordings"),
            recordings_media_password: derived(secrets, "recordings media"),
            memory_max: layout.machine.memory_max(&sizes),
            sizes,
            cores,
            interface,
            peer_interface,
            postgresql_version: layout.postgresql_version(),
            server: &cluster.server,
            cdr: &cluster.cdr,
            cache: &cluster.cache,
            logging: &cluster.logging,
            freeswitch: &cluster.freeswitch,
            demo: &cluster.demo,
        })
    }
}

/// A member of etcd on a node: where its clients ask, and who they and the other members are.
#[derive(Serialize)]
struct EtcdMember {
    port: u16,
    hosts: Vec<IpAddr>,
}

fn etcd_member(cluster: &Cluster, node: &Node) -> Option<EtcdMember> {
    let endpoints = &cluster.failover.etcd.as_ref()?.endpoints;
    let own: Vec<IpAddr> = addresses(node).collect();
    let here = endpoints.iter().find(|e| own.contains(&e.0.ip()))?;
    let members = endpoints.iter().map(|e| e.0.ip());
    let peer = cluster.peer_of(&node.name).into_iter().flat_map(addresses);
    // Nodes have IPv4 addresses alone.
    let mut hosts: Vec<_> = members.chain(peer).filter(|ip| ip.is_ipv4() && !own.contains(ip)).collect();
    hosts.sort();
    hosts.dedup();
    Some(EtcdMember { port: here.0.port(), hosts })
}

fn addresses(node: &Node) -> impl Iterator<Item = IpAddr> {
    std::iter::once(node.address).chain(node.peer_address)
}

/// Sorted, as the kernel shows them.
fn reserved_ports(ports: &spec::Ports) -> String {
    let fixed = spec::FIXED_PORTS.iter().map(|(_, port)| *port);
    let mut all: Vec<(u16, String)> = ports
        .named()
        .iter()
        .map(|(_, port)| *port)
        .chain(fixed)
        .map(|port| (port, port.to_string()))
        .collect();
    all.push((ports.rtp_min, format!("{}-{}", ports.rtp_min, ports.rtp_max)));
    all.sort();
    all.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

/// A secret of its own for one purpose, which says nothing of the key it comes from (a long random one).
fn derived(secrets: &Secrets, purpose: &str) -> String {
    hex::encode(Sha256::digest(format!("tandem {purpose} {}", secrets.cluster_key)))
}
