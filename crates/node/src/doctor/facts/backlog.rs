//! CDRs and events that wait in folders.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::observe::Place;

/// More are not counted.
const COUNTED_MAX: usize = 10_000;

pub struct Backlog {
    /// What waits there.
    pub of: &'static str,
    pub folder: PathBuf,
    /// Or why it is not known; a folder that is not there holds none.
    pub files: Result<usize, String>,
}

pub fn look(place: &Place) -> Vec<Backlog> {
    let paths = &place.layout.paths;
    let folders = [
        ("CDRs FreeSWITCH could not post", paths.cdr_spool.clone()),
        ("events Kamailio could not post", paths.kamailio_spool.clone()),
        ("files that were no CDR", paths.cdr_spool.join("bad")),
        ("files that were no event", paths.kamailio_spool.join("bad")),
    ];
    folders.map(|(of, folder)| Backlog { of, files: count(&folder), folder }).into()
}

fn count(folder: &Path) -> Result<usize, String> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let file = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_file());
            Ok(entries.flatten().filter(file).take(COUNTED_MAX).count())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e.to_string()),
    }
}
