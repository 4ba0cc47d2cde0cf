//! What carries the messages: a UDP socket, or a TCP connection to Kamailio.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

const POLL: Duration = Duration::from_millis(20);

pub enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Wire {
    pub fn udp(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(POLL)).unwrap();
        Self::Udp(socket)
    }

    pub fn tcp(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(POLL)).unwrap();
        Self::Tcp(stream)
    }

    pub fn again(&self) -> Self {
        match self {
            Self::Udp(socket) => Self::Udp(socket.try_clone().unwrap()),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().unwrap()),
        }
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().unwrap(),
            Self::Tcp(stream) => stream.local_addr().unwrap(),
        }
    }

    /// As a Via names it.
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Udp(_) => "UDP",
            Self::Tcp(_) => "TCP",
        }
    }

    /// A connection has one other end, whatever `to` says.
    pub fn send(&self, bytes: &[u8], to: SocketAddr) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send_to(bytes, to).unwrap(), bytes.len()),
            Self::Tcp(stream) => {
                let mut stream = stream;
                stream.write_all(bytes).unwrap();
            }
        }
    }
}

/// Cuts what arrives into messages: a datagram is one, a stream has one after the other (none has a body here).
pub struct Reader {
    pub wire: Wire,
    buffer: Vec<u8>,
    stream: Vec<u8>,
}

impl Reader {
    pub fn new(wire: Wire) -> Self {
        Self { wire, buffer: vec![0; 65_536], stream: Vec::new() }
    }

    /// The next message and who sent it; None when there is none at the moment.
    pub fn next(&mut self) -> Option<(String, SocketAddr)> {
        match &self.wire {
            Wire::Udp(socket) => {
                let (length, source) = socket.recv_from(&mut self.buffer).ok()?;
                Some((String::from_utf8_lossy(&self.buffer[..length]).into_owned(), source))
            }
            Wire::Tcp(stream) => {
                let mut connection = stream;
                if let Ok(length) = connection.read(&mut self.buffer) {
                    self.stream.extend_from_slice(&self.buffer[..length]);
                }
                let end = self.stream.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
                let message: Vec<u8> = self.stream.drain(..end).collect();
                Some((String::from_utf8_lossy(&message).into_owned(), stream.peer_addr().ok()?))
            }
        }
    }
}
