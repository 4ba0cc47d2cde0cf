//! What a sweeper remembers of single files between two rounds; bounded, and lost with the process.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::folder::{LOOKED_MAX, Seen};

const TRIED_AGAIN: Duration = Duration::from_secs(60);
const TOLD_AGAIN: Duration = Duration::from_secs(3_600);
/// A writer that was held up goes on within this, or its file stays in `bad/`.
const LATE_MAX: Duration = Duration::from_secs(3_600);
const LYING_MAX: usize = 1_000;

/// Files that cannot be read or moved: each is told of once and again hourly, and tried each minute.
#[derive(Debug, Default)]
pub struct Troubles(HashMap<PathBuf, Trouble>);

#[derive(Debug)]
struct Trouble {
    tried: Instant,
    told: Instant,
}

impl Troubles {
    /// Notes one more failure; whether it is to be told.
    pub fn note(&mut self, file: &Path, now: Instant) -> bool {
        if let Some(trouble) = self.0.get_mut(file) {
            trouble.tried = now;
            let again = now.duration_since(trouble.told) >= TOLD_AGAIN;
            if again {
                trouble.told = now;
            }
            return again;
        }
        let room = self.0.len() < LOOKED_MAX;
        if room {
            self.0.insert(file.to_owned(), Trouble { tried: now, told: now });
        }
        room
    }

    pub fn is_due(&self, file: &Path, now: Instant) -> bool {
        self.0.get(file).is_none_or(|trouble| now.duration_since(trouble.tried) >= TRIED_AGAIN)
    }

    pub fn forget(&mut self, file: &Path) {
        self.0.remove(file);
    }

    /// Forgets those that somebody took away.
    pub fn keep(&mut self, there: &[PathBuf]) {
        if !self.0.is_empty() {
            let there: HashSet<&PathBuf> = there.iter().collect();
            self.0.retain(|file, _| there.contains(file));
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Files put into `bad/` lately, as they were read. One that was written to since was half a document then.
#[derive(Debug, Default)]
pub struct Moved(VecDeque<Lying>);

#[derive(Debug)]
pub struct Lying {
    pub in_bad: PathBuf,
    /// Where it lay.
    pub from: PathBuf,
    pub as_read: Seen,
    pub since: Instant,
}

impl Moved {
    pub fn remember(&mut self, lying: Lying) {
        if self.0.len() == LYING_MAX {
            self.0.pop_front();
        }
        self.0.push_back(lying);
    }

    /// Puts back what changed since it was read, to be read again.
    pub fn put_back(&mut self, now: Instant) {
        self.0.retain(|lying| {
            let Ok(about) = std::fs::metadata(&lying.in_bad) else { return false };
            if Seen::of(&about) == lying.as_read {
                return now.duration_since(lying.since) < LATE_MAX;
            }
            // A younger one of this name goes first.
            if lying.from.exists() {
                return true;
            }
            let (file, bytes) = (lying.in_bad.display().to_string(), about.len());
            match std::fs::rename(&lying.in_bad, &lying.from) {
                Ok(()) => tracing::info!(file, bytes, "a file in bad/ was written to; it is read again"),
                Err(error) => tracing::warn!(file, bytes, %error, "a file in bad/ was written to and cannot be read again"),
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_and_again_hourly_and_tried_each_minute() {
        let (mut troubles, start) = (Troubles::default(), Instant::now());
        let file = Path::new("/spool/a.cdr.json");
        let after = |s| start + Duration::from_secs(s);
        assert!(troubles.is_due(file, start) && troubles.note(file, start));
        assert!(!troubles.is_due(file, after(59)) && troubles.is_due(file, after(60)));
        let told = (1..=150).filter(|minute| troubles.note(file, after(minute * 60))).count();
        assert_eq!(told, 2, "after one hour and after two");
        troubles.keep(&[file.to_owned()]);
        assert_eq!(troubles.len(), 1);
        troubles.keep(&[]);
        assert_eq!(troubles.len(), 0, "it was taken away");
        assert!(troubles.note(file, after(9_001)), "a new one");
    }

    #[test]
    fn troubles_are_bounded() {
        let (mut troubles, now) = (Troubles::default(), Instant::now());
        let told =
            (0..LOOKED_MAX + 5).filter(|n| troubles.note(Path::new(&format!("/spool/{n}")), now)).count();
        assert_eq!((told, troubles.len()), (LOOKED_MAX, LOOKED_MAX));
    }
}
