//! What the code sends an operator to is in the runbook.

use std::path::{Path, PathBuf};

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, all);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            all.push(entry);
        }
    }
}

#[test]
fn every_entry_that_is_cited_is_there() {
    let runbook = include_str!("../../../docs/runbook.md");
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut cited = 0;
    for file in files.iter().filter(|file| !file.ends_with("runbook.rs")) {
        // As the compiler joins a string's lines.
        let text = std::fs::read_to_string(file).unwrap();
        let joined = text.split("\\\n").map(str::trim_start).collect::<String>();
        for citation in joined.split("docs/runbook.md '").skip(1) {
            let entry = citation.split('\'').next().unwrap();
            let there = runbook.lines().any(|line| line == format!("## {entry}"));
            assert!(there, "{}: the runbook has no entry '{entry}'", file.display());
            cited += 1;
        }
    }
    assert!(cited >= 3, "{cited} citations found");
}
