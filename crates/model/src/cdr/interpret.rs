//! What a CDR document says about its leg.

use std::borrow::Cow;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::document::{Document, Profile};
use crate::call::Story;
use crate::json::Text;
use crate::{Direction, Leg, LegDirection, LegSource, Recording, tidy};

/// The leg, or why there is none, as a sentence.
pub(super) fn leg(document: &Document, uuid_hint: Option<&str>) -> Result<Leg, String> {
    let reading = Reading { document, first: document.oldest(), encoded: values_are_encoded(document) };
    let mut leg = reading.leg(uuid_hint)?;
    leg.story = reading.story(&leg);
    Ok(leg)
}

pub(super) struct Reading<'d> {
    pub(super) document: &'d Document<'d>,
    /// The leg as it was made, before any transfer. What was dialled, by whom, in which context, is told from it.
    first: Option<&'d Profile<'d>>,
    /// The variables' values are percent-encoded.
    encoded: bool,
}

/// Whether FreeSWITCH encoded the values (`encode-values`). `start_stamp` tells it for sure: it always holds a blank and
/// colons, and FreeSWITCH encodes both. Without it, an encoded `@` in what is never without one tells it.
///
/// Decoding stays ambiguous all the same: a `%41` that a caller sent is not encoded again, and reads as `A`.
fn values_are_encoded(document: &Document) -> bool {
    let var = &document.variables;
    match &var.start_stamp {
        Some(stamp) => stamp.contains("%20") || stamp.contains("%3A"),
        None => [&var.cc_queue, &var.cc_agent].into_iter().flatten().any(|it| it.contains("%40")),
    }
}

impl<'d> Reading<'d> {
    fn leg(&self, uuid_hint: Option<&str>) -> Result<Leg, String> {
        let var = &self.document.variables;
        let leg_uuid = self.leg_uuid(uuid_hint)?;
        let leg_direction = self.leg_direction();
        let start_time = self.start_time().ok_or(
            "it does not say when the leg began: start_uepoch and the callflow's created_time are absent, 0 or implausible",
        )?;
        let answer_time = self.time(&var.answer_uepoch, |profile| &profile.times.answered);
        let end_time = self.time(&var.end_uepoch, |profile| &profile.times.hungup);
        Ok(Leg {
            parent_uuid: self.parent(leg_direction).filter(|parent| *parent != leg_uuid),
            bleg_uuid: [&var.bridge_uuid, &var.last_bridge_to].into_iter().find_map(|it| self.id(it)),
            source: match self.document.switchname.as_deref() {
                Some("media-double") => LegSource::MediaDouble,
                _ => LegSource::Freeswitch,
            },
            provisional: false,
            vp_call: [&var.vp_call, &var.x_vp_call].into_iter().find_map(|it| self.id(it)),
            domain: self.domain(),
            direction: self.direction(),
            leg_direction,
            caller_id_number: self
                .of_first(|it| &it.caller.id_number)
                .or_else(|| self.text(&var.sip_from_user)),
            caller_id_name: self
                .of_first(|it| &it.caller.id_name)
                .or_else(|| self.text(&var.sip_from_display)),
            destination_number: self
                .of_first(|it| &it.caller.destination_number)
                .or_else(|| self.text(&var.sip_req_user)),
            context: self.of_first(|it| &it.caller.context),
            start_time,
            answer_time,
            end_time,
            duration: self.seconds(&var.duration, Some(start_time), end_time),
            billsec: self.seconds(&var.billsec, answer_time, end_time),
            hangup_cause: self.text(&var.hangup_cause),
            hangup_cause_q850: self.integer(&var.hangup_cause_q850).and_then(|q850| i16::try_from(q850).ok()),
            queue: self.queue(),
            agent: self.value(&var.cc_agent).and_then(|it| tidy::text(tidy::split_at_domain(&it).0)),
            trunk: self.trunk(),
            sip_call_id: self.id(&var.sip_call_id),
            core_uuid: self
                .document
                .core_uuid
                .as_deref()
                .and_then(tidy::id)
                .or_else(|| self.id(&var.core_uuid)),
            session_id: self.integer(&var.session_id).filter(|it| super::session::NUMBERS.contains(it)),
            recorded: self.recorded(),
            recording: self.recording(),
            story: Story::default(),
            leg_uuid,
        })
    }

