//! The role state on disk: read with suspicion, replaced durably, each change with its reason.

use anyhow::{Context, Result};
use fsm::{State, VERSION};
use host::files;
use uuid::Uuid;

use crate::observe::{Transition, record_transition};
use crate::places::Places;

/// Why a node with such a file holds: PostgreSQL stays stopped, nothing is guessed.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("{file} cannot be read: {reason}; this node holds its data and starts nothing: {CURE}")]
    Unreadable { file: String, reason: String },
    #[error(
        "{file} was written by a newer Tandem (version {found}, this one knows {VERSION}); upgrade this node's package"
    )]
    Newer { file: String, found: u64 },
    #[error("{file} is of another cluster ({found}, cluster.yaml says {expected}); {CURE}")]
    OtherCluster { file: String, found: Uuid, expected: Uuid },
    #[error("{file} is of the node '{found}', this is '{expected}'; correct /etc/tandem/node, or {CURE}")]
    OtherNode { file: String, found: String, expected: String },
}

/// Given up where the disk is full: room for the state, its copy, and the lines about it.
const RESERVE_BYTES: usize = 256 << 10;

const CURE: &str =
    "if the other node is primary, join again with 'tandem join ADDRESS --rejoin'; else restore the file";

/// The state, if there is one.
///
/// # Errors
/// [`Unusable`]: the node must hold.
pub fn load(places: &Places, cluster: Uuid, node: &str) -> Result<Option<State>, Unusable> {
    let path = places.state();
    let file = path.display().to_string();
    let unreadable = |reason: String| Unusable::Unreadable { file: file.clone(), reason };
    let Some(text) = files::read(&path).map_err(|e| unreadable(e.to_string()))? else { return Ok(None) };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| unreadable(format!("it is damaged ({e})")))?;
    // Asked before the whole shape, so that a newer file is told as newer and not as damaged.
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(found) if found > u64::from(VERSION) => {
            return Err(Unusable::Newer { file: file.clone(), found });
        }
        _ => {}
    }
    let state: State =
        serde_json::from_value(value).map_err(|e| unreadable(format!("it is damaged ({e})")))?;
    if state.cluster != cluster {
        return Err(Unusable::OtherCluster { file, found: state.cluster, expected: cluster });
    }
    if state.node != node {
        return Err(Unusable::OtherNode { file, found: state.node, expected: node.into() });
    }
    Ok(Some(state))
}

/// Writes the state: when this returns it is on the disk. Then, for people, why.
///
/// # Errors
/// The state may not be acted upon: it may be lost at the next power cut.
pub fn save(places: &Places, state: &State, reason: &str) -> Result<()> {
    let path = places.state();
    let before = files::read(&path).ok().flatten().and_then(|t| serde_json::from_str::<State>(&t).ok());
    files::folder(&places.lib(), 0o700, None)
        .with_context(|| format!("making {}", places.lib().display()))?;
    let text = serde_json::to_string_pretty(state)?;
    let write = || files::write_durably(&path, 0o600, None, text.as_bytes());
    // A full disk must not keep a node in a role that it should leave.
    if write().is_err() {
        let _ = std::fs::remove_file(places.reserve());
        write().with_context(|| format!("writing {}", path.display()))?;
    }
    if !places.reserve().exists() {
        let _ = std::fs::write(places.reserve(), [0u8; RESERVE_BYTES]);
    }
    tracing::info!(
        role = state.role.as_str(),
        mode = state.mode.as_str(),
        epoch = state.epoch,
        join = state.join,
        "{reason}"
    );
    let transition = Transition {
        at: jiff::Timestamp::now(),
        from: before.map_or_else(|| "none".into(), |s| describe(&s)),
        to: describe(state),
        reason: reason.into(),
    };
    // Only shown: a full disk here must not undo what was decided.
    if let Err(error) = record_transition(&places.lib(), &transition) {
        tracing::warn!("the transition is not kept for 'tandem status': {error}");
    }
    Ok(())
}

/// `primary paired e1 j1`.
pub fn describe(state: &State) -> String {
    format!("{} {} e{} j{}", state.role.as_str(), state.mode.as_str(), state.epoch, state.join)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::TRANSITIONS_FILE;
    use std::fs;

    const CLUSTER: Uuid = Uuid::from_u128(7);

    fn places() -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        (dir, places)
    }

    #[test]
    fn what_is_saved_is_loaded_with_its_reason() {
        let (_dir, places) = places();
        assert_eq!(load(&places, CLUSTER, "n1").unwrap(), None);
        let first = State::first_primary(CLUSTER, "n1");
        save(&places, &first, "first node of a new cluster").unwrap();
        let paired = first.paired(first.next_join());
        save(&places, &paired, "n2 is in sync").unwrap();
        assert_eq!(load(&places, CLUSTER, "n1").unwrap(), Some(paired));
        let told = fs::read_to_string(places.lib().join(TRANSITIONS_FILE)).unwrap();
        let last: Transition = serde_json::from_str(told.lines().nth(1).unwrap()).unwrap();
        assert_eq!((last.from.as_str(), last.to.as_str()), ("primary solo e1 j0", "primary paired e1 j1"));
        assert_eq!(last.reason, "n2 is in sync");
    }

    #[test]
    fn a_node_holds_on_any_file_it_cannot_trust() {
        let (_dir, places) = places();
        save(&places, &State::first_primary(CLUSTER, "n1"), "test").unwrap();
        let good = fs::read_to_string(places.state()).unwrap();
        let truncated = &good[..good.len() / 2];
        let newer = good.replace("\"version\": 1", "\"version\": 2");
        let unknown = good.replace("\"epoch\"", "\"epok\"");
        for (text, says) in [
            (truncated, "damaged"),
            ("", "damaged"),
            (newer.as_str(), "newer Tandem (version 2"),
            (unknown.as_str(), "damaged"),
        ] {
            fs::write(places.state(), text).unwrap();
            let message = load(&places, CLUSTER, "n1").unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
        fs::write(places.state(), &good).unwrap();
        let other = load(&places, Uuid::nil(), "n1").unwrap_err().to_string();
        assert!(other.contains("another cluster"), "{other}");
        let other = load(&places, CLUSTER, "n2").unwrap_err().to_string();
        assert!(other.contains("'n1'"), "{other}");
    }
}
