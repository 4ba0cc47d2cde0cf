//! What holds for the output whatever it says.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use render::{Found, Layout, RenderError, render, templates};
use spec::{Ports, Shape};

fn root() -> &'static Path {
    Path::new("/srv/dev")
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let first = common::dev(&Ports::dev(0), root(), "u");
    for _ in 0..5 {
        assert_eq!(common::dev(&Ports::dev(0), root(), "u"), first);
    }
}

#[test]
fn no_secret_stands_in_a_file_others_may_read() {
    let secrets = common::secrets(&common::cluster(&Ports::dev(0)));
    let values = [
        &secrets.db_kamailio,
        &secrets.db_voip_admin,
        &secrets.db_replicator,
        &secrets.db_exporter,
        &secrets.redis,
        &secrets.fs_http_password,
        &secrets.esl,
        &secrets.api_key,
        &secrets.cluster_key,
        &secrets.sip_dialog,
    ];
    for file in common::dev(&Ports::dev(0), root(), "u") {
        assert_eq!(file.mode & 0o007, 0, "{} is open to everybody", file.path);
        let holds = values.iter().copied().chain(secrets.phones.values()).any(|v| file.contents.contains(v));
        assert!(!holds || file.mode == 0o600, "{} holds a secret with mode {:04o}", file.path, file.mode);
    }
}

#[test]
fn an_offset_moves_every_port() {
    let files = common::dev(&Ports::dev(1000), root(), "u");
    let text: String = files.iter().map(|f| f.contents.as_str()).collect();
    for (key, port) in Ports::dev(0).named() {
        let word = port.to_string();
        let found = text.split(|c: char| !c.is_ascii_digit()).any(|w| w == word);
        assert!(!found, "port {port} ({key}) is written somewhere whatever ports.{key} says");
    }
}

#[test]
fn every_template_is_listed_once() {
    let listed: Vec<_> = templates().map(|t| t.path).collect();
    let unique: BTreeSet<_> = listed.iter().copied().collect();
    assert_eq!(unique.len(), listed.len());
    let mut on_disk = BTreeSet::new();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                on_disk.insert(path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let listed: BTreeSet<_> = listed.into_iter().map(str::to_owned).collect();
    assert_eq!(on_disk, listed, "left: in templates/, right: in the manifest");
}

#[test]
fn an_unknown_node_is_named_with_the_known_ones() {
    let cluster = common::cluster(&Ports::dev(0));
    let secrets = common::secrets(&cluster);
    let layout = Layout::of(&cluster, root(), "u", &Found::default());
    let error = render(&cluster, &secrets, "n7", &layout).unwrap_err();
    assert!(matches!(error, RenderError::UnknownNode { .. }));
    assert_eq!(error.to_string(), "there is no node 'n7'; the nodes are: n1");
}

#[test]
fn a_server_s_secrets_are_readable_by_one_user_alone() {
    let cluster = common::pair(Shape::Node);
    let secrets = common::secrets(&cluster);
    let named = secrets.to_yaml();
    let values: Vec<&str> =
        named.lines().filter_map(|l| l.split_once(": ")).map(|(_, v)| v).filter(|v| v.len() >= 24).collect();
    assert!(values.len() > 15);
    for file in common::node(&cluster, "n1") {
        let holds = values.iter().any(|v| file.contents.contains(v));
        assert!(!holds || file.mode == 0o600, "{} holds a secret: {:04o}", file.target.display(), file.mode);
    }
}

#[test]
fn every_file_of_a_server_has_a_place_of_its_own() {
    for shape in [Shape::Node, Shape::Lab] {
        let cluster = common::pair(shape);
        for node in ["n1", "n2"] {
            let files = common::node(&cluster, node);
            let targets: BTreeSet<_> = files.iter().map(|f| &f.target).collect();
            assert_eq!(targets.len(), files.len());
            assert!(
                files.iter().all(|f| f.target.is_absolute() && !f.target.to_string_lossy().contains("@V"))
            );
            assert_eq!(files, common::node(&cluster, node), "the same input, other bytes");
        }
        let double = common::node(&cluster, "n1").iter().any(|f| f.path.starts_with("media-double"));
        assert_eq!(double, shape == Shape::Lab);
    }
}

#[test]
fn each_node_names_the_other() {
    let cluster = common::pair(Shape::Node);
    let text = |node: &str, path: &str| {
        let files = common::node(&cluster, node);
        files.into_iter().find(|f| f.target == Path::new(path)).unwrap().contents
    };
    for (node, own, peer) in
        [("n1", "192.168.1.101", "192.168.1.102"), ("n2", "192.168.1.102", "192.168.1.101")]
    {
        let keepalived = text(node, "/etc/keepalived/keepalived.conf");
        assert!(
            keepalived.contains(&format!("unicast_src_ip {own}"))
                && keepalived.contains(&format!(" {peer}\n"))
        );
    }
    assert_eq!(text("n1", "/etc/tandem/rsync.password"), text("n2", "/etc/tandem/rsync.password"));
}

#[test]
fn what_changed_files_ask_for_is_asked_once_and_in_order() {
    let files = common::node(&common::pair(Shape::Node), "n1");
    let all = render::in_order(files.iter().flat_map(|file| file.then.iter().cloned()).collect());
    let unique: BTreeSet<_> = all.iter().collect();
    assert_eq!(unique.len(), all.len());
    assert_eq!(all[0], render::Then::DaemonReload);
    assert!(all.is_sorted());
    let restarts = all.iter().filter_map(|t| if let render::Then::Restart(u) = t { Some(u) } else { None });
    let reloads: Vec<_> = all.iter().filter(|t| matches!(t, render::Then::Reload(_))).collect();
    for unit in restarts {
        assert!(!reloads.contains(&&render::Then::Reload(unit.clone())), "{unit}");
    }
    assert_eq!(render::in_order(Vec::new()), []);
}

/// The packet filter opens etcd's ports on a node that has a member, to those alone who have one or ask one.
#[test]
fn etcd_is_open_to_the_three_hosts_where_a_member_is() {
    let mut cluster = common::pair(Shape::Node);
    let filter = |cluster: &spec::Cluster, node: &str| {
        let files = common::node(cluster, node);
        files.into_iter().find(|f| f.path.ends_with("etc/tandem/nftables.conf")).unwrap().contents
    };
    assert!(!filter(&cluster, "n1").contains("2380"));
    let endpoint = |last: u8| spec::Endpoint(([192, 168, 1, last], 2379).into());
    let mut etcd = spec::Etcd {
        endpoints: vec![endpoint(101), endpoint(102), endpoint(103)],
        prefix: spec::Etcd::default_prefix(),
        user: None,
    };
    cluster.failover.etcd = Some(etcd.clone());
    let rule = "tcp dport { 2379, 2380 } ip saddr { 10.0.0.102, 192.168.1.102, 192.168.1.103 } accept";
    assert!(filter(&cluster, "n1").contains(rule), "{}", filter(&cluster, "n1"));
    etcd.endpoints = vec![endpoint(103), endpoint(104), endpoint(105)];
    cluster.failover.etcd = Some(etcd);
    assert!(!filter(&cluster, "n1").contains("2380"), "no member is here");
}
