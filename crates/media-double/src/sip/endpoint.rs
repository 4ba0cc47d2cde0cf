//! The UDP socket and what arrives on it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::dialog::{Dialog, DialogId, Dialogs, Event};
use super::message::{MESSAGE_BYTES_MAX, Message};
use super::server::{Key, Seen, ServerTransaction};
use super::timers::Timers;
use super::{ALLOW, client, new_branch, server};

/// Initial INVITEs that wait to be looked at; above it they get 503.
const INVITES_WAITING_MAX: usize = 256;

/// An initial INVITE, already answered with 100.
#[derive(Debug)]
pub struct Invite {
    /// The transaction to answer; dropped, it answers 500.
    pub transaction: ServerTransaction,
    /// Our end of the dialog, with the tag of `transaction`.
    pub dialog: Dialog,
}

/// One UDP socket that speaks SIP with the proxies of an access list.
#[derive(Debug)]
pub struct Endpoint {
    /// Retransmission timers.
    pub timers: Timers,
    pub(super) clients: client::Transactions,
    pub(super) servers: server::Transactions,
    pub(super) dialogs: Dialogs,
    socket: UdpSocket,
    local: SocketAddr,
    proxy: SocketAddr,
    allowed: Vec<IpAddr>,
}

impl Endpoint {
    /// Binds `listen`. `proxy` gets every initial request; packets are taken from `proxy` and `allowed` only.
    pub async fn bind(
        listen: SocketAddr,
        proxy: SocketAddr,
        allowed: &[IpAddr],
        timers: Timers,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind(listen).await?;
        let local = socket.local_addr()?;
        let mut allowed = allowed.to_vec();
        allowed.push(proxy.ip());
        Ok(Self {
            timers,
            clients: client::Transactions::default(),
            servers: server::Transactions::default(),
            dialogs: Dialogs::default(),
            socket,
            local,
            proxy,
            allowed,
        })
    }

    /// Address and port this endpoint is reached at.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The proxy initial requests go to.
    pub fn proxy(&self) -> SocketAddr {
        self.proxy
    }

    /// Whether packets may come from, and go to, `ip`.
    pub fn allows(&self, ip: IpAddr) -> bool {
        self.allowed.contains(&ip)
    }

    /// Our Contact.
    pub fn contact(&self) -> String {
        format!("<sip:media-double@{}>", self.local)
    }

