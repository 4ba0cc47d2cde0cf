//! A child process that cannot outlive its test, and the folder it works in.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};
use std::{fs, io};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, geteuid};

/// `nobody` and `nogroup` on Debian; any id that owns nothing would do.
const UNPRIVILEGED: u32 = 65_534;

/// How long an engine gets to stop before it is killed.
const STOP_MS: u64 = 20_000;

/// What went wrong with an engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not on this machine.
    #[error("{0} is not installed")]
    Absent(&'static str),
    /// The operating system refused.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// It ended or did not answer; with the end of its log.
    #[error("{0}\n{1}")]
    Failed(String, String),
}

impl Error {
    /// Whether the test is to be skipped.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Absent(_))
    }
}

/// A folder that the engines' user owns, removed with its contents when dropped.
pub struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    /// Makes one under the system's folder for temporary files, short enough for a unix socket's path.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(name: &str) -> Result<Self, Error> {
        let made = tempfile::Builder::new().prefix(&format!("tk-{name}-")).tempdir();
        let dir = made.map_err(|error| Error::Io(format!("making a folder for {name}"), error))?;
        let folder = Self { dir };
        folder.hand_over(folder.path())?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Gives a path in it to the engines' user, who alone may enter.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn hand_over(&self, path: &Path) -> Result<(), Error> {
        let given = match is_root() {
            true => chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)),
            false => Ok(()),
        };
        given
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
            .map_err(|error| Error::Io(path.display().to_string(), error))
    }
}

/// Whether engines have to be started as someone else.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// A command that runs unprivileged, in a group of its own.
pub(crate) fn unprivileged(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).process_group(0).current_dir("/").env("LC_ALL", "C.UTF-8");
    if is_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    command
}

/// A running engine. Dropped, it is killed with what it forked; when the test's process dies, the kernel kills it (`PDEATHSIG`).
pub struct Engine {
    child: Child,
    log: PathBuf,
    name: &'static str,
}

impl Engine {
    /// Starts `program` unprivileged with its output in `log`. `death` is what it gets when the test dies.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn start(
        name: &'static str,
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: PathBuf,
        death: Signal,
    ) -> Result<Self, Error> {
        let failed = |error| Error::Io(format!("starting {name}"), error);
        let output = File::options().create(true).append(true).open(&log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        // setpriv (util-linux) sets the signal between fork and exec, which std has no safe way to do.
        let setpriv = Path::new("/usr/bin/setpriv");
        let mut command = if setpriv.exists() {
            let mut command = unprivileged(setpriv);
            command.arg("--pdeathsig").arg(death.as_str().trim_start_matches("SIG")).arg("--").arg(program);
            command
        } else {
            unprivileged(program)
        };
        command.args(args).stdout(output).stderr(errors);
        Ok(Self { child: spawn(command).map_err(failed)?, log, name })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `ready`, for as long as the engine runs.
    ///
    /// # Errors
    /// [`Error::Failed`] with the end of its log.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while !ready() {
            if !self.is_running() {
                return Err(self.failed("ended while it was awaited"));
            }
            if Instant::now() > deadline {
                return Err(self.failed("did not become ready"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Sends a signal and waits for its end; kills it when it takes too long.
    pub fn stop(&mut self, signal: Signal) {
        self.signal(signal);
        let deadline = Instant::now() + Duration::from_millis(STOP_MS);
        while self.is_running() {
            if Instant::now() > deadline {
                self.signal(Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal: SIGKILL, or SIGSTOP for an engine that hangs.
    pub fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may have ended already, and is then still ours to wait for: the pid is not another's.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// What it forked and still runs (proc(5), `children`).
    pub fn children(&self) -> Vec<Pid> {
        let pid = self.child.id();
        let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        listed.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn failed(&self, what: &str) -> Error {
        Error::Failed(format!("{} {what}", self.name), self.log_tail())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.is_running() {
            // It leads a group of its own: workers it forked (Kamailio's) would outlive it.
            if let Ok(pid) = i32::try_from(self.child.id()) {
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            }
            self.stop(Signal::SIGKILL);
        }
    }
}

/// `PDEATHSIG` fires when the *thread* that forked ends, and a test's threads come and go: one thread that lives as long
/// as the process starts all children.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, child) = mpsc::channel();
    let gone = |_| io::Error::other("the thread that starts engines is gone");
    starter.send((command, reply)).map_err(|_| io::Error::other("the thread that starts engines is gone"))?;
    child.recv().map_err(gone)?
}

/// The newest program of that name in the folders given, or in PATH.
pub(crate) fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let system = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from);
    folders.iter().chain(&on_path).chain(&system).map(|folder| folder.join(name)).find(|file| file.is_file())
}
