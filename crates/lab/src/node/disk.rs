//! A node's file system: mounts in the host's namespace, below the lab's own folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::image::Image;
use crate::places::NodePlaces;
use crate::run;

/// Until a file system whose processes were killed lets go.
const UNMOUNT: Duration = Duration::from_secs(5);

/// Makes and mounts `/` and `/var` of a node.
pub fn make_disks(places: &NodePlaces, image: &Image) -> Result<()> {
    for folder in [places.root(), places.upper(), places.work()] {
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    }
    // The node's `/` is the upper folder's to say.
    host::files::folder(&places.upper(), 0o755, None)?;
    let (upper, work, root) = (text(&places.upper()), text(&places.work()), text(&places.root()));
    let options = format!("lowerdir={},upperdir={upper},workdir={work}", image.lower);
    run::output("mount", ["-t", "overlay", "tandem-lab", "-o", &options, &root]).context("mounting /")?;
    let var = text(&places.var_image());
    run::output("cp", ["--sparse=always", "--reflink=auto", &*text(&image.var), &var])
        .context("copying the image of /var")?;
    run::output("mount", ["-o", "loop", &var, &format!("{root}/var")]).context("mounting /var")?;
    Ok(())
}

/// What is mounted at or below a folder, the last mounted first.
pub fn mounts_below(top: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // Field 5 is the mount point (proc(5)); ours have no characters that are escaped there.
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut found: Vec<PathBuf> = points.filter(|point| point.starts_with(top)).collect();
    found.reverse();
    found
}

/// Unmounts all of it; a loop device goes with its mount.
pub fn unmount_below(top: &Path) -> Result<()> {
    for point in mounts_below(top) {
        let point = text(&point);
        let deadline = Instant::now() + UNMOUNT;
        // Killed processes leave a moment after they are dead to us.
        while run::output("umount", [point.as_str()]).is_err() {
            if Instant::now() > deadline {
                // Somebody stands in it: it is out of sight now, and gone when they leave.
                run::output("umount", ["--lazy", &point])?;
                break;
            }
            sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
