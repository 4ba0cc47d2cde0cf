//! What there is of a lab, and what is broken in it on purpose.

use anyhow::Result;
use host::say;
use serde_json::json;

use crate::arbiter::Arbiter;
use crate::net::{NODES, Net, VIP};
use crate::places::Places;
use crate::state::State;
use crate::{LabName, node, process};

/// Shows it.
///
/// # Errors
/// There is no such lab.
pub fn run(lab: &LabName, as_json: bool) -> Result<()> {
    let places = Places::of(lab);
    let state = State::existing(&places)?;
    let power = |name: &str| {
        if !NODES.contains(&name) {
            return "namespace";
        }
        if node::init(lab, name).is_some() { "on" } else { "off" }
    };
    if as_json {
        let hosts: Vec<_> = state
            .hosts()
            .iter()
            .map(|host| {
                json!({ "name": host.name, "state": power(host.name), "service": host.address(Net::Service),
                    "peer": host.address(Net::Peer), "netns": lab.of_host(host.name) })
            })
            .collect();
        let value = json!({ "lab": lab.as_str(), "release": state.release, "bare": state.bare, "arbiter": state.arbiter, "whole": state.whole,
            "media": state.media, "vip": VIP, "port": state.port, "hosts": hosts, "faults": state.faults });
        say!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    let kind = if state.bare { "bare" } else { "a pair" };
    say!(
        "lab {lab}: Debian {}, {kind}{}",
        state.release.as_str(),
        if state.whole { "" } else { ", half made" }
    );
    if state.arbiter != Arbiter::None {
        say!("  arbiter  {}", state.arbiter.as_str());
    }
    for host in state.hosts() {
        let address = |net| host.address(net).unwrap_or_default();
        say!("  {:8} {:10} {:15} {}", host.name, power(host.name), address(Net::Service), address(Net::Peer));
    }
    let faults = &state.faults;
    for cut in &faults.cuts {
        say!("  cut      {} → {} on the {} network", cut.from, cut.to, cut.net.bridge());
    }
    if faults.loss_percent > 0 {
        say!("  loss     {} %", faults.loss_percent);
    }
    if faults.slow_ms > 0 {
        say!("  slow     {} ms", faults.slow_ms);
    }
    for gone in state.processes.iter().filter(|process| !process.lives()) {
        say!("  note     process {} that 'up' started has ended", gone.pid);
    }
    say!("  {} processes of the lab's on this machine", process::marked(lab).len());
    Ok(())
}
