//! What files stand in and belong to: users and folders of the services.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use host::files;
use nix::unistd::User;

use super::plan::Owners;
use crate::command;
use crate::config::Config;

/// A folder of a service.
struct Folder {
    path: PathBuf,
    user: String,
    group: String,
    mode: u32,
}

/// FreeSWITCH's user, where its own package did not make it (an operator's own build).
pub fn users(config: &Config) -> Result<bool> {
    let name = &config.layout.users.freeswitch;
    if User::from_name(name)?.is_some() {
        return Ok(false);
    }
    let mut useradd = Command::new("useradd");
    useradd.args([
        "--system",
        "--user-group",
        "--home-dir",
        "/var/lib/freeswitch",
        "--shell",
        "/usr/sbin/nologin",
    ]);
    command::run(useradd.arg(name), "useradd")?;
    Ok(true)
}

/// Makes the folders that are missing or belong to somebody else; the ones made or changed.
pub fn folders(config: &Config, dry: bool) -> Result<Vec<PathBuf>> {
    let mut owners = Owners::default();
    let mut changed = Vec::new();
    for folder in wanted(config) {
        // A dry run comes before the users are made.
        if dry && User::from_name(&folder.user)?.is_none() {
            changed.push(folder.path);
            continue;
        }
        let (user, group) = owners.of(&folder.user, &folder.group)?;
        let right = std::fs::metadata(&folder.path).is_ok_and(|m| {
            m.is_dir() && m.mode() & 0o7777 == folder.mode && m.uid() == user && m.gid() == group
        });
        if right {
            continue;
        }
        if !dry {
            files::folder(&folder.path, folder.mode, Some((user, group)))
                .with_context(|| format!("making {}", folder.path.display()))?;
        }
        changed.push(folder.path);
    }
    Ok(changed)
}

fn wanted(config: &Config) -> Vec<Folder> {
    let (paths, users) = (&config.layout.paths, &config.layout.users);
    let folder = |path: &Path, user: &str, group: &str, mode| Folder {
        path: path.to_owned(),
        user: user.into(),
        group: group.into(),
        mode,
    };
    let (freeswitch, daemon) = (users.freeswitch.as_str(), users.voip_admin.as_str());
    // The daemon's group: it sweeps what the engines spooled. /storage is render's, by systemd-tmpfiles.
    vec![
        folder(&paths.freeswitch_db, freeswitch, freeswitch, 0o750),
        folder(&paths.journal, daemon, daemon, 0o700),
        folder(&paths.cdr_spool, freeswitch, daemon, 0o2770),
        folder(&paths.kamailio_spool, &users.kamailio, daemon, 0o2770),
        folder(&paths.log.join("freeswitch"), freeswitch, freeswitch, 0o750),
    ]
}
