//! A write-ahead log, its timelines, and what pg_rewind and a walsender make of two of them.

use crate::world::P;

/// Records a log may hold; scenarios are bounded so that none grows beyond.
pub const RECORDS_MAX: usize = 14;

/// One byte a record: 1-9 a client's row, +16 a repeated request's message for it, 32-63 a barrier's row, 128+ the
/// first record of a timeline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Log {
    len: u8,
    records: [u8; RECORDS_MAX],
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[")?;
        for &record in self.records() {
            match record {
                1..=15 => write!(f, " w{record}")?,
                16..=31 => write!(f, " m{}", record - 16)?,
                32..=127 => write!(f, " b{}.{}", (record - 32) / 4, (record - 32) % 4)?,
                _ => write!(f, " T{}@{}", (record & 0x7f) >> 1, record & 1)?,
            }
        }
        write!(f, " ]")
    }
}

pub const fn write(id: u8) -> u8 {
    id
}

pub const fn message(id: u8) -> u8 {
    16 + id
}

pub const fn barrier(at: P) -> u8 {
    32 + at.0 * 4 + at.1
}

/// The node is in the record so that two timelines of the same number can be told apart by the model, not by PostgreSQL.
const fn timeline(number: u8, node: usize) -> u8 {
    128 + number * 2 + node as u8
}

impl Log {
    pub fn records(&self) -> &[u8] {
        &self.records[..self.len as usize]
    }

    pub const fn len(&self) -> u8 {
        self.len
    }

    pub fn push(&mut self, record: u8) {
        self.records[self.len as usize] = record;
        self.len += 1;
    }

    pub fn truncate(&mut self, len: u8) {
        for at in len..self.len {
            self.records[at as usize] = 0;
        }
        self.len = self.len.min(len);
    }

    /// Where the newest record about a client's row ends.
    pub fn end_of(&self, id: u8) -> u8 {
        self.records()
            .iter()
            .rposition(|&it| it == write(id) || it == message(id))
            .map_or(0, |at| at as u8 + 1)
    }

    pub fn has(&self, id: u8) -> bool {
        self.records().contains(&write(id))
    }

    pub fn newest_barrier(&self) -> Option<(P, u8)> {
        let at = self.records().iter().rposition(|it| (32..128).contains(it))?;
        let code = self.records[at] - 32;
        Some((P(code / 4, code % 4), at as u8 + 1))
    }

    /// (number, where it began), oldest first.
    fn history(&self) -> Vec<(u8, u8)> {
        let mut history = vec![(1, 0)];
        for (at, &record) in self.records().iter().enumerate() {
            if record >= 128 {
                history.push(((record & 0x7f) >> 1, at as u8));
            }
        }
        history
    }

    pub fn timeline(&self) -> u8 {
        self.records().iter().rev().find(|&&it| it >= 128).map_or(1, |&it| (it & 0x7f) >> 1)
    }

    pub fn timeline_at(&self, at: usize) -> u8 {
        self.records[..=at].iter().rev().find(|&&it| it >= 128).map_or(1, |&it| (it & 0x7f) >> 1)
    }

    pub fn promote(&mut self, node: usize) {
        self.push(timeline(self.timeline() + 1, node));
    }

    /// Whether a walsender of `self` serves a standby whose log is `other`: by timelines and lengths, not by content.
    pub fn serves(&self, other: &Self) -> bool {
        let history = self.history();
        let Some(at) = history.iter().position(|&(number, _)| number == other.timeline()) else {
            return false;
        };
        let end = history.get(at + 1).map_or(self.len, |&(_, began)| began);
        other.len <= end
    }

    /// What pg_rewind of `self` to `source` says: None is "no rewind required".
    pub fn rewind_to(&self, source: &Self) -> Option<()> {
        if self.timeline() == source.timeline() {
            return None;
        }
        let (mine, theirs) = (self.history(), source.history());
        let common = mine.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        let end = |history: &[(u8, u8)], len| history.get(common).map_or(len, |&(_, began)| began);
        let diverged_at = end(&mine, self.len).min(end(&theirs, source.len));
        (self.len > diverged_at).then_some(())
    }

    /// The same place of the same timeline says two things.
    pub fn contradicts(&self, other: &Self) -> bool {
        let both = self.len.min(other.len) as usize;
        (0..both)
            .any(|at| self.records[at] != other.records[at] && self.timeline_at(at) == other.timeline_at(at))
    }
}
