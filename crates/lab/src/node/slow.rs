//! A slow disk: so many writes a second to a node's `/var`, by the kernel's own limit on block devices (blk-throttle).
//!
//! A loop device carries each `/var`, so the limit meets one node. Tried before: device mapper's delay is in few kernels that
//! containers run on; fsfreeze in a duty cycle stalls, which is another fault, and syncs the whole file system each time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::sys::stat::{major, minor};

use crate::places::NodePlaces;
use crate::{LabName, run};

/// Of cgroup v1, where a host has it.
const V1: &str = "/sys/fs/cgroup/blkio";
const MS_A_SECOND: u32 = 1_000;

/// From here on each write of the node's takes `ms` of its own; 0: as fast as it is. Ends with the node's power.
///
/// # Errors
/// The node is off, or this machine's cgroups limit no writes.
pub fn slow_disk(lab: &LabName, places: &NodePlaces, node: &str, ms: u32) -> Result<()> {
    let var = places.root().join("var").metadata().context("looking at the node's /var")?.dev();
    let device = format!("{}:{}", major(var), minor(var));
    let writes = (ms > 0).then(|| (MS_A_SECOND / ms).max(1));
    let own = lab.of_host(node);
    let v1 = Path::new(V1).join(&own);
    if v1.is_dir() {
        // No limit is written as 0 (kernel: admin-guide/cgroup-v1/blkio-controller).
        let limit = format!("{device} {}", writes.unwrap_or(0));
        return fs::write(v1.join("blkio.throttle.write_iops_device"), limit).context("limiting writes");
    }
    if !Path::new("/run/systemd/system").is_dir() {
        bail!("nothing here limits writes: neither systemd nor cgroup v1's blkio");
    }
    let limit = writes.map_or("infinity".into(), |writes| writes.to_string());
    let property = format!("IOWriteIOPSMax=/dev/block/{device} {limit}");
    run::output("systemctl", ["set-property", "--runtime", &format!("{own}.scope"), &property]).map(drop)
}
