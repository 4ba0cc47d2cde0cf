//! Whether the service network's router is there: a veto on holding the address, never a permission (failover.md 8).
//!
//! Asked of the kernel's neighbour table, because every router answers ARP or neighbour discovery, and many no ping. That takes
//! the kernel seconds; a cable that is pulled is seen at once.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use serde::Deserialize;
use tokio::net::UdpSocket;

use crate::observe::{ANSWER_MAX, output};

/// "Discard": a datagram there makes the kernel look for its neighbour, and nobody answers it.
const DISCARD: u16 = 9;

#[derive(Deserialize)]
struct Neighbour {
    #[serde(default)]
    state: Vec<String>,
}

/// True as long as nothing says otherwise.
pub async fn is_reached(gateway: IpAddr) -> bool {
    let any: IpAddr = if gateway.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let sent = async {
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        socket.send_to(&[0], SocketAddr::new(gateway, DISCARD)).await
    };
    if let Err(error) = sent.await {
        tracing::debug!("no way to the gateway: {error}");
        return false;
    }
    match output("ip", &["-j", "neigh", "show", "to", &gateway.to_string()], ANSWER_MAX).await {
        Ok(text) => answers(&text),
        Err(_) => true,
    }
}

/// The interface that has `own` has no link. False where that cannot be said.
pub fn is_unplugged(own: IpAddr) -> bool {
    let has = |address: &Option<SockaddrStorage>| {
        let address = address.as_ref();
        let v4 = address.and_then(|a| a.as_sockaddr_in()).map(|a| IpAddr::from(a.ip()));
        let v6 = address.and_then(|a| a.as_sockaddr_in6()).map(|a| IpAddr::from(a.ip()));
        v4.or(v6) == Some(own)
    };
    let found = getifaddrs().ok().and_then(|mut all| all.find(|interface| has(&interface.address)));
    found.is_some_and(|interface| {
        !interface.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING)
    })
}

fn answers(text: &str) -> bool {
    let neighbours: Vec<Neighbour> = serde_json::from_str(text).unwrap_or_default();
    let lost = |neighbour: &Neighbour| neighbour.state.iter().any(|state| state == "FAILED");
    neighbours.is_empty() || !neighbours.iter().all(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_link_or_is_not_known_is_not_unplugged() {
        assert!(!is_unplugged([127, 0, 0, 1].into()));
        assert!(!is_unplugged([192, 0, 2, 77].into()));
    }

    #[test]
    fn only_a_failed_neighbour_is_not_reached() {
        let said = |state: &str| {
            format!(r#"[{{"dst":"198.18.77.1","dev":"svc0","lladdr":"02:00","state":["{state}"]}}]"#)
        };
        assert!(answers(&said("REACHABLE")) && answers(&said("STALE")) && answers("[]") && answers(""));
        assert!(!answers(r#"[{"dst":"198.18.77.1","dev":"svc0","state":["FAILED"]}]"#));
        assert!(!answers(&said("FAILED")));
    }
}
