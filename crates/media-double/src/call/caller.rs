//! The leg that called us, from its INVITE to its CDR.

use std::io;

use super::facts::{self, Sdp};
use super::party::{Ending, Party};
use super::routing::Routing;
use super::switch::Switch;
use crate::cdr::{Cause, Direction, Leg, Profile};
use crate::clock;
use crate::rtp::Stream;
use crate::sip::endpoint::Invite;
use crate::sip::sdp::Remote;
use crate::sip::server::ServerTransaction;
use crate::sip::uri::{NameAddr, Uri};

/// The calling leg.
#[derive(Debug)]
pub struct Caller {
    /// Its record.
    pub leg: Leg,
    /// The phone.
    pub party: Party,
    /// Whether its offer, if it made one, has audio we speak.
    pub acceptable: bool,
    /// Max-Forwards of its INVITE; 70 where it says nothing sensible.
    pub max_forwards: u32,
    offer: Option<Remote>,
    transaction: Option<ServerTransaction>,
}

impl Caller {
    /// Opens the leg of `invite`.
    ///
    /// # Errors
    /// There is no RTP port for it; the INVITE is answered with 500.
    pub async fn new(switch: &Switch, invite: Invite, routing: &Routing) -> io::Result<Self> {
        let Invite { transaction, dialog } = invite;
        let request = &transaction.request;
        let from = request.headers.get("From").and_then(NameAddr::parse);
        let number = from.as_ref().and_then(|from| Uri::parse(&from.uri)?.user).unwrap_or_default();
        let name = from.map(|from| from.display).filter(|name| !name.is_empty());
        let profile = Profile {
            username: number.clone(),
            dialplan: "XML",
            caller_id_name: name.unwrap_or_else(|| number.clone()),
            ani: number.clone(),
            caller_id_number: number.clone(),
            network_addr: transaction.source.ip().to_string(),
            destination_number: routing.extension.clone(),
            source: "mod_sofia",
            context: "tandem",
            chan_name: format!("sofia/kamailio/{number}@{}", routing.domain),
            ..Profile::default()
        };
        let mut leg = Leg::new(Direction::Inbound, profile);
        facts::incoming(&mut leg, &transaction, switch.endpoint.local());
        facts::dialplan(&mut leg, routing);
        let offer = Remote::parse(&request.body);
        let acceptable = offer.is_some() || request.body.is_empty();
        let max_forwards =
            request.headers.get("Max-Forwards").and_then(|hops| hops.parse().ok()).unwrap_or(70);
        let stream = Stream::open(&switch.ports).await?;
        let party = Party::new(&switch.endpoint, dialog, stream, offer.as_ref());
        Ok(Self { leg, party, acceptable, max_forwards, offer, transaction: Some(transaction) })
    }

    /// Tells the caller that it rings; once is enough.
    pub fn ring(&mut self) {
        if let Some(transaction) = &self.transaction
            && self.leg.times.progress.is_none()
        {
            self.leg.times.progress = Some(clock::now());
            transaction.provisional(&transaction.response(180, "Ringing"));
        }
    }

    /// Answers.
    pub fn answer(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            let now = clock::now();
            self.leg.times.answered = Some(now);
            self.leg.times.progress_media.get_or_insert(now);
            let ok = self.party.accept(&transaction, self.offer.as_ref());
            let to = transaction.request.headers.get("To").unwrap_or_default();
            facts::accepted(&mut self.leg, to, &transaction.local_tag);
            let sdp = Sdp { ours: &ok.body, theirs: &transaction.request.body };
            facts::media(&mut self.leg, self.party.stream.local(), sdp);
            transaction.respond(&ok);
        }
    }

    /// The caller left by itself: writes its CDR.
    pub fn left(mut self, switch: &Switch, ending: Ending) {
        let (cause, disposition) = match ending {
            Ending::Bye => (Cause::NormalClearing, "recv_bye"),
            Ending::Cancelled => (Cause::OriginatorCancel, "recv_cancel"),
            Ending::Lost => (Cause::NormalUnspecified, "send_bye"),
        };
        self.leg.hang_up(cause, disposition);
        // A CANCEL that crossed our answer changes nothing (RFC 3261 section 9.2): the dialog needs its BYE.
        let with_bye = ending != Ending::Bye && self.leg.times.answered.is_some();
        self.refuse(Cause::OriginatorCancel.sip());
        self.close(switch, with_bye);
    }

    /// We end the leg, with a BYE or with the refusal that says `cause`: writes its CDR.
    pub fn hang_up(mut self, switch: &Switch, cause: Cause) {
        let with_bye = self.transaction.is_none();
        self.leg.hang_up(cause, if with_bye { "send_bye" } else { "send_refuse" });
        self.refuse(cause.sip());
        self.close(switch, with_bye);
    }

    /// The dialplan's `respond` (capture: busy): writes the CDR.
    pub fn respond(mut self, switch: &Switch, code: u16, reason: &str) {
        self.leg.run("respond", format!("{code} {reason}"));
        self.leg.hang_up(Cause::of_sip(code), "send_refuse");
        self.refuse((code, reason));
        self.close(switch, false);
    }

    fn refuse(&mut self, (code, reason): (u16, &str)) {
        if let Some(transaction) = self.transaction.take() {
            transaction.reply(code, reason);
        }
    }

    fn close(mut self, switch: &Switch, with_bye: bool) {
        if self.leg.times.answered.is_some() {
            self.leg.media = Some(self.party.stream.counters());
        }
        if with_bye {
            self.party.dialog.bye();
        }
        switch.cdrs.submit(self.leg);
    }
}
