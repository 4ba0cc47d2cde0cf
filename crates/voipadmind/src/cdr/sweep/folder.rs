//! What lies in a spool folder, and in `done/` and `bad/` in it.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Files looked at in one round; more are neither taken nor counted in it.
pub const LOOKED_MAX: usize = 10_000;
/// Files of one name in `bad/`: what a client posts may have any uuid, again and again.
const NAMESAKES_MAX: u32 = 1_000;
/// Files deleted in one round.
const PRUNED_MAX: usize = 1_000;
/// A file that was written to this recently may be unfinished: neither engine writes atomically.
const SETTLED: Duration = Duration::from_secs(2);
/// FreeSWITCH's files are kept this long after their import, in `done/`.
const DONE_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// A file's state when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub bytes: u64,
    modified: SystemTime,
}

impl Seen {
    pub fn of(file: &Metadata) -> Self {
        Self { bytes: file.len(), modified: file.modified().unwrap_or(SystemTime::UNIX_EPOCH) }
    }

    /// Nobody wrote to it for so long.
    pub fn is_older_than(&self, age: Duration) -> bool {
        SystemTime::now().duration_since(self.modified).is_ok_and(|since| since > age)
    }
}

/// What one look at the folder found.
#[derive(Debug, Default)]
pub struct Found {
    /// In no order: it does not matter to the store.
    pub documents: Vec<PathBuf>,
    /// Of these, may be read.
    pub settled: Vec<PathBuf>,
    /// Files in `bad/`.
    pub bad: usize,
}

pub fn is_document(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}

pub fn look(dir: &Path) -> Found {
    prune(&dir.join("done"));
    let mut found = Found { bad: files(&dir.join("bad")).count(), ..Found::default() };
    for (file, about) in files(dir).filter(|(file, _)| is_document(file)) {
        if Seen::of(&about).is_older_than(SETTLED) {
            found.settled.push(file.clone());
        }
        found.documents.push(file);
    }
    found
}

/// A folder that is not there holds none.
fn files(dir: &Path) -> impl Iterator<Item = (PathBuf, Metadata)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).take(LOOKED_MAX);
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .filter(|(_, about)| about.is_file())
}

fn prune(done: &Path) {
    for (file, about) in files(done).take(PRUNED_MAX) {
        if Seen::of(&about).is_older_than(DONE_KEPT) {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// A place in `bad/` for this file. What lies there already is never written over.
///
/// # Errors
/// Too many of this name.
pub async fn place_in(bad: &Path, file: &Path) -> io::Result<PathBuf> {
    let name = file.file_name().unwrap_or_default();
    for number in 0..NAMESAKES_MAX {
        let mut place = name.to_owned();
        if number > 0 {
            place.push(format!(".{number}"));
        }
        let place = bad.join(place);
        if !tokio::fs::try_exists(&place).await? {
            return Ok(place);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("too many files of this name in {}", bad.display()),
    ))
}
