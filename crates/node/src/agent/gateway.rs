//! Whether the service network's router is there: a veto on holding the address, never a permission (failover.md 8).
//!
//! Asked of the kernel's neighbour table, because every router answers ARP or neighbour discovery, and many no ping.

use std::net::{IpAddr, SocketAddr};

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

fn answers(text: &str) -> bool {
    let neighbours: Vec<Neighbour> = serde_json::from_str(text).unwrap_or_default();
    let lost = |neighbour: &Neighbour| neighbour.state.iter().any(|state| state == "FAILED");
    neighbours.is_empty() || !neighbours.iter().all(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

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
