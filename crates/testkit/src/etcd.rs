//! A private etcd of several members.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::engine::{Engine, Error, Folder, find};
use crate::free_port;

const READY: Duration = Duration::from_secs(30);
const REPLY_MS: u64 = 2_000;
/// Members tell the others that they live, and are missed: short, since all are on this machine.
const HEARTBEAT_MS: u64 = 50;
const ELECTION_MS: u64 = 500;

/// An etcd whose members listen on free ports of 127.0.0.1, 127.0.0.2 and so on, with plain HTTP and without users.
pub struct Etcd {
    program: PathBuf,
    members: Vec<Member>,
    folder: Folder,
}

struct Member {
    host: Ipv4Addr,
    client: u16,
    peer: u16,
    engine: Option<Engine>,
}

impl Etcd {
    /// Starts that many members and waits until each answers.
    ///
    /// # Errors
    /// [`Error::Absent`] where etcd is not installed.
    pub fn start(members: usize) -> Result<Self, Error> {
        let program = find("etcd", &[]).ok_or(Error::Absent("etcd-server"))?;
        let member = |index: usize| {
            let host = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + u32::try_from(index).unwrap_or(0));
            Member { host, client: free_port(), peer: free_port(), engine: None }
        };
        let members = (0..members).map(member).collect();
        let mut etcd = Self { program, members, folder: Folder::new("etcd")? };
        for index in 0..etcd.members.len() {
            etcd.launch(index)?;
        }
        for index in 0..etcd.members.len() {
            etcd.wait_for(index)?;
        }
        Ok(etcd)
    }

    /// Where clients ask, one address a member.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(Member::address).collect()
    }

    /// Kills a member with no warning.
    pub fn kill9(&mut self, index: usize) {
        if let Some(mut engine) = self.members[index].engine.take() {
            engine.stop(Signal::SIGKILL);
        }
    }

    /// SIGSTOP for a member that hangs, SIGCONT for its end.
    pub fn signal(&self, index: usize, signal: Signal) {
        if let Some(engine) = &self.members[index].engine {
            engine.signal(signal);
        }
    }

    /// Starts a killed member again on its data.
    ///
    /// # Errors
    /// [`Error::Failed`] with its log.
    pub fn restart(&mut self, index: usize) -> Result<(), Error> {
        self.kill9(index);
        self.launch(index)?;
        self.wait_for(index)
    }

    /// The member that leads, by what its metrics say; none while there is an election.
    pub fn leader(&self) -> Option<usize> {
        let leads = |m: &Member| m.get("/metrics").contains("\netcd_server_is_leader 1");
        self.members.iter().position(|m| m.engine.is_some() && leads(m))
    }

    fn launch(&mut self, index: usize) -> Result<(), Error> {
        let url = |member: &Member, port: u16| format!("http://{}:{port}", member.host);
        let name = |index: usize| format!("m{index}");
        let all: Vec<String> =
            self.members.iter().enumerate().map(|(i, m)| format!("{}={}", name(i), url(m, m.peer))).collect();
        let member = &self.members[index];
        let data = self.folder.path().join(name(index));
        let args = [
            ("--name", name(index)),
            ("--data-dir", data.display().to_string()),
            ("--listen-client-urls", url(member, member.client)),
            ("--advertise-client-urls", url(member, member.client)),
            ("--listen-peer-urls", url(member, member.peer)),
            ("--initial-advertise-peer-urls", url(member, member.peer)),
            ("--initial-cluster", all.join(",")),
            ("--heartbeat-interval", HEARTBEAT_MS.to_string()),
            ("--election-timeout", ELECTION_MS.to_string()),
        ];
        let args = args.into_iter().map(|(key, value)| format!("{key}={value}"));
        let log = self.folder.path().join(format!("{}.log", name(index)));
        let engine = Engine::start("etcd", &self.program, args, log, Signal::SIGKILL)?;
        self.members[index].engine = Some(engine);
        Ok(())
    }

    fn wait_for(&mut self, index: usize) -> Result<(), Error> {
        let at = self.members[index].address();
        match &mut self.members[index].engine {
            Some(engine) => engine.wait_until(READY, || get(at, "/health").contains("\"true\"")),
            None => Ok(()),
        }
    }
}

impl Member {
    fn address(&self) -> SocketAddr {
        (self.host, self.client).into()
    }

    fn get(&self, path: &str) -> String {
        get(self.address(), path)
    }
}

/// One answer; empty when there is none.
fn get(at: SocketAddr, path: &str) -> String {
    let ask = || -> std::io::Result<String> {
        let limit = Some(Duration::from_millis(REPLY_MS));
        let mut stream = TcpStream::connect(at)?;
        stream.set_read_timeout(limit)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().unwrap_or_default()
}
