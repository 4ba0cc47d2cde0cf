//! The marker file: this program may run in a dev node or in the lab, and nowhere else.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::config::read_bounded;

/// First lines that `tandem dev` and `tandem lab` write into their marker files.
const MARKERS: [&str; 2] = ["tandem dev", "tandem lab"];

/// Refuses to go on without the marker.
///
/// # Errors
/// There is no such file, or it marks neither a dev node nor the lab.
pub fn require(path: &Path) -> anyhow::Result<()> {
    let text = read_bounded(path).context(
        "media-double is a test program for `tandem dev` and `tandem lab`: it starts only where their marker file is",
    )?;
    let first = text.lines().next().unwrap_or_default().trim();
    ensure!(
        MARKERS.contains(&first),
        "{} marks neither a dev node nor the lab: its first line must be one of {MARKERS:?}",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dev_and_lab_are_places_to_run() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("marker");
        assert!(require(&path).is_err(), "no file");
        for (content, allowed) in
            [("tandem dev\n", true), ("tandem lab\nx", true), ("", false), ("tandem node", false)]
        {
            std::fs::write(&path, content).expect("written");
            assert_eq!(require(&path).is_ok(), allowed, "{content:?}");
        }
    }
}
