//! Server transactions (RFC 3261 section 17.2): a retransmitted request gets the last response again, a final
//! response to an INVITE is repeated until its ACK.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::dialog::{DialogId, Event};
use super::endpoint::Endpoint;
use super::message::Message;
use super::new_tag;

/// Transactions remembered at a time: about 1,000 calls' worth of the last 32 s. Above it new requests get 503.
const TRANSACTIONS_MAX: usize = 20_000;

/// Branch, sent-by and method (RFC 3261 section 17.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    branch: String,
    sent_by: String,
    method: String,
}

impl Key {
    /// The transaction `request` belongs to, or with `method` the one it refers to (CANCEL → INVITE).
    pub fn of(request: &Message, method: &str) -> Self {
        let via = request.headers.get("Via").unwrap_or_default();
        let sent_by = via.split(';').next().unwrap_or_default();
        let sent_by = sent_by.rsplit(' ').next().unwrap_or_default().to_ascii_lowercase();
        Self { branch: request.branch().unwrap_or_default().to_owned(), sent_by, method: method.to_owned() }
    }
}

/// Call-ID, our tag, CSeq number: what an ACK to any final response of ours carries.
type AckKey = (String, String, u32);

#[derive(Debug)]
struct Entry {
    local_tag: String,
    last: Option<Arc<[u8]>>,
    done: bool,
}

/// The table of server transactions.
#[derive(Debug, Default)]
pub struct Transactions {
    entries: Mutex<HashMap<Key, Entry>>,
    unacked: Mutex<HashMap<AckKey, Arc<Notify>>>,
}

/// What a request is to us.
pub enum Seen {
    /// A new one, with the tag our responses carry.
    New(String),
    /// Seen before; the last response, if there was one.
    Again(Option<Arc<[u8]>>),
    /// No room.
    Full,
}

impl Transactions {
    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unacked(&self) -> MutexGuard<'_, HashMap<AckKey, Arc<Notify>>> {
        self.unacked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the transaction of `request`, or finds it.
    pub fn begin(&self, key: &Key, request: &Message) -> Seen {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(key) {
            return Seen::Again(entry.last.clone());
        }
        if entries.len() >= TRANSACTIONS_MAX {
            return Seen::Full;
        }
        let local_tag = request.to_tag().unwrap_or_else(new_tag);
        entries.insert(key.clone(), Entry { local_tag: local_tag.clone(), last: None, done: false });
        Seen::New(local_tag)
    }

    /// Our tag in the transaction `key` if it has no final response yet: what a CANCEL can still reach.
    pub fn pending_tag(&self, key: &Key) -> Option<String> {
        self.entries().get(key).filter(|entry| !entry.done).map(|entry| entry.local_tag.clone())
    }

    /// Takes an ACK: the final response it belongs to is repeated no more.
    pub fn acked(&self, ack: &Message) {
        let (Some(tag), Some((number, _))) = (ack.to_tag(), ack.cseq()) else { return };
        if let Some(waiting) = self.unacked().remove(&(ack.call_id().to_owned(), tag, number)) {
            waiting.notify_one();
        }
    }
}

/// One request that waits for our response. Dropped without a final response it answers 500: no peer waits in vain.
#[derive(Debug)]
pub struct ServerTransaction {
    /// The request.
    pub request: Message,
    /// Who sent it.
    pub source: SocketAddr,
    /// The tag of our responses.
    pub local_tag: String,
    endpoint: Arc<Endpoint>,
    key: Key,
    done: bool,
}

impl ServerTransaction {
    pub(super) fn new(
        endpoint: &Arc<Endpoint>,
        key: Key,
        request: Message,
        source: SocketAddr,
        local_tag: String,
    ) -> Self {
        Self { request, source, local_tag, endpoint: endpoint.clone(), key, done: false }
    }

    /// A response to this request without body.
    pub fn response(&self, code: u16, reason: &str) -> Message {
        let tag = (code > 100).then_some(self.local_tag.as_str());
        let mut response = Message::response(&self.request, code, reason, tag);
        response.headers.push("User-Agent", crate::USER_AGENT);
        response
    }

    /// Sends 1xx.
    pub fn provisional(&self, response: &Message) {
        self.send(response, false);
    }

    /// Sends a final response without body.
    pub fn reply(self, code: u16, reason: &str) {
        let response = self.response(code, reason);
        self.respond(&response);
    }

    /// Sends the final response. An INVITE's is repeated until its ACK; the transaction is remembered for 64 T1.
    pub fn respond(mut self, response: &Message) {
        self.done = true;
        let bytes = self.send(response, true);
        let (endpoint, key, source) = (self.endpoint.clone(), self.key.clone(), self.source);
        let accepted = matches!(response.start, super::message::Start::Response { code: 200..=299, .. });
        let number = self.request.cseq().map_or(0, |(number, _)| number);
        let ack_key: AckKey = (self.request.call_id().to_owned(), self.local_tag.clone(), number);
        let dialog = DialogId::of_request(&self.request, &self.local_tag);
        let acked = (self.key.method == "INVITE").then(|| {
            let acked = Arc::new(Notify::new());
            endpoint.servers.unacked().insert(ack_key.clone(), acked.clone());
            acked
        });
        tokio::spawn(async move {
            let deadline = Instant::now() + endpoint.timers.transaction();
            if let Some(acked) = acked
                && !repeat_until(&endpoint, &bytes, source, &acked, deadline).await
            {
                endpoint.servers.unacked().remove(&ack_key);
                if accepted {
                    // RFC 3261 section 13.3.1.4: the session is to be ended. A call that is gone needs no word.
                    let _gone = endpoint.dialogs.deliver(&dialog, Event::AckTimeout);
                }
            }
            sleep(deadline.saturating_duration_since(Instant::now())).await;
            endpoint.servers.entries().remove(&key);
        });
    }

    fn send(&self, response: &Message, done: bool) -> Arc<[u8]> {
        let bytes: Arc<[u8]> = response.to_bytes().into();
        if let Some(entry) = self.endpoint.servers.entries().get_mut(&self.key) {
            entry.last = Some(bytes.clone());
            entry.done = done;
        }
        self.endpoint.send(&bytes, self.source);
        bytes
    }
}

impl Drop for ServerTransaction {
    fn drop(&mut self) {
        if !self.done {
            let response = self.response(500, "Server Internal Error");
            self.endpoint.send(&response.to_bytes(), self.source);
            self.endpoint.servers.entries().remove(&self.key);
        }
    }
}

/// Repeats `bytes` until `acked` (true) or `deadline` (false).
async fn repeat_until(
    endpoint: &Endpoint,
    bytes: &[u8],
    to: SocketAddr,
    acked: &Notify,
    deadline: Instant,
) -> bool {
    let mut gap = endpoint.timers.t1;
    while Instant::now() < deadline {
        if timeout(gap, acked.notified()).await.is_ok() {
            return true;
        }
        endpoint.send(bytes, to);
        gap = endpoint.timers.next_gap(gap);
    }
    false
}
