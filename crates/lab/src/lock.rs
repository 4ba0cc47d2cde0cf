//! Taking turns: one command at a time changes a lab, one at a time makes an image.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use host::say;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Held until dropped, or until the process ends however it ends.
pub struct Lock(#[allow(dead_code, reason = "the lock is what it does when dropped")] Flock<File>);

/// Waits for its turn, and says so when it has to.
///
/// # Errors
/// The file cannot be made.
pub fn take(path: &Path, what: &str) -> Result<Lock> {
    let mut said = false;
    loop {
        let file = open(path)?;
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, Errno::EWOULDBLOCK)) => {
                if !said {
                    say!("another tandem works on {what}; waiting for it");
                    said = true;
                }
                let wait = Flock::lock(file, FlockArg::LockExclusive);
                wait.map_err(|(_, error)| error).with_context(|| format!("locking {}", path.display()))?
            }
            Err((_, error)) => return Err(error).with_context(|| format!("locking {}", path.display())),
        };
        // Whoever had it may have removed the file; a lock on a file that is not there excludes nobody.
        let same = path.metadata().is_ok_and(|there| {
            lock.metadata().is_ok_and(|mine| (mine.dev(), mine.ino()) == (there.dev(), there.ino()))
        });
        if same {
            return Ok(Lock(lock));
        }
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        host::files::folder(folder, 0o755, None).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(path).with_context(|| format!("opening {}", path.display()))
}
