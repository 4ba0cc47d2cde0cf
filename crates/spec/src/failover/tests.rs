use super::*;
use crate::init::tests::pair;
use crate::node_cluster_yaml;

/// The pair's file with this in the place of its section `failover:`.
fn read(section: &str) -> Result<Cluster, String> {
    let mut new = pair(Shape::Node);
    new.failover = Failover::default();
    let text = node_cluster_yaml(&new);
    let (before, rest) = text.split_once("\nfailover:\n").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    Cluster::parse("cluster.yaml", &format!("{before}\n{section}\n\n{after}")).map_err(|e| e.to_string())
}

const ETCD: &str = "failover:\n  arbiter: etcd\n  etcd:\n    endpoints: [http://192.168.1.101:2379, http://192.168.1.102:2379, http://192.168.1.103:2379]";
const FENCE: &str =
    "failover:\n  arbiter: fence\n  fence: {command: [/usr/local/sbin/power-off, '{node}', '{address}']}";

#[test]
fn every_key_has_a_default() {
    for section in ["", "failover: {}"] {
        assert_eq!(read(section).unwrap().failover, Failover::default(), "{section}");
    }
    assert_eq!(Failover::default().detection(), Duration::from_millis(500));
}

#[test]
fn arbiters_are_read_as_written() {
    let etcd = read(ETCD).unwrap().failover.etcd.unwrap();
    assert_eq!((etcd.endpoints.len(), etcd.prefix.as_str(), etcd.user), (3, "/tandem", None));
    assert_eq!(etcd.endpoints[2].to_string(), "http://192.168.1.103:2379");
    let fence = read(FENCE).unwrap().failover.fence.unwrap();
    assert_eq!((fence.command.len(), fence.timeout_ms.get()), (3, 20_000));
    assert_eq!("http://[fd00::1]:2379/".parse::<Endpoint>().unwrap().to_string(), "http://[fd00::1]:2379");
}

#[test]
fn each_rule_names_key_problem_and_cure() {
    let whole = |text: &str| format!("failover:\n{text}");
    let etcd = |from: &str, to: &str| ETCD.replacen(from, to, 1);
    let fence = |from: &str, to: &str| FENCE.replacen(from, to, 1);
    for (section, key, says) in [
        (whole("  heartbeat: 1"), "heartbeat", "did you mean"),
        (whole("  heartbeat_ms: 20"), "heartbeat_ms", "between 50 and 1000"),
        (whole("  heartbeat_misses: 2"), "heartbeat_misses", "between 3 and 20"),
        (
            whole("  heartbeat_ms: 50\n  heartbeat_misses: 4"),
            "failover.heartbeat_ms",
            "300 ms <= heartbeat_ms x heartbeat_misses <= 5000 ms does not hold: 50 ms x 4 = 200 ms",
        ),
        (
            whole("  heartbeat_ms: 1000\n  heartbeat_misses: 6"),
            "failover.heartbeat_ms",
            "1000 ms x 6 = 6000 ms; lower one",
        ),
        (whole("  arbiter: quorum"), "arbiter", "use one of: none, fence, etcd"),
        (whole("  arbiter: etcd"), "failover.arbiter", "no section 'failover.etcd'"),
        (whole("  arbiter: fence"), "failover.arbiter", "no section 'failover.fence'"),
        (etcd("arbiter: etcd", "arbiter: none"), "failover.etcd", "failover.arbiter is 'none'"),
        (fence("arbiter: fence", "arbiter: none"), "failover.fence", "failover.arbiter is 'none'"),
        (etcd(", http://192.168.1.103:2379", ""), "failover.etcd.endpoints", "either's death stops both"),
        (etcd("192.168.1.103", "192.168.1.101"), "failover.etcd.endpoints", "one host twice"),
        (etcd("192.168.1.103", "10.0.0.102"), "failover.etcd.endpoints", "one host twice"),
        (etcd("192.168.1.103", "127.0.0.1"), "failover.etcd.endpoints", "that both nodes reach"),
        (etcd("192.168.1.103", "192.168.1.100"), "failover.etcd.endpoints", "that both nodes reach"),
        (etcd("http://192.168.1.103", "https://192.168.1.103"), "endpoints", "TLS"),
        (etcd("192.168.1.103:2379", "witness:2379"), "endpoints", "is no endpoint"),
        (etcd("    endpoints", "    prefix: tandem\n    endpoints"), "failover.etcd.prefix", "no prefix"),
        (etcd("    endpoints", "    user: 'a b'\n    endpoints"), "failover.etcd.user", "no name"),
        (fence("/usr/local/sbin/power-off", "power-off"), "failover.fence.command", "no whole path"),
        (
            fence("[/usr/local/sbin/power-off, '{node}', '{address}']", "[]"),
            "failover.fence.command",
            "is empty",
        ),
        (fence(", '{node}', '{address}'", ""), "failover.fence.command", "which node"),
        (fence("'{address}'", "'{peer}'"), "failover.fence.command", "not replaced"),
        (fence("]}", "], timeout_ms: 1}"), "fence", "between 500 and 120000"),
    ] {
        let message = read(&section).unwrap_err();
        assert!(message.starts_with("cluster.yaml:"), "{message}");
        assert!(message.contains(key) && message.contains(says), "{section}: {message}");
    }
}

#[test]
fn a_single_node_has_no_arbiter() {
    let mut new = pair(Shape::Node);
    new.nodes.truncate(1);
    new.vip = None;
    Cluster::parse("c", &node_cluster_yaml(&new)).unwrap();
    new.failover = read(ETCD).unwrap().failover;
    let message = Cluster::parse("c", &node_cluster_yaml(&new)).unwrap_err().to_string();
    assert!(message.contains("single node"), "{message}");
}

#[test]
fn what_init_is_told_stands_in_the_file() {
    for section in [ETCD, FENCE] {
        let mut new = pair(Shape::Node);
        new.failover = read(section).unwrap().failover;
        let read = Cluster::parse("c", &node_cluster_yaml(&new)).unwrap();
        assert_eq!(read.failover, new.failover);
    }
}
