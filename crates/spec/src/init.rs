//! Writing a new `cluster.yaml`, every key with its comment.

use uuid::Uuid;

use crate::{Failover, Node, Ports, Shape, Vip};

const DEV: &str = include_str!("../templates/cluster.dev.yaml");
const NODE: &str = include_str!("../templates/cluster.node.yaml");

/// A dev cluster's file: one node on loopback. What it says is what the defaults say, so that the file documents them.
pub fn dev_cluster_yaml(id: Uuid, name: &str, ports: &Ports) -> String {
    with_ports(DEV.replace("@ID@", &id.to_string()).replace("@NAME@", name), ports)
}

/// What `tandem init --node …` was told; checked when the file is read, not here.
#[derive(Debug, Clone)]
pub struct NewCluster {
    pub id: Uuid,
    pub name: String,
    /// [`Shape::Node`] or [`Shape::Lab`].
    pub shape: Shape,
    pub nodes: Vec<Node>,
    pub vip: Option<Vip>,
    pub failover: Failover,
    /// The first tenant's SIP domain.
    pub domain: String,
    /// Networks, in addition to the defaults.
    pub trusted_sources: Vec<String>,
    pub fs_allow: Vec<String>,
    pub metrics_allow: Vec<String>,
}

/// A pair's file. In a lab its sizes are written small: the containers share one machine and one disk.
pub fn node_cluster_yaml(new: &NewCluster) -> String {
    let lab = new.shape == Shape::Lab;
    let either = |in_lab: &'static str, on_server: &'static str| if lab { in_lab } else { on_server };
    let mut trusted = vec!["127.0.0.1/32".to_owned()];
    trusted.extend(new.trusted_sources.iter().cloned());
    let nodes: String = new.nodes.iter().map(node).collect();
    let vip = new.vip.as_ref().map_or_else(|| "# vip: {address: …, prefix: 24}\n".to_owned(), vip);
    let text = NODE
        .replace("@ID@", &new.id.to_string())
        .replace("@NAME@", &new.name)
        .replace("@shape@", new.shape.as_str())
        .replace("@nodes@\n", &(nodes + "\n"))
        .replace("@vip@\n", &(vip + "\n"))
        .replace("@heartbeat_ms@", &new.failover.heartbeat_ms.get().to_string())
        .replace("@heartbeat_misses@", &new.failover.heartbeat_misses.get().to_string())
        .replace("@arbiter@\n", &arbiter(&new.failover))
        .replace("@trusted@", &trusted.join(", "))
        .replace("@fs_allow@", &new.fs_allow.join(", "))
        .replace("@metrics_allow@", &new.metrics_allow.join(", "))
        .replace("@DOMAIN@", &new.domain)
        .replace("@max_connections@", either("200", "300"))
        .replace("@wal_keep@", either("64MiB", "2GiB"))
        .replace("@slot_keep@", either("256MiB", "32GiB"))
        .replace("@journal@", either("256MiB", "4GiB"))
        .replace("@sizes@\n", either(LAB_SIZES, ""));
    with_ports(text, &Ports::default())
}

const LAB_SIZES: &str = "  shared_buffers: 128MiB
  effective_cache_size: 512MiB
  work_mem: 4MiB
  maintenance_work_mem: 64MiB
  max_wal_size: 256MiB

redis:
  maxmemory: 128MiB
";

fn node(node: &Node) -> String {
    let mut text = format!("  - name: {}\n    address: {}\n", node.name, node.address);
    let optional = [
        ("peer_address", node.peer_address.map(|a| a.to_string())),
        ("interface", node.interface.clone()),
        ("peer_interface", node.peer_interface.clone()),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            text.push_str(&format!("    {key}: {value}\n"));
        }
    }
    text
}

fn vip(vip: &Vip) -> String {
    let mut text = format!(
        "vip:\n  address: {}\n  prefix: {}\n  router_id: {}\n",
        vip.address,
        vip.prefix,
        vip.router_id.get()
    );
    if let Some(gateway) = vip.gateway {
        text.push_str(&format!("  gateway: {gateway}\n"));
    }
    text
}

/// The arbiter's name and its section.
fn arbiter(failover: &Failover) -> String {
    let mut text = format!("  arbiter: {}\n", failover.arbiter.as_str());
    if let Some(fence) = &failover.fence {
        // Single quotes: nothing but themselves means anything inside (YAML 1.2, 7.3.2).
        let words: Vec<String> =
            fence.command.iter().map(|w| format!("'{}'", w.replace('\'', "''"))).collect();
        text.push_str(&format!(
            "  fence:\n    command: [{}]\n    timeout_ms: {}\n",
            words.join(", "),
            fence.timeout_ms.get()
        ));
    }
    if let Some(etcd) = &failover.etcd {
        let endpoints: Vec<String> = etcd.endpoints.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "  etcd:\n    endpoints: [{}]\n    prefix: {}\n",
            endpoints.join(", "),
            etcd.prefix
        ));
        if let Some(user) = &etcd.user {
            text.push_str(&format!("    user: '{}'\n", user.replace('\'', "''")));
        }
    }
    text
}

