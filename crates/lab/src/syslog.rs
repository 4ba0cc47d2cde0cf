//! What a node's services log, the moment they log it.
//!
//! Debian's journald hands every line on to a syslog socket (`ForwardToSyslog=yes`, systemd's own default is no), before it
//! keeps it; nobody listens there in a node. The kernel says which process of this machine wrote it. Following the journal
//! would be too late for a moment: journald tells its readers of new entries four times a second.

use std::fs;
use std::io::{ErrorKind, IoSliceMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt};

use crate::places::Places;
use crate::process::Process;
use crate::{LabName, net, node};

/// Of a node's `/`.
const SOCKET: &str = "run/systemd/journal/syslog";
/// A longer line loses its end.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Listens in a node until it is dropped, or the node is off.
#[derive(Debug)]
pub struct Syslog {
    init: Process,
    socket: UnixDatagram,
    path: PathBuf,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Who wrote it, as this machine numbers processes; a child that writes to the same stream counts as its parent.
    pub pid: i32,
    pub text: String,
}

impl Syslog {
    /// `None`: the node is off, or has only begun to boot.
    ///
    /// # Errors
    /// A system that gives no such socket.
    pub fn of(lab: &LabName, name: &str) -> Result<Option<Self>> {
        let host = node::named(name)?;
        let Some(init) = node::init(lab, name) else { return Ok(None) };
        let root = PathBuf::from(format!("/proc/{}/root", init.pid));
        // In the first moments of a boot this process stands in the machine's own `/`.
        if !is_same(&root, &Places::of(lab).node(name).root()) {
            return Ok(None);
        }
        let path = root.join(SOCKET);
        // An earlier listener's that was killed.
        let _stale = fs::remove_file(&path);
        // How many lines may wait is a setting of the network namespace a socket is made in: systemd makes it 512 in the
        // node's, this machine's may be 10.
        let made = net::inside(lab, host, || match UnixDatagram::bind(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            made => made.map(Some).with_context(|| format!("listening on {}", path.display())),
        })?;
        let Some(socket) = made else { return Ok(None) };
        setsockopt(&socket, sockopt::PassCred, &true).context("asking who writes")?;
        Ok(Some(Self { init, socket, path }))
    }

    /// The next line, if one comes in this time.
    ///
    /// # Errors
    /// The node is off.
    pub fn next(&self, within: Duration) -> Result<Option<Line>> {
        anyhow::ensure!(self.init.lives(), "the node is off");
        self.socket.set_read_timeout(Some(within))?;
        let mut text = vec![0; LINE_BYTES_MAX];
        let mut control = nix::cmsg_space!(UnixCredentials);
        let mut parts = [IoSliceMut::new(&mut text)];
        let (bytes, pid) =
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()) {
                Ok(message) => (message.bytes, message.cmsgs()?.find_map(writer)),
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
                Err(error) => return Err(error).context("listening to a node's journald"),
            };
        let text = String::from_utf8_lossy(&text[..bytes]).trim_end().to_owned();
        Ok(pid.map(|pid| Line { pid, text }))
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        // A node that is off has taken it with it.
        let _gone = fs::remove_file(&self.path);
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let number = |path: &Path| path.metadata().ok().map(|it| (it.dev(), it.ino()));
    number(one).is_some() && number(one) == number(other)
}

fn writer(message: ControlMessageOwned) -> Option<i32> {
    match message {
        ControlMessageOwned::ScmCredentials(who) => Some(who.pid()),
        _ => None,
    }
}
