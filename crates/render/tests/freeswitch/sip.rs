//! A SIP endpoint of one UDP socket, driven step by step by a test, and a source and sink of RTP.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const EXPECT_TIMEOUT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
/// Of audio in an RTP packet.
const PACKET: Duration = Duration::from_millis(20);
static UNIQUE: AtomicU32 = AtomicU32::new(1);

/// Distinct within this process, for tags, branches and Call-IDs.
fn unique() -> String {
    format!("{}x{}", std::process::id(), UNIQUE.fetch_add(1, Ordering::Relaxed))
}

#[derive(Clone, Debug)]
pub struct Message {
    start: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Message {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers =
            lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        Self { start, headers, body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v)
    }

    /// Names of the headers that start so.
    pub fn header_names(&self, prefix: &str) -> Vec<&str> {
        self.headers.iter().map(|(n, _)| n.as_str()).filter(|n| n.starts_with(prefix)).collect()
    }

    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    pub fn is(&self, method: &str) -> bool {
        self.start.starts_with(method) && self.start.as_bytes().get(method.len()) == Some(&b' ')
    }

    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// Where the media of this message's SDP is received.
    pub fn media(&self) -> SocketAddr {
        let line = |prefix: &str| self.body.lines().find_map(|l| l.strip_prefix(prefix)).unwrap();
        let port = line("m=audio ").split(' ').next().unwrap();
        format!("{}:{port}", line("c=IN IP4 ").trim()).parse().unwrap()
    }

    fn contact_uri(&self) -> &str {
        let contact = self.header("Contact");
        contact.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(contact, |(uri, _)| uri)
    }
}

pub struct Endpoint {
    socket: UdpSocket,
    unclaimed: VecDeque<Message>,
}

impl Endpoint {
    pub fn bind() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(POLL)).unwrap();
        Self { socket, unclaimed: VecDeque::new() }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn send(&self, to: SocketAddr, text: &str) {
        self.socket.send_to(text.as_bytes(), to).unwrap();
    }

    /// The next message that fits; others wait for their own call of this.
    pub fn expect(&mut self, what: &str, fits: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + EXPECT_TIMEOUT;
        let mut buffer = [0; 65535];
        loop {
            if let Some(at) = self.unclaimed.iter().position(&fits) {
                return self.unclaimed.remove(at).unwrap();
            }
            if let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                self.unclaimed.push_back(Message::parse(&String::from_utf8_lossy(&buffer[..length])));
            }
            assert!(Instant::now() < deadline, "no {what}; unclaimed: {:#?}", self.unclaimed);
        }
    }

    pub fn respond(&self, to: SocketAddr, request: &Message, status: &str, tag: &str, sdp: Option<&str>) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "From", "Call-ID", "CSeq"] {
            for (_, value) in request.headers.iter().filter(|(n, _)| n == name) {
                text += &format!("{name}: {value}\r\n");
            }
        }
        let party = request.header("To");
        let tagged = if party.contains(";tag=") { party.to_owned() } else { format!("{party};tag={tag}") };
        text += &format!("To: {tagged}\r\nContact: <sip:agent@{}>\r\n", self.address());
        self.send(to, &(text + &body(sdp)));
    }
}

fn body(sdp: Option<&str>) -> String {
    match sdp {
        Some(sdp) => format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()),
        None => "Content-Length: 0\r\n\r\n".to_owned(),
    }
}

/// One dialog (or attempt at one) that this side began.
pub struct Dialog {
    peer: SocketAddr,
    target: String,
    from: String,
    to: String,
    pub call_id: String,
    cseq: u32,
}

impl Dialog {
    pub fn new(peer: SocketAddr, user: &str, number: &str, domain: &str) -> Self {
        Self {
            peer,
            target: format!("sip:{number}@{domain}"),
            from: format!("<sip:{user}@{domain}>;tag={}", unique()),
            to: format!("<sip:{number}@{domain}>"),
            call_id: format!("{}@test", unique()),
            cseq: 0,
        }
    }

