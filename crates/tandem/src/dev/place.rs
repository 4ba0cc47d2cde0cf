//! Where a dev node lives and as whom it runs.
//!
//! Started by a user: in the folder itself, as that user. Started by root: PostgreSQL refuses root, and the folder may
//! not be reachable for anybody else, so the state lives below [`STATE`], the processes run as [`SERVICE_USER`] and the
//! folder is a link.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Uid, User};

use host::files::{self, Owner};
use host::say;

const STATE: &str = "/var/lib/tandem-dev";
const SERVICE_USER: &str = "tandem-dev";
/// A unix socket's whole path has 107 bytes (unix(7)); ours end in `/run/postgresql/.s.PGSQL.15432`.
const ROOT_BYTES_MAX: usize = 75;

/// A dev node's folder.
#[derive(Debug, Clone)]
pub struct Place {
    /// As the user names it.
    pub shown: PathBuf,
    /// Where it really is; absolute, without links.
    pub root: PathBuf,
    /// As whom everything runs.
    pub user: User,
}

impl Place {
    /// The folder, made if it is missing.
    pub fn create(shown: &Path) -> Result<Self> {
        if !Uid::effective().is_root() {
            files::folder(shown, 0o700, None).with_context(|| format!("making {}", shown.display()))?;
            return Self::existing(shown);
        }
        let user = service_user()?;
        if !shown.exists() {
            let root = state_folder(shown)?;
            // The service user passes through and reads nothing here: each file inside has its own mode.
            files::folder(&root, 0o711, None).with_context(|| format!("making {}", root.display()))?;
            link(&root, shown).with_context(|| format!("linking {}", shown.display()))?;
        }
        let root = resolved(shown)?;
        if !root.starts_with(STATE) {
            bail!(
                "{} is a folder of its own, made by another user: run as that user, or choose another folder \
                 with TANDEM_DIR",
                shown.display()
            );
        }
        Ok(Self { shown: shown.into(), root, user })
    }

    /// The folder as it is.
    pub fn existing(shown: &Path) -> Result<Self> {
        let root = resolved(shown)?;
        let user = if Uid::effective().is_root() { service_user()? } else { current_user()? };
        Ok(Self { shown: shown.into(), root, user })
    }

    /// Whom files of the services belong to; none when that is who we are.
    pub fn owner(&self) -> Owner {
        Uid::effective().is_root().then(|| (self.user.uid.as_raw(), self.user.gid.as_raw()))
    }

    /// Waits until no other `up` or `down` is changing the node; the next may when the guard is dropped.
    pub fn claim(&self) -> Result<Flock<File>> {
        let file = File::options().create(true).truncate(false).write(true).open(self.root.join("claim"));
        Flock::lock(file.context("opening the node's claim")?, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .context("claiming the node")
    }

    /// The folder of the running supervisor's files.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    pub fn env_file(&self) -> PathBuf {
        self.root.join("env")
    }
}

fn resolved(shown: &Path) -> Result<PathBuf> {
    let root = match fs::canonicalize(shown) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "there is no dev node in {}; make one with 'make dev' or 'tandem init --dev'",
            shown.display()
        ),
        other => other.with_context(|| format!("resolving {}", shown.display()))?,
    };
    let plain =
        root.to_str().is_some_and(|path| !path.chars().any(|c| c.is_control() || r#"'"\$`#"#.contains(c)));
    if !plain || root.as_os_str().len() > ROOT_BYTES_MAX {
        bail!(
            "{} cannot hold a dev node: its path has quotes, '$', '#' or '\\', or more than {ROOT_BYTES_MAX} bytes; \
             choose another with TANDEM_DIR",
            root.display()
        );
    }
    Ok(root)
}

/// One folder a place: the same link always leads to the same state.
fn state_folder(shown: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(shown).with_context(|| format!("resolving {}", shown.display()))?;
    let project = absolute.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let name: String = project.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
    let hash = fnv1a(absolute.as_os_str().as_encoded_bytes());
    Ok(Path::new(STATE).join(format!("{name}-{hash:016x}")))
}

/// FNV-1a, 64 bits: the standard library's hasher may change between releases.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Replaces a link that leads nowhere (its state was purged by hand).
fn link(root: &Path, shown: &Path) -> io::Result<()> {
    if fs::symlink_metadata(shown).is_ok_and(|m| m.is_symlink()) && !shown.exists() {
        fs::remove_file(shown)?;
    }
    match symlink(root, shown) {
        // Another `up` of the same place was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

fn current_user() -> Result<User> {
    let uid = Uid::effective();
    User::from_uid(uid)?.with_context(|| format!("user id {uid} has no name; add one to /etc/passwd"))
}

fn service_user() -> Result<User> {
    if let Some(user) = User::from_name(SERVICE_USER)? {
        return Ok(user);
    }
    say!("making the system user {SERVICE_USER}: nothing of the dev node runs as root");
    let made = Command::new("useradd")
        .args(["--system", "--user-group", "--no-create-home", "--home-dir", STATE])
        .args(["--shell", "/usr/sbin/nologin", SERVICE_USER])
        .status()
        .context("running useradd (Debian package 'passwd')")?;
    if !made.success() {
        bail!(
            "useradd {SERVICE_USER} failed ({made}); make the user yourself, or run as another user than root"
        );
    }
    User::from_name(SERVICE_USER)?.with_context(|| format!("useradd made no user {SERVICE_USER}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_state_folder() {
        let a = state_folder(Path::new("/src/project/.tandem")).unwrap();
        assert_eq!(a, state_folder(Path::new("/src/project/.tandem")).unwrap());
        assert_ne!(a, state_folder(Path::new("/src/project/.tandem2")).unwrap());
        assert!(a.to_str().unwrap().starts_with("/var/lib/tandem-dev/project-"), "{}", a.display());
    }
}
