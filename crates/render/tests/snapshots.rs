//! The whole configuration, of a dev node and of a pair's first node, word by word, one snapshot an engine. Change it on purpose: review the difference, then
//! accept it with `INSTA_UPDATE=always cargo test -p render`.

mod common;

use std::path::Path;

use spec::{Ports, Shape};

fn engine(name: &str) -> String {
    let folder = format!("{name}/");
    let files = common::dev(&Ports::dev(0), Path::new("/srv/dev"), "tandem-dev");
    let mut text = String::new();
    for file in files.iter().filter(|f| f.path.starts_with(&folder)) {
        text.push_str(&format!("===== {} {:04o}\n{}", file.path, file.mode, file.contents));
    }
    text
}

#[test]
fn postgresql() {
    insta::assert_snapshot!(engine("postgresql"));
}

#[test]
fn redis() {
    insta::assert_snapshot!(engine("redis"));
}

#[test]
fn voip_admin() {
    insta::assert_snapshot!(engine("voip-admin"));
}

#[test]
fn kamailio() {
    insta::assert_snapshot!(engine("kamailio"));
}

#[test]
fn freeswitch() {
    insta::assert_snapshot!(engine("freeswitch"));
}

#[test]
fn media_double() {
    insta::assert_snapshot!(engine("media-double"));
}

/// A file of the pair's n1: where it belongs, whose it is, what its change asks for, and its text.
fn of_pair(name: &str) -> String {
    let folder = format!("{name}/");
    let files = common::node(&common::pair(Shape::Node), "n1");
    let mut text = String::new();
    for file in files.iter().filter(|f| f.path.starts_with(&folder)) {
        text.push_str(&format!(
            "===== {} {:04o} {}:{} {:?}\n{}",
            file.target.display(),
            file.mode,
            file.owner.user,
            file.owner.group,
            file.then,
            file.contents
        ));
    }
    text
}

#[test]
fn pair_system() {
    insta::assert_snapshot!(of_pair("root"));
}

#[test]
fn pair_postgresql() {
    insta::assert_snapshot!(of_pair("postgresql"));
}

#[test]
fn pair_redis() {
    insta::assert_snapshot!(of_pair("redis"));
}

#[test]
fn pair_voip_admin() {
    insta::assert_snapshot!(of_pair("voip-admin"));
}

#[test]
fn pair_kamailio() {
    insta::assert_snapshot!(of_pair("kamailio"));
}

#[test]
fn pair_freeswitch() {
    insta::assert_snapshot!(of_pair("freeswitch"));
}
