//! Network namespaces: a thread that enters one makes its sockets there.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

pub fn file(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// This thread is in the namespace from here on.
pub fn enter(name: &str) -> Result<()> {
    let path = file(name);
    let file = File::open(&path).with_context(|| format!("opening {}; is the lab up?", path.display()))?;
    setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {name}"))
}

/// Does something in a namespace and comes back: a node that is off has none, and one that was entered for good would keep
/// it alive. `None`: there is none.
pub fn visit<T>(name: &str, own: &File, look: impl FnOnce() -> T) -> Option<T> {
    let there = File::open(file(name)).ok()?;
    setns(&there, CloneFlags::CLONE_NEWNET).ok()?;
    let seen = look();
    // Our own is open and ours: this cannot fail but by a defect of the kernel, and then nothing more is seen.
    setns(own, CloneFlags::CLONE_NEWNET).ok()?;
    Some(seen)
}
