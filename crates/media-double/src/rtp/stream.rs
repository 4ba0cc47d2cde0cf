//! One leg's audio.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Ports;
use crate::sip::sdp::Codec;

/// Largest RTP packet relayed; a phone's is 172 bytes.
const PACKET_BYTES_MAX: usize = 1_500;
/// Fixed part of an RTP header (RFC 3550 section 5.1).
const HEADER_BYTES: usize = 12;
/// One packet of audio.
const FRAME: Duration = Duration::from_millis(20);
/// Samples in a frame at 8 kHz; with G.711 as many bytes.
const FRAME_SAMPLES: u16 = 160;

/// Packets seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Received from the phone.
    pub received: u64,
    /// Sent to the phone.
    pub sent: u64,
}

/// The audio of one leg. Dropped, it closes its port and ends its tasks.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Stream {
    /// Opens a port and listens on it.
    ///
    /// # Errors
    /// No port of the range is free.
    pub async fn open(ports: &Ports) -> io::Result<Self> {
        let socket = ports.open().await?;
        let shared = Arc::new(Shared {
            local: socket.local_addr()?,
            socket,
            ends: Mutex::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(receive(shared.clone())));
        Ok(Self { shared, _stop_on_drop: stop.clone().drop_guard(), stop })
    }

    /// Where we receive.
    pub fn local(&self) -> SocketAddr {
        self.shared.local
    }

    /// Sets where the phone's SDP wants its audio.
    pub fn set_remote(&self, remote: SocketAddr) {
        let mut ends = self.shared.ends();
        (ends.remote, ends.latched) = (Some(remote), false);
    }

    /// Relays between this stream and `other` from now on.
    pub fn bridge(&self, other: &Self) {
        self.shared.ends().peer = Some(Arc::downgrade(&other.shared));
        other.shared.ends().peer = Some(Arc::downgrade(&self.shared));
    }

    /// Packets so far.
    pub fn counters(&self) -> Counters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters { received: load(&self.shared.received), sent: load(&self.shared.sent) }
    }

    /// Sends silence until the stream is bridged or closed: a caller who hears nothing at all hangs up.
    pub fn play_silence(&self, codec: Codec) {
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(silence(self.shared.clone(), codec)));
    }
}

#[derive(Debug, Default)]
struct Ends {
    /// Where the phone wants RTP: from its SDP, then from where it really sends.
    remote: Option<SocketAddr>,
    /// Whether `remote` is where a packet came from.
    latched: bool,
    /// The other leg, once bridged.
    peer: Option<Weak<Shared>>,
}

#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    local: SocketAddr,
    ends: Mutex<Ends>,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Shared {
    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, packet: &[u8]) {
        let remote = self.ends().remote;
        if let Some(remote) = remote
            && self.socket.try_send_to(packet, remote).is_ok()
        {
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_packet(&self, packet: &[u8], source: SocketAddr) {
        if packet.len() < HEADER_BYTES || packet[0] >> 6 != 2 {
            return;
        }
        self.received.fetch_add(1, Ordering::Relaxed);
        let peer = {
            let mut ends = self.ends();
            if !ends.latched {
                // A phone behind NAT writes an address into its SDP that leads nowhere.
                (ends.remote, ends.latched) = (Some(source), true);
            }
            ends.peer.as_ref().and_then(Weak::upgrade)
        };
        if let Some(peer) = peer {
            peer.send(packet);
        }
    }
}

async fn receive(shared: Arc<Shared>) {
    let mut buffer = [0; PACKET_BYTES_MAX];
    loop {
        match shared.socket.recv_from(&mut buffer).await {
            Ok((length, source)) => shared.on_packet(&buffer[..length], source),
            Err(error) => tracing::debug!(%error, "receiving RTP failed"),
        }
    }
}

async fn silence(shared: Arc<Shared>, codec: Codec) {
    let mut frame = [codec.silence(); HEADER_BYTES + FRAME_SAMPLES as usize];
    let [_, _, _, _, ssrc @ .., _, _, _, _, _, _, _, _] = uuid::Uuid::new_v4().into_bytes();
    frame[0] = 2 << 6;
    frame[1] = codec.payload_type();
    frame[8..HEADER_BYTES].copy_from_slice(&ssrc);
    let mut tick = interval(FRAME);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for sequence in 0_u32.. {
        tick.tick().await;
        if shared.ends().peer.is_some() {
            return;
        }
        // Both counters wrap, as RFC 3550 has it.
        frame[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
        frame[4..8].copy_from_slice(&sequence.wrapping_mul(u32::from(FRAME_SAMPLES)).to_be_bytes());
        shared.send(&frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn phone() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").await.expect("a free port")
    }

    async fn hears(phone: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 2_000];
        let receive = phone.recv(&mut buffer);
        let length =
            tokio::time::timeout(Duration::from_secs(5), receive).await.expect("audio").expect("socket");
        buffer[..length].to_vec()
    }

    #[tokio::test]
    async fn audio_goes_both_ways_and_silence_until_then() {
        let ports = Ports::new([127, 0, 0, 1].into(), 30_000, 39_999);
        let (a, b) = (Stream::open(&ports).await.expect("port"), Stream::open(&ports).await.expect("port"));
        let (caller, agent) = (phone().await, phone().await);
        a.set_remote(caller.local_addr().expect("bound"));
        // The agent's SDP leads nowhere; what it sends shows where it is.
        b.set_remote("127.0.0.1:9".parse().expect("address"));
        a.play_silence(Codec::Pcmu);
        assert_eq!(hears(&caller).await[12..], [0xff; 160]);

        a.bridge(&b);
        let packet = |mark: u8| [[2 << 6, 0].as_slice(), &[mark; 20]].concat();
        agent.send_to(&packet(7), b.local()).await.expect("sent");
        while hears(&caller).await != packet(7) {}
        caller.send_to(b"not RTP", a.local()).await.expect("sent");
        caller.send_to(&packet(8), a.local()).await.expect("sent");
        assert_eq!(hears(&agent).await, packet(8));
        assert_eq!(b.counters(), Counters { received: 1, sent: 1 });
    }
}
