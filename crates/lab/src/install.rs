//! The real way onto a server: the package, `tandem init`, `apply`, `invite` and `join`, as an operator types them.
//!
//! Architecture invariant: only what an operator can do is done here, by the commands of the documentation.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::LabName;
use crate::arbiter;
use crate::image::Debs;
use crate::net::{CLIENTS, GATEWAY, Host, NODES, Net, VIP_PREFIX};
use crate::node;
use crate::places::Places;
use crate::progress::Progress;
use crate::state::State;

/// Where packages are put in a node.
const FOLDER: &str = "var/tmp";
/// Says that this is a lab: the media double and `shape: lab` want it.
const MARKER: &str = "/etc/tandem/lab";
/// Where a node keeps its cluster's file and secrets.
pub const ETC: &str = "/etc/tandem";

/// Until nothing is wrong: agents look once a second, so what started last is seen last.
const SETTLE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Installs the packages on a node.
pub fn package(lab: &LabName, state: &State, places: &Places, name: &str, debs: &Debs) -> Result<()> {
    node::write_file(lab, name, MARKER, "0644", "tandem lab\n")?;
    let mut files = vec![debs.tandem.clone()];
    if state.freeswitch.is_none() {
        files.extend(debs.media_double.clone());
    }
    let root = places.node(name).root();
    let mut words: Vec<String> =
        ["apt-get", "install", "-y", "--no-install-recommends"].map(str::to_owned).into();
    for file in &files {
        let base = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::copy(file, root.join(FOLDER).join(&base)).with_context(|| format!("copying {base}"))?;
        words.push(format!("/{FOLDER}/{base}"));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    logged(lab, places, name, &words, "").map(drop)
}

/// Makes the pair: a cluster on the first node, which the second joins.
pub fn cluster(lab: &LabName, state: &State, places: &Places, progress: &Progress) -> Result<()> {
    let [first, second] = NODES;
    let peer = |name: &str| Host::named(name).and_then(|host| host.address(Net::Peer)).unwrap_or_default();
    let service =
        |name: &str| Host::named(name).and_then(|host| host.address(Net::Service)).unwrap_or_default();
    progress.step(format_args!("{first}: tandem init"));
    let nodes = NODES.map(|name| format!("{name}={},{}", service(name), peer(name)));
    // Phones and tests are there, and they are many from one address.
    let clients = format!("{}/32", service(CLIENTS));
    let init = [
        "tandem",
        "init",
        "--shape",
        "lab",
        "--node",
        &nodes[0],
        "--node",
        &nodes[1],
        "--vip",
        VIP_PREFIX,
        "--gateway",
        GATEWAY,
        "--fs-allow",
        &clients,
        "--metrics-allow",
        &clients,
        "--trusted-source",
        &clients,
        "--dir",
        ETC,
    ];
    let arbiter = arbiter::init_words(state.arbiter);
    let init: Vec<&str> = init.into_iter().chain(arbiter.iter().map(String::as_str)).collect();
    logged(lab, places, first, &init, "")?;
    progress.step(format_args!("{first}: tandem apply"));
    logged(lab, places, first, &["tandem", "apply", "--node", first, "--yes"], "")?;
    progress.step(format_args!("{second}: tandem join"));
    let invitation = node::run(lab, first, &["tandem", "invite", "--json"])?;
    let invitation: Value = serde_json::from_str(&invitation).context("'tandem invite' does not say JSON")?;
    let token = invitation["token"].as_str().context("'tandem invite' says no token")?;
    let join = ["tandem", "join", &peer(first), "--token-file", "-", "--node", second];
    logged(lab, places, second, &join, &format!("{token}\n")).map(drop)
}

/// Waits until 'tandem status' says of both nodes that nothing is wrong; after [`SETTLE`] says what is.
pub fn settle(lab: &LabName, progress: &Progress) -> Result<()> {
    let deadline = Instant::now() + SETTLE;
    for name in NODES {
        loop {
            let wrong = wrong(lab, name)?;
            if wrong.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                progress.step(format_args!("{name}: tandem status says: {}", wrong.join("; ")));
                break;
            }
            sleep(LOOK_EVERY);
        }
    }
    Ok(())
}

/// What 'tandem status' finds, asked on a node.
fn wrong(lab: &LabName, name: &str) -> Result<Vec<String>> {
    let init = node::init(lab, name).with_context(|| format!("{name} has stopped"))?;
    let said =
        node::command(&init).args(["tandem", "status", "--json"]).output().context("running nsenter")?;
    let report: Value = serde_json::from_slice(&said.stdout).with_context(|| {
        format!("on {name}: tandem status says no JSON: {}", String::from_utf8_lossy(&said.stderr).trim())
    })?;
    let findings = report["findings"].as_array().into_iter().flatten();
    Ok(findings.map(|finding| finding["what"].as_str().unwrap_or_default().to_owned()).collect())
}

/// Runs it, its words in the node's log in the lab's folder.
fn logged(lab: &LabName, places: &Places, name: &str, words: &[&str], input: &str) -> Result<String> {
    use std::io::Write;
    let said = node::run_quietly(lab, name, words, input);
    let text = match &said {
        Ok(text) => text.clone(),
        Err(error) => format!("{error:#}"),
    };
    let log = fs::OpenOptions::new().create(true).append(true).open(places.log(name));
    if let Ok(mut log) = log {
        let _unwritten = writeln!(log, "# {}\n{text}", words.join(" "));
    }
    said
}
