//! SIP as bytes on a socket: what is sent is written here, word by word, and what is received is read as it came.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::wire::{Reader, Wire};

const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Long enough for what Kamailio would have sent at once.
pub const QUIET: Duration = Duration::from_millis(400);

/// Distinct within this process, for tags, branches and Call-IDs.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Clone, Debug)]
pub struct Message {
    pub start: String,
    pub headers: Vec<(String, String)>,
    #[allow(dead_code, reason = "read where phones have ears: dev_audio.rs of tandem")]
    pub body: String,
    pub source: SocketAddr,
}

impl Message {
    fn parse(text: &str, source: SocketAddr) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned()))
            .collect();
        Self { start, headers, body: body.to_owned(), source }
    }

    /// The first header of that name, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v)
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The names of headers that start so, in any case.
    pub fn named_like(&self, prefix: &str) -> Vec<&str> {
        let starts = |n: &str| n.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix));
        self.headers.iter().map(|(n, _)| n.as_str()).filter(|n| starts(n)).collect()
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

    pub fn contact(&self) -> &str {
        between(self.header("Contact"), '<', '>')
    }

    fn answers(&self, call_id: &str, cseq: &str) -> bool {
        self.status().is_some() && self.header("Call-ID") == call_id && self.header("CSeq") == cseq
    }
}

pub fn between(text: &str, open: char, close: char) -> &str {
    text.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map_or(text, |(inner, _)| inner)
}

pub fn tag(party: &str) -> &str {
    party.split_once(";tag=").map_or("", |(_, tag)| tag)
}

/// A request to be sent, and sent again with what changed.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub uri: String,
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    pub contact: String,
    pub max_forwards: u32,
    pub branch: String,
    pub via: SocketAddr,
    transport: &'static str,
    /// Whole header lines.
    pub extra: Vec<String>,
    pub sdp: Option<String>,
}

impl Request {
    /// `CSeq` as a reply repeats it.
    pub fn cseq(&self) -> String {
        format!("{} {}", self.cseq, self.method)
    }

    pub fn text(&self) -> String {
        let Self { method, uri, from, to, call_id, contact, max_forwards, branch, via, transport, .. } = self;
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {via};rport;branch={branch}\r\nMax-Forwards: {max_forwards}\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {}\r\nContact: {contact}\r\n",
            self.cseq()
        );
        for line in &self.extra {
            text += &format!("{line}\r\n");
        }
        text + &body(self.sdp.as_deref())
    }

    /// The next transaction of the same call.
    pub fn again(&mut self) {
        self.cseq += 1;
        self.branch = format!("z9hG4bK{}", unique());
    }

    /// The ACK of a negative reply, or the CANCEL: same branch, same CSeq number (RFC 3261, 9.1 and 17.1.1.3).
    fn hop_by_hop(&self, method: &'static str, to: &str) -> Self {
        Self { method, to: to.to_owned(), extra: Vec::new(), sdp: None, ..self.clone() }
    }
}

