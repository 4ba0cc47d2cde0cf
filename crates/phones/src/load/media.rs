//! Where the phones' audio would be heard: a port that counts the packets and throws them away.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Larger than any RTP packet on Ethernet.
const PACKET_BYTES_MAX: usize = 2_048;
/// How long the end of it may take.
const TICK: Duration = Duration::from_millis(200);

/// A port that listens until it is dropped.
pub struct Ear {
    port: u16,
    packets: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ear {
    /// Opens a port on `ip`.
    pub fn open(ip: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.set_read_timeout(Some(TICK))?;
        let port = socket.local_addr()?.port();
        let (packets, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (packets, stop) = (packets.clone(), stop.clone());
            move || {
                let mut buffer = [0; PACKET_BYTES_MAX];
                while !stop.load(Ordering::Relaxed) {
                    if socket.recv_from(&mut buffer).is_ok() {
                        packets.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Ok(Self { port, packets, stop, thread: Some(thread) })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Heard so far.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}
