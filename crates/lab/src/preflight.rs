//! Whether a lab can run here, asked before anything is made.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Result, bail};
use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;

use crate::{places, run};

/// Of memory that is free for two nodes: measured, two idle nodes with every engine take 900 MiB.
const MEMORY_BYTES_MIN: u64 = 2 << 30;
/// Of disk for the images of one release.
const IMAGES_BYTES_MIN: u64 = 4 << 30;
/// Of disk for two nodes' own files.
const NODES_BYTES_MIN: u64 = 2 << 30;

/// Programs and the Debian packages they are in.
const PROGRAMS: [(&str, &str); 10] = [
    ("systemd-nspawn", "systemd-container"),
    ("debootstrap", "debootstrap"),
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("setsid", "util-linux"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("mkfs.ext4", "e2fsprogs"),
    ("losetup", "mount"),
];

/// This machine cannot run a lab at all, whatever is freed or typed; tests skip, people take the dev node.
#[derive(Debug, thiserror::Error)]
#[error("this machine cannot run a lab: {0}; 'make dev' runs one all-in-one node without it")]
pub struct Impossible(pub String);

/// Asks what a user cannot mend by freeing something.
///
/// # Errors
/// [`Impossible`], with the reason.
pub fn possible() -> Result<(), Impossible> {
    let no = |why: &str| Err(Impossible(why.into()));
    if !Uid::effective().is_root() {
        return no("it takes root (try: sudo make up)");
    }
    if let Some((program, package)) = PROGRAMS.iter().find(|(program, _)| run::find(program).is_none()) {
        return Err(Impossible(format!("{program} is missing (sudo apt-get install {package})")));
    }
    let kernel = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    for (system, module) in [("overlay", "overlay"), ("ext4", "ext4")] {
        let known = kernel.lines().any(|line| line.ends_with(system));
        if !known && run::output("modprobe", [module]).is_err() {
            return Err(Impossible(format!("the kernel has no {system} file system")));
        }
    }
    if !Path::new("/dev/loop-control").exists() && run::output("modprobe", ["loop"]).is_err() {
        return no("the kernel has no loop devices");
    }
    let all = ["--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--mount-proc", "true"];
    if let Err(error) = run::output("unshare", all) {
        return Err(Impossible(format!("namespaces cannot be made ({error:#})")));
    }
    if !Path::new("/sys/fs/cgroup").join("cgroup.procs").exists()
        && !Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists()
    {
        return no("there is no cgroup v2 under /sys/fs/cgroup");
    }
    Ok(())
}

/// Asks what a user can mend: room, memory, the port.
///
/// # Errors
/// What is short, and what to do.
pub fn room(images_cached: bool, port: u16) -> Result<()> {
    let disk = |folder: &str, need: u64, what: &str| {
        let existing = Path::new(folder).ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
        let stat = statvfs(existing)?;
        let free = stat.blocks_available() * stat.fragment_size();
        if free < need {
            bail!(
                "{what} need {} MiB on the disk of {folder}, {} MiB are free there; free some and try again",
                need >> 20,
                free >> 20
            );
        }
        Ok(())
    };
    if !images_cached {
        disk(places::CACHE, IMAGES_BYTES_MIN, "a lab's images")?;
    }
    disk(places::STATE, NODES_BYTES_MIN, "a lab's nodes")?;
    let free = memory_available().unwrap_or(u64::MAX);
    if free < MEMORY_BYTES_MIN {
        bail!(
            "two nodes need {} MiB of memory, {} MiB are free; stop something else, another lab ('tandem lab down') for one",
            MEMORY_BYTES_MIN >> 20,
            free >> 20
        );
    }
    if let Err(error) = TcpListener::bind(("127.0.0.1", port)) {
        bail!(
            "port {port} of 127.0.0.1, to be forwarded to the lab's API, cannot be had: {error}; stop what holds it \
             (another lab? a dev node? 'tandem dev down') or choose another with --port (make: LAB_PORT)"
        );
    }
    Ok(())
}

fn memory_available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}
