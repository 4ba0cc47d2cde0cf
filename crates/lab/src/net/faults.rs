//! Faults in the switch: frames that are dropped, by chance or by where they go, or that come late.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::{HOSTS, NODES, Net, SWITCH, in_namespace, ip};
use crate::process::{MARK, Process};
use crate::state::{Cut, Faults};
use crate::{LabName, run};

/// Makes the switch have these faults and no others. Gives back the process that delays frames, if there is one.
///
/// # Errors
/// A kernel without nftables for bridges, or a program that is missing.
pub fn apply(lab: &LabName, faults: &Faults) -> Result<Option<Process>> {
    let switch = lab.of_host(SWITCH);
    let mut nft = run::command("ip");
    nft.args(["netns", "exec", &switch, "nft", "-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = nft.spawn().context("running nft")?;
    child.stdin.take().context("no input")?.write_all(rules(faults).as_bytes())?;
    let output = child.wait_with_output().context("waiting for nft")?;
    if !output.status.success() {
        bail!("nft refused the lab's rules: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    slow(lab, faults.slow_ms)
}

/// One transaction: what was there is replaced.
fn rules(faults: &Faults) -> String {
    let mut rules = String::from(
        "table bridge tandem\ndelete table bridge tandem\ntable bridge tandem {\n  chain forward {\n    \
         type filter hook forward priority 0; policy accept;\n",
    );
    for Cut { from, to, net } in &faults.cuts {
        let (from, to) = (ports(*net, from), ports(*net, to));
        let _ = writeln!(rules, "    iifname {from} oifname {to} drop");
    }
    match faults.loss_percent {
        0 => {}
        // nft takes "less than 100 of 100" for a mistake.
        100.. => rules.push_str("    drop\n"),
        percent => {
            let _ = writeln!(rules, "    numgen random mod 100 < {percent} drop");
        }
    }
    rules.push_str("  }\n}\n");
    rules
}

/// A host's port, whether the relay sits in front of it or not.
fn ports(net: Net, host: &str) -> String {
    let port = net.port(host);
    format!("{{ \"{port}\", \"{}\" }}", bridge_side(&port))
}

/// The relay's cable: between the port and the bridge.
pub(super) fn relay_side(port: &str) -> String {
    format!("{port}-r")
}

fn bridge_side(port: &str) -> String {
    format!("{port}-b")
}

/// Puts a relay in front of the nodes' ports: this kernel may have no netem, and a rate limit (tbf) delays only a queue.
fn slow(lab: &LabName, slow_ms: u32) -> Result<Option<Process>> {
    let switch = lab.of_host(SWITCH);
    let ports = || NODES.iter().flat_map(|node| Net::ALL.map(move |net| (net, net.port(node))));
    for (net, port) in ports() {
        // No relay, no cable: none is there most of the time. A node that is off has no port.
        let _gone = ip(&switch, &format!("link del {}", relay_side(&port)));
        let _off = ip(&switch, &format!("link set {port} master {}", net.bridge()));
    }
    if slow_ms == 0 {
        return Ok(None);
    }
    for host in &HOSTS {
        for net in Net::ALL.into_iter().filter(|net| host.address(*net).is_some()) {
            // A relay must get frames as they go over a wire: whole, of wire size.
            let own = lab.of_host(host.name);
            let _off = in_namespace(&own, &["ethtool", "-K", net.interface(), "tx", "off", "sg", "off"]);
        }
    }
    let mut relayed = Vec::new();
    for (net, port) in ports() {
        if ip(&switch, &format!("link set {port} nomaster")).is_err() {
            continue;
        }
        let (relay, bridge) = (relay_side(&port), bridge_side(&port));
        ip(&switch, &format!("link add {relay} type veth peer name {bridge}"))?;
        ip(&switch, &format!("link set {relay} up"))?;
        ip(&switch, &format!("link set {bridge} master {} up", net.bridge()))?;
        relayed.push(port);
    }
    let own = std::env::current_exe().context("finding this program")?;
    let mut command = run::command("ip");
    command.args(["netns", "exec", &switch, "setsid"]).arg(own);
    command.args(["lab", "--lab", lab.as_str(), "relay", "--ms"]).arg(slow_ms.to_string()).args(&relayed);
    command.env(MARK, lab.as_str()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().context("starting the relay")?;
    Ok(i32::try_from(child.id()).ok().and_then(Process::of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_ports_of_one_network_in_one_direction() {
        let cuts = vec![Cut { from: "n1".into(), to: "n2".into(), net: Net::Peer }];
        let text = rules(&Faults { cuts, loss_percent: 5, slow_ms: 0 });
        assert!(
            text.contains(
                "iifname { \"n1-peer\", \"n1-peer-b\" } oifname { \"n2-peer\", \"n2-peer-b\" } drop"
            )
        );
        assert!(text.contains("numgen random mod 100 < 5 drop") && !text.contains("svc"), "{text}");
    }
}
