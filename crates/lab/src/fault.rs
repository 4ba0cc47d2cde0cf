//! Faults of nodes and networks. Each gives back what it did, in words.

use anyhow::{Context, Result, bail};

use crate::arbiter::Arbiter;
use crate::etcd::WITNESS;
use crate::net::{self, Host, Net};
use crate::places::Places;
use crate::state::{Cut, State};
use crate::{LabName, down, etcd, lock, node};

/// Where a filled file system's ballast is.
const BALLAST: &str = ".tandem-lab-fill";
/// systemd's runtime folder: what is there is gone after a boot.
const CLOCK_DROP_IN: &str = "tandem-lab-clock.conf";

/// Short names of a node's services.
const SERVICES: [(&str, &str); 8] = [
    ("postgres", "postgresql@*-main.service"),
    ("postgresql", "postgresql@*-main.service"),
    ("agent", "tandem-agent.service"),
    ("redis", "redis-server.service"),
    ("voipadmind", "voip-admin.service"),
    ("media-double", "tandem-media-double.service"),
    ("ssh", "ssh.service"),
    ("freeswitch", "freeswitch.service"),
];

/// Takes a node's power.
pub fn kill(lab: &LabName, name: &str) -> Result<String> {
    let (_turn, places) = turn(lab)?;
    let mut state = State::existing(&places)?;
    if name == WITNESS && state.arbiter == Arbiter::Etcd {
        etcd::witness(lab).context("w's etcd is off already")?.kill();
        return Ok("w: its etcd was killed; its data stay".into());
    }
    let host = node::named(name)?;
    if node::init(lab, name).is_none() {
        bail!("{name} is off already");
    }
    node::kill(lab, host)?;
    state.processes.retain(crate::process::Process::lives);
    state.write(&places)?;
    Ok(format!("{name} is off, as by a power loss (but what it had written to disk without fsync is kept)"))
}

/// Gives a node power again.
pub fn start(lab: &LabName, name: &str) -> Result<String> {
    let (_turn, places) = turn(lab)?;
    let mut state = State::existing(&places)?;
    if name == WITNESS && state.arbiter == Arbiter::Etcd {
        if etcd::witness(lab).is_some() {
            bail!("w's etcd runs already");
        }
        state.processes.retain(crate::process::Process::lives);
        state.processes.push(etcd::start_witness(lab, &state.lower, &places)?);
        state.write(&places)?;
        return Ok("w: its etcd was started".into());
    }
    let host = node::named(name)?;
    if node::init(lab, name).is_some() {
        bail!("{name} is on already");
    }
    net::plug_in(lab, host)?;
    apply(lab, &mut state)?;
    let nspawn = node::boot(lab, &state, &places.node(name), name)?;
    state.processes.push(nspawn.clone());
    state.write(&places)?;
    let failed = node::wait(lab, name, &nspawn, &places.node(name))?;
    Ok(match failed.as_slice() {
        [] => format!("{name} has booted"),
        failed => format!("{name} has booted; failed: {}", failed.join(", ")),
    })
}

/// Drops all frames from `from` to `to`, and back unless `one_way`.
pub fn cut(lab: &LabName, from: &str, to: &str, nets: &[Net], one_way: bool) -> Result<String> {
    let (_turn, places) = turn(lab)?;
    let mut state = State::existing(&places)?;
    let hosts = [host_named(from)?, host_named(to)?];
    if from == to {
        bail!("{from} cannot be cut from itself");
    }
    let nets: Vec<Net> =
        nets.iter().copied().filter(|n| hosts.iter().all(|h| h.address(*n).is_some())).collect();
    if nets.is_empty() {
        bail!("{from} and {to} share no such network: gw and clients are on the service network only");
    }
    let mut said = Vec::new();
    for net in nets {
        let pairs = [(from, to), (to, from)];
        for (from, to) in pairs.into_iter().take(if one_way { 1 } else { 2 }) {
            let cut = Cut { from: from.into(), to: to.into(), net };
            if !state.faults.cuts.contains(&cut) {
                state.faults.cuts.push(cut);
            }
        }
        let arrow = if one_way { "→" } else { "↔" };
        said.push(format!("cut: {from} {arrow} {to} on the {} network", net.bridge()));
    }
    apply(lab, &mut state)?;
    state.write(&places)?;
    Ok(said.join("\n"))
}

/// Loses frames by chance.
pub fn loss(lab: &LabName, percent: u8) -> Result<String> {
    let (_turn, places) = turn(lab)?;
    let mut state = State::existing(&places)?;
    state.faults.loss_percent = percent;
    apply(lab, &mut state)?;
    state.write(&places)?;
    Ok(format!("{percent} of a hundred frames between any two hosts are lost, by chance"))
}

/// Delays frames.
pub fn slow(lab: &LabName, ms: u32) -> Result<String> {
    let (_turn, places) = turn(lab)?;
    let mut state = State::existing(&places)?;
    state.faults.slow_ms = ms;
    apply(lab, &mut state)?;
    state.write(&places)?;
    Ok(format!(
        "frames between the nodes take {ms} ms longer, one way; between a node and others half of that"
    ))
}

/// Mends networks.
pub fn heal(lab: &LabName) -> Result<String> {
    let (_turn, places) = turn(lab)?;
    let mut state = State::existing(&places)?;
    state.faults = crate::state::Faults::default();
    apply(lab, &mut state)?;
    state.write(&places)?;
    Ok("the networks are whole".into())
}

/// Makes the switch be as the state says.
fn apply(lab: &LabName, state: &mut State) -> Result<()> {
    let relays = crate::process::marked(lab).into_iter().filter(|p| p.runs_with("relay"));
    relays.for_each(|relay| relay.kill());
    let relay = net::apply_faults(lab, &state.faults)?;
    state.processes.retain(crate::process::Process::lives);
    state.processes.extend(relay);
    Ok(())
}