    fn leg_uuid(&self, uuid_hint: Option<&str>) -> Result<String, String> {
        let profile = self.first.and_then(|it| it.caller.uuid.as_deref());
        let named = self.value(&self.document.variables.uuid).filter(|it| !it.is_empty());
        match named.as_deref().or(profile).or(uuid_hint) {
            Some(uuid) => tidy::id(uuid)
                .ok_or_else(|| "the leg's uuid is too long or holds control characters".to_owned()),
            None => Err("it names no uuid".to_owned()),
        }
    }

    fn leg_direction(&self) -> LegDirection {
        let var = &self.document.variables;
        let named = |text: &Text| self.value(text).and_then(|it| LegDirection::from_name(&it));
        let caused = || self.id(&var.originator).or_else(|| self.id(&var.originating_leg_uuid));
        named(&self.document.channel_data.direction).or_else(|| named(&var.direction)).unwrap_or_else(|| {
            if caused().is_some() { LegDirection::Outbound } else { LegDirection::Inbound }
        })
    }

    /// The leg that caused this one.
    ///
    /// A leg that someone set up towards FreeSWITCH is a root, however it was bridged later (`signal_bond` is set on both sides
    /// of a bridge). The B half of a loopback channel counts as inbound and belongs to its A half. An unanswered agent's leg has no
    /// originator, and its `call_uuid` is its own: only `cc_member_session_uuid` names the caller's leg.
    fn parent(&self, leg_direction: LegDirection) -> Option<String> {
        let var = &self.document.variables;
        if self.value(&var.loopback_leg).as_deref() == Some("B") {
            return self.id(&var.other_loopback_leg_uuid);
        }
        if leg_direction == LegDirection::Inbound {
            return None;
        }
        let variables = [&var.originator, &var.originating_leg_uuid, &var.cc_member_session_uuid];
        variables.into_iter().find_map(|it| self.id(it)).or_else(|| {
            let originators =
                self.document.callflow.0.iter().rev().flat_map(|it| &it.caller.originator.profiles.0);
            originators.filter_map(|it| it.uuid.as_deref()).find_map(tidy::id)
        })
    }

    /// The call's direction as far as this leg knows it: the dialplan's word (`vp_direction`), else what kind of call Kamailio
    /// sent here (`X-VP-Type`), else whether the leg came from or went to a gateway, else internal.
    fn direction(&self) -> Direction {
        let var = &self.document.variables;
        let stated = self.value(&var.vp_direction).and_then(|it| Direction::from_name(&it));
        let by_type = || match self.vp_type()?.as_ref() {
            "trunk_out" => Some(Direction::Outbound),
            "trunk_in" => Some(Direction::Inbound),
            _ => None,
        };
        let by_gateway = || match (self.id(&var.sip_gateway), self.id(&var.sip_gateway_name)) {
            (Some(_), _) => Some(Direction::Inbound),
            (None, Some(_)) => Some(Direction::Outbound),
            (None, None) => None,
        };
        stated.or_else(by_type).or_else(by_gateway).unwrap_or(Direction::Internal)
    }

