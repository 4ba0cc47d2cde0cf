//! The rules about names, addresses and networks: what the nodes are called and where they, their link and the address
//! that moves can be.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::invariants::{Check, broken};
use crate::{Cluster, Node, Shape, Vip};

/// A node's name becomes a replication slot and, with epoch and join, an application name of PostgreSQL: 63 bytes.
const NODE_NAME_CHARS_MAX: usize = 32;
/// Linux' IFNAMSIZ, less the closing zero.
const INTERFACE_CHARS_MAX: usize = 15;

pub(crate) fn check(c: &Cluster) -> Check {
    c.nodes.iter().try_for_each(node)?;
    number_of_nodes(c)?;
    each_its_own(c)?;
    if c.shape != Shape::Dev {
        c.nodes.iter().try_for_each(on_a_network)?;
    }
    vip(c)?;
    peer_link(c)?;
    networks("sip.trusted_sources", &c.sip.trusted_sources)?;
    networks("server.fs_allow", &c.server.fs_allow)?;
    networks("server.metrics_allow", &c.server.metrics_allow)
}

/// One label of RFC 1123, in small letters: it is compared, never resolved.
fn host_name(key: &str, value: &str) -> Check {
    let fits = (1..=NODE_NAME_CHARS_MAX).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !value.starts_with('-')
        && !value.ends_with('-');
    if fits {
        return Ok(());
    }
    broken(
        key,
        format!("'{value}' is no host name"),
        format!("use 1 to {NODE_NAME_CHARS_MAX} small letters, digits and '-', with none at either end"),
    )
}

fn node(node: &Node) -> Check {
    host_name("nodes.name", &node.name)?;
    for (key, address) in addresses(node) {
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || broadcast {
            return broken(
                key,
                format!("{address} is no address of one node"),
                "write the address the other node reaches it by",
            );
        }
    }
    let interfaces = [("nodes.interface", &node.interface), ("nodes.peer_interface", &node.peer_interface)];
    for (key, interface) in interfaces.into_iter().filter_map(|(key, i)| Some((key, i.as_ref()?))) {
        let fits = (1..=INTERFACE_CHARS_MAX).contains(&interface.len())
            && interface.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !interface.starts_with(['.', '-']);
        if !fits {
            return broken(
                key,
                format!("'{interface}' is no network interface"),
                "write what 'ip -brief address' calls it, or leave it out",
            );
        }
    }
    Ok(())
}

fn addresses(node: &Node) -> impl Iterator<Item = (&'static str, IpAddr)> {
    [("nodes.address", Some(node.address)), ("nodes.peer_address", node.peer_address)]
        .into_iter()
        .filter_map(|(key, address)| Some((key, address?)))
}

fn number_of_nodes(c: &Cluster) -> Check {
    let wanted = if c.shape == Shape::Dev { 1..=1 } else { 1..=2 };
    if wanted.contains(&c.nodes.len()) {
        return Ok(());
    }
    broken(
        "nodes",
        format!("{} nodes in the shape '{}'", c.nodes.len(), c.shape.as_str()),
        "list one node in dev, one or two elsewhere",
    )
}

/// No name and no address twice: nodes, their link, the address that moves and the gateway.
fn each_its_own(c: &Cluster) -> Check {
    if let [a, b] = c.nodes.as_slice()
        && (a.name == b.name || a.address == b.address)
    {
        return broken("nodes", "both nodes have the same name or address", "give each its own");
    }
    let vip = c.vip.as_ref().map(|v| ("vip.address", v.address));
    let gateway = c.vip.as_ref().and_then(|v| Some(("vip.gateway", v.gateway?)));
    let mut seen: BTreeMap<IpAddr, &str> = BTreeMap::new();
    for (key, address) in c.nodes.iter().flat_map(addresses).chain(vip).chain(gateway) {
        if let Some(other) = seen.insert(address, key) {
            return broken(key, format!("{address} stands under {other} already"), "choose a free one");
        }
    }
    Ok(())
}

/// On a server: an address the other node can reach.
fn on_a_network(node: &Node) -> Check {
    for (key, address) in addresses(node) {
        if address.is_loopback() {
            return broken(
                key,
                format!("{address} is loopback, where the other node cannot reach it"),
                "write the address on the network",
            );
        }
        if address.is_ipv6() {
            return broken(key, format!("{address} is IPv6"), "nodes need IPv4 addresses for now");
        }
    }
    Ok(())
}

fn vip(c: &Cluster) -> Check {
    let Some(vip) = &c.vip else {
        if c.nodes.len() < 2 {
            return Ok(());
        }
        return broken("vip", "two nodes have no address that moves", "write vip: {address: …, prefix: 24}");
    };
    if c.nodes.len() < 2 {
        return broken(
            "vip",
            "a single node has nothing to move an address to",
            "remove 'vip:' or add a node",
        );
    }
    let most = if vip.address.is_ipv4() { 32 } else { 128 };
    if vip.prefix == 0 || vip.prefix > most {
        return broken(
            "vip.prefix",
            format!("{} is no prefix length", vip.prefix),
            format!("use 1 to {most}"),
        );
    }
    if let Some(node) = c.nodes.iter().find(|n| !contains(vip, n.address)) {
        return broken(
            "vip.address",
            format!("{}/{} is not the network of {} ({})", vip.address, vip.prefix, node.name, node.address),
            "choose a free address of the nodes' own network, with that network's prefix",
        );
    }
    if at_the_edge(vip) {
        return broken(
            "vip.address",
            format!("{} names its network /{} or all of it", vip.address, vip.prefix),
            "choose an address between them",
        );
    }
    match vip.gateway.filter(|g| !contains(vip, *g)) {
        Some(gateway) => broken(
            "vip.gateway",
            format!("{gateway} is not in the network of {}/{}", vip.address, vip.prefix),
            "write a router of the nodes' own network, or leave it out",
        ),
        None => Ok(()),
    }
}

