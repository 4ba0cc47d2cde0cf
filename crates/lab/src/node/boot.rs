//! Power on, power off.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::enter;
use crate::net::{self, Host};
use crate::places::NodePlaces;
use crate::process::{self, MARK, Process};
use crate::state::State;
use crate::{LabName, run};

/// Until systemd says that everything that starts at boot has started.
const BOOT: Duration = Duration::from_secs(90);
/// Until a container whose init was killed is gone.
const END: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Debian's own capabilities of a container, and what a server's root has that ours need: addresses, raw sockets
/// (VRRP), real-time priority and locked memory (the agent).
const CAPABILITIES: &str =
    "--capability=CAP_NET_ADMIN,CAP_NET_RAW,CAP_SYS_NICE,CAP_IPC_LOCK,CAP_SYS_RESOURCE";

/// Enters a cgroup of the node's own, then becomes systemd-nspawn. Two containers in one cgroup would share what is below.
const IN_CGROUP: &str = r#"name=$1; shift
if [ -d /run/systemd/system ]; then
  exec setsid systemd-run --scope --quiet --collect --unit="$name" --property=Delegate=yes -- "$@"
fi
for top in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
  [ -e $top/cgroup.procs ] || continue
  mkdir -p "$top/$name" && echo $$ >"$top/$name/cgroup.procs"
done
exec setsid "$@""#;

/// Starts the node's systemd-nspawn. Its network namespace and disks are there.
pub fn boot(lab: &LabName, state: &State, places: &NodePlaces, node: &str) -> Result<Process> {
    fs::create_dir_all("/run/systemd/nspawn").context("making /run/systemd/nspawn")?;
    let machine = lab.of_host(node);
    let console = OpenOptions::new().create(true).append(true).open(places.console())?;
    let mut command = run::command("sh");
    command.args(["-c", IN_CGROUP, "sh", &machine, "systemd-nspawn", "--boot", "--quiet"]);
    command.arg(format!("--directory={}", places.root().display()));
    command.args([&format!("--machine={machine}"), &format!("--hostname={node}")]);
    command.arg(format!("--network-namespace-path=/run/netns/{machine}"));
    command.args(["--register=no", "--keep-unit", CAPABILITIES]);
    command.args(["--resolv-conf=off", "--timezone=off", "--link-journal=no"]);
    if let Some(prefix) = &state.freeswitch {
        command.arg(format!("--bind-ro={}", prefix.display()));
    }
    // Debian 13's systemd knows the unified hierarchy only; /proc/sys/net is the node's own.
    command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1").env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
    command.env(MARK, lab.as_str());
    command.stdout(console.try_clone()?).stderr(console).stdin(Stdio::null());
    let child = command.spawn().context("starting systemd-nspawn")?;
    let pid = i32::try_from(child.id()).context("a strange process number")?;
    Process::of(pid).with_context(|| format!("systemd-nspawn ended at once: {}", last_words(places)))
}

/// Waits until it has booted. Says which units failed, if any.
///
/// # Errors
/// It ended, or systemd is not done in time.
pub fn wait(nspawn: &Process, places: &NodePlaces) -> Result<Vec<String>> {
    let deadline = Instant::now() + BOOT;
    let mut said = String::new();
    while Instant::now() < deadline {
        if !nspawn.lives() {
            bail!("it ended while it booted: {}", last_words(places));
        }
        if let Some(init) = process::init_below(nspawn.pid) {
            said = systemd_says(&init);
            match said.as_str() {
                "running" => return Ok(Vec::new()),
                "degraded" => return Ok(failed_units(&init)),
                _ => {}
            }
        }
        sleep(LOOK_EVERY);
    }
    bail!(
        "after {} s systemd says {said:?}; its console is in {}",
        BOOT.as_secs(),
        places.console().display()
    )
}

fn systemd_says(init: &Process) -> String {
    let mut command = enter::command(init);
    // It says no when degraded, and what it says counts.
    let output = command.args(["systemctl", "is-system-running"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn failed_units(init: &Process) -> Vec<String> {
    let mut command = enter::command(init);
    let list = run::checked(command.args(["systemctl", "--failed", "--plain", "--no-legend"]));
    let list = list.unwrap_or_default();
    list.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

fn last_words(places: &NodePlaces) -> String {
    let text = fs::read(places.console()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    text.trim().to_owned()
}

/// The node's systemd-nspawn.
fn nspawn(lab: &LabName, node: &str) -> Option<Process> {
    let machine = format!("--machine={}", lab.of_host(node));
    process::marked(lab).into_iter().find(|process| {
        process.name() == "systemd-nspawn"
            && fs::read(format!("/proc/{}/cmdline", process.pid))
                .is_ok_and(|words| words.split(|b| *b == 0).any(|word| word == machine.as_bytes()))
            // The container's first process, until it becomes systemd, looks like its parent.
            && process::init_below(process.pid).is_some()
    })
}

/// The node's first process; `None` when its power is off.
pub fn init(lab: &LabName, node: &str) -> Option<Process> {
    process::init_below(nspawn(lab, node)?.pid)
}

/// Power loss: cables first, then every process at once. What the node wrote and did not fsync is still in the host's
/// memory, which a real power loss would have taken too.
pub fn kill(lab: &LabName, host: &Host) -> Result<()> {
    let parent = nspawn(lab, host.name);
    net::pull_cables(lab, host);
    if let Some(init) = parent.as_ref().and_then(|parent| process::init_below(parent.pid)) {
        init.kill();
    }
    if let Some(parent) = parent {
        let deadline = Instant::now() + END;
        while parent.lives() && Instant::now() < deadline {
            sleep(LOOK_EVERY);
        }
        parent.kill();
    }
    net::unplug(lab, host)?;
    remove_cgroup(&lab.of_host(host.name));
    Ok(())
}

/// Empty cgroups, the deepest first.
pub fn remove_cgroup(name: &str) {
    for top in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"] {
        remove_below(&Path::new(top).join(name));
    }
}

fn remove_below(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    // Not there, or on a host with systemd somebody else's to remove.
    let _gone = fs::remove_dir(folder);
}
