//! Where the load may go, and from where.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::unistd::Uid;

/// Network namespaces by name, as ip-netns(8) keeps them.
const NETNS: &str = "/run/netns";
/// Network of benchmarks (RFC 2544, RFC 6890): the lab's.
const BENCHMARK: (Ipv4Addr, u32) = (Ipv4Addr::new(198, 18, 0, 0), 15);

/// The address of `TANDEM_SIP`, if it is one a load may be sent to: hundreds of calls are an attack on anybody else.
pub fn target(sip: &str) -> Result<SocketAddr> {
    let mut addresses = sip.to_socket_addrs().with_context(|| format!("TANDEM_SIP: {sip} is no address"))?;
    let address = addresses.next().with_context(|| format!("TANDEM_SIP: {sip} is no address"))?;
    let (network, prefix) = BENCHMARK;
    let allowed = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback() || (ip.to_bits() ^ network.to_bits()) >> (32 - prefix) == 0,
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if !allowed {
        bail!(
            "TANDEM_SIP is {address}: a load is sent to this machine (loopback) or to a lab ({network}/{prefix}), \
             never to a platform that people use"
        );
    }
    Ok(address)
}

/// The file of a namespace.
pub fn namespace_file(name: &str) -> PathBuf {
    Path::new(NETNS).join(name)
}

/// Whether this process is in the namespace.
///
/// # Errors
/// There is no such namespace.
pub fn is_in_namespace(name: &str) -> Result<bool> {
    let file = namespace_file(name);
    let theirs = fs::metadata(&file).with_context(|| {
        format!("there is no network namespace {name} ({}); is the lab up?", file.display())
    })?;
    let ours = fs::metadata("/proc/self/ns/net").context("looking at our own network namespace")?;
    Ok((theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()))
}

/// Becomes this command anew inside the namespace. Returns only when it cannot.
pub fn enter_namespace(name: &str) -> Result<()> {
    if !Uid::effective().is_root() {
        bail!(
            "the phones are in the network namespace {name}, which only root enters; type: sudo tandem load ..."
        );
    }
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name]).arg(std::env::current_exe().context("finding this program")?);
    command.args(std::env::args_os().skip(1));
    Err(command.exec()).with_context(|| format!("running 'ip netns exec {name}' (Debian package iproute2)"))
}

/// The address from which `server` is reached.
pub fn local_ip(server: SocketAddr) -> Result<IpAddr> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let probe = UdpSocket::bind(any)?;
    probe.connect(server).with_context(|| format!("there is no way to {server}"))?;
    Ok(probe.local_addr()?.ip())
}

/// `count` UDP ports that are free now, all different.
pub fn free_ports(ip: IpAddr, count: usize) -> Result<Vec<SocketAddr>> {
    let sockets: Vec<UdpSocket> = (0..count)
        .map(|_| UdpSocket::bind((ip, 0)))
        .collect::<Result<_, _>>()
        .context("finding a free port")?;
    sockets.iter().map(|socket| Ok(socket.local_addr()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_goes_to_this_machine_or_a_lab_and_nowhere_else() {
        for allowed in
            ["127.0.0.1:5060", "127.9.9.9:1", "[::1]:5060", "198.18.77.100:5060", "198.19.255.255:1"]
        {
            assert!(target(allowed).is_ok(), "{allowed}");
        }
        for refused in
            ["192.168.1.100:5060", "198.17.255.255:1", "198.20.0.0:1", "8.8.8.8:53", "[2001:db8::1]:1"]
        {
            let error = target(refused).unwrap_err().to_string();
            assert!(error.contains("never to a platform"), "{refused}: {error}");
        }
        assert!(target("nonsense").is_err());
    }

    #[test]
    fn a_missing_namespace_is_named() {
        let error = is_in_namespace("tdm-no-such-lab").unwrap_err().to_string();
        assert!(error.contains("tdm-no-such-lab"), "{error}");
    }
}
