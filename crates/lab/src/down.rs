//! Taking a lab away, whole or in pieces, whatever made or broke it.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use host::say;

use crate::net::{HOSTS, NODES};
use crate::places::{self, Places};
use crate::state::State;
use crate::{LabName, lock, net, node, process};

/// Until killed processes are gone.
const END: Duration = Duration::from_secs(10);

/// `tandem lab down`.
pub fn run(lab: &LabName, link: &Path, purge: bool) -> Result<()> {
    let places = Places::of(lab);
    let _turn = lock::take(&lock_file(lab), &format!("the lab {lab}"))?;
    let was = remains(lab, &places);
    remove(lab, &places)?;
    if fs::read_link(link).is_ok_and(|target| target == places.top) {
        fs::remove_file(link).ok();
    }
    if purge {
        purge_cache()?;
    }
    let left = remains(lab, &places);
    if !left.is_empty() {
        bail!("could not remove {}", left.join(", "));
    }
    say!("{}", if was.is_empty() { places.none() } else { "the lab is gone".into() });
    if !purge && Path::new(places::CACHE).is_dir() {
        say!("images stay in {} for the next one; 'tandem lab down --purge' removes them", places::CACHE);
    }
    // Last: the lock's own file.
    fs::remove_file(lock_file(lab)).ok();
    fs::remove_dir(places::STATE).ok();
    Ok(())
}

/// One at a time changes a lab.
pub fn lock_file(lab: &LabName) -> std::path::PathBuf {
    Path::new(places::STATE).join(format!("{lab}.lock"))
}

/// Removes all of a lab, found by its name.
pub fn remove(lab: &LabName, places: &Places) -> Result<()> {
    for name in NODES {
        if let Some(init) = node::init(lab, name) {
            init.kill();
        }
    }
    // What the state lists carries the mark too; both are asked, in case one was lost.
    let listed = State::read(places).ok().flatten().map(|state| state.processes).unwrap_or_default();
    let deadline = Instant::now() + END;
    loop {
        let living: Vec<_> =
            process::marked(lab).into_iter().chain(listed.iter().filter(|p| p.lives()).cloned()).collect();
        if living.is_empty() {
            break;
        }
        living.iter().for_each(process::Process::kill);
        if Instant::now() > deadline {
            let names: Vec<_> = living.iter().map(|p| format!("{} (pid {})", p.name(), p.pid)).collect();
            bail!("these do not end: {}", names.join(", "));
        }
        sleep(Duration::from_millis(20));
    }
    node::unmount_below(&places.top)?;
    net::remove(lab)?;
    for host in &HOSTS {
        node::remove_cgroup(&lab.of_host(host.name));
        // systemd-nspawn's own, by the machine's name.
        let machine = lab.of_host(host.name);
        for left in ["propagate", "unix-export"] {
            fs::remove_dir_all(Path::new("/run/systemd/nspawn").join(left).join(&machine)).ok();
        }
    }
    match fs::remove_dir_all(&places.top) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", places.top.display()))
        }
        _ => Ok(()),
    }
}

/// What there is of a lab, in words.
pub fn remains(lab: &LabName, places: &Places) -> Vec<String> {
    let processes = process::marked(lab).into_iter().map(|p| format!("process {} ({})", p.pid, p.name()));
    let namespaces = net::namespaces(lab).into_iter().map(|name| format!("network namespace {name}"));
    let mounts = node::mounts_below(&places.top).into_iter().map(|m| format!("mount {}", m.display()));
    let cgroups = NODES.iter().flat_map(|name| node::cgroups(&lab.of_host(name)).collect::<Vec<_>>());
    let cgroups = cgroups.map(|folder| format!("cgroup {}", folder.display()));
    let folder = places.top.exists().then(|| format!("folder {}", places.top.display()));
    processes.chain(namespaces).chain(mounts).chain(cgroups).chain(folder).collect()
}

fn purge_cache() -> Result<()> {
    let others = fs::read_dir(places::STATE).into_iter().flatten().flatten();
    if let Some(other) = others.map(|entry| entry.path()).find(|path| path.is_dir()) {
        bail!(
            "the images stay: the lab {} uses them",
            other.file_name().unwrap_or_default().to_string_lossy()
        );
    }
    match fs::remove_dir_all(places::CACHE) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("removing the images; does another lab use them?")
        }
        _ => Ok(()),
    }
}