    /// A Via of ours.
    pub(super) fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/UDP {};rport;branch={branch}", self.local)
    }

    /// A request outside of any dialog, with a Via, a Max-Forwards and a Call-ID of its own.
    pub fn initial_request(&self, method: &str, uri: &str) -> Message {
        let mut request = Message::request(method, uri);
        request.headers.push("Via", self.via(&new_branch()));
        request.headers.push("Max-Forwards", "70");
        request.headers.push("Call-ID", uuid::Uuid::new_v4().to_string());
        request.headers.push("CSeq", format!("1 {method}"));
        request.headers.push("Contact", self.contact());
        request.headers.push("User-Agent", crate::USER_AGENT);
        request.headers.push("Allow", ALLOW);
        request
    }

    /// Sends one datagram. A full socket buffer loses it, as the network may: retransmission is the cure for both.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr) {
        if let Err(error) = self.socket.try_send_to(bytes, to) {
            tracing::debug!(%to, %error, "a SIP packet was not sent");
        }
    }

    /// Reads packets until `stop`, giving initial INVITEs to `invites`.
    pub async fn run(self: Arc<Self>, invites: mpsc::Sender<Invite>, stop: CancellationToken) {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        loop {
            let received = tokio::select! {
                received = self.socket.recv_from(&mut buffer) => received,
                () = stop.cancelled() => return,
            };
            match received {
                Ok((length, source)) => self.on_datagram(&buffer[..length], source, &invites),
                // An ICMP error of an earlier packet; the socket goes on.
                Err(error) => tracing::debug!(%error, "receiving SIP failed"),
            }
        }
    }

    /// A queue for [`Endpoint::run`]'s INVITEs.
    pub fn invite_queue() -> (mpsc::Sender<Invite>, mpsc::Receiver<Invite>) {
        mpsc::channel(INVITES_WAITING_MAX)
    }

    fn on_datagram(self: &Arc<Self>, datagram: &[u8], source: SocketAddr, invites: &mpsc::Sender<Invite>) {
        if !self.allows(source.ip()) {
            tracing::debug!(%source, "a packet from outside the access list was dropped");
            return;
        }
        // Keep-alives of RFC 5626 and of NAT pingers.
        if datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return;
        }
        match Message::parse(datagram) {
            Ok(message) if matches!(message.start, super::message::Start::Response { .. }) => {
                self.clients.deliver(message);
            }
            Ok(request) => self.on_request(request, source, invites),
            Err(error) => tracing::debug!(%source, %error, "a packet that is no SIP message was dropped"),
        }
    }

    fn on_request(self: &Arc<Self>, request: Message, source: SocketAddr, invites: &mpsc::Sender<Invite>) {
        if request.method() == "ACK" {
            self.servers.acked(&request);
            if let Some(tag) = request.to_tag() {
                let event = Event::Acked(request.body.clone());
                let _gone = self.dialogs.deliver(&DialogId::of_request(&request, &tag), event);
            }
            return;
        }
        let key = Key::of(&request, request.method());
        match self.servers.begin(&key, &request) {
            Seen::Again(Some(last)) => self.send(&last, source),
            Seen::Again(None) => {}
            Seen::Full => {
                let response = Message::response(&request, 503, "Too Many Transactions", None);
                self.send(&response.to_bytes(), source);
            }
            Seen::New(tag) => {
                self.dispatch(ServerTransaction::new(self, key, request, source, tag), invites);
            }
        }
    }

    fn dispatch(self: &Arc<Self>, transaction: ServerTransaction, invites: &mpsc::Sender<Invite>) {
        let request = &transaction.request;
        if request.method() == "CANCEL" {
            return self.on_cancel(transaction);
        }
        if let Some(tag) = request.to_tag() {
            let id = DialogId::of_request(request, &tag);
            if let Err(Event::Request(transaction)) =
                self.dialogs.deliver(&id, Event::Request(Box::new(transaction)))
            {
                transaction.reply(481, "Call/Transaction Does Not Exist");
            }
            return;
        }
        match request.method() {
            "INVITE" => self.on_invite(transaction, invites),
            "OPTIONS" => {
                let mut ok = transaction.response(200, "OK");
                ok.headers.push("Allow", ALLOW);
                ok.headers.push("Accept", super::sdp::CONTENT_TYPE);
                transaction.respond(&ok);
            }
            _ => {
                let mut refused = transaction.response(405, "Method Not Allowed");
                refused.headers.push("Allow", ALLOW);
                transaction.respond(&refused);
            }
        }
    }

    fn on_invite(self: &Arc<Self>, transaction: ServerTransaction, invites: &mpsc::Sender<Invite>) {
        // RFC 3261 section 8.2.2.3: no extension is known here, so none may be required.
        if let Some(extension) = transaction.request.headers.get("Require") {
            let mut refused = transaction.response(420, "Bad Extension");
            refused.headers.push("Unsupported", extension);
            return transaction.respond(&refused);
        }
        transaction.provisional(&transaction.response(100, "Trying"));
        let dialog = Dialog::uas(self, &transaction.request, &transaction.local_tag, transaction.source);
        if let Err(refused) = invites.try_send(Invite { transaction, dialog }) {
            refused.into_inner().transaction.reply(503, "Too Many Calls");
        }
    }

    fn on_cancel(self: &Arc<Self>, cancel: ServerTransaction) {
        let invite = Key::of(&cancel.request, "INVITE");
        let Some(tag) = self.servers.pending_tag(&invite) else {
            return cancel.reply(481, "Call/Transaction Does Not Exist");
        };
        let id = DialogId::of_request(&cancel.request, &tag);
        cancel.reply(200, "OK");
        let _gone = self.dialogs.deliver(&id, Event::Cancelled);
    }
}
