//! OPTIONS to the virtual address, from one socket. An answer is told from another by its Call-ID.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Desk, Outcome, Probe};
use crate::namespace;

const EVERY: Duration = Duration::from_millis(50);
/// Later is no answer: a phone sends again after half a second (T1, RFC 3261).
const ANSWER: Duration = Duration::from_millis(500);
const DATAGRAM_BYTES_MAX: usize = 4_096;

pub fn start(desk: Desk, clients: String, sip: &str) -> Result<JoinHandle<()>> {
    let server = sip.to_socket_addrs()?.next().context("TANDEM_SIP is no address")?;
    let thread = thread::Builder::new().name("probe-sip".into());
    Ok(thread.spawn(move || {
        let Ok(socket) = namespace::enter(&clients).and_then(|()| open(server)) else { return };
        ask(&desk, &socket, server);
    })?)
}

fn open(server: SocketAddr) -> Result<UdpSocket> {
    // Which of our addresses it goes out from is asked of a socket that sends nothing.
    let probe = UdpSocket::bind("0.0.0.0:0")?;
    probe.connect(server)?;
    // Not connected: an unreachable host must not become an error of the next request.
    let socket = UdpSocket::bind((probe.local_addr()?.ip(), 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(5)))?;
    Ok(socket)
}

fn ask(desk: &Desk, socket: &UdpSocket, server: SocketAddr) {
    let Ok(own) = socket.local_addr() else { return };
    let mut waiting: HashMap<u64, Duration> = HashMap::new();
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    let mut next = Instant::now();
    while !desk.is_over() || !waiting.is_empty() {
        if Instant::now() >= next && !desk.is_over() {
            next += EVERY;
            let number = desk.number();
            waiting.insert(number, desk.now());
            let _unreachable = socket.send_to(request(&desk.run, number, own, server).as_bytes(), server);
        }
        if let Ok((bytes, _)) = socket.recv_from(&mut buffer)
            && let Some((number, code)) = answer(&buffer[..bytes], &desk.run)
            && let Some(sent) = waiting.remove(&number)
        {
            let outcome = match code {
                200 => Outcome::Good(None),
                code => Outcome::Bad(code.to_string()),
            };
            desk.tell(Probe::Sip, number, sent, outcome);
        }
        let now = desk.now();
        waiting.retain(|number, sent| {
            let waits = now < *sent + ANSWER;
            if !waits {
                desk.tell(Probe::Sip, *number, *sent, Outcome::Bad("no answer".into()));
            }
            waits
        });
    }
}

fn request(run: &str, number: u64, own: SocketAddr, server: SocketAddr) -> String {
    format!(
        "OPTIONS sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKf{run}{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:probe@faults.invalid>;tag={run}{number}\r\nTo: <sip:{server}>\r\n\
         Call-ID: f{run}-{number}\r\nCSeq: 1 OPTIONS\r\nContact: <sip:probe@{own}>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Whose answer it is, and its code.
fn answer(datagram: &[u8], run: &str) -> Option<(u64, u16)> {
    let text = std::str::from_utf8(datagram).ok()?;
    let code = text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
    let line = text.lines().find(|line| line.len() > 8 && line[..8].eq_ignore_ascii_case("call-id:"))?;
    let number = line[8..].trim().strip_prefix(&format!("f{run}-"))?.parse().ok()?;
    Some((number, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_others() {
        let text = b"SIP/2.0 200 Keepalive\r\nVia: x\r\nCall-ID: fab12-77\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(answer(text, "ab12"), Some((77, 200)));
        assert_eq!(answer(text, "ab13"), None, "another run's");
        assert_eq!(answer(b"OPTIONS sip:x SIP/2.0\r\nCall-ID: fab12-77\r\n\r\n", "ab12"), None);
        assert_eq!(answer(b"SIP/2.0 2", "ab12"), None);
    }
}
