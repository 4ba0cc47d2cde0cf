//! The data folder: found, taken over from Debian's package, or made. Nothing that may be somebody's is removed here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use host::files;
use nix::unistd::User;

use crate::command;

/// Object ids below this are the server's own (PostgreSQL's `FirstNormalObjectId`).
const FIRST_NORMAL_ID: u64 = 16_384;

/// What stands in the place of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Absent,
    /// As `initdb` leaves it, like the one Debian's package makes at its installation.
    Pristine,
    /// Tables, or databases, somebody made.
    Used,
}

/// Looks at the files alone: the server may be stopped.
pub fn content(data: &Path) -> Result<Content> {
    if !data.join("PG_VERSION").is_file() {
        let empty = !data.exists() || fs::read_dir(data)?.next().is_none();
        return if empty { Ok(Content::Absent) } else { Ok(Content::Used) };
    }
    let made = |name: &str| {
        let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().is_ok_and(|id| id >= FIRST_NORMAL_ID)
    };
    for database in entries(&data.join("base"))? {
        let name = file_name(&database);
        if made(&name) || entries(&database)?.iter().any(|file| made(&file_name(file))) {
            return Ok(Content::Used);
        }
    }
    if entries(&data.join("pg_tblspc"))?.is_empty() { Ok(Content::Pristine) } else { Ok(Content::Used) }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    read.map(|entry| Ok(entry?.path())).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A new data folder beside its place, then moved: one that was half made never stands where a whole one is expected.
pub fn make(bin: &Path, data: &Path, user: &User) -> Result<()> {
    let new = beside(data, "new");
    let _ = fs::remove_dir_all(&new);
    files::folder(data.parent().unwrap_or(data), 0o755, Some((user.uid.as_raw(), user.gid.as_raw())))?;
    let mut initdb = command::as_user(&bin.join("initdb"), user);
    initdb
        .args(["--username", &user.name, "--auth-local=peer", "--auth-host=scram-sha-256"])
        .args(["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions", "-D"])
        .arg(&new);
    command::run(&mut initdb, "initdb")?;
    if data.exists() {
        // Absent or empty, says `content`.
        fs::remove_dir(data).with_context(|| format!("making place at {}", data.display()))?;
    }
    fs::rename(&new, data).with_context(|| format!("moving the new database to {}", data.display()))?;
    Ok(files::sync_folder(data.parent().unwrap_or(data))?)
}

/// A stopped server's data gets page checksums, if it has none; true when it had none. pg_rewind and every copy after it
/// can then tell a torn page from a whole one.
pub fn ensure_checksums(bin: &Path, data: &Path, user: &User) -> Result<bool> {
    let said = command::output(
        command::as_user(&bin.join("pg_controldata"), user).env("LC_ALL", "C").arg(data),
        "pg_controldata",
    )?;
    let version = said.lines().find_map(|line| line.strip_prefix("Data page checksum version:"));
    match version.map(str::trim) {
        Some("0") => {}
        Some(_) => return Ok(false),
        None => bail!("pg_controldata says nothing of checksums in {}", data.display()),
    }
    let mut enable = command::as_user(&bin.join("pg_checksums"), user);
    enable.args(["--enable", "-D"]).arg(data);
    command::run(&mut enable, "pg_checksums --enable")?;
    Ok(true)
}

/// Puts data out of the way under a dated name: it is somebody's, and stays.
pub fn keep_aside(data: &Path, stamp: &str) -> Result<PathBuf> {
    let kept = beside(data, &format!("kept-{stamp}"));
    if kept.exists() {
        bail!("{} is there already; move it away", kept.display());
    }
    fs::rename(data, &kept).with_context(|| format!("keeping {} as {}", data.display(), kept.display()))?;
    files::sync_folder(data.parent().unwrap_or(data))?;
    Ok(kept)
}

/// `<data>.<suffix>`.
pub fn beside(data: &Path, suffix: &str) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{suffix}"));
    data.with_file_name(name)
}

/// Whether a server runs on the data: its lock names a process that lives.
pub fn is_running(data: &Path) -> bool {
    let lock = files::read(&data.join("postmaster.pid")).ok().flatten();
    let pid = lock.and_then(|text| text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()));
    pid.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}
