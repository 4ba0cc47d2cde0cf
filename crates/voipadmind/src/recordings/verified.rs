//! Files whose bytes were found to be those of the recording, so that a player's hundred ranges read the file once.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::measure::measure;

/// Files remembered at once; when they are more, all are hashed anew.
const FILES_MAX: usize = 4_096;

#[derive(Default)]
pub(super) struct Verified(Mutex<Known>);

/// By device and inode: when it was last changed, and the SHA-256 then.
type Known = HashMap<(u64, u64), (Changed, [u8; 32])>;

/// Seconds and nanoseconds of `ctime`, which nobody can set, unlike `mtime`; bytes.
type Changed = (i64, i64, u64);

impl Verified {
    /// Whether the file's bytes have this SHA-256. Blocking: it reads the file, unless that was done since it was last changed.
    pub(super) fn is(&self, file: &mut File, sha256: [u8; 32]) -> io::Result<bool> {
        let found = file.metadata()?;
        let key = (found.dev(), found.ino());
        let changed = (found.ctime(), found.ctime_nsec(), found.len());
        let known = self.known().get(&key).filter(|(then, _)| *then == changed).map(|(_, sum)| *sum);
        let sum = match known {
            Some(sum) => sum,
            None => {
                let sum = measure(file)?.sha256;
                let mut known = self.known();
                if known.len() >= FILES_MAX {
                    known.clear();
                }
                known.insert(key, (changed, sum));
                sum
            }
        };
        Ok(sum == sha256)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
