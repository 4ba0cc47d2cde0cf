//! Networks: a namespace a host, two bridges in a namespace of the lab's own, a virtual cable from each host to each.
//!
//! In: a lab's name. Out: hosts that reach each other and nothing else. A cable's end is called the same in every node
//! (`svc0`, `peer0`); the other end, in the switch, carries the host's name, and that is what faults are written for.
//!
//! Architecture invariant: nothing in the host's own namespace is made or changed.

mod faults;
pub mod relay;

use std::fs::File;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

pub use faults::apply as apply_faults;

use crate::{LabName, run};

/// The hosts that are Debian systems.
pub const NODES: [&str; 2] = ["n1", "n2"];
/// The namespace that holds the bridges.
const SWITCH: &str = "net";
/// The address that moves.
pub const VIP: &str = "198.18.77.100";
pub const VIP_PREFIX: &str = "198.18.77.100/24";
pub const GATEWAY: &str = "198.18.77.1";
/// Where phones are.
pub const CLIENTS: &str = "clients";

/// One of the two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Net {
    /// 198.18.77.0/24: phones, the API, the virtual address.
    Service,
    /// 198.18.78.0/24: replication and heartbeats.
    Peer,
}

impl Net {
    pub const ALL: [Self; 2] = [Self::Service, Self::Peer];

    pub const fn bridge(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Peer => "peer",
        }
    }

    /// The cable's end in the host.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Service => "svc0",
            Self::Peer => "peer0",
        }
    }

    /// The cable's end in the switch.
    pub fn port(self, host: &str) -> String {
        match self {
            Self::Service => format!("{host}-svc"),
            Self::Peer => format!("{host}-peer"),
        }
    }

    /// A machine keeps its hardware address over a reboot: others remember it.
    fn hardware_address(self, host: &Host) -> String {
        format!("02:54:44:4d:{:02x}:{:02x}", self as u8 + 77, host.number)
    }
}

/// A host of the lab.
#[derive(Debug)]
pub struct Host {
    pub name: &'static str,
    /// Last part of its addresses.
    number: u8,
    on_peer_link: bool,
}

pub const HOSTS: [Host; 5] = [
    Host { name: "n1", number: 11, on_peer_link: true },
    Host { name: "n2", number: 12, on_peer_link: true },
    Host { name: "gw", number: 1, on_peer_link: false },
    Host { name: CLIENTS, number: 50, on_peer_link: false },
    Host { name: "w", number: 13, on_peer_link: true },
];

impl Host {
    pub fn named(name: &str) -> Option<&'static Self> {
        HOSTS.iter().find(|host| host.name == name)
    }

    pub fn address(&self, net: Net) -> Option<String> {
        match net {
            Net::Service => Some(format!("198.18.77.{}", self.number)),
            Net::Peer => self.on_peer_link.then(|| format!("198.18.78.{}", self.number)),
        }
    }
}

/// Namespaces that exist and are this lab's.
pub fn namespaces(lab: &LabName) -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&lab.prefix())).collect()
}

/// The switch, with no cable in it.
pub fn make_switch(lab: &LabName) -> Result<()> {
    let switch = lab.of_host(SWITCH);
    fresh_namespace(&switch)?;
    // Nobody is to speak but the hosts.
    in_namespace(
        &switch,
        &["sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"],
    )?;
    for net in Net::ALL {
        ip(&switch, &format!("link add {} type bridge forward_delay 0", net.bridge()))?;
        ip(&switch, &format!("link set {} up", net.bridge()))?;
    }
    Ok(())
}

/// A host with its cables; one that was there is made anew.
pub fn plug_in(lab: &LabName, host: &Host) -> Result<()> {
    let (switch, own) = (lab.of_host(SWITCH), lab.of_host(host.name));
    unplug(lab, host)?;
    fresh_namespace(&own)?;
    ip(&own, "link set lo up")?;
    for net in Net::ALL {
        let Some(address) = host.address(net) else { continue };
        let (port, interface) = (net.port(host.name), net.interface());
        let hardware = net.hardware_address(host);
        ip(
            &switch,
            &format!("link add {port} type veth peer name {interface} address {hardware} netns {own}"),
        )?;
        ip(&switch, &format!("link set {port} master {} up", net.bridge()))?;
        ip(&own, &format!("addr add {address}/24 dev {interface}"))?;
        ip(&own, &format!("link set {interface} up"))?;
    }
    if host.address(Net::Service).as_deref() != Some(GATEWAY) {
        ip(&own, &format!("route add default via {GATEWAY}"))?;
    }
    Ok(())
}

/// Pulls the cables first, so that nobody hears a dying host's last words, as with one that lost its power.
pub fn pull_cables(lab: &LabName, host: &Host) {
    for net in Net::ALL.into_iter().filter(|net| host.address(*net).is_some()) {
        // There may be none any more.
        let _gone = ip(&lab.of_host(SWITCH), &format!("link del {}", net.port(host.name)));
    }
}

/// Removes a host's cables and namespace.
pub fn unplug(lab: &LabName, host: &Host) -> Result<()> {
    if namespaces(lab).contains(&lab.of_host(SWITCH)) {
        pull_cables(lab, host);
    }
    remove_namespace(&lab.of_host(host.name))
}

/// Makes something in a host's network namespace, by a thread that ends: a socket stays in the namespace it was made in, the
/// process in its own.
///
/// # Errors
/// The host is off, or what `make` says.
pub fn inside<T: Send>(lab: &LabName, host: &Host, make: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = Path::new("/run/netns").join(lab.of_host(host.name));
    let namespace = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    thread::scope(|scope| {
        let made = scope.spawn(|| {
            setns(&namespace, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("entering {}'s namespace", host.name))?;
            make()
        });
        made.join().unwrap_or_else(|_| bail!("the thread in {}'s namespace ended in a panic", host.name))
    })
}

/// Removes what is left of the lab's networks.
pub fn remove(lab: &LabName) -> Result<()> {
    // Cables go with the namespaces at their ends.
    namespaces(lab).iter().try_for_each(|name| remove_namespace(name))
}

fn fresh_namespace(name: &str) -> Result<()> {
    remove_namespace(name)?;
    run::output("ip", ["netns", "add", name]).context("making a network namespace").map(drop)
}

fn remove_namespace(name: &str) -> Result<()> {
    let path = Path::new("/run/netns").join(name);
    if !path.exists() {
        return Ok(());
    }
    if run::output("ip", ["netns", "del", name]).is_ok() {
        return Ok(());
    }
    // Made but not mounted, when its maker was killed between the two.
    std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))
}

/// `ip -n NAMESPACE WORDS`.
fn ip(namespace: &str, words: &str) -> Result<()> {
    run::output("ip", ["-n", namespace].into_iter().chain(words.split(' '))).map(drop)
}

/// Runs a program in a namespace.
fn in_namespace(namespace: &str, words: &[&str]) -> Result<String> {
    run::output("ip", ["netns", "exec", namespace].into_iter().chain(words.iter().copied()))
}