    /// Sends a request of the next sequence number; `extra` are whole header lines.
    pub fn send(&mut self, via: &Endpoint, method: &str, extra: &[String], sdp: Option<&str>) {
        if method != "ACK" {
            self.cseq += 1;
        }
        let local = via.address();
        let mut text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\nContact: <sip:caller@{local}>\r\n",
            self.target,
            unique(),
            self.from,
            self.to,
            self.call_id,
            self.cseq,
        );
        for line in extra {
            text += &format!("{line}\r\n");
        }
        via.send(self.peer, &(text + &body(sdp)));
    }

    /// The final answer to the last request. Provisional ones are let go.
    pub fn answer(&mut self, via: &mut Endpoint) -> Message {
        let (id, cseq) = (self.call_id.clone(), format!("{} ", self.cseq));
        let answer = via.expect("final answer", |m| {
            m.status().is_some_and(|s| s >= 200)
                && m.header("Call-ID") == id
                && m.header("CSeq").starts_with(&cseq)
        });
        answer.header("To").clone_into(&mut self.to);
        if answer.header("CSeq").contains("INVITE") {
            let established = answer.status() == Some(200);
            if established {
                answer.contact_uri().clone_into(&mut self.target);
            }
            self.send(via, "ACK", &[], None);
        }
        answer
    }
}

/// G.711 µ-law, one pattern a side, so that each can tell whose audio arrives.
pub struct Media {
    socket: UdpSocket,
    pattern: u8,
}

impl Media {
    pub fn new(pattern: u8) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, pattern }
    }

    pub fn sdp(&self) -> String {
        let port = self.socket.local_addr().unwrap().port();
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
             a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
        )
    }

    /// One packet of 20 ms.
    fn speak(&self, to: SocketAddr, sequence: u16) {
        let mut packet = vec![0x80, 0];
        packet.extend(sequence.to_be_bytes());
        packet.extend((u32::from(sequence) * 160).to_be_bytes());
        packet.extend(u32::from(self.pattern).to_be_bytes());
        packet.extend([self.pattern; 160]);
        self.socket.send_to(&packet, to).unwrap();
    }

    /// To a machine, whatever it answers.
    pub fn talk(&self, to: SocketAddr, length: Duration) {
        let end = Instant::now() + length;
        for sequence in 1..u16::MAX {
            self.speak(to, sequence);
            std::thread::sleep(PACKET);
            if Instant::now() > end {
                return;
            }
        }
    }

    /// Counts the waiting packets with the other side's pattern.
    fn hears(&self, pattern: u8) -> usize {
        let mut buffer = [0; 2048];
        let mut heard = 0;
        while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            heard += usize::from(length == 172 && buffer[12..172].iter().all(|b| *b == pattern));
        }
        heard
    }

    /// Keys a digit (RFC 4733): three packets of the event, three of its end.
    pub fn key(&self, to: SocketAddr, digit: u8) {
        let timestamp = 1_000_000_u32;
        for step in 0..6_u16 {
            let mut packet = vec![0x80, if step == 0 { 0x80 | 101 } else { 101 }];
            packet.extend((30_000 + step).to_be_bytes());
            packet.extend(timestamp.to_be_bytes());
            packet.extend(u32::from(self.pattern).to_be_bytes());
            let end = if step >= 3 { 0x80 } else { 0 };
            packet.extend([digit, end | 10]);
            packet.extend((160 * (step + 1).min(4)).to_be_bytes());
            self.socket.send_to(&packet, to).unwrap();
            std::thread::sleep(PACKET);
        }
    }
}

/// Both talk until each has heard half a second of the other.
pub fn converse(a: (&Media, SocketAddr), b: (&Media, SocketAddr)) {
    const PACKETS: usize = 25;
    let deadline = Instant::now() + EXPECT_TIMEOUT;
    let (mut a_heard, mut b_heard) = (0, 0);
    for sequence in 1..u16::MAX {
        a.0.speak(a.1, sequence);
        b.0.speak(b.1, sequence);
        std::thread::sleep(PACKET);
        a_heard += a.0.hears(b.0.pattern);
        b_heard += b.0.hears(a.0.pattern);
        if a_heard.min(b_heard) >= PACKETS {
            return;
        }
        assert!(Instant::now() < deadline, "the caller heard {a_heard} packets, the phone {b_heard}");
    }
}
