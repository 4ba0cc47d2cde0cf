//! Power on, power off.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
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
for top in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup/blkio; do
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
    command.args(["--register=no", "--keep-unit", CAPABILITIES, "--rlimit=RLIMIT_MEMLOCK=infinity"]);
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
pub fn wait(lab: &LabName, node: &str, nspawn: &Process, places: &NodePlaces) -> Result<Vec<String>> {
    let deadline = Instant::now() + BOOT;
    let mut said = String::new();
    while Instant::now() < deadline {
        if !nspawn.lives() {
            bail!("it ended while it booted: {}", last_words(places));
        }
        if let Some(init) = init(lab, node) {
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

/// The node's first process; `None` when its power is off.
pub fn init(lab: &LabName, node: &str) -> Option<Process> {
    process::init_in(&Path::new("/run/netns").join(lab.of_host(node)))
}

/// Power loss: cables first, then every process at once. What the node wrote and did not fsync is still in the host's
/// memory, which a real power loss would have taken too.
pub fn kill(lab: &LabName, host: &Host) -> Result<()> {
    let init = init(lab, host.name);
    net::pull_cables(lab, host);
    if let Some(init) = init {
        init.kill();
    }
    let own = |process: &Process| process.runs_with(&format!("--machine={}", lab.of_host(host.name)));
    let deadline = Instant::now() + END;
    // systemd-nspawn ends after its init.
    while process::marked(lab).iter().any(own) && Instant::now() < deadline {
        sleep(LOOK_EVERY);
    }
    process::marked(lab).iter().filter(|process| own(process)).for_each(Process::kill);
    net::unplug(lab, host)?;
    remove_cgroup(&lab.of_host(host.name));
    Ok(())
}

/// Where a node's cgroup is: one hierarchy, or those of a host between the times that it is put in.
const CGROUPS: [&str; 4] =
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/blkio"];

/// Cgroups of that name.
pub fn cgroups(name: &str) -> impl Iterator<Item = PathBuf> {
    CGROUPS.iter().map(move |top| Path::new(top).join(name)).filter(|folder| folder.is_dir())
}

/// Removes a node's cgroup when its last process is gone, which takes a moment.
pub fn remove_cgroup(name: &str) {
    let deadline = Instant::now() + END;
    while cgroups(name).next().is_some() && Instant::now() < deadline {
        cgroups(name).for_each(|folder| remove_below(&folder));
        if cgroups(name).next().is_some() {
            sleep(LOOK_EVERY);
        }
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