fn with_ports(mut text: String, ports: &Ports) -> String {
    let rtp = [("rtp_min", ports.rtp_min), ("rtp_max", ports.rtp_max)];
    for (key, port) in ports.named().into_iter().chain(rtp) {
        text = text.replace(&format!("@{key}@"), &port.to_string());
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Cache, Cdr, Cluster, Freeswitch, Logging, PORT_OFFSET_MAX, PathOverrides, Postgresql};
    use strictyaml::{Bytes, Limited};

    use crate::{Failover, Server, Shape, Sip};

    #[test]
    fn the_written_file_documents_the_defaults() {
        let id = Uuid::from_u128(7);
        let c = Cluster::parse("cluster.yaml", &dev_cluster_yaml(id, "tandem-dev", &Ports::dev(0))).unwrap();
        assert_eq!((c.cluster.id, c.cluster.name.as_str(), c.shape), (id, "tandem-dev", Shape::Dev));
        assert_eq!(c.ports, Ports::dev(0));
        assert_eq!(c.sip, Sip::default());
        assert_eq!(c.paths, PathOverrides::default());
        assert_eq!(c.failover, Failover::default());
        assert_eq!(c.server, Server::default());
        assert_eq!(c.cdr, Cdr::default());
        assert_eq!(c.cache, Cache::default());
        assert_eq!(c.logging, Logging::default());
        assert_eq!(c.freeswitch, Freeswitch::default());
        // Memory is written: a dev node takes no share of the machine.
        assert_eq!(c.redis.maxmemory, Some(Bytes(256 << 20)));
        let sizes = Postgresql {
            shared_buffers: None,
            effective_cache_size: None,
            work_mem: None,
            maintenance_work_mem: None,
            max_wal_size: None,
            ..c.postgresql
        };
        assert_eq!(sizes, Postgresql::default());
        assert_eq!(c.demo.extensions.len(), 10);
    }

    #[test]
    fn every_offset_allowed_is_valid() {
        for offset in [1, 1000, PORT_OFFSET_MAX, u16::MAX] {
            let ports = Ports::dev(offset);
            Cluster::parse("c", &dev_cluster_yaml(Uuid::nil(), "t", &ports)).unwrap();
        }
    }

    pub(crate) fn pair(shape: Shape) -> NewCluster {
        let node = |name: &str, last: u8| Node {
            name: name.into(),
            address: [192, 168, 1, last].into(),
            peer_address: Some([10, 0, 0, last].into()),
            interface: None,
            peer_interface: None,
        };
        NewCluster {
            id: Uuid::from_u128(7),
            name: "tandem".into(),
            shape,
            nodes: vec![node("n1", 101), node("n2", 102)],
            vip: Some(Vip {
                address: [192, 168, 1, 100].into(),
                prefix: 24,
                router_id: Limited::new(100),
                gateway: Some([192, 168, 1, 1].into()),
            }),
            failover: Failover::default(),
            domain: "pbx.example.org".into(),
            trusted_sources: Vec::new(),
            fs_allow: vec!["192.168.1.50/32".into()],
            metrics_allow: Vec::new(),
        }
    }

    #[test]
    fn what_init_is_told_stands_in_the_file() {
        for shape in [Shape::Node, Shape::Lab] {
            let mut new = pair(shape);
            new.nodes[1].interface = Some("svc0".into());
            let c = Cluster::parse("cluster.yaml", &node_cluster_yaml(&new)).unwrap();
            assert_eq!((c.shape, &c.nodes, &c.vip), (shape, &new.nodes, &new.vip));
            assert_eq!(c.failover, Failover::default());
            assert_eq!((c.demo.domain.as_str(), c.ports), ("pbx.example.org", Ports::default()));
            assert_eq!((c.server.fs_allow, c.sip), (new.fs_allow, Sip::default()));
            assert_eq!(
                c.redis.maxmemory.is_some(),
                shape == Shape::Lab,
                "a server's sizes are its machine's"
            );
        }
    }

    #[test]
    fn a_pair_of_the_same_input_is_the_same_file() {
        insta::assert_snapshot!(node_cluster_yaml(&pair(Shape::Node)));
    }
}