/// One socket and the thread that empties it.
pub struct Socket {
    wire: Wire,
    kamailio: SocketAddr,
    inbox: Receiver<Message>,
    unclaimed: RefCell<VecDeque<Message>>,
    answers_options: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Socket {
    pub fn bind(address: SocketAddr, kamailio: SocketAddr) -> Self {
        Self::on(Wire::udp(address), kamailio)
    }

    /// Over a connection of its own.
    pub fn connect(kamailio: SocketAddr) -> Self {
        Self::on(Wire::tcp(kamailio), kamailio)
    }

    fn on(wire: Wire, kamailio: SocketAddr) -> Self {
        let (sender, inbox) = channel();
        let (answers_options, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let reader = {
            let (reader, answers, stop) =
                (Reader::new(wire.again()), Arc::clone(&answers_options), Arc::clone(&stop));
            std::thread::spawn(move || read(reader, &sender, &answers, &stop))
        };
        let unclaimed = RefCell::default();
        Self { wire, kamailio, inbox, unclaimed, answers_options, stop, reader: Some(reader) }
    }

    /// As FreeSWITCH answers Kamailio's probing.
    pub fn answer_options(&self) {
        self.answers_options.store(true, Ordering::Relaxed);
    }

    pub fn sends_to(&mut self, kamailio: SocketAddr) {
        self.kamailio = kamailio;
    }

    pub fn address(&self) -> SocketAddr {
        self.wire.address()
    }

    /// A request outside a dialog, from `user` of this very socket.
    pub fn request(&self, method: &'static str, uri: &str, user: &str) -> Request {
        let address = self.address();
        let parameter = if self.wire.transport() == "TCP" { ";transport=tcp" } else { "" };
        Request {
            method,
            uri: uri.to_owned(),
            from: format!("<sip:{user}@{address}>;tag={}", unique()),
            to: format!("<{uri}>"),
            call_id: format!("{}@test", unique()),
            cseq: 1,
            contact: format!("<sip:{user}@{address}{parameter}>"),
            max_forwards: 70,
            branch: format!("z9hG4bK{}", unique()),
            via: address,
            transport: self.wire.transport(),
            extra: Vec::new(),
            sdp: None,
        }
    }

    pub fn send(&self, request: &Request) {
        self.send_bytes(request.text().as_bytes());
    }

    pub fn send_bytes(&self, bytes: &[u8]) {
        self.wire.send(bytes, self.kamailio);
    }

    /// The next message that fits; the others wait for who asks for them.
    pub fn receive(&self, what: &str, fits: impl Fn(&Message) -> bool) -> Message {
        self.receive_within(RECEIVE_TIMEOUT, fits)
            .unwrap_or_else(|| panic!("no {what}; unclaimed: {:#?}", self.unclaimed.borrow()))
    }

    pub fn receive_within(&self, time: Duration, fits: impl Fn(&Message) -> bool) -> Option<Message> {
        let deadline = Instant::now() + time;
        let mut unclaimed = self.unclaimed.borrow_mut();
        if let Some(at) = unclaimed.iter().position(&fits) {
            return unclaimed.remove(at);
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.inbox.recv_timeout(left).ok()?;
            if fits(&message) {
                return Some(message);
            }
            unclaimed.push_back(message);
        }
    }

    /// Fails when such a message arrives after all.
    pub fn receives_no(&self, method: &str) {
        let message = self.receive_within(QUIET, |m| m.is(method));
        assert!(message.is_none(), "{message:#?}");
    }

    /// Sends and returns the final reply; a negative one to an INVITE is acknowledged.
    pub fn ask(&self, request: &Request) -> Message {
        self.send(request);
        self.final_reply(request)
    }

    pub fn final_reply(&self, request: &Request) -> Message {
        let cseq = request.cseq();
        let what = format!("final reply to {cseq}");
        let reply = self.receive(&what, |m| m.answers(&request.call_id, &cseq) && m.status() >= Some(200));
        if request.method == "INVITE" && reply.status() >= Some(300) {
            self.send(&request.hop_by_hop("ACK", reply.header("To")));
        }
        reply
    }

    pub fn provisional_reply(&self, request: &Request, status: u16) -> Message {
        self.receive(&format!("{status}"), |m| {
            m.answers(&request.call_id, &request.cseq()) && m.status() == Some(status)
        })
    }

    /// The final reply to the CANCEL itself.
    pub fn cancel(&self, invite: &Request) -> Message {
        self.ask(&invite.hop_by_hop("CANCEL", &invite.to))
    }

    /// Answers a request; `to_tag` is this side's.
    pub fn reply(&self, request: &Message, status: &str, to_tag: &str) {
        self.reply_with(request, status, to_tag, &[]);
    }

    pub fn reply_with(&self, request: &Message, status: &str, to_tag: &str, extra: &[&str]) {
        let text = reply_text(request, status, to_tag, self.address(), extra, None);
        self.wire.send(text.as_bytes(), request.source);
    }

    /// Takes a call, with what it hears by.
    #[allow(dead_code, reason = "for phones that have ears: dev_audio.rs of tandem")]
    pub fn accept(&self, invite: &Message, to_tag: &str, sdp: &str) {
        let text = reply_text(invite, "200 OK", to_tag, self.address(), &[], Some(sdp));
        self.wire.send(text.as_bytes(), invite.source);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn read(mut reader: Reader, sender: &Sender<Message>, answers_options: &AtomicBool, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Some((text, source)) = reader.next() else { continue };
        let message = Message::parse(&text, source);
        if message.is("OPTIONS") {
            if answers_options.load(Ordering::Relaxed) {
                let reply = reply_text(&message, "200 OK", "fs", reader.wire.address(), &[], None);
                reader.wire.send(reply.as_bytes(), source);
            }
        } else if sender.send(message).is_err() {
            return;
        }
    }
}

fn reply_text(
    request: &Message,
    status: &str,
    to_tag: &str,
    contact: SocketAddr,
    extra: &[&str],
    sdp: Option<&str>,
) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for (name, value) in &request.headers {
        if ["Via", "From", "Call-ID", "CSeq", "Record-Route"].iter().any(|n| n.eq_ignore_ascii_case(name)) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    let party = request.header("To");
    let tagged = if party.contains(";tag=") { party.to_owned() } else { format!("{party};tag={to_tag}") };
    text += &format!("To: {tagged}\r\nContact: <sip:phone@{contact}>\r\n");
    for line in extra {
        text += &format!("{line}\r\n");
    }
    text + &body(sdp)
}

/// The last headers, and what follows them.
fn body(sdp: Option<&str>) -> String {
    match sdp {
        Some(sdp) => format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()),
        None => "Content-Length: 0\r\n\r\n".to_owned(),
    }
}

/// One side of an established call.
pub struct Dialog {
    request: Request,
}

impl Dialog {
    /// The caller's side, after the 200.
    pub fn of_caller(invite: &Request, answer: &Message) -> Self {
        let mut request = Request { sdp: None, ..invite.clone() };
        request.uri = answer.contact().to_owned();
        request.to = answer.header("To").to_owned();
        let mut routes: Vec<_> = answer.all("Record-Route").map(|r| format!("Route: {r}")).collect();
        routes.reverse();
        request.extra = routes;
        Self { request }
    }

    /// The callee's side: the invitation as it came, and the tag the 200 had.
    pub fn of_callee(invite: &Message, to_tag: &str, socket: &Socket) -> Self {
        let mut request = socket.request("BYE", invite.contact(), "phone");
        request.from = format!("{};tag={to_tag}", invite.header("To"));
        request.to = invite.header("From").to_owned();
        request.call_id = invite.header("Call-ID").to_owned();
        request.extra = invite.all("Record-Route").map(|r| format!("Route: {r}")).collect();
        Self { request }
    }

    /// The ACK of the 200, a transaction of its own with the INVITE's number.
    pub fn ack(&self, socket: &Socket) {
        let mut ack = self.request.clone();
        ack.method = "ACK";
        ack.branch = format!("z9hG4bK{}", unique());
        socket.send(&ack);
    }

    /// The next request of this side, not yet sent.
    pub fn next(&mut self, method: &'static str) -> Request {
        self.request.method = method;
        self.request.again();
        self.request.clone()
    }
}
