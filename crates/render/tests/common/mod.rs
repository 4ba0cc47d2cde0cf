//! A dev cluster with fixed secrets: the same output on every machine.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::path::Path;

use render::{Found, Layout, Machine, RenderedFile};
use spec::{
    Cluster, Limited, NewCluster, Node, Ports, Secrets, Shape, Vip, dev_cluster_yaml, node_cluster_yaml,
};

pub fn cluster(ports: &Ports) -> Cluster {
    Cluster::parse("cluster.yaml", &dev_cluster_yaml(uuid::Uuid::from_u128(1), "tandem-dev", ports)).unwrap()
}

pub fn secrets(cluster: &Cluster) -> Secrets {
    let secret = |name: &str| format!("{name:x<24}");
    Secrets {
        db_kamailio: secret("dbKamailio"),
        db_voip_admin: secret("dbVoipAdmin"),
        db_replicator: secret("dbReplicator"),
        db_exporter: secret("dbExporter"),
        redis: secret("redis"),
        fs_http_user: "freeswitch".into(),
        fs_http_password: secret("fsHttp"),
        esl: secret("esl"),
        api_key: format!("tdm_{}", secret("apiKey")),
        cluster_key: secret("clusterKey"),
        sip_dialog: secret("sipDialog"),
        etcd_password: None,
        phones: cluster
            .demo
            .extensions
            .iter()
            .map(|e| (e.extension.clone(), secret(&format!("phone{}", e.extension))))
            .collect(),
    }
}

/// Rendered for a state folder `root`, to run as `user`.
pub fn dev(ports: &Ports, root: &Path, user: &str) -> Vec<RenderedFile> {
    let cluster = cluster(ports);
    let secrets = secrets(&cluster);
    let layout = Layout::of(&cluster, root, user, &Found::default());
    render::render(&cluster, &secrets, "n1", &layout).unwrap()
}

/// The seed's two servers, with a link between them.
pub fn pair(shape: Shape) -> Cluster {
    let vip = Vip {
        address: [192, 168, 1, 100].into(),
        prefix: 24,
        router_id: Limited::new(100),
        gateway: Some([192, 168, 1, 1].into()),
    };
    servers(shape, &[("n1", 101), ("n2", 102)], Some(vip))
}

/// One server, without a peer.
pub fn single(shape: Shape) -> Cluster {
    servers(shape, &[("n1", 101)], None)
}

fn servers(shape: Shape, nodes: &[(&str, u8)], vip: Option<Vip>) -> Cluster {
    let linked = nodes.len() > 1;
    let node = |&(name, last): &(&str, u8)| Node {
        name: name.into(),
        address: [192, 168, 1, last].into(),
        peer_address: linked.then(|| [10, 0, 0, last].into()),
        interface: None,
        peer_interface: linked.then(|| "eth1".into()),
    };
    let text = node_cluster_yaml(&NewCluster {
        id: uuid::Uuid::from_u128(1),
        name: "tandem".into(),
        shape,
        nodes: nodes.iter().map(node).collect(),
        vip,
        failover: spec::Failover::default(),
        domain: "pbx.example.org".into(),
        trusted_sources: vec!["192.168.1.50/32".into()],
        fs_allow: vec!["192.168.1.50/32".into()],
        metrics_allow: vec!["192.168.1.60/32".into()],
    });
    Cluster::parse("cluster.yaml", &text).unwrap()
}

/// Rendered for a node of a pair on the seed's machine, with PostgreSQL 15.
pub fn node(cluster: &Cluster, name: &str) -> Vec<RenderedFile> {
    let secrets = secrets(cluster);
    let found = Found {
        postgresql_bin: "/usr/lib/postgresql/15/bin".into(),
        machine: Machine { cores: 24, memory_bytes: 96 << 30 },
        ..Found::default()
    };
    let layout = Layout::node(cluster, &found);
    render::render(cluster, &secrets, name, &layout).unwrap()
}
