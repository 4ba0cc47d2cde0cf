//! The agent's two files: the role (`state.json`, failover.md's state) and the history of its changes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Deserialize;

use super::{Place, Transition};

const STATE_FILE: &str = "state.json";
/// A line a transition, the newest last.
pub const TRANSITIONS_FILE: &str = "transitions.jsonl";
/// Lines kept; the file is cut to them when it has twice as many.
pub const TRANSITIONS_KEPT_MAX: usize = 500;
/// Shown in a snapshot.
const TRANSITIONS_SHOWN_MAX: usize = 10;
/// Of the file's end, read to show the last: longer reasons show fewer.
const TAIL_BYTES: u64 = 16 << 10;

/// What of the agent's state everybody may see.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Role {
    pub role: Option<String>,
    pub mode: Option<String>,
    pub epoch: Option<u64>,
    pub join: Option<u64>,
    pub forced: bool,
    #[serde(skip)]
    pub problem: Option<String>,
}

pub fn read(place: &Place) -> Role {
    let path = place.state.join(STATE_FILE);
    let problem = |words: String| Role { problem: Some(words), ..Role::default() };
    match host::files::read(&path) {
        Ok(None) => problem(format!("{} is not there: 'tandem apply' gives a node its role", path.display())),
        Ok(Some(text)) => serde_json::from_str(&text).unwrap_or_else(|e| {
            problem(format!("{} is unreadable ({e}): the node must hold", path.display()))
        }),
        Err(e) => problem(format!("{}: {e}", path.display())),
    }
}

/// The last ones, the newest last; none where the file is not there or not ours to read.
pub fn transitions(place: &Place) -> Vec<Transition> {
    let text = tail(&place.state.join(TRANSITIONS_FILE)).unwrap_or_default();
    let mut last: Vec<Transition> = text
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str(line).ok())
        .take(TRANSITIONS_SHOWN_MAX)
        .collect();
    last.reverse();
    last
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Adds a transition to the history in `state` (the folder). History, not state: written once, not synced, and who
/// calls goes on when it fails.
///
/// # Errors
/// As the file system says.
pub fn record_transition(state: &Path, transition: &Transition) -> io::Result<()> {
    let path = state.join(TRANSITIONS_FILE);
    let mut line = serde_json::to_string(transition).map_err(io::Error::other)?;
    line.push('\n');
    File::options().append(true).create(true).mode(0o600).open(&path)?.write_all(line.as_bytes())?;
    let text = fs::read_to_string(&path)?;
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() >= 2 * TRANSITIONS_KEPT_MAX {
        let kept = lines.get(lines.len() - TRANSITIONS_KEPT_MAX..).unwrap_or_default().join("\n");
        host::files::write(&path, 0o600, None, format!("{kept}\n").as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::place::tests::place_in;

    #[test]
    fn the_role_is_read_without_knowing_every_key() {
        let dir = tempfile::tempdir().unwrap();
        let place = place_in(dir.path());
        assert!(read(&place).problem.unwrap().contains("tandem apply"));
        let path = place.state.join(STATE_FILE);
        fs::write(
            &path,
            r#"{"version":1,"role":"primary","mode":"paired","epoch":3,"owner":"n1","join":2,"flag":null}"#,
        )
        .unwrap();
        let role = read(&place);
        assert_eq!((role.role.as_deref(), role.epoch, role.problem), (Some("primary"), Some(3), None));
        fs::write(&path, "{\"role\":").unwrap();
        assert!(read(&place).problem.unwrap().contains("must hold"));
    }

    #[test]
    fn history_is_bounded_and_survives_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let place = place_in(dir.path());
        let transition = |n: usize| Transition {
            at: jiff::Timestamp::UNIX_EPOCH,
            from: "standby".into(),
            to: "primary".into(),
            reason: format!("reason {n}"),
        };
        for n in 0..2 * TRANSITIONS_KEPT_MAX {
            record_transition(&place.state, &transition(n)).unwrap();
        }
        let path = place.state.join(TRANSITIONS_FILE);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), TRANSITIONS_KEPT_MAX);
        fs::write(&path, format!("{text}{{\"at\":\"2026-")).unwrap();
        let shown = transitions(&place);
        assert_eq!(shown.len(), TRANSITIONS_SHOWN_MAX);
        assert_eq!(shown.last().unwrap().reason, format!("reason {}", 2 * TRANSITIONS_KEPT_MAX - 1));
    }
}
