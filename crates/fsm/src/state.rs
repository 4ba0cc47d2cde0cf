//! A node's durable state: one record, replaced as a whole.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Version of the record's shape. A file with a higher one was written by a newer Tandem and is not guessed at.
pub const VERSION: u32 = 1;

/// What the node is. *Hold*: PostgreSQL is stopped, the data kept, a person asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Primary,
    Standby,
    Rejoining,
    Demoted,
    Hold,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Rejoining => "rejoining",
            Self::Demoted => "demoted",
            Self::Hold => "hold",
        }
    }
}

/// Whether the primary waits for its standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Solo,
    Paired,
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Solo => "solo",
            Self::Paired => "paired",
        }
    }
}

/// A join of an epoch. Points compare lexicographically: the epoch first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    pub epoch: u64,
    pub join: u64,
}

/// What lets a standby take over: proven by a barrier commit, and void after a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    pub epoch: u64,
    pub join: u64,
    pub boot_id: Uuid,
}

/// The whole record. Every field is written each time; an unknown one is refused, because a node that forgets what a
/// newer version knew could promote where it must not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub version: u32,
    /// cluster.yaml's `cluster.id`: data of one cluster is never run as another's.
    pub cluster: Uuid,
    /// This node's name.
    pub node: String,
    pub role: Role,
    pub mode: Mode,
    pub epoch: u64,
    /// The primary of this epoch.
    pub owner: String,
    pub join: u64,
    /// This epoch began by a person's word that the peer is dead; nobody rewinds to it by themselves.
    pub forced: bool,
    pub flag: Option<Flag>,
    /// Joins up to here are dead for ever.
    pub mark: Point,
}

impl State {
    /// The first node of a new cluster.
    pub fn first_primary(cluster: Uuid, node: &str) -> Self {
        Self {
            version: VERSION,
            cluster,
            node: node.into(),
            role: Role::Primary,
            mode: Mode::Solo,
            epoch: 1,
            owner: node.into(),
            join: 0,
            forced: false,
            flag: None,
            mark: Point::default(),
        }
    }

    /// A standby that was copied from `owner` for the join `at`.
    pub fn joined_standby(cluster: Uuid, node: &str, owner: &str, at: Point) -> Self {
        Self {
            role: Role::Standby,
            mode: Mode::Paired,
            epoch: at.epoch,
            owner: owner.into(),
            join: at.join,
            ..Self::first_primary(cluster, node)
        }
    }

    pub const fn at(&self) -> Point {
        Point { epoch: self.epoch, join: self.join }
    }

    /// What the next join of this primary will be.
    pub const fn next_join(&self) -> Point {
        Point { epoch: self.epoch, join: self.join + 1 }
    }

    /// This primary waits for its standby from the join `at` on.
    pub fn paired(&self, at: Point) -> Self {
        Self { mode: Mode::Paired, epoch: at.epoch, join: at.join, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_compare_by_epoch_then_join() {
        let point = |epoch, join| Point { epoch, join };
        assert!(point(2, 0) > point(1, 9) && point(1, 2) > point(1, 1));
    }

    #[test]
    fn a_record_is_read_back_and_an_unknown_field_is_refused() {
        let state = State::joined_standby(Uuid::from_u128(7), "n2", "n1", Point { epoch: 1, join: 1 });
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        let newer = text.replacen('{', "{\"witness\":1,", 1);
        assert!(serde_json::from_str::<State>(&newer).is_err());
    }
}
