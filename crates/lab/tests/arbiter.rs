//! A pair whose arbiter is a real etcd of three members, one of them the witness'.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a failed test")]

mod support;

use std::path::Path;
use std::time::Duration;

use support::{Lab, skipped};

const MEMBERS: [(&str, &str); 3] = [("n1", "198.18.77.11"), ("n2", "198.18.77.12"), ("w", "198.18.77.13")];

/// What a host of the lab is answered, by curl.
fn asked(lab: &Lab, host: &str, url: &str) -> Option<String> {
    let namespace = format!("tdm-{}-{host}", lab.name);
    let words = ["netns", "exec", &namespace, "curl", "-sf", "-m", "2", url];
    let output = std::process::Command::new("ip").args(words).output().unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn is_healthy(lab: &Lab, from: &str, address: &str) -> bool {
    asked(lab, from, &format!("http://{address}:2379/health")).is_some_and(|said| said.contains("\"true\""))
}

fn becomes(what: &str, condition: impl FnMut() -> bool) {
    assert!(testkit::wait_for(Duration::from_secs(30), condition), "{what}");
}

#[test]
fn a_real_etcd_stands_on_both_nodes_and_the_witness() {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
    if skipped() {
        return;
    }
    if !packages.is_dir() {
        eprintln!("SKIPPED: there are no packages in dist; type: make deb");
        return;
    }
    let lab = Lab::new('e');
    lab.must(&["up", "--arbiter", "etcd", "--debs", packages.to_str().unwrap()]);
    let doctor = || {
        let said = lab.exec("n1", &["tandem", "doctor", "--json"]).out;
        let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
        let lines = said["lines"].as_array().unwrap().clone();
        let ours = lines.into_iter().filter(|line| line["check"] == "arbiter");
        ours.map(|line| format!("{} {}", line["level"], line["what"])).collect::<Vec<_>>()
    };

    for (_, address) in MEMBERS {
        for from in ["n1", "n2", "w"] {
            becomes(&format!("{from} asks {address}"), || is_healthy(&lab, from, address));
        }
    }
    // The witness' namespace has no filter; the nodes let no stranger in.
    for address in ["198.18.77.11", "198.18.77.12"] {
        assert!(!is_healthy(&lab, "clients", address), "{address} answers the clients");
    }
    let says = |words: &[&str]| doctor().iter().any(|line| words.iter().all(|word| line.contains(word)));
    // A busy machine's members elect now and then.
    becomes("doctor finds three", || says(&["\"ok\"", "etcd: 3 voting members"]));

    lab.must(&["kill", "w"]);
    assert!(!is_healthy(&lab, "n1", "198.18.77.13"));
    becomes("two of three are enough", || is_healthy(&lab, "n1", "198.18.77.11"));
    becomes("doctor names who is gone", || says(&["\"warn\"", "198.18.77.13"]));
    lab.must(&["start", "w"]);
    becomes("the witness is back on its data", || is_healthy(&lab, "n1", "198.18.77.13"));

    lab.must(&["kill", "n2"]);
    becomes("n1 and w are enough", || is_healthy(&lab, "n1", "198.18.77.11"));
    lab.must(&["start", "n2"]);
    becomes("it starts at boot", || is_healthy(&lab, "n1", "198.18.77.12"));
    lab.must(&["down"]);
    assert_eq!(lab.remains(), Vec::<String>::new());
}
