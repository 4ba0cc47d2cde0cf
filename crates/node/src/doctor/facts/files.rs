//! The files apply wrote, against what is there now; and who may read the secrets.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{fs, fs::File};

use sha2::{Digest, Sha256};

use crate::apply::{Applied, Written};
use crate::observe::Place;

const APPLIED_FILE: &str = "applied.json";
/// No configuration file of ours is larger.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Default)]
pub struct Files {
    /// Apply never ran here.
    pub never_applied: bool,
    /// Its last run broke off, or left something to restart.
    pub unfinished: bool,
    pub written: usize,
    pub differing: Vec<FileStatus>,
    /// Files of secrets with their mode and owner's id, where others may read them.
    pub exposed: Vec<FileStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    pub path: String,
    pub state: FileState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    Changed,
    Gone,
    Mode { is: u32, wanted: u32 },
    Unreadable(String),
}

pub fn look(place: &Place) -> Result<Files, String> {
    let mut files = Files::default();
    for path in
        [place.etc.join(spec::SECRETS_FILE), place.state.join("state.json"), place.state.join("tokens.json")]
    {
        if let Some(is) = mode(&path).filter(|is| is & 0o077 != 0) {
            files.exposed.push(FileStatus {
                path: path.display().to_string(),
                state: FileState::Mode { is, wanted: 0o600 },
            });
        }
    }
    let path = place.state.join(APPLIED_FILE);
    let Some(text) = read(&path).map_err(|e| format!("{}: {e}", path.display()))? else {
        files.never_applied = true;
        return Ok(files);
    };
    let applied: Applied =
        serde_json::from_slice(&text).map_err(|e| format!("{} is not understood: {e}", path.display()))?;
    files.unfinished = !applied.complete || !applied.pending.is_empty();
    files.written = applied.files.len();
    for (path, written) in &applied.files {
        if let Some(state) = compare(Path::new(path), written) {
            files.differing.push(FileStatus { path: path.clone(), state });
        }
    }
    Ok(files)
}

fn compare(path: &Path, written: &Written) -> Option<FileState> {
    match read(path) {
        Err(e) => return Some(FileState::Unreadable(e.to_string())),
        Ok(None) => return Some(FileState::Gone),
        Ok(Some(bytes)) if hex::encode(Sha256::digest(&bytes)) != written.sha256 => {
            return Some(FileState::Changed);
        }
        Ok(Some(_)) => {}
    }
    let is = mode(path)?;
    (is != written.mode & 0o7777).then_some(FileState::Mode { is, wanted: written.mode })
}

fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.mode() & 0o7777)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::place::tests::place_in;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_changed_by_hand_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let place = place_in(dir.path());
        assert!(look(&place).unwrap().never_applied);
        let write = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let same = write("same", "as written", 0o640);
        let changed = write("changed", "by hand", 0o640);
        let opened = write("opened", "as written", 0o644);
        let gone = dir.path().join("gone").display().to_string();
        let sha256 = hex::encode(Sha256::digest(b"as written"));
        let mut applied = Applied::new(place.cluster.cluster.id, &place.node);
        for path in [&same, &changed, &opened, &gone] {
            let (sha256, owner) = (sha256.clone(), "root:root".into());
            let written =
                Written { sha256, mode: 0o640, owner, previous: None, then: Vec::new(), original: None };
            applied.files.insert(path.clone(), written);
        }
        write(APPLIED_FILE, &serde_json::to_string(&applied).unwrap(), 0o600);
        write("secrets.yaml", "x", 0o644);

        let found = look(&place).unwrap();
        assert!(found.unfinished && !found.never_applied && found.written == 4);
        let state = |path: &String| found.differing.iter().find(|f| f.path == *path).map(|f| f.state.clone());
        assert_eq!(state(&same), None);
        assert_eq!(state(&changed), Some(FileState::Changed));
        assert_eq!(state(&gone), Some(FileState::Gone));
        assert_eq!(state(&opened), Some(FileState::Mode { is: 0o644, wanted: 0o640 }));
        assert_eq!(found.exposed.len(), 1);
        write(APPLIED_FILE, "{\"files\":", 0o600);
        assert!(look(&place).unwrap_err().contains("not understood"));
    }
}
