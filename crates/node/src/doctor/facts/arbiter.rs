//! What the failover's arbiter would answer now, without asking it to decide anything; and whether the gateway is there.

use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fsm::Register;
use spec::Fence;

use crate::arbiter;
use crate::observe::{Place, output};

/// The port 'discard': what is sent there only makes the kernel look for the neighbour.
const DISCARD: u16 = 9;
/// Of the look at the neighbour table.
const NEIGHBOUR: Duration = Duration::from_millis(1_500);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What the agent's unit hides from all it starts (ProtectHome).
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];

#[derive(Debug, Default)]
pub struct Arbiters {
    /// None where it is not the arbiter, or its password may not be read.
    pub etcd: Option<Etcd>,
    pub fence: Option<Program>,
    /// None without `vip.gateway`.
    pub gateway: Option<Gateway>,
}

#[derive(Debug)]
pub struct Etcd {
    /// By any member: how many vote.
    pub members: Result<usize, String>,
    pub register: Result<Option<Register>, String>,
    pub endpoints: Vec<Endpoint>,
}

/// One member asked alone.
#[derive(Debug)]
pub struct Endpoint {
    pub at: String,
    /// Of a linearizable read; it needs the majority.
    pub answer: Result<Duration, String>,
    /// Of the etcd it belongs to.
    pub cluster: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    pub path: String,
    pub problems: Vec<String>,
}

#[derive(Debug)]
pub struct Gateway {
    pub address: IpAddr,
    /// Its hardware address and the kernel's word for how sure it is, or why there is none.
    pub neighbour: Result<(String, String), String>,
}

pub async fn look(place: &Place) -> Arbiters {
    let (etcd, gateway) = tokio::join!(etcd(place), gateway(place));
    Arbiters { etcd, fence: place.cluster.failover.fence.as_ref().map(|f| program(f, 0)), gateway }
}

async fn etcd(place: &Place) -> Option<Etcd> {
    let spec = place.cluster.failover.etcd.as_ref()?;
    let password = place.secrets.as_ref().and_then(|s| s.etcd_password.clone());
    if spec.user.is_some() && password.is_none() {
        return None;
    }
    let own: Vec<IpAddr> =
        place.me().into_iter().flat_map(|n| [Some(n.address), n.peer_address]).flatten().collect();
    let id = place.cluster.cluster.id;
    let client = |spec: &spec::Etcd| arbiter::Etcd::new(spec, id, &own, password.as_deref());
    let alone = spec.endpoints.iter().map(|endpoint| {
        let client = client(&spec::Etcd { endpoints: vec![*endpoint], ..spec.clone() });
        tokio::spawn(async move {
            let began = Instant::now();
            let answer = client.read().await.map(|_| began.elapsed()).map_err(|e| e.to_string());
            (answer, client.cluster_id())
        })
    });
    let alone: Vec<_> = alone.collect();
    let all = client(spec);
    let (members, register) = tokio::join!(all.members(), all.read());
    let mut endpoints = Vec::new();
    for (endpoint, asked) in spec.endpoints.iter().zip(alone) {
        let (answer, cluster) = asked.await.unwrap_or_else(|e| (Err(e.to_string()), None));
        endpoints.push(Endpoint { at: endpoint.to_string(), answer, cluster });
    }
    Some(Etcd {
        members: members.map_err(|e| e.to_string()),
        register: register.map_err(|e| e.to_string()),
        endpoints,
    })
}

/// Whether it is there, and nobody but `owner` (root) can change it or what leads to it: it is run with the agent's rights.
fn program(fence: &Fence, owner: u32) -> Program {
    let path = fence.command.first().cloned().unwrap_or_default();
    let mut problems = Vec::new();
    match std::fs::canonicalize(&path) {
        Err(error) => problems.push(error.to_string()),
        Ok(real) => {
            if let Ok(found) = real.metadata()
                && (!found.is_file() || found.permissions().mode() & 0o111 == 0)
            {
                problems.push("is no program that can be run".into());
            }
            let (written, real) = (PathBuf::from(&path), real);
            let mut parts: Vec<&Path> = written.ancestors().chain(real.ancestors()).collect();
            parts.sort();
            parts.dedup();
            problems.extend(parts.into_iter().filter_map(|part| changeable(part, owner)));
            if let Some(hidden) = HIDDEN.iter().find(|hidden| real.starts_with(hidden)) {
                problems.push(format!("lies below {hidden}, which the agent does not see"));
            }
        }
    }
    Program { path, problems }
}

