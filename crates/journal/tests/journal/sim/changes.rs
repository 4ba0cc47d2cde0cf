//! Changes of a disk that may or may not have reached it.

use std::collections::BTreeMap;

const SECTOR_BYTES: usize = 512;

#[derive(Default)]
pub(super) struct Directory {
    pub(super) exists: bool,
    pub(super) exists_durably: bool,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    pub(super) unsynced: Vec<NameChange>,
}

#[derive(Clone)]
pub(super) enum NameChange {
    Link(String, usize),
    Rename(String, String, usize),
    Unlink(String),
}

#[derive(Default, Clone)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<FileChange>,
}

#[derive(Clone)]
pub(super) enum FileChange {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
        }
    }
}

impl FileChange {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, new) => {
                if bytes.len() < offset + new.len() {
                    bytes.resize(offset + new.len(), 0);
                }
                bytes[*offset..offset + new.len()].copy_from_slice(new);
            }
            Self::Resize(length) => bytes.resize(*length, 0),
        }
    }

    /// The parts that a disk writes as a whole.
    pub(super) fn sectors(&self) -> Vec<Self> {
        match self {
            Self::Resize(_) => vec![self.clone()],
            Self::Write(offset, new) => {
                let first = (SECTOR_BYTES - offset % SECTOR_BYTES).min(new.len());
                let (head, tail) = new.split_at(first);
                let mut sectors = vec![Self::Write(*offset, head.to_vec())];
                for (i, sector) in tail.chunks(SECTOR_BYTES).enumerate() {
                    sectors.push(Self::Write(offset + first + i * SECTOR_BYTES, sector.to_vec()));
                }
                sectors
            }
        }
    }
}
