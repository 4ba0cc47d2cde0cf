//! The base copy: beside the data's place, then moved there when it is whole.

use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};
use host::{files, say};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use nix::unistd::User;

use super::cluster::{self, Content};
use crate::command;
use crate::config::Config;

/// Of what pg_basebackup said, kept for the error.
const SAID_BYTES_MAX: usize = 8 << 10;

/// What is copied.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// The primary's, on the side of its peer.
    pub address: IpAddr,
    /// About what the copy takes.
    pub size_bytes: u64,
}

/// What becomes of the database that was there.
#[derive(Debug, Clone, Copy)]
pub enum Old<'a> {
    /// It is somebody's, and stays beside the new one under a name with this stamp.
    Keep(&'a str),
    /// All it had is in the copy, or a person gave it up.
    Remove,
}

/// Copies the primary's data into this node's data folder; what comes of it is a standby's.
///
/// # Errors
/// The copy broke (the next try starts over), or there is no place for it.
pub fn take(config: &Config, source: Source, user: &User, old: Old) -> Result<()> {
    let data = &config.layout.paths.postgresql_data;
    if cluster::is_running(data) {
        bail!("PostgreSQL still runs on {}; nothing was copied", data.display());
    }
    let parent = data.parent().unwrap_or(data);
    let copy = cluster::beside(data, "joining");
    if copy.exists() {
        say!("  an earlier copy that broke is removed: {}", copy.display());
        fs::remove_dir_all(&copy).with_context(|| format!("removing {}", copy.display()))?;
    }
    let owner = Some((user.uid.as_raw(), user.gid.as_raw()));
    files::folder(parent, 0o755, owner)?;
    cluster::begin_overwriting(data)?;
    if let (Err(_), Old::Remove) = (room(parent, source.size_bytes), old) {
        remove(data)?;
    }
    room(parent, source.size_bytes)?;
    base_backup(config, source, user, &copy)?;
    files::write_durably(&copy.join("standby.signal"), 0o600, owner, b"")?;
    match old {
        // What a removal that broke left is no database to look at.
        Old::Remove => remove(data)?,
        Old::Keep(stamp) if cluster::content(data)? == Content::Used => {
            let kept = cluster::keep_aside(data, stamp)?;
            say!(
                "  the database that was here is kept in {}; remove it when it is not needed",
                kept.display()
            );
        }
        Old::Keep(_) => remove(data)?,
    }
    fs::rename(&copy, data).with_context(|| format!("moving the copy to {}", data.display()))?;
    files::sync_folder(parent)?;
    cluster::end_overwriting(data)
}

fn remove(data: &Path) -> Result<()> {
    if !data.exists() {
        return Ok(());
    }
    fs::remove_dir_all(data).with_context(|| format!("removing {}", data.display()))
}

/// A copy without room fails at its end, after minutes: asked before.
fn room(folder: &Path, needed_bytes: u64) -> Result<()> {
    let there =
        nix::sys::statvfs::statvfs(folder).with_context(|| format!("looking at {}", folder.display()))?;
    let free_bytes = there.blocks_available() * there.fragment_size();
    // A tenth more: WAL comes along.
    if free_bytes < needed_bytes + needed_bytes / 10 {
        bail!(
            "the primary's databases take {}, and {} has {} free",
            HumanBytes(needed_bytes),
            folder.display(),
            HumanBytes(free_bytes)
        );
    }
    Ok(())
}

fn base_backup(config: &Config, source: Source, user: &User, copy: &Path) -> Result<()> {
    // libpq's words for a network that dies in the middle, as for the standby's own connection.
    let server = format!(
        "host={} port={} user=replicator connect_timeout=10 keepalives_idle=2 keepalives_interval=1 keepalives_count=3 \
         tcp_user_timeout=10000",
        source.address, config.cluster.ports.postgresql
    );
    let password = PasswordFile::write(config, user)?;
    let program = config.layout.paths.postgresql_bin.join("pg_basebackup");
    let mut command = command::as_user(&program, user);
    command
        .args(["-d", &server, "--no-password"])
        .args([
            "--wal-method=stream",
            "--checkpoint=fast",
            "--progress",
            "--slot",
            &fsm::slot(&config.name),
            "-D",
        ])
        .arg(copy)
        .env("PGPASSFILE", &password.0)
        .env("PGAPPNAME", format!("{}_copy", config.name))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("running {}", program.display()))?;
    let said = follow(&mut child, source.size_bytes)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("the copy broke ({status}): {}; the next try starts it over", said.trim());
    }
    Ok(())
}

/// Shows the progress; returns what else was said.
fn follow(child: &mut Child, size_bytes: u64) -> Result<String> {
    let mut stderr = child.stderr.take().context("pg_basebackup has no standard error")?;
    let bar = ProgressBar::new(size_bytes);
    bar.set_style(ProgressStyle::with_template(
        "  copying {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    )?);
    let (mut said, mut line, mut piece) = (String::new(), Vec::new(), [0u8; 1024]);
    let mut tenth_said = 0;
    loop {
        let n = stderr.read(&mut piece)?;
        for byte in &piece[..n] {
            if !matches!(byte, b'\n' | b'\r') {
                line.push(*byte);
                continue;
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            match progress(&text) {
                Some((done_bytes, all_bytes)) => {
                    bar.set_length(all_bytes);
                    bar.set_position(done_bytes);
                    let tenth = done_bytes * 10 / all_bytes.max(1);
                    // Without a terminal the bar is silent: one line each tenth instead.
                    if bar.is_hidden() && tenth > tenth_said {
                        tenth_said = tenth;
                        say!("  copied {} of {}", HumanBytes(done_bytes), HumanBytes(all_bytes));
                    }
                }
                None if said.len() < SAID_BYTES_MAX => {
                    said.push_str(&text);
                    said.push('\n');
                }
                None => {}
            }
        }
        if n == 0 {
            break;
        }
    }
    said.push_str(&String::from_utf8_lossy(&line));
    bar.finish_and_clear();
    Ok(said)
}

/// `  24576/31360 kB (78%), 0/1 tablespace`
fn progress(line: &str) -> Option<(u64, u64)> {
    let (done, rest) = line.trim_start().split_once('/')?;
    let (all, _) = rest.split_once(" kB")?;
    Some((done.parse::<u64>().ok()? << 10, all.parse::<u64>().ok()? << 10))
}

/// The replicator's password where only PostgreSQL's user can read it, for as long as the copy takes.
pub struct PasswordFile(pub PathBuf);

impl PasswordFile {
    pub fn write(config: &Config, user: &User) -> Result<Self> {
        let folder = config
            .layout
            .paths
            .postgresql_data
            .parent()
            .map_or_else(|| PathBuf::from("/tmp"), Path::to_owned);
        let path = folder.join(".tandem-join.pgpass");
        let _ = fs::remove_file(&path);
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let text = format!("*:*:*:replicator:{}\n", config.secrets.db_replicator);
        files::write(&path, 0o600, Some((user.uid.as_raw(), user.gid.as_raw())), text.as_bytes())?;
        Ok(Self(path))
    }
}

impl Drop for PasswordFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_its_own_lines_only() {
        assert_eq!(progress("  24576/31360 kB (78%), 0/1 tablespace"), Some((24576 << 10, 31360 << 10)));
        assert_eq!(progress("pg_basebackup: error: could not connect"), None);
        assert_eq!(progress("waiting for checkpoint"), None);
    }
}