fn changeable(part: &Path, owner: u32) -> Option<String> {
    let found = part.metadata().ok()?;
    let mode = found.mode() & 0o7777;
    // In a folder such as /tmp nobody can replace what is another's.
    let sticky = found.is_dir() && mode & 0o1000 != 0;
    if found.uid() != owner && found.uid() != 0 {
        return Some(format!("{} belongs to user {}", part.display(), found.uid()));
    }
    (mode & 0o022 != 0 && !sticky)
        .then(|| format!("{} can be written by others (mode {mode:04o})", part.display()))
}

async fn gateway(place: &Place) -> Option<Gateway> {
    let address = place.cluster.vip.as_ref()?.gateway?;
    Some(Gateway { address, neighbour: neighbour(place.address(), address).await })
}

/// By the kernel's neighbour table (ARP), after something was sent there: a router need not answer a ping.
async fn neighbour(own: IpAddr, gateway: IpAddr) -> Result<(String, String), String> {
    let sent = UdpSocket::bind((own, 0)).and_then(|socket| socket.send_to(&[0], (gateway, DISCARD)));
    sent.map_err(|error| format!("nothing can be sent there: {error}"))?;
    let began = Instant::now();
    loop {
        let gateway = gateway.to_string();
        let table =
            output("ip", &["neigh", "show", "to", &gateway], NEIGHBOUR).await.map_err(|e| e.to_string())?;
        match entry(&table) {
            Some(found) => return Ok(found),
            None if began.elapsed() > NEIGHBOUR => return Err(format!("no answer to ARP: {}", table.trim())),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// `198.18.77.1 dev svc0 lladdr 02:54:44:4d:4d:01 REACHABLE`; none while there is no hardware address, or it failed.
fn entry(table: &str) -> Option<(String, String)> {
    let words: Vec<&str> = table.lines().next()?.split_whitespace().collect();
    let hardware = words.iter().skip_while(|word| **word != "lladdr").nth(1)?;
    let state = words.last().filter(|state| !["FAILED", "INCOMPLETE"].contains(state))?;
    Some(((*hardware).to_owned(), (*state).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_that_others_can_change_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("power-off");
        let path = file.display().to_string();
        let look = || {
            let owner = dir.path().metadata().unwrap().uid();
            program(&Fence { command: vec![path.clone()], timeout_ms: Fence::default_timeout_ms() }, owner)
                .problems
        };
        assert!(look()[0].contains("No such file"), "{:?}", look());
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let set =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        set(&file, 0o644);
        assert!(look().contains(&"is no program that can be run".to_owned()), "{:?}", look());
        set(&file, 0o755);
        assert_eq!(look(), Vec::<String>::new());
        set(&file, 0o775);
        assert!(look()[0].contains("power-off can be written by others (mode 0775)"), "{:?}", look());
        set(&file, 0o755);
        set(dir.path(), 0o777);
        assert!(look()[0].contains("can be written by others (mode 0777)"), "{:?}", look());
        set(dir.path(), 0o755);
    }

    #[test]
    fn the_neighbour_table_is_read() {
        let found = entry("198.18.77.1 dev svc0 lladdr 02:54:44:4d:4d:01 REACHABLE\n").unwrap();
        assert_eq!(found, ("02:54:44:4d:4d:01".into(), "REACHABLE".into()));
        for none in ["", "198.18.77.1 dev svc0  INCOMPLETE", "198.18.77.1 dev svc0  FAILED"] {
            assert_eq!(entry(none), None, "{none}");
        }
    }
}
