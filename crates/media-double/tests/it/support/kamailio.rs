//! Kamailio and the phones behind it, on one socket: every message is written and read by the test.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use media_double::sip::message::{Message, Start};
use media_double::sip::{new_branch, new_tag};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// A phone's SDP.
pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8 0 101\r\n\
     a=rtpmap:101 telephone-event/8000\r\n";

pub struct Kamailio {
    socket: UdpSocket,
    /// Where the double is.
    pub double: SocketAddr,
    unread: VecDeque<Message>,
}

/// A dialog as the test sees it: the header values of its own requests.
pub struct Phone {
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub target: String,
    cseq: u32,
}

impl Kamailio {
    pub async fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        Self { socket, double: "127.0.0.1:9".parse().expect("address"), unread: VecDeque::new() }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    pub async fn send_raw(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.double).await.expect("sent");
    }

    pub async fn send(&self, message: &Message) {
        self.send_raw(&message.to_bytes()).await;
    }

    /// A request of a phone, with a Via of its own.
    pub fn request(&self, method: &str, uri: &str, call_id: &str) -> Message {
        let mut request = Message::request(method, uri);
        let headers = &mut request.headers;
        headers.push("Via", format!("SIP/2.0/UDP {};branch={}", self.address(), new_branch()));
        headers.push("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKphone");
        headers.push("Max-Forwards", "69");
        headers.push("From", format!("\"Zo\u{eb} O'Neil\" <sip:1001@default.local>;tag={}", new_tag()));
        headers.push("To", format!("<{uri}>"));
        headers.push("Call-ID", call_id);
        headers.push("CSeq", format!("1 {method}"));
        headers.push("Contact", format!("<sip:1001@{}>", self.address()));
        request
    }

    /// An INVITE as Kamailio sends one to the media server.
    pub fn invite(&self, kind: &str, extension: &str, reference: &str) -> Message {
        let call_id = format!("{}@phone", uuid::Uuid::new_v4());
        let mut invite = self.request("INVITE", &format!("sip:{extension}@{}", self.double), &call_id);
        invite.headers.push("Record-Route", format!("<sip:{};lr;x=1>", self.address()));
        invite.headers.push("User-Agent", "Yealink SIP-T46S 66.85.0.5");
        invite.headers.push("X-VP-Domain", "default.local");
        invite.headers.push("X-VP-Type", kind);
        invite.headers.push("X-VP-Ext", extension);
        invite.headers.push("X-VP-Ref", reference);
        invite.headers.push("X-VP-Call", format!("vp-{call_id}").replace("@phone", ""));
        invite.with_body("application/sdp", SDP)
    }

    /// The first message that `wanted` picks, waiting up to 5 s; others stay for later.
    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        if let Some(at) = self.unread.iter().position(&wanted) {
            return self.unread.remove(at).expect("found");
        }
        let mut buffer = vec![0; 65_535];
        loop {
            let received = timeout(Duration::from_secs(5), self.socket.recv_from(&mut buffer)).await;
            let unread: Vec<&Start> = self.unread.iter().map(|m| &m.start).collect();
            let (length, _) =
                received.unwrap_or_else(|_| panic!("no {what}; unread: {unread:?}")).expect("socket");
            let message = Message::parse(&buffer[..length]).expect("the double sends valid SIP");
            if wanted(&message) {
                return message;
            }
            self.unread.push_back(message);
        }
    }

    /// The final or provisional response `code` to a `method`.
    pub async fn response(&mut self, code: u16, method: &str) -> Message {
        self.expect(&format!("{code} to {method}"), |m| {
            matches!(m.start, Start::Response { code: c, .. } if c == code) && m.method() == method
        })
        .await
    }

    /// A request of the double.
    pub async fn incoming(&mut self, method: &str) -> Message {
        self.expect(method, |m| matches!(m.start, Start::Request { .. }) && m.method() == method).await
    }

    /// What else arrives within `during`.
    pub async fn overhear(&mut self, during: Duration) -> Vec<Message> {
        let _ = timeout(during, self.expect("silence", |_| false)).await;
        self.unread.drain(..).collect()
    }

    /// Answers a request of the double; a body makes it an SDP answer.
    pub async fn reply(&self, request: &Message, code: u16, tag: &str, sdp: Option<&str>) {
        let mut response = Message::response(request, code, "Test", Some(tag));
        response.headers.push("Contact", format!("<sip:agent@{}>", self.address()));
        response.headers.push("Record-Route", format!("<sip:{};lr;y=2>", self.address()));
        if let Some(sdp) = sdp {
            response = response.with_body("application/sdp", sdp);
        }
        self.send(&response).await;
    }

    /// The phone that sent `invite` and got `ok`: acknowledges it.
    pub async fn established(&self, invite: &Message, ok: &Message) -> Phone {
        let header = |message: &Message, name: &str| message.headers.get(name).expect("there").to_owned();
        let contact = header(ok, "Contact");
        let mut phone = Phone {
            from: header(invite, "From"),
            to: header(ok, "To"),
            call_id: invite.call_id().to_owned(),
            target: contact.trim_matches(['<', '>']).to_owned(),
            cseq: invite.cseq().expect("a CSeq").0,
        };
        phone.cseq -= 1;
        let ack = self.within(&mut phone, "ACK");
        self.send(&ack).await;
        phone
    }

    /// The phone that answered the double's `invite` with `tag`.
    pub fn callee(&self, invite: &Message, tag: &str) -> Phone {
        let header = |name: &str| invite.headers.get(name).expect("there").to_owned();
        Phone {
            from: format!("{};tag={tag}", header("To")),
            to: header("From"),
            call_id: invite.call_id().to_owned(),
            target: header("Contact").trim_matches(['<', '>']).to_owned(),
            cseq: 0,
        }
    }

    /// A request of `phone` within its dialog.
    pub fn within(&self, phone: &mut Phone, method: &str) -> Message {
        phone.cseq += 1;
        let mut request = self.request(method, &phone.target, &phone.call_id);
        request.headers.set("From", phone.from.as_str());
        request.headers.set("To", phone.to.as_str());
        request.headers.set("CSeq", format!("{} {method}", phone.cseq));
        request
    }

    /// `phone` hangs up, and hears the 200.
    pub async fn hang_up(&mut self, phone: &mut Phone) {
        let bye = self.within(phone, "BYE");
        self.send(&bye).await;
        self.response(200, "BYE").await;
    }
}
