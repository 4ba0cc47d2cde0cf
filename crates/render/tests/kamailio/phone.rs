//! A phone: a socket with a number and a password.

use std::ops::{Deref, DerefMut};

use md5::{Digest, Md5};

use crate::node::{DOMAIN, Node};
use crate::sip::{Dialog, Message, Request, Socket, between, unique};

pub struct Phone {
    pub user: String,
    pub domain: String,
    pub password: String,
    socket: Socket,
}

impl Deref for Phone {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl DerefMut for Phone {
    fn deref_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }
}

impl Phone {
    /// In the office that flood protection trusts.
    pub fn new(node: &Node, user: &str) -> Self {
        Self::at(node, [127, 0, 0, 1], user)
    }

    pub fn at(node: &Node, ip: [u8; 4], user: &str) -> Self {
        Self {
            user: user.into(),
            domain: DOMAIN.into(),
            password: format!("pw{user}"),
            socket: node.socket(ip),
        }
    }

    /// A phone that speaks TCP.
    pub fn over_tcp(node: &Node, user: &str) -> Self {
        Self { socket: Socket::connect(node.sip()), ..Self::new(node, user) }
    }

    /// A phone that has registered.
    pub fn registered(node: &Node, user: &str) -> Self {
        let phone = Self::new(node, user);
        let reply = phone.register();
        assert_eq!(reply.status(), Some(200), "{reply:#?}");
        phone
    }

    pub fn aor(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }

    /// REGISTER until the final word.
    pub fn register(&self) -> Message {
        self.authenticate(&mut self.registration()).1
    }

    pub fn registration(&self) -> Request {
        let mut request = self.request("REGISTER", &format!("sip:{}", self.domain), &self.user);
        request.from = format!("<{}>;tag={}", self.aor(), unique());
        request.to = format!("<{}>", self.aor());
        request.extra = vec!["Expires: 300".into()];
        request
    }

    /// An INVITE of this phone's to a number of its own domain, not yet sent.
    pub fn invitation(&self, number: &str) -> Request {
        let mut request = self.request("INVITE", &format!("sip:{number}@{}", self.domain), &self.user);
        request.from = format!("\"Phone {}\" <{}>;tag={}", self.user, self.aor(), unique());
        request
    }

    /// Sends, proves who it is when challenged, and returns what was sent last and its final reply.
    pub fn authenticate(&self, request: &mut Request) -> (Request, Message) {
        let challenge = self.ask(request);
        if !matches!(challenge.status(), Some(401 | 407)) {
            return (request.clone(), challenge);
        }
        self.answer_challenge(request, &challenge);
        let reply = self.ask(request);
        (request.clone(), reply)
    }

    /// Calls, past the challenge; the INVITE is on its way when this returns.
    pub fn call(&self, number: &str) -> Request {
        self.call_with(self.invitation(number))
    }

    pub fn call_with(&self, mut invite: Request) -> Request {
        let challenge = self.ask(&invite);
        assert_eq!(challenge.status(), Some(407), "{challenge:#?}");
        self.answer_challenge(&mut invite, &challenge);
        self.send(&invite);
        invite
    }

    /// Calls and returns the final reply, which is expected to be negative.
    pub fn call_in_vain(&self, number: &str) -> Message {
        let invite = self.call(number);
        self.final_reply(&invite)
    }

    /// What rings this phone.
    pub fn rings(&self) -> Message {
        self.receive("INVITE", |m| m.is("INVITE"))
    }

    /// Calls `other`, who answers; both sides of the call.
    pub fn talk_to(&self, other: &Self) -> (Dialog, Dialog, Message) {
        let invite = self.call(&other.user);
        let ringing = other.rings();
        let to_tag = unique();
        other.reply(&ringing, "180 Ringing", &to_tag);
        self.provisional_reply(&invite, 180);
        other.reply(&ringing, "200 OK", &to_tag);
        let answer = self.final_reply(&invite);
        assert_eq!(answer.status(), Some(200), "{answer:#?}");
        let caller = Dialog::of_caller(&invite, &answer);
        caller.ack(self);
        other.receive("ACK", |m| m.is("ACK"));
        (caller, Dialog::of_callee(&ringing, &to_tag, other), ringing)
    }

    /// RFC 2617 with qop=auth, as phones do it.
    pub fn answer_challenge(&self, request: &mut Request, challenge: &Message) {
        let (name, header) = match challenge.status() {
            Some(401) => ("Authorization", challenge.header("WWW-Authenticate")),
            _ => ("Proxy-Authorization", challenge.header("Proxy-Authenticate")),
        };
        let field = |name: &str| {
            let (_, rest) =
                header.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name}: {header}"));
            between(rest.split(',').next().unwrap(), '"', '"').to_owned()
        };
        let (realm, nonce) = (field("realm"), field("nonce"));
        let ha1 = md5(&format!("{}:{realm}:{}", self.user, self.password));
        let ha2 = md5(&format!("{}:{}", request.method, request.uri));
        let response = md5(&format!("{ha1}:{nonce}:00000001:abc:auth:{ha2}"));
        request.extra.retain(|line| !line.starts_with(name));
        request.extra.push(format!(
            "{name}: Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{}\", response=\"{response}\", \
             algorithm=MD5, qop=auth, nc=00000001, cnonce=\"abc\"",
            self.user, request.uri
        ));
        request.again();
    }
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
