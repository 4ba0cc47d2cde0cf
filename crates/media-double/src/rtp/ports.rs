//! The RTP port range.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::UdpSocket;

/// Even ports of a range on one address, taken in turn so that a port just closed rests a while.
#[derive(Debug)]
pub struct Ports {
    ip: IpAddr,
    first: u16,
    count: u32,
    turn: AtomicU32,
}

impl Ports {
    /// Ports `min` to `max`, both included. Even ones are RTP's (RFC 3550 section 11); the odd ones stay free.
    pub fn new(ip: IpAddr, min: u16, max: u16) -> Self {
        let first = min + min % 2;
        let count = (u32::from(max) + 1).saturating_sub(u32::from(first)).div_ceil(2);
        Self { ip, first, count, turn: AtomicU32::new(0) }
    }

    /// Binds the next free port.
    ///
    /// # Errors
    /// `AddrNotAvailable` if every port of the range is taken; what the system says if it lets nobody have a socket.
    pub async fn open(&self) -> io::Result<UdpSocket> {
        for _ in 0..self.count {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.count;
            let port = u16::try_from(u32::from(self.first) + turn * 2).unwrap_or(self.first);
            match UdpSocket::bind(SocketAddr::new(self.ip, port)).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                result => return result,
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "every RTP port of the range is in use"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_even_ports_of_the_range_are_used_and_it_ends() {
        let free = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let near = free.local_addr().expect("bound").port() & !1;
        drop(free);
        let ports = Ports::new(IpAddr::from([127, 0, 0, 1]), near, near + 1);
        assert_eq!(ports.count, 1);
        let taken = ports.open().await.expect("the one port");
        assert_eq!(taken.local_addr().expect("bound").port() % 2, 0);
        assert!(ports.open().await.is_err());
        assert_eq!(Ports::new(IpAddr::from([127, 0, 0, 1]), 20_001, 20_001).count, 0);
        assert_eq!(Ports::new(IpAddr::from([127, 0, 0, 1]), 65_530, 65_535).count, 3);
    }
}
