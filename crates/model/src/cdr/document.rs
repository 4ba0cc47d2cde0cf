//! The members of a CDR document that say something about the leg. Whatever is missing or of another type reads as absent:
//! old versions lack `channel_data.direction`, `callStats` and `switchname`, and `callStats` can hold `null`.

use crate::json::{List, Text, members};

members! {
    /// The whole document.
    pub(super) struct Document<'a> {
        pub(super) core_uuid: Text<'a> = "core-uuid",
        pub(super) switchname: Text<'a> = "switchname",
        pub(super) channel_data: ChannelData<'a> = "channel_data",
        pub(super) variables: Variables<'a> = "variables",
        /// The caller as he was seen before and after each transfer, the newest first. Old versions repeat the key, once a profile.
        pub(super) callflow: List<Profile<'a>> = "callflow",
        pub(super) app_log: AppLog<'a> = "app_log",
    }

    /// What the dialplan did, in order.
    pub(super) struct AppLog<'a> {
        pub(super) applications: List<Application<'a>> = "applications",
    }

    /// Never percent-encoded.
    pub(super) struct Application<'a> wanted says_something {
        pub(super) name: Text<'a> = "app_name",
        pub(super) data: Text<'a> = "app_data",
        /// Microseconds since the epoch.
        pub(super) stamp: Text<'a> = "app_stamp",
    }

    pub(super) struct ChannelData<'a> {
        pub(super) direction: Text<'a> = "direction",
    }

    /// Channel variables. All may be percent-encoded (`encode-values`).
    pub(super) struct Variables<'a> {
        pub(super) uuid: Text<'a> = "uuid",
        pub(super) direction: Text<'a> = "direction",
        pub(super) core_uuid: Text<'a> = "Core-UUID",
        pub(super) session_id: Text<'a> = "session_id",
        pub(super) start_stamp: Text<'a> = "start_stamp",
        pub(super) start_uepoch: Text<'a> = "start_uepoch",
        pub(super) answer_uepoch: Text<'a> = "answer_uepoch",
        pub(super) end_uepoch: Text<'a> = "end_uepoch",
        pub(super) duration: Text<'a> = "duration",
        pub(super) billsec: Text<'a> = "billsec",
        pub(super) hangup_cause: Text<'a> = "hangup_cause",
        pub(super) hangup_cause_q850: Text<'a> = "hangup_cause_q850",

        pub(super) originator: Text<'a> = "originator",
        pub(super) originating_leg_uuid: Text<'a> = "originating_leg_uuid",
        pub(super) loopback_leg: Text<'a> = "loopback_leg",
        pub(super) other_loopback_leg_uuid: Text<'a> = "other_loopback_leg_uuid",
        pub(super) bridge_uuid: Text<'a> = "bridge_uuid",
        pub(super) last_bridge_to: Text<'a> = "last_bridge_to",
        pub(super) cc_member_session_uuid: Text<'a> = "cc_member_session_uuid",
        pub(super) cc_queue: Text<'a> = "cc_queue",
        pub(super) cc_agent: Text<'a> = "cc_agent",
        pub(super) cc_side: Text<'a> = "cc_side",

        pub(super) cc_queue_joined_epoch: Text<'a> = "cc_queue_joined_epoch",
        pub(super) cc_queue_answered_epoch: Text<'a> = "cc_queue_answered_epoch",
        pub(super) cc_queue_canceled_epoch: Text<'a> = "cc_queue_canceled_epoch",

        pub(super) bridge_uepoch: Text<'a> = "bridge_uepoch",
        pub(super) originate_disposition: Text<'a> = "originate_disposition",
        pub(super) sip_hangup_disposition: Text<'a> = "sip_hangup_disposition",
        pub(super) current_application: Text<'a> = "current_application",
        pub(super) current_application_data: Text<'a> = "current_application_data",
        pub(super) hold_events: Text<'a> = "hold_events",
        pub(super) transfer_to: Text<'a> = "transfer_to",
        pub(super) transfer_destination: Text<'a> = "transfer_destination",
        pub(super) refer_uuid: Text<'a> = "refer_uuid",
        pub(super) dialed_user: Text<'a> = "dialed_user",

        pub(super) vp_call: Text<'a> = "vp_call",
        pub(super) vp_domain: Text<'a> = "vp_domain",
        pub(super) vp_direction: Text<'a> = "vp_direction",
        pub(super) vp_type: Text<'a> = "vp_type",
        pub(super) vp_ref: Text<'a> = "vp_ref",
        pub(super) vp_recorded: Text<'a> = "vp_recorded",
        pub(super) vp_recording: Text<'a> = "vp_recording",
        pub(super) x_vp_call: Text<'a> = "sip_h_X-VP-Call",
        pub(super) x_vp_domain: Text<'a> = "sip_h_X-VP-Domain",
        pub(super) x_vp_type: Text<'a> = "sip_h_X-VP-Type",
        pub(super) x_vp_ref: Text<'a> = "sip_h_X-VP-Ref",

        pub(super) domain_name: Text<'a> = "domain_name",
        pub(super) dialed_domain: Text<'a> = "dialed_domain",
        pub(super) sip_from_host: Text<'a> = "sip_from_host",
        pub(super) sip_from_user: Text<'a> = "sip_from_user",
        pub(super) sip_from_display: Text<'a> = "sip_from_display",
        pub(super) sip_req_user: Text<'a> = "sip_req_user",
        pub(super) sip_call_id: Text<'a> = "sip_call_id",
        pub(super) sip_gateway: Text<'a> = "sip_gateway",
        pub(super) sip_gateway_name: Text<'a> = "sip_gateway_name",
        pub(super) record_seconds: Text<'a> = "record_seconds",
        pub(super) record_ms: Text<'a> = "record_ms",
        pub(super) record_file_size: Text<'a> = "record_file_size",
    }

    /// One entry of the callflow.
    pub(super) struct Profile<'a> {
        /// 1 for the leg's first, counting up.
        pub(super) index: Text<'a> = "profile_index",
        pub(super) caller: Caller<'a> = "caller_profile",
        pub(super) times: Times<'a> = "times",
    }

    /// Never percent-encoded, whatever the settings.
    pub(super) struct Caller<'a> {
        pub(super) uuid: Text<'a> = "uuid",
        pub(super) id_number: Text<'a> = "caller_id_number",
        pub(super) id_name: Text<'a> = "caller_id_name",
        pub(super) destination_number: Text<'a> = "destination_number",
        pub(super) context: Text<'a> = "context",
        pub(super) originator: Originator<'a> = "originator",
    }

    /// The leg that made this one, or was bridged to it.
    pub(super) struct Originator<'a> {
        pub(super) profiles: List<OriginatorProfile<'a>> = "originator_caller_profiles",
    }

    pub(super) struct OriginatorProfile<'a> {
        pub(super) uuid: Text<'a> = "uuid",
    }

    /// Microseconds since the epoch, "0" for never.
    pub(super) struct Times<'a> {
        pub(super) created: Text<'a> = "created_time",
        pub(super) answered: Text<'a> = "answered_time",
        pub(super) hungup: Text<'a> = "hangup_time",
        pub(super) bridged: Text<'a> = "bridged_time",
        /// When the next profile took this one's place.
        pub(super) transferred: Text<'a> = "transfer_time",
    }
}

impl Application<'_> {
    /// Most applications only set variables.
    fn says_something(&self) -> bool {
        self.name.as_deref().is_some_and(|name| super::story::APPLICATIONS.contains(&name))
    }
}

impl<'a> Document<'a> {
    /// The leg's profiles, the oldest first. Of equal indexes the last, for the newest come first; without an index a
    /// profile's place decides.
    pub(super) fn profiles(&self) -> Vec<&Profile<'a>> {
        let mut profiles: Vec<&Profile<'a>> = self.callflow.0.iter().rev().collect();
        profiles.sort_by_key(|profile| profile.number());
        profiles
    }

    /// The leg's first profile: what the caller dialled, before any transfer.
    pub(super) fn oldest(&self) -> Option<&Profile<'a>> {
        self.profiles().into_iter().next()
    }
}

impl Profile<'_> {
    fn number(&self) -> u32 {
        self.index.as_deref().and_then(|index| index.parse().ok()).unwrap_or(u32::MAX)
    }
}
