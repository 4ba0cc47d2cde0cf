//! The whole dev configuration, word by word, one snapshot an engine. Change it on purpose: review the difference, then
//! accept it with `INSTA_UPDATE=always cargo test -p render`.

mod common;

use std::path::Path;

use spec::Ports;

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
