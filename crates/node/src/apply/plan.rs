//! What differs between the node as it is and as it is rendered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Group, Uid, User};
use render::RenderedFile;
use sha2::{Digest, Sha256};

use render::Then;

use super::journal::{Applied, Written};
use crate::places::Places;

/// A file as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Absolute, on the node.
    pub target: String,
    pub user: String,
    pub group: String,
    pub mode: u32,
    pub contents: String,
    pub then: Vec<Then>,
}

impl From<RenderedFile> for Wanted {
    fn from(file: RenderedFile) -> Self {
        Self {
            target: file.target.display().to_string(),
            user: file.owner.user,
            group: file.owner.group,
            mode: file.mode,
            then: file.then.clone(),
            contents: file.contents,
        }
    }
}

impl Wanted {
    pub fn written(&self) -> Written {
        Written {
            sha256: sha256(self.contents.as_bytes()),
            previous: None,
            mode: self.mode,
            owner: format!("{}:{}", self.user, self.group),
            then: self.then.clone(),
            original: None,
        }
    }
}

/// How a file comes to be as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Create,
    Replace,
    /// Its mode or owner alone.
    Permissions,
    /// Written by an earlier run, rendered no more.
    Remove,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Permissions => "permissions",
            Self::Remove => "remove",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub target: String,
    pub kind: Kind,
    /// What is there now; none where there is nothing, or nothing that is text.
    pub before: Option<String>,
    /// None when it is removed.
    pub wanted: Option<Wanted>,
    pub then: Vec<Then>,
    /// Nobody but its owner may read it: its contents are shown to nobody else either.
    pub is_secret: bool,
    /// Units that the file enabled and no other file wants: stopped and disabled before it goes.
    pub stops: Vec<String>,
}

/// Compares every wanted file, and finds what is wanted no more.
pub fn plan(places: &Places, wanted: &[Wanted], applied: &Applied) -> Result<Vec<Change>> {
    let mut owners = Owners::default();
    let mut changes = Vec::new();
    for file in wanted {
        let path = places.at(&file.target);
        let Some(kind) = compare(&path, file, &mut owners)? else { continue };
        let before = read(&path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        changes.push(Change {
            target: file.target.clone(),
            kind,
            before,
            then: file.then.clone(),
            is_secret: is_secret(file.mode) || is_secret_on_disk(&path),
            stops: Vec::new(),
            wanted: Some(file.clone()),
        });
    }
    let enabled: BTreeSet<&str> = wanted.iter().flat_map(|file| enabled(&file.then)).collect();
    let gone = applied.files.iter().filter(|(target, _)| !wanted.iter().any(|w| &w.target == *target));
    for (target, written) in gone {
        let Some(before) = read(&places.at(target))? else { continue };
        let before = Some(String::from_utf8_lossy(&before).into_owned());
        let stops: Vec<String> =
            self::enabled(&written.then).filter(|unit| !enabled.contains(unit)).map(str::to_owned).collect();
        changes.push(Change {
            target: target.clone(),
            kind: Kind::Remove,
            before,
            wanted: None,
            then: after_removal(&written.then, &stops),
            is_secret: is_secret(written.mode) || is_secret_on_disk(&places.at(target)),
            stops,
        });
    }
    Ok(changes)
}

/// The units that a file enables.
pub fn enabled(then: &[Then]) -> impl Iterator<Item = &str> {
    then.iter().filter_map(|then| if let Then::Enable(unit) = then { Some(unit.as_str()) } else { None })
}

/// What a file's going asks for: what reads it besides. Nothing can be run on it, or started by it, any more.
fn after_removal(then: &[Then], stopped: &[String]) -> Vec<Then> {
    let stays = |then: &&Then| match then {
        Then::DaemonReload => true,
        Then::Run(_) | Then::Sysctl(_) => false,
        Then::Enable(unit) | Then::Restart(unit) | Then::Reload(unit) => !stopped.contains(unit),
    };
    then.iter().filter(stays).cloned().collect()
}

const fn is_secret(mode: u32) -> bool {
    mode & 0o077 == 0
}

fn is_secret_on_disk(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| there.is_file() && is_secret(there.mode()))
}

fn compare(path: &Path, file: &Wanted, owners: &mut Owners) -> Result<Option<Kind>> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Kind::Create)),
        other => other.with_context(|| format!("looking at {}", path.display()))?,
    };
    if there.is_dir() {
        bail!("{} is a folder, and a file is to be written there; move it away", path.display());
    }
    // A link is replaced, never followed: what it points to is somebody else's.
    if !there.is_file() || read(path)?.as_deref() != Some(file.contents.as_bytes()) {
        return Ok(Some(Kind::Replace));
    }
    let (user, group) = owners.of(&file.user, &file.group)?;
    let same = there.mode() & 0o7777 == file.mode && there.uid() == user && there.gid() == group;
    Ok(if same { None } else { Some(Kind::Permissions) })
}

/// The file; none where there is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => Ok(Some(other.with_context(|| format!("reading {}", path.display()))?)),
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Names of users and groups, looked up once.
#[derive(Default)]
pub struct Owners {
    known: BTreeMap<(String, String), (u32, u32)>,
}

impl Owners {
    /// The numbers of a user and a group.
    ///
    /// # Errors
    /// There is no such user: its package is not installed.
    pub fn of(&mut self, user: &str, group: &str) -> Result<(u32, u32)> {
        // Not root (a test): everything is ours.
        if !Uid::effective().is_root() {
            return Ok((Uid::effective().as_raw(), Gid::effective().as_raw()));
        }
        if let Some(ids) = self.known.get(&(user.to_owned(), group.to_owned())) {
            return Ok(*ids);
        }
        let missing = |what: &str, name: &str| {
            format!("there is no {what} '{name}': the package it comes with is not installed (apt install …)")
        };
        let uid = User::from_name(user)?.with_context(|| missing("user", user))?.uid.as_raw();
        let gid = Group::from_name(group)?.with_context(|| missing("group", group))?.gid.as_raw();
        self.known.insert((user.into(), group.into()), (uid, gid));
        Ok((uid, gid))
    }
}