/// A signal to every process of a service, as SIGSTOP, SIGCONT or SIGKILL.
pub fn signal(lab: &LabName, name: &str, service: &str, signal: &str) -> Result<String> {
    node::named(name)?;
    let unit = unit(lab, name, service)?;
    node::run(lab, name, &["systemctl", "kill", "--kill-whom=all", &format!("--signal={signal}"), &unit])?;
    Ok(format!("{name}: {signal} to every process of {unit}"))
}

/// Fills the file system of a folder below /var.
pub fn fill(lab: &LabName, name: &str, folder: &str) -> Result<String> {
    node::named(name)?;
    let below_var = folder == "/var" || folder.starts_with("/var/");
    if !below_var || folder.split('/').any(|part| part == "..") {
        bail!("{folder} is not below /var, the only file system of a node that has a limit of its own");
    }
    // Space that is reserved without being written costs the host nothing; the rest is written until there is no more: dd
    // ends by failing, and whether it failed for that reason is looked at afterwards.
    let script = r#"cd "$1"; free=$(($(stat -f -c '%a * %S' .) - 1048576)); [ $free -lt 1 ] || fallocate -l $free "$2"
said=$(dd if=/dev/zero of="$2" bs=4096 oflag=append conv=notrunc 2>&1) && said="dd met no end"
[ "$(stat -f -c %a .)" -eq 0 ] || { echo "not full: $said" >&2; exit 1; }
df -h . | tail -n 1"#;
    let said = node::run(lab, name, &["sh", "-ec", script, "sh", folder, BALLAST])?;
    Ok(format!("{name}: full: {}", said.trim()))
}

/// Takes the ballast away.
pub fn unfill(lab: &LabName, name: &str) -> Result<String> {
    node::named(name)?;
    node::run(lab, name, &["find", "/var", "-xdev", "-name", BALLAST, "-delete"])?;
    Ok(format!("{name}: room again"))
}

/// Makes every write to a node's /var slow; 0 ms ends it.
pub fn slow_disk(lab: &LabName, name: &str, ms: u32) -> Result<String> {
    let (_turn, places) = turn(lab)?;
    node::named(name)?;
    if node::init(lab, name).is_none() {
        bail!("{name} is off");
    }
    node::slow_disk(lab, &places.node(name), name, ms)?;
    Ok(match ms {
        0 => format!("{name}: its disk is as fast as it was"),
        ms => format!("{name}: a write to /var every {ms} ms, the next ones wait"),
    })
}

/// Gives a service another idea of the time.
pub fn clock(lab: &LabName, name: &str, service: &str, offset: &str) -> Result<String> {
    node::named(name)?;
    let unit = unit(lab, name, service)?;
    let drop_in = format!("/run/systemd/system/{unit}.d/{CLOCK_DROP_IN}");
    if offset == "off" {
        node::run(lab, name, &["rm", "-f", &drop_in])?;
    } else {
        let signed = offset.strip_prefix(['+', '-']).context("the offset starts with + or -, as +1h")?;
        let (number, unit) = signed.split_at(signed.len().saturating_sub(1));
        if !number.bytes().all(|b| b.is_ascii_digit()) || number.is_empty() || !"smhd".contains(unit) {
            bail!("{offset:?} is no offset; as +1h, -90s, +10m, +2d, or 'off'");
        }
        let find = "find /usr/lib -name libfaketime.so.1 | head -n 1";
        let library = node::run(lab, name, &["sh", "-c", find])?;
        let library = library.trim();
        if library.is_empty() {
            bail!("{name} has no libfaketime");
        }
        // The monotonic clock stays: a machine whose time is set goes on counting seconds.
        let text = format!(
            "# tandem lab clock\n[Service]\nEnvironment=LD_PRELOAD={library} FAKETIME={offset} FAKETIME_DONT_FAKE_MONOTONIC=1\n"
        );
        node::write_file(lab, name, &drop_in, "0644", &text)?;
    }
    node::run(lab, name, &["systemctl", "daemon-reload"])?;
    node::run(lab, name, &["systemctl", "restart", &unit])?;
    Ok(match offset {
        "off" => format!("{name}: {unit} was restarted with the machine's time"),
        _ => format!("{name}: {unit} was restarted; libfaketime tells it {offset}, no clock was set"),
    })
}

/// The full name of a unit that is there.
fn unit(lab: &LabName, name: &str, service: &str) -> Result<String> {
    let pattern = pattern(service);
    let list = node::run(
        lab,
        name,
        &[
            "systemctl",
            "list-units",
            "--all",
            "--plain",
            "--no-legend",
            "--state=active,activating",
            &pattern,
        ],
    )?;
    let unit = list.split_ascii_whitespace().next().map(str::to_owned);
    unit.with_context(|| {
        format!("{name} runs no {pattern}; 'tandem lab exec {name} systemctl' lists what it runs")
    })
}

/// A service as people call it, as systemd knows it.
pub fn pattern(service: &str) -> String {
    let known = SERVICES.iter().find(|(short, _)| *short == service).map(|(_, unit)| (*unit).to_owned());
    known.unwrap_or_else(|| if service.contains('.') { service.into() } else { format!("{service}.service") })
}

fn host_named(name: &str) -> Result<&'static Host> {
    Host::named(name).with_context(|| format!("{name:?} is no host of the lab: n1, n2, gw, clients, w"))
}

fn turn(lab: &LabName) -> Result<(lock::Lock, Places)> {
    let lock = lock::take(&down::lock_file(lab), &format!("the lab {lab}"))?;
    Ok((lock, Places::of(lab)))
}