/// Both nodes have the link or none, and it is a network of its own: two interfaces in one network answer for each other.
fn peer_link(c: &Cluster) -> Check {
    let [a, b] = c.nodes.as_slice() else { return Ok(()) };
    if a.peer_address.is_some() != b.peer_address.is_some() {
        return broken(
            "nodes.peer_address",
            "only one node has an address on the link between them",
            "give both one, or none",
        );
    }
    let inside =
        |node: &Node| c.vip.as_ref().is_some_and(|v| node.peer_address.is_some_and(|p| contains(v, p)));
    match c.nodes.iter().find(|n| inside(n)) {
        Some(node) => broken(
            "nodes.peer_address",
            format!("the link of {} overlaps the service network", node.name),
            "use a network of its own for the link, or leave peer_address out",
        ),
        None => Ok(()),
    }
}

/// Whether `address` is in the virtual address' network.
fn contains(vip: &Vip, address: IpAddr) -> bool {
    match (vip.address, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let host_bits = 32 - u32::from(vip.prefix);
            (a.to_bits() ^ b.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let host_bits = 128 - u32::from(vip.prefix);
            (a.to_bits() ^ b.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// The network's own address, or its broadcast address.
fn at_the_edge(vip: &Vip) -> bool {
    let IpAddr::V4(address) = vip.address else { return false };
    if vip.prefix >= 31 {
        return false;
    }
    let host_mask = u32::MAX >> vip.prefix;
    let host = address.to_bits() & host_mask;
    host == 0 || host == host_mask
}

fn networks(key: &str, networks: &[String]) -> Check {
    match networks.iter().find(|n| !is_network(n)) {
        Some(network) => broken(
            key,
            format!("'{network}' is no network"),
            "write address/bits, such as 192.168.1.0/24 or 10.0.0.7/32",
        ),
        None => Ok(()),
    }
}

fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(address) if address.is_ipv4() => 32,
        Ok(_) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::tests::pair;
    use crate::node_cluster_yaml;

    fn problem(from: &str, to: &str) -> String {
        let text = node_cluster_yaml(&pair(Shape::Node));
        assert!(text.contains(from), "the sample holds no {from:?}");
        Cluster::parse("cluster.yaml", &text.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn each_rule_names_key_problem_and_cure() {
        for (from, to, key, says) in [
            ("name: n1", "name: n_1", "nodes.name", "no host name"),
            ("name: n1", "name: N1", "nodes.name", "no host name"),
            ("name: n1", "name: n1-", "nodes.name", "no host name"),
            ("name: n1", "name: n2", "nodes", "same name"),
            ("address: 192.168.1.102", "address: 192.168.1.101", "nodes", "same name or address"),
            ("address: 192.168.1.101", "address: 127.0.0.2", "nodes.address", "loopback"),
            ("address: 192.168.1.101", "address: 224.0.0.1", "nodes.address", "no address of one node"),
            ("address: 192.168.1.101", "address: 'fd00::1'", "nodes.address", "IPv6"),
            ("address: 192.168.1.102", "address: 192.168.2.102", "vip.address", "not the network of n2"),
            ("address: 192.168.1.100", "address: 192.168.2.100", "vip.address", "not the network of n1"),
            (
                "address: 192.168.1.100",
                "address: 192.168.1.102",
                "vip.address",
                "under nodes.address already",
            ),
            ("address: 192.168.1.100", "address: 192.168.1.255", "vip.address", "all of it"),
            ("prefix: 24", "prefix: 31", "vip.address", "not the network of"),
            ("prefix: 24", "prefix: 33", "vip.prefix", "no prefix length"),
            ("router_id: 100", "router_id: 300", "router_id", "between 1 and 255"),
            ("gateway: 192.168.1.1", "gateway: 192.168.9.1", "vip.gateway", "not in the network"),
            ("gateway: 192.168.1.1", "gateway: 192.168.1.101", "vip.gateway", "already"),
            ("peer_address: 10.0.0.102", "peer_address: 10.0.0.101", "nodes.peer_address", "already"),
            ("peer_address: 10.0.0.102", "peer_address: 192.168.1.101", "nodes.peer_address", "already"),
            ("peer_address: 10.0.0.102", "peer_address: 192.168.1.7", "nodes.peer_address", "overlaps"),
            ("    peer_address: 10.0.0.102\n", "", "nodes.peer_address", "only one node"),
            ("peer_address: 10.0.0.102", "interface: 'a b'", "nodes.interface", "no network interface"),
            ("fs_allow: [192", "fs_allow: [292", "server.fs_allow", "no network"),
            ("metrics_allow: []", "metrics_allow: [10.0.0.1]", "server.metrics_allow", "no network"),
            ("api: 8080", "api: 9100", "ports.api", "prometheus-node-exporter"),
            ("  fs_sip: 5080", "  unknown: 5080", "unknown", "not a known key"),
        ] {
            let message = problem(from, to);
            assert!(message.starts_with("cluster.yaml:"), "{message}");
            assert!(message.contains(key) && message.contains(says), "{from} -> {to}: {message}");
            assert!(message.contains("; ") || message.contains("between"), "no cure in: {message}");
        }
    }

    #[test]
    fn two_nodes_need_an_address_that_moves() {
        let mut new = pair(Shape::Lab);
        new.vip = None;
        let error = Cluster::parse("cluster.yaml", &node_cluster_yaml(&new)).unwrap_err().to_string();
        assert!(error.contains("no address that moves"), "{error}");
        new.nodes.truncate(1);
        Cluster::parse("cluster.yaml", &node_cluster_yaml(&new)).unwrap();
    }
}
