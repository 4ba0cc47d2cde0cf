//! Dialogs (RFC 3261 section 12): route set, CSeq, and the way of in-dialog requests to the call they belong to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::endpoint::Endpoint;
use super::message::{Message, Start};
use super::server::ServerTransaction;
use super::uri::{NameAddr, Uri};
use super::{client, new_branch};

/// Events a call may be behind with; what does not fit is dropped, and its sender retransmits.
const EVENTS_MAX: usize = 16;

/// What can happen to one leg after its initial INVITE.
#[derive(Debug)]
pub enum Event {
    /// The caller took its INVITE back before a final response.
    Cancelled,
    /// The ACK of our 2xx; its body is the answer if our 2xx held the offer.
    Acked(Vec<u8>),
    /// Our 2xx was never acknowledged.
    AckTimeout,
    /// A request within the dialog: BYE, re-INVITE, INFO, …
    Request(Box<ServerTransaction>),
}

/// What names a dialog (RFC 3261 section 12). With the remote tag: two phones may answer one INVITE of ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DialogId {
    call_id: String,
    local_tag: String,
    remote_tag: String,
}

impl DialogId {
    /// The dialog a request from the far end is in, or opens with `local_tag`.
    pub fn of_request(request: &Message, local_tag: &str) -> Self {
        let remote_tag = request.from_tag().unwrap_or_default();
        Self { call_id: request.call_id().to_owned(), local_tag: local_tag.to_owned(), remote_tag }
    }

    /// The dialog a response from the far end opens.
    fn of_response(response: &Message) -> Self {
        let (local, remote) =
            (response.from_tag().unwrap_or_default(), response.to_tag().unwrap_or_default());
        Self { call_id: response.call_id().to_owned(), local_tag: local, remote_tag: remote }
    }
}

/// Where in-dialog requests are delivered.
#[derive(Debug, Default)]
pub struct Dialogs(Mutex<HashMap<DialogId, mpsc::Sender<Event>>>);

impl Dialogs {
    fn lock(&self) -> MutexGuard<'_, HashMap<DialogId, mpsc::Sender<Event>>> {
        // A panicking holder cannot leave a map half changed: each use is one insert, remove or get.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands `event` to the dialog; `Err` gives it back if there is none, or it does not listen.
    pub fn deliver(&self, id: &DialogId, event: Event) -> Result<(), Event> {
        let sender = self.lock().get(id).cloned();
        match sender {
            Some(sender) => sender.try_send(event).map_err(|refused| refused.into_inner()),
            None => Err(event),
        }
    }
}

/// One end of a dialog. Dropping it stops delivery; it sends no BYE by itself.
#[derive(Debug)]
pub struct Dialog {
    /// What the far end does.
    pub events: mpsc::Receiver<Event>,
    id: DialogId,
    endpoint: Arc<Endpoint>,
    local: String,
    remote: String,
    cseq: u32,
    target: String,
    routes: Vec<String>,
    fallback: SocketAddr,
}

impl Dialog {
    /// Our end of a dialog that `invite` from `source` opens, with `local_tag` in our responses.
    pub fn uas(endpoint: &Arc<Endpoint>, invite: &Message, local_tag: &str, source: SocketAddr) -> Self {
        let to = invite.headers.get("To").unwrap_or_default();
        let id = DialogId::of_request(invite, local_tag);
        Self {
            events: endpoint.open_dialog(&id),
            id,
            endpoint: endpoint.clone(),
            local: format!("{to};tag={local_tag}"),
            remote: invite.headers.get("From").unwrap_or_default().to_owned(),
            cseq: 0,
            target: contact_of(invite),
            routes: invite.headers.all("Record-Route").map(str::to_owned).collect(),
            fallback: source,
        }
    }

    /// Our end of the dialog that `response`, a 2xx, opens for the INVITE we sent.
    pub fn uac(endpoint: &Arc<Endpoint>, invite: &Message, response: &Message) -> Self {
        let id = DialogId::of_response(response);
        Self {
            events: endpoint.open_dialog(&id),
            id,
            endpoint: endpoint.clone(),
            local: invite.headers.get("From").unwrap_or_default().to_owned(),
            remote: response.headers.get("To").unwrap_or_default().to_owned(),
            cseq: invite.cseq().map_or(1, |(number, _)| number),
            target: contact_of(response),
            // The route set of the caller is the Record-Route turned around (RFC 3261 section 12.1.2).
            routes: response.headers.all("Record-Route").rev().map(str::to_owned).collect(),
            fallback: endpoint.proxy(),
        }
    }

    /// A request within this dialog with the next CSeq (an ACK keeps the INVITE's).
    pub fn request(&mut self, method: &str) -> Message {
        if method != "ACK" {
            self.cseq += 1;
        }
        let mut request = Message::request(method, &self.target);
        request.headers.push("Via", self.endpoint.via(&new_branch()));
        for route in &self.routes {
            request.headers.push("Route", route.as_str());
        }
        request.headers.push("Max-Forwards", "70");
        request.headers.push("From", self.local.as_str());
        request.headers.push("To", self.remote.as_str());
        request.headers.push("Call-ID", self.id.call_id.as_str());
        request.headers.push("CSeq", format!("{} {method}", self.cseq));
        request.headers.push("User-Agent", crate::USER_AGENT);
        request
    }

    /// The proxy the next request goes to: the first route's if it is an address we may talk to, else the one the
    /// dialog came through.
    pub fn next_hop(&self) -> SocketAddr {
        let route = self.routes.first().and_then(|route| Uri::parse(&NameAddr::parse(route)?.uri));
        let address =
            route.and_then(|uri| Some(SocketAddr::new(uri.host.parse().ok()?, uri.port.unwrap_or(5060))));
        address.filter(|address| self.endpoint.allows(address.ip())).unwrap_or(self.fallback)
    }

    /// Ends the dialog with a BYE; nobody waits for its answer.
    pub fn bye(mut self) {
        let (request, next_hop) = (self.request("BYE"), self.next_hop());
        let endpoint = self.endpoint.clone();
        tokio::spawn(async move {
            if client::transact(&endpoint, request, next_hop).await.is_none() {
                tracing::debug!(%next_hop, "a BYE was never answered");
            }
        });
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        self.endpoint.dialogs.lock().remove(&self.id);
    }
}

impl Endpoint {
    fn open_dialog(&self, id: &DialogId) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        self.dialogs.lock().insert(id.clone(), sender);
        receiver
    }
}

/// URI of the Contact; without one the request's own URI, which at least reaches the proxy.
fn contact_of(message: &Message) -> String {
    let contact = message.headers.get("Contact").and_then(NameAddr::parse).map(|contact| contact.uri);
    contact.unwrap_or_else(|| match &message.start {
        Start::Request { uri, .. } => uri.clone(),
        Start::Response { .. } => {
            message.headers.get("To").and_then(NameAddr::parse).map(|to| to.uri).unwrap_or_default()
        }
    })
}
