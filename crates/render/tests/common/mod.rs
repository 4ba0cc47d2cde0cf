//! A dev cluster with fixed secrets: the same output on every machine.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::path::Path;

use render::{Found, Layout, RenderedFile};
use spec::{Cluster, Ports, Secrets, dev_cluster_yaml};

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
