//! The data folder: found, taken over from Debian's package, or made. Nothing that may be somebody's is removed here.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use host::files;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use crate::command;

/// Object ids below this are the server's own (PostgreSQL's `FirstNormalObjectId`).
const FIRST_NORMAL_ID: u64 = 16_384;
/// A postmaster's children end when they see that it is dead: milliseconds, unless the disk is slow.
const ORPHANS: Duration = Duration::from_secs(20);
const ORPHANS_POLL: Duration = Duration::from_millis(10);

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

/// Whether a server runs on the data: its lock names a process that was started for it. After a boot the number may be
/// another program's.
pub fn is_running(data: &Path) -> bool {
    lock_of(data).is_some_and(|pid| is_of(pid, data))
}

/// The process that the data's lock names.
fn lock_of(data: &Path) -> Option<i32> {
    let lock = files::read(&data.join("postmaster.pid")).ok().flatten()?;
    lock.lines().next()?.trim().parse().ok()
}

fn is_of(pid: i32, data: &Path) -> bool {
    words(pid).iter().any(|word| Path::new(word) == data)
}

/// Tells the server itself, where its unit does not know it. False: none runs.
///
/// # Errors
/// The signal could not be sent.
pub fn signal(data: &Path, signal: Signal) -> Result<bool> {
    match lock_of(data).filter(|pid| is_of(*pid, data)) {
        Some(pid) => {
            kill(Pid::from_raw(pid), signal).with_context(|| format!("{signal} to PostgreSQL"))?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// A process' command line. Its working folder would say more, and is shown to nobody without CAP_SYS_PTRACE.
fn words(pid: i32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The last processes of a server of the data's owner whose postmaster was killed: they still have its memory.
fn has_orphans(data: &Path) -> bool {
    let Ok(owner) = fs::metadata(data).map(|is| is.uid()) else { return false };
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(Process::read)
        .filter(|process| process.name == "postgres" && process.uid == owner && !process.is_postmaster)
        .any(|orphan| Process::read(orphan.parent).is_none_or(|parent| parent.name != "postgres"))
}

/// Of /proc/PID/status (proc_pid_status(5)).
struct Process {
    name: String,
    parent: i32,
    uid: u32,
    is_postmaster: bool,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            line.split_ascii_whitespace().next().map(str::to_owned)
        };
        if value("State")? == "Z" {
            return None;
        }
        Some(Self {
            name: value("Name")?,
            parent: value("PPid")?.parse().ok()?,
            uid: value("Uid")?.parse().ok()?,
            is_postmaster: words(pid).iter().any(|word| word == "-D"),
        })
    }
}

/// Waits for the last processes of a server that was killed, then takes its lock away: after a boot its number may be
/// another program's, and PostgreSQL would take that for a server.
///
/// # Errors
/// Something still works in the data folder.
pub fn clear_lock(data: &Path) -> Result<()> {
    let began = Instant::now();
    while has_orphans(data) {
        if began.elapsed() > ORPHANS {
            bail!(
                "processes of a server still work in {}; 'fuser {}' shows them",
                data.display(),
                data.display()
            );
        }
        std::thread::sleep(ORPHANS_POLL);
    }
    // A dead number PostgreSQL knows for stale by itself.
    if lock_of(data).is_some_and(|pid| !is_of(pid, data) && Path::new("/proc").join(pid.to_string()).exists())
    {
        fs::remove_file(data.join("postmaster.pid"))
            .with_context(|| format!("removing the stale lock in {}", data.display()))?;
    }
    Ok(())
}

/// What the data takes on its disk now, in bytes; files that go meanwhile are not counted.
pub fn size_bytes(data: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(data) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(is) if is.is_dir() => size_bytes(&entry.path()),
            Ok(is) => is.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A copy or a rewind into the data is under way, or was interrupted: beside the data, so that a copy does not bring it.
fn incomplete(data: &Path) -> PathBuf {
    beside(data, "incomplete")
}

/// Whether the data is whole.
pub fn is_complete(data: &Path) -> bool {
    data.join("PG_VERSION").is_file() && !incomplete(data).exists()
}

/// Durably: from now on the data is not whole.
pub fn begin_overwriting(data: &Path) -> Result<()> {
    let path = incomplete(data);
    files::write_durably(&path, 0o600, None, b"").with_context(|| format!("writing {}", path.display()))
}

/// Durably: it is whole again.
pub fn end_overwriting(data: &Path) -> Result<()> {
    let path = incomplete(data);
    fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    Ok(files::sync_folder(path.parent().unwrap_or(&path))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_another_program_is_no_server() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_running(dir.path()));
        let me = std::process::id();
        fs::write(dir.path().join("postmaster.pid"), format!("{me}\n/data\n")).unwrap();
        assert!(!is_running(dir.path()), "this test is no server");
        clear_lock(dir.path()).unwrap();
        assert!(!dir.path().join("postmaster.pid").exists());
        clear_lock(dir.path()).unwrap();
    }

    #[test]
    fn data_is_whole_until_something_begins_to_overwrite_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        assert!(!is_complete(&data));
        fs::write(data.join("PG_VERSION"), "17").unwrap();
        assert!(is_complete(&data));
        begin_overwriting(&data).unwrap();
        assert!(!is_complete(&data));
        end_overwriting(&data).unwrap();
        assert!(is_complete(&data));
    }
}
