//! Whether the ports are free, before anything is started.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener, UdpSocket};

use anyhow::{Result, bail};
use spec::{CLUSTER_FILE, Cluster};

use super::holder;

/// Which protocols each port is used with.
const UDP_TOO: [&str; 3] = ["sip", "fs_sip", "fs_direct"];

/// Tries to bind each port of the node.
///
/// # Errors
/// Every port that is taken, with who holds it if that can be seen, and the setting that moves it.
pub fn check_free(cluster: &Cluster, address: IpAddr) -> Result<()> {
    let mut taken = Vec::new();
    for (key, port) in cluster.ports.named() {
        let tcp = TcpListener::bind((address, port)).err();
        let udp = UDP_TOO.contains(&key).then(|| UdpSocket::bind((address, port)).err()).flatten();
        let Some(error) = tcp.or(udp) else { continue };
        let why = match error.kind() {
            ErrorKind::AddrInUse => match holder::of(port) {
                Some(holder) => format!("is held by {holder}"),
                None => "is held by another program".into(),
            },
            _ => format!("cannot be used: {error}"),
        };
        taken.push(format!("  port {port} (ports.{key}) {why}"));
    }
    if taken.is_empty() {
        return Ok(());
    }
    bail!(
        "not started, because of\n{}\nstop what holds them, or change 'ports:' in {CLUSTER_FILE}; a second dev node: \
         TANDEM_DEV_DIR=.tandem-dev2 TANDEM_PORT_OFFSET=1000 make dev",
        taken.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use spec::{Ports, dev_cluster_yaml};

    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_setting_and_its_holder() {
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut cluster =
            Cluster::parse("c", &dev_cluster_yaml(uuid::Uuid::nil(), "t", &Ports::dev(0))).unwrap();
        cluster.ports.fs_sip = port;
        let message = check_free(&cluster, Ipv4Addr::LOCALHOST.into()).unwrap_err().to_string();
        assert!(message.contains(&format!("port {port} (ports.fs_sip) is held by ")), "{message}");
        assert!(message.contains(&format!("pid {}", std::process::id())), "{message}");
    }
}
