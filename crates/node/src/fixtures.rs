//! A lab's cluster for tests.

use std::path::Path;

use render::{Found, Layout};
use spec::{Cluster, Ports, Secrets, dev_cluster_yaml};
use uuid::Uuid;

use crate::config::Config;

pub const CLUSTER: Uuid = Uuid::from_u128(7);

/// cluster.yaml of two nodes with a peer link.
pub fn cluster_yaml(ports: &Ports) -> String {
    dev_cluster_yaml(CLUSTER, "test", ports)
        .replace("shape: dev", "shape: lab\nvip: {address: 198.18.77.100, prefix: 24}")
        .replace(
            "  - name: n1\n    address: 127.0.0.1\n",
            "  - {name: n1, address: 198.18.77.11, peer_address: 198.18.78.11}\n  \
             - {name: n2, address: 198.18.77.12, peer_address: 198.18.78.12}\n",
        )
}

/// This node's configuration with a server's ports.
pub fn config(name: &str) -> Config {
    let cluster = Cluster::parse("cluster.yaml", &cluster_yaml(&Ports::default())).unwrap();
    let phones = cluster.demo.extensions.iter().map(|e| e.extension.clone()).collect::<Vec<_>>();
    let secrets = Secrets::generate(phones.iter().map(String::as_str)).unwrap();
    let layout = Layout::node(&cluster, &Found::default());
    Config { cluster, secrets, name: name.into(), layout }
}

/// The same, with everything below `root`, and the nodes at 127.0.0.11 and .12.
pub fn config_below(root: &Path, name: &str, secrets: &Secrets, ports: &Ports) -> Config {
    let mut config = config(name);
    config.secrets = secrets.clone();
    config.cluster.ports = *ports;
    for (node, last) in config.cluster.nodes.iter_mut().zip(11u8..) {
        node.address = [127, 0, 0, last].into();
        node.peer_address = None;
    }
    let found = host::programs::found();
    let paths = &mut config.layout.paths;
    paths.postgresql_bin = found.postgresql_bin;
    paths.postgresql_etc = root.join("etc/postgresql");
    paths.postgresql_data = root.join("lib/data");
    paths.postgresql_socket = root.join("run/postgresql");
    paths.redis_etc = root.join("etc/redis");
    config
}
