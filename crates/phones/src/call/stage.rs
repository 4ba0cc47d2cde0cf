//! The phones: who they are, where they are, what they do.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use tempfile::TempDir;

use super::sipp::{Answering, Run, Sipp};
use crate::Env;

/// How long a registration lasts that nobody took back.
const EXPIRES_S: u32 = 120;

const SCENARIOS: [(&str, &str); 3] = [
    ("register", include_str!("scenarios/register.xml")),
    ("caller", include_str!("scenarios/caller.xml")),
    ("answer", include_str!("scenarios/answer.xml")),
];

/// The phones of a node. The first one calls, all others answer.
#[derive(Debug)]
pub struct Stage {
    /// Before anything was called.
    pub started: Timestamp,
    sipp: Sipp,
    /// Scenarios and fields; readable by us only, removed at the end.
    folder: TempDir,
    domain: String,
    phones: Vec<(String, String)>,
    server: SocketAddr,
    caller: SocketAddr,
    others: SocketAddr,
}

/// Registered phones; dropped, they leave.
#[derive(Debug)]
pub struct Registered<'a> {
    stage: &'a Stage,
    groups: Vec<(&'a [(String, String)], SocketAddr)>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        // What is not taken back runs out after EXPIRES_S.
        for (phones, local) in &self.groups {
            let _left = self.stage.registration(phones, *local, 0);
        }
    }
}

impl Stage {
    /// Phones for the node of `env`.
    pub fn new(sipp: Sipp, env: &Env) -> Result<Self> {
        let mut addresses =
            env.sip.to_socket_addrs().with_context(|| format!("{} is no address", env.sip))?;
        let server = addresses.next().with_context(|| format!("{} is no address", env.sip))?;
        if env.phones.len() < 2 {
            bail!("TANDEM_PHONES names {} phones; a call needs two", env.phones.len());
        }
        let folder = TempDir::with_prefix("tandem-call-").context("making a temporary folder")?;
        for (name, text) in SCENARIOS {
            std::fs::write(folder.path().join(format!("{name}.xml")), text).context("writing a scenario")?;
        }
        Ok(Self {
            started: Timestamp::now(),
            sipp,
            folder,
            domain: env.domain.clone(),
            phones: env.phones.clone(),
            server,
            caller: free_port(server)?,
            others: free_port(server)?,
        })
    }

    /// Extension of the phone that is called directly.
    pub fn second_phone(&self) -> &str {
        &self.phones[1].0
    }

    /// Every phone registers with digest.
    pub fn register(&self) -> Result<Registered<'_>> {
        let mut registered = Registered { stage: self, groups: Vec::new() };
        let (first, others) = self.phones.split_at(1);
        for (phones, local) in [(first, self.caller), (others, self.others)] {
            let names: Vec<&str> = phones.iter().map(|(user, _)| user.as_str()).collect();
            let names = names.join(", ");
            if let Some(answer) = self.registration(phones, local, EXPIRES_S)? {
                bail!(
                    "{names} cannot register at {}: {answer}; is the node up ('make up')? See 'make logs'",
                    self.server
                );
            }
            registered.groups.push((phones, local));
            eprintln!("registered: {names}");
        }
        Ok(registered)
    }

    /// The other phones answer from now on.
    pub fn answer(&self) -> Result<Answering> {
        let (scenario, errors) = (self.file("answer.xml"), self.file("answer.errors"));
        self.sipp.start(&Run {
            scenario: &scenario,
            fields: None,
            calls: None,
            remote: self.server,
            local: self.others,
            media_port: free_port(self.server)?.port(),
            call_id: None,
            talk_ms: None,
            errors: &errors,
        })
    }

    /// The first phone calls `number`, talks for `talk_ms` and hangs up. Returns the Call-ID.
    pub fn call(&self, number: &str, talk_ms: u32) -> Result<String> {
        let (user, password) = &self.phones[0];
        let call_id = format!("tandem-call-{}", uuid::Uuid::new_v4());
        let fields = format!("{}{number}\n", self.identity(user, password));
        let (scenario, fields) = (self.file("caller.xml"), self.write_fields(&fields)?);
        let errors = self.file(&format!("caller-{number}.errors"));
        let refusal = self.sipp.run(&Run {
            scenario: &scenario,
            fields: Some(&fields),
            calls: Some(1),
            remote: self.server,
            local: self.caller,
            media_port: free_port(self.server)?.port(),
            call_id: Some(&call_id),
            talk_ms: Some(talk_ms),
            errors: &errors,
        })?;
        match refusal {
            None => {
                eprintln!("{user} called {number} and was answered");
                Ok(call_id)
            }
            Some(refusal) => bail!(
                "{user} called {number}: {}; see 'make logs' (kamailio, then the media server), Call-ID {call_id}",
                refusal.answer
            ),
        }
    }

    /// REGISTERs from `local`: the answer that was not a 200, if there was one.
    fn registration(
        &self,
        phones: &[(String, String)],
        local: SocketAddr,
        expires_s: u32,
    ) -> Result<Option<String>> {
        let mut lines = String::new();
        for (user, password) in phones {
            writeln!(lines, "{}{expires_s}", self.identity(user, password))?;
        }
        let (scenario, fields) = (self.file("register.xml"), self.write_fields(&lines)?);
        let errors = self.file("register.errors");
        let refusal = self.sipp.run(&Run {
            scenario: &scenario,
            fields: Some(&fields),
            calls: Some(phones.len()),
            remote: self.server,
            local,
            media_port: free_port(self.server)?.port(),
            call_id: None,
            talk_ms: None,
            errors: &errors,
        })?;
        Ok(refusal.map(|refusal| refusal.answer))
    }

    /// The first three fields of a scenario's line.
    fn identity(&self, user: &str, password: &str) -> String {
        format!("{user};{};[authentication username={user} password={password}];", self.domain)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_fields(&self, lines: &str) -> Result<PathBuf> {
        let path = self.file("fields.csv");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        write!(file, "SEQUENTIAL\n{lines}").context("writing a scenario's fields")?;
        Ok(path)
    }
}

/// A free UDP port on the address from which `server` is reached.
fn free_port(server: SocketAddr) -> Result<SocketAddr> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let probe = UdpSocket::bind(any)?;
    probe.connect(server).with_context(|| format!("there is no way to {server}"))?;
    let ip = probe.local_addr()?.ip();
    Ok(UdpSocket::bind(SocketAddr::new(ip, 0))?.local_addr()?)
}
