//! One phone in a call: its dialog and its audio.

use crate::rtp::Stream;
use crate::sip::dialog::{Dialog, Event};
use crate::sip::endpoint::Endpoint;
use crate::sip::message::Message;
use crate::sip::sdp::{self, Codec, Local, Remote};
use crate::sip::server::ServerTransaction;

/// How a phone left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It hung up.
    Bye,
    /// It took its INVITE back.
    Cancelled,
    /// It never acknowledged our answer.
    Lost,
}

/// A dialog with audio.
#[derive(Debug)]
pub struct Party {
    /// The signalling.
    pub dialog: Dialog,
    /// The audio.
    pub stream: Stream,
    /// What both legs of the call speak.
    pub codec: Codec,
    /// Payload type of telephone-events, if the call has them.
    pub dtmf: Option<u8>,
    contact: String,
}

impl Party {
    /// A phone whose SDP, if it sent one already, is `remote`.
    pub fn new(endpoint: &Endpoint, dialog: Dialog, stream: Stream, remote: Option<&Remote>) -> Self {
        if let Some(remote) = remote {
            stream.set_remote(remote.address);
        }
        let (codec, dtmf) = remote.map_or((Codec::Pcmu, None), |remote| (remote.codec, remote.dtmf));
        Self { dialog, stream, codec, dtmf, contact: endpoint.contact() }
    }

    /// Our end of the audio, for an SDP.
    pub fn local(&self) -> Local {
        Local { address: self.stream.local(), session: u64::from(self.stream.local().port()) }
    }

    /// Waits until the phone leaves; meanwhile answers its re-INVITEs and INFOs. May be dropped and called again.
    pub async fn ended(&mut self) -> Ending {
        while let Some(event) = self.dialog.events.recv().await {
            match event {
                Event::Cancelled => return Ending::Cancelled,
                Event::AckTimeout => return Ending::Lost,
                Event::Acked(body) => {
                    if let Some(remote) = Remote::parse(&body) {
                        self.stream.set_remote(remote.address);
                    }
                }
                Event::Request(transaction) => match transaction.request.method() {
                    "BYE" => {
                        transaction.reply(200, "OK");
                        return Ending::Bye;
                    }
                    "INVITE" => self.reinvite(*transaction),
                    "INFO" | "OPTIONS" => transaction.reply(200, "OK"),
                    _ => {
                        let mut refused = transaction.response(405, "Method Not Allowed");
                        refused.headers.push("Allow", crate::sip::ALLOW);
                        transaction.respond(&refused);
                    }
                },
            }
        }
        // The endpoint is gone: nothing more can be heard of this phone.
        Ending::Lost
    }

    /// A 2xx to `request` with our SDP: the answer to `remote`'s offer, or an offer if it made none.
    pub fn accept(&self, transaction: &ServerTransaction, remote: Option<&Remote>) -> Message {
        let local = self.local();
        let sdp = remote.map_or_else(|| local.offer(self.codec, self.dtmf), |remote| remote.answer(&local));
        let mut ok = transaction.response(200, "OK");
        ok.headers.push("Contact", self.contact.as_str());
        ok.headers.push("Allow", crate::sip::ALLOW);
        ok.with_body(sdp::CONTENT_TYPE, sdp)
    }

    /// Hold, resume, or a new address. The other leg is not told: the relay goes on.
    fn reinvite(&mut self, transaction: ServerTransaction) {
        let body = &transaction.request.body;
        let remote = Remote::parse(body);
        if remote.is_none() && !body.is_empty() {
            return transaction.reply(488, "Not Acceptable Here");
        }
        if let Some(remote) = &remote {
            self.stream.set_remote(remote.address);
        }
        let ok = self.accept(&transaction, remote.as_ref());
        transaction.respond(&ok);
    }
}
