//! `tandem dev logs`: every engine's own words.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Place;
use host::say;

/// Lines shown of each log, and bytes looked at for them.
const LINES: usize = 20;
const TAIL_BYTES_MAX: u64 = 64 << 10;
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

pub fn logs(dir: &Path, engine: Option<&str>, follow: bool) -> Result<()> {
    let place = Place::existing(dir)?;
    let mut logs = all(&place.root.join("log"))?;
    if let Some(engine) = engine {
        let known: Vec<&str> = logs.iter().map(|(name, _)| name.as_str()).collect();
        if !known.contains(&engine) {
            bail!("there is no log of '{engine}'; there are: {}", known.join(", "));
        }
        logs.retain(|(name, _)| name == engine);
    }
    let mut followed = Vec::new();
    for (name, path) in logs {
        say!("==> {name}: {}", path.display());
        say!("{}", tail(&path, LINES));
        let length = fs::metadata(&path).map_or(0, |m| m.len());
        followed.push((name, path, length));
    }
    if !follow {
        return Ok(());
    }
    loop {
        for (name, path, seen) in &mut followed {
            if show_new(name, path, seen).is_err() {
                // The reader went away.
                return Ok(());
            }
        }
        sleep(FOLLOW_EVERY);
    }
}

/// Name and path of each log, sorted. An engine that writes a log of its own does so in a folder with its name.
fn all(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = fs::read_dir(folder).context("there are no logs yet; start the node with 'make dev'")?;
    let below = |path: PathBuf| match fs::read_dir(&path) {
        Ok(entries) => entries.flatten().map(|e| e.path()).collect(),
        Err(_) => vec![path],
    };
    let mut logs: Vec<_> = entries
        .flatten()
        .flat_map(|e| below(e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .filter(|p| fs::metadata(p).is_ok_and(|m| m.len() > 0))
        .filter_map(|p| Some((p.file_stem()?.to_str()?.to_owned(), p)))
        .collect();
    logs.sort();
    Ok(logs)
}

/// The last lines of a file, or why it cannot be read.
pub fn tail(path: &Path, lines: usize) -> String {
    let end = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        Ok(all[all.len().saturating_sub(lines)..].join("\n"))
    };
    end().unwrap_or_else(|error| format!("(cannot be read: {error})"))
}

fn show_new(name: &str, path: &Path, seen: &mut u64) -> std::io::Result<()> {
    let Ok(mut file) = File::open(path) else { return Ok(()) };
    let length = file.metadata()?.len();
    if length < *seen {
        *seen = 0;
    }
    if length == *seen {
        return Ok(());
    }
    file.seek(SeekFrom::Start(*seen))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    // Up to the last whole line; the rest comes with the next look, unless a line is longer than all we take.
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let whole = if whole == 0 && bytes.len() as u64 == TAIL_BYTES_MAX { bytes.len() } else { whole };
    *seen += whole as u64;
    let mut out = std::io::stdout().lock();
    for line in String::from_utf8_lossy(&bytes[..whole]).lines() {
        writeln!(out, "{name}: {line}")?;
    }
    Ok(())
}
