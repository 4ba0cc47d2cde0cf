//! Client transactions (RFC 3261 section 17.1), and the INVITE's afterlife: ACK, late 2xx, CANCEL.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::dialog::Dialog;
use super::endpoint::Endpoint;
use super::message::{Message, Start};

/// Responses a transaction may be behind with; what does not fit is sent again by its sender.
const RESPONSES_MAX: usize = 16;

type Key = (String, String);

/// Where responses are delivered, by branch and method.
#[derive(Debug, Default)]
pub struct Transactions(Mutex<HashMap<Key, mpsc::Sender<Message>>>);

impl Transactions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, mpsc::Sender<Message>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a response to its transaction; one that nobody waits for is dropped.
    pub fn deliver(&self, response: Message) {
        let key = (response.branch().unwrap_or_default().to_owned(), response.method().to_owned());
        let sender = self.lock().get(&key).cloned();
        if let Some(sender) = sender {
            let _full = sender.try_send(response);
        }
    }
}

/// An open transaction: dropping it closes it.
struct Open {
    endpoint: Arc<Endpoint>,
    key: Key,
    responses: mpsc::Receiver<Message>,
}

impl Open {
    fn new(endpoint: &Arc<Endpoint>, request: &Message) -> Self {
        let (sender, responses) = mpsc::channel(RESPONSES_MAX);
        let key = (request.branch().unwrap_or_default().to_owned(), request.method().to_owned());
        endpoint.clients.lock().insert(key.clone(), sender);
        Self { endpoint: endpoint.clone(), key, responses }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.endpoint.clients.lock().remove(&self.key);
    }
}

/// Sends a request other than INVITE or ACK, again and again until a final response. `None` if there was none.
pub async fn transact(endpoint: &Arc<Endpoint>, request: Message, to: SocketAddr) -> Option<Message> {
    let mut open = Open::new(endpoint, &request);
    let bytes = request.to_bytes();
    let deadline = Instant::now() + endpoint.timers.transaction();
    let mut gap = endpoint.timers.t1;
    while Instant::now() < deadline {
        endpoint.send(&bytes, to);
        let next = (Instant::now() + gap).min(deadline);
        while let Ok(response) = timeout_at(next, open.responses.recv()).await {
            match response {
                Some(response) if is_provisional(&response) => {}
                other => return other,
            }
        }
        gap = endpoint.timers.next_gap(gap);
    }
    None
}

/// How an outgoing call comes along.
#[derive(Debug)]
pub enum Progress {
    /// A provisional response above 100.
    Ringing(Message),
    /// The call is up: already acknowledged, with the 2xx that opened it.
    Answered(Box<Dialog>, Message),
    /// Refused, timed out (408) or cancelled (487).
    Failed(Message),
}

/// An outgoing call that has no final response yet. Dropping it cancels it.
#[derive(Debug)]
pub struct Attempt {
    /// The INVITE as sent.
    pub invite: Message,
    progress: mpsc::Receiver<Progress>,
    cancel: CancellationToken,
}

impl Attempt {
    /// The next thing that happens; after `Answered` or `Failed` there is nothing more.
    pub async fn next(&mut self) -> Option<Progress> {
        self.progress.recv().await
    }

    /// Takes the INVITE back. What is answered all the same is acknowledged and ended with a BYE.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Sends an INVITE to the proxy and follows it.
pub fn invite(endpoint: &Arc<Endpoint>, invite: Message) -> Attempt {
    let (sender, progress) = mpsc::channel(RESPONSES_MAX);
    let cancel = CancellationToken::new();
    let transaction = InviteTransaction {
        open: Open::new(endpoint, &invite),
        to: endpoint.proxy(),
        endpoint: endpoint.clone(),
        invite: invite.clone(),
        progress: sender,
        cancel: cancel.clone(),
    };
    tokio::spawn(transaction.run());
    Attempt { invite, progress, cancel }
}

struct InviteTransaction {
    endpoint: Arc<Endpoint>,
    open: Open,
    invite: Message,
    to: SocketAddr,
    progress: mpsc::Sender<Progress>,
    cancel: CancellationToken,
}

impl InviteTransaction {
    async fn run(mut self) {
        let Some(last) = self.until_final().await else {
            let timeout = Message::response(&self.invite, 408, "Request Timeout", None);
            let _ = self.progress.send(Progress::Failed(timeout)).await;
            return;
        };
        self.linger(last).await;
    }