    fn vp_type(&self) -> Option<Cow<'d, str>> {
        let var = &self.document.variables;
        self.value(&var.vp_type).or_else(|| self.value(&var.x_vp_type))
    }

    /// The tenant: as Kamailio said, as FreeSWITCH's directory said, whom the leg dialled, whose queue it was in, or
    /// at last the host of its From.
    fn domain(&self) -> Option<String> {
        let var = &self.document.variables;
        let domain = |text: &Text| self.value(text).and_then(|it| tidy::domain(&it));
        let of_queue =
            || self.value(&var.cc_queue).and_then(|it| tidy::domain(tidy::split_at_domain(&it).1?));
        [&var.vp_domain, &var.x_vp_domain, &var.domain_name, &var.dialed_domain]
            .into_iter()
            .find_map(domain)
            .or_else(of_queue)
            .or_else(|| self.value(&var.sip_from_host).and_then(|it| tidy::domain(&it)))
    }

    /// mod_callcenter's queue without its domain; of a caller who hung up before he was in it, the queue he was sent to.
    fn queue(&self) -> Option<String> {
        let var = &self.document.variables;
        let joined = self.value(&var.cc_queue).and_then(|it| tidy::text(tidy::split_at_domain(&it).0));
        joined.or_else(|| {
            let reference = self.text(&var.vp_ref).or_else(|| self.text(&var.x_vp_ref));
            reference.filter(|_| self.vp_type().as_deref() == Some("queue"))
        })
    }

    /// The gateway that the leg really went through or came from; of a call to a trunk that has no such leg, or whose legs
    /// failed before one, the trunk that Kamailio looked up.
    fn trunk(&self) -> Option<String> {
        let var = &self.document.variables;
        let looked_up = || {
            let reference = self.text(&var.vp_ref).or_else(|| self.text(&var.x_vp_ref));
            reference.filter(|_| self.vp_type().as_deref() == Some("trunk_out"))
        };
        [&var.sip_gateway_name, &var.sip_gateway].into_iter().find_map(|it| self.text(it)).or_else(looked_up)
    }

    fn recorded(&self) -> bool {
        let var = &self.document.variables;
        let stated = matches!(self.value(&var.vp_recorded).as_deref(), Some("1" | "true" | "yes"));
        let sizes = [&var.record_seconds, &var.record_ms, &var.record_file_size];
        stated || sizes.into_iter().any(|it| self.integer(it).is_some_and(|size| size > 0))
    }

    /// The dialplan names the file before it is known whether the call will be answered: without a length there is none.
    fn recording(&self) -> Option<Recording> {
        let var = &self.document.variables;
        let path = self.value(&var.vp_recording).filter(|_| self.recorded())?;
        Recording::at(&path, self.integer(&var.record_ms), self.integer(&var.record_file_size))
    }

    fn start_time(&self) -> Option<Timestamp> {
        let created = |profile: &Profile| timestamp(profile.times.created.as_deref()?);
        self.value(&self.document.variables.start_uepoch)
            .and_then(|it| timestamp(&it))
            .or_else(|| self.first.and_then(created))
            .or_else(|| self.document.callflow.0.iter().filter_map(created).min())
    }

    /// A time of the variables, else the callflow's. The variables' "0" is an answer: it did not happen.
    fn time(&self, variable: &Text, of: impl Fn(&'d Profile<'d>) -> &'d Text<'d>) -> Option<Timestamp> {
        match self.value(variable) {
            Some(text) => timestamp(&text),
            None => self.document.callflow.0.iter().filter_map(|it| timestamp(of(it).as_deref()?)).max(),
        }
    }

    /// FreeSWITCH's integer verbatim, or its arithmetic where it is absent: the difference of whole seconds of the clock.
    fn seconds(&self, variable: &Text, from: Option<Timestamp>, to: Option<Timestamp>) -> i32 {
        let seconds =
            self.integer(variable).or_else(|| Some(to?.as_second() - from?.as_second())).unwrap_or(0);
        i32::try_from(seconds).unwrap_or(if seconds < 0 { i32::MIN } else { i32::MAX })
    }

    fn of_first(&self, of: impl Fn(&'d Profile<'d>) -> &'d Text<'d>) -> Option<String> {
        tidy::text(of(self.first?).as_deref()?)
    }

    pub(super) fn text(&self, variable: &Text) -> Option<String> {
        self.value(variable).and_then(|it| tidy::text(&it))
    }

    pub(super) fn id(&self, variable: &Text) -> Option<String> {
        self.value(variable).and_then(|it| tidy::id(&it))
    }

    pub(super) fn integer(&self, variable: &Text) -> Option<i64> {
        self.value(variable).and_then(|it| it.trim().parse().ok())
    }

    /// A variable's value, decoded where values are encoded.
    pub(super) fn value<'v>(&self, variable: &'v Text) -> Option<Cow<'v, str>> {
        let value = variable.as_deref()?;
        Some(if self.encoded { percent_decode_str(value).decode_utf8_lossy() } else { Cow::Borrowed(value) })
    }
}

pub(super) fn timestamp(micros: &str) -> Option<Timestamp> {
    tidy::timestamp(micros.trim().parse().ok()?)
}
