//! Writing a new `cluster.yaml`, every key with its comment.

use uuid::Uuid;

use crate::Ports;

const DEV: &str = include_str!("../templates/cluster.dev.yaml");

/// A dev cluster's file: one node on loopback. What it says is what the defaults say, so that the file documents them.
pub fn dev_cluster_yaml(id: Uuid, name: &str, ports: &Ports) -> String {
    let mut text = DEV.replace("@ID@", &id.to_string()).replace("@NAME@", name);
    let rtp = [("rtp_min", ports.rtp_min), ("rtp_max", ports.rtp_max)];
    for (key, port) in ports.named().into_iter().chain(rtp) {
        text = text.replace(&format!("@{key}@"), &port.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cache, Cdr, Cluster, Freeswitch, Logging, PORT_OFFSET_MAX, PathOverrides, Postgresql, Redis,
    };
    use crate::{Server, Shape, Sip};

    #[test]
    fn the_written_file_documents_the_defaults() {
        let id = Uuid::from_u128(7);
        let c = Cluster::parse("cluster.yaml", &dev_cluster_yaml(id, "tandem-dev", &Ports::dev(0))).unwrap();
        assert_eq!((c.cluster.id, c.cluster.name.as_str(), c.shape), (id, "tandem-dev", Shape::Dev));
        assert_eq!(c.ports, Ports::dev(0));
        assert_eq!(c.sip, Sip::default());
        assert_eq!(c.paths, PathOverrides::default());
        assert_eq!(c.redis, Redis::default());
        assert_eq!(c.server, Server::default());
        assert_eq!(c.cdr, Cdr::default());
        assert_eq!(c.cache, Cache::default());
        assert_eq!(c.logging, Logging::default());
        assert_eq!(c.freeswitch, Freeswitch::default());
        assert_eq!(c.postgresql, Postgresql::default());
        assert_eq!(c.demo.extensions.len(), 10);
    }

    #[test]
    fn every_offset_allowed_is_valid() {
        for offset in [1, 1000, PORT_OFFSET_MAX, u16::MAX] {
            let ports = Ports::dev(offset);
            Cluster::parse("c", &dev_cluster_yaml(Uuid::nil(), "t", &ports)).unwrap();
        }
    }
}
