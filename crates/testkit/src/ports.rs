//! Ports nobody listens on.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Below the ports that Linux gives to outgoing connections (32768 and up): a port found free here is not taken by the
/// test's own client a moment later.
const FIRST: u16 = 22_000;
const LAST: u16 = 31_999;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that is free for TCP and UDP now. Tests run side by side, so each process begins elsewhere.
///
/// # Panics
/// When ten thousand ports are in use.
pub fn free_port() -> u16 {
    let span = LAST - FIRST + 1;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let start = (std::process::id().wrapping_mul(7_919) ^ now) % u32::from(span);
    let _ = NEXT.compare_exchange(0, u16::try_from(start).unwrap_or(0), Ordering::Relaxed, Ordering::Relaxed);
    for _ in 0..span {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    unreachable!("no free port from {FIRST} to {LAST}")
}