    /// Repeats the INVITE until something is heard, then waits for the end; `None` if there is none.
    async fn until_final(&mut self) -> Option<Message> {
        let timers = self.endpoint.timers;
        let (bytes, mut gap) = (self.invite.to_bytes(), timers.t1);
        let (mut heard, mut cancelled) = (false, false);
        // Before a provisional response this is timer B; after a CANCEL the time the 487 may take. In between the
        // caller decides how long it rings.
        let mut deadline = Some(Instant::now() + timers.transaction());
        self.endpoint.send(&bytes, self.to);
        let mut resend_at = Instant::now() + gap;
        loop {
            // A CANCEL must not overtake its INVITE: it waits for a provisional response (RFC 3261 section 9.1).
            if self.cancel.is_cancelled() && heard && !cancelled {
                cancelled = true;
                self.send_cancel();
                deadline = Some(Instant::now() + timers.transaction());
            }
            let wake =
                deadline.map_or(resend_at, |deadline| if heard { deadline } else { deadline.min(resend_at) });
            tokio::select! {
                response = self.open.responses.recv() => match response? {
                    response if is_provisional(&response) => {
                        if !heard {
                            (heard, deadline) = (true, None);
                        }
                        if !matches!(response.start, Start::Response { code: 100, .. }) {
                            let _ = self.progress.try_send(Progress::Ringing(response));
                        }
                    }
                    response => return Some(response),
                },
                () = self.cancel.cancelled(), if heard && !cancelled => {}
                () = sleep_until(wake), if !heard || deadline.is_some() => {
                    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        return None;
                    }
                    self.endpoint.send(&bytes, self.to);
                    gap *= 2;
                    resend_at = Instant::now() + gap;
                }
            }
        }
    }

    /// Acknowledges the final response and every repetition of it, and ends what more than one fork answered.
    async fn linger(mut self, first: Message) {
        let deadline = Instant::now() + self.endpoint.timers.transaction();
        let mut acks: HashMap<Option<String>, (Vec<u8>, SocketAddr)> = HashMap::new();
        let mut response = Some(first);
        while let Some(last) = response.take() {
            let tag = last.to_tag();
            if let Some((ack, to)) = acks.get(&tag) {
                self.endpoint.send(ack, *to);
            } else if is_success(&last) {
                let mut dialog = Dialog::uac(&self.endpoint, &self.invite, &last);
                let (ack, to) = (dialog.request("ACK").to_bytes(), dialog.next_hop());
                self.endpoint.send(&ack, to);
                // Taken back, wanted by nobody any more, or a second fork's: ended at once.
                if self.cancel.is_cancelled() || !acks.is_empty() {
                    dialog.bye();
                } else if let Err(unwanted) =
                    self.progress.send(Progress::Answered(Box::new(dialog), last)).await
                    && let Progress::Answered(dialog, _) = unwanted.0
                {
                    dialog.bye();
                }
                acks.insert(tag, (ack, to));
            } else {
                let ack = self.ack_of_refusal(&last).to_bytes();
                self.endpoint.send(&ack, self.to);
                if acks.is_empty() {
                    let _ = self.progress.send(Progress::Failed(last)).await;
                }
                acks.insert(tag, (ack, self.to));
            }
            while let Ok(Some(next)) = timeout_at(deadline, self.open.responses.recv()).await {
                if !is_provisional(&next) {
                    response = Some(next);
                    break;
                }
            }
        }
    }

    /// The ACK of a refusal belongs to the INVITE's transaction: same branch (RFC 3261 section 17.1.1.3).
    fn ack_of_refusal(&self, response: &Message) -> Message {
        let mut ack = self.same_transaction("ACK");
        ack.headers.set("To", response.headers.get("To").unwrap_or_default());
        ack
    }

    fn send_cancel(&self) {
        let (endpoint, cancel, to) = (self.endpoint.clone(), self.same_transaction("CANCEL"), self.to);
        tokio::spawn(async move { transact(&endpoint, cancel, to).await });
    }

    fn same_transaction(&self, method: &str) -> Message {
        let uri = match &self.invite.start {
            Start::Request { uri, .. } => uri.as_str(),
            Start::Response { .. } => "",
        };
        let mut request = Message::request(method, uri);
        for name in ["Via", "Max-Forwards", "From", "To", "Call-ID"] {
            request.headers.push(name, self.invite.headers.get(name).unwrap_or_default());
        }
        let number = self.invite.cseq().map_or(1, |(number, _)| number);
        request.headers.push("CSeq", format!("{number} {method}"));
        request
    }
}

fn is_provisional(response: &Message) -> bool {
    matches!(response.start, Start::Response { code: 100..=199, .. })
}

fn is_success(response: &Message) -> bool {
    matches!(response.start, Start::Response { code: 200..=299, .. })
}
