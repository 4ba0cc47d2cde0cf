//! What SIP tells of a leg, as the channel variables of the captures.

use std::net::SocketAddr;

use super::routing::Routing;
use crate::cdr::Leg;
use crate::clock;
use crate::sip::message::{Message, Start};
use crate::sip::sdp::Remote;
use crate::sip::server::ServerTransaction;
use crate::sip::uri::{NameAddr, Uri};

/// Headers that FreeSWITCH would hold as `sip_h_…`.
const CUSTOM: [(&str, &str); 6] = [
    ("X-VP-Type", "sip_h_X-VP-Type"),
    ("X-VP-Ref", "sip_h_X-VP-Ref"),
    ("X-VP-Domain", "sip_h_X-VP-Domain"),
    ("X-VP-Ext", "sip_h_X-VP-Ext"),
    ("X-VP-Call", "sip_h_X-VP-Call"),
    ("X-VP-Record", "sip_h_X-VP-Record"),
];

/// Names of an address' variables: user, uri, host, port.
type Names = [&'static str; 4];
const FROM: Names = ["sip_from_user", "sip_from_uri", "sip_from_host", "sip_from_port"];
const TO: Names = ["sip_to_user", "sip_to_uri", "sip_to_host", "sip_to_port"];
const REQUEST: Names = ["sip_req_user", "sip_req_uri", "sip_req_host", "sip_req_port"];
const CONTACT: Names = ["sip_contact_user", "sip_contact_uri", "sip_contact_host", "sip_contact_port"];

/// Both sides' SDP of an answered leg.
#[derive(Debug, Clone, Copy)]
pub struct Sdp<'a> {
    /// What we sent.
    pub ours: &'a [u8],
    /// What the phone sent; empty if it is still to come.
    pub theirs: &'a [u8],
}

/// Variables of a leg that came in.
pub fn incoming(leg: &mut Leg, transaction: &ServerTransaction, local: SocketAddr) {
    let request = &transaction.request;
    let source = transaction.source;
    leg.set("channel_name", leg.profile.chan_name.clone());
    addresses(leg, request);
    leg.set("sip_local_network_addr", local.ip().to_string());
    for (ip, port) in [("sip_network_ip", "sip_network_port"), ("sip_received_ip", "sip_received_port")] {
        leg.set(ip, source.ip().to_string());
        leg.set(port, source.port().to_string());
    }
    leg.set("sip_from_user_stripped", leg.profile.caller_id_number.clone());
    leg.set("sip_invite_stamp", leg.times.created.to_string());
    leg.set("sip_via_protocol", "udp");
    profile(leg, local);
    copy(leg, request, "User-Agent", "sip_user_agent");
    copy(leg, request, "Max-Forwards", "max_forwards");
    let vias: Vec<&str> = request.headers.all("Via").collect();
    leg.set("sip_full_via", vias.join(","));
    for (header, variable) in CUSTOM {
        copy(leg, request, header, variable);
    }
    leg.set("sip_copy_custom_headers", "false");
    leg.set("call_uuid", leg.uuid().to_owned());
}

/// Variables of a leg we called, when its INVITE is sent.
pub fn outgoing(leg: &mut Leg, invite: &Message, local: SocketAddr, user: &str, domain: &str) {
    leg.set("channel_name", leg.profile.chan_name.clone());
    leg.set("sip_profile_name", "kamailio");
    leg.set("sip_destination_url", format!("sip:{user}@{domain}"));
    leg.set("dialed_user", user);
    leg.set("dialed_domain", domain);
    leg.set("sip_invite_domain", domain);
    leg.set("presence_id", format!("{user}@{domain}"));
    addresses(leg, invite);
    leg.set("sip_local_network_addr", local.ip().to_string());
    profile(leg, local);
}

/// Variables that a response to our INVITE adds.
pub fn response(leg: &mut Leg, response: &Message) {
    copy(leg, response, "Via", "sip_full_via");
    copy(leg, response, "To", "sip_full_to");
    if let Some(tag) = response.to_tag() {
        leg.set("sip_to_tag", tag);
    }
    if let Some(contact) = response.headers.get("Contact").and_then(NameAddr::parse) {
        address(leg, CONTACT, &contact.uri);
    }
    if let Start::Response { code: code @ 300.., reason } = &response.start {
        leg.set("sip_invite_failure_status", code.to_string());
        leg.set("sip_invite_failure_phrase", reason.as_str());
    }
}

/// Variables of a leg that we answered under `local_tag`.
pub fn accepted(leg: &mut Leg, to: &str, local_tag: &str) {
    leg.set("sip_to_tag", local_tag);
    leg.set("sip_full_to", format!("{to};tag={local_tag}"));
    leg.set("sip_term_status", "200");
    leg.set("proto_specific_hangup_cause", "sip:200");
    leg.set("sip_term_cause", "16");
}

/// Variables of a leg that has audio.
pub fn media(leg: &mut Leg, local: SocketAddr, sdp: Sdp<'_>) {
    leg.set("local_media_ip", local.ip().to_string());
    leg.set("local_media_port", local.port().to_string());
    leg.set("advertised_media_ip", local.ip().to_string());
    if let Some(remote) = Remote::parse(sdp.theirs) {
        leg.set("remote_media_ip", remote.address.ip().to_string());
        leg.set("remote_media_port", remote.address.port().to_string());
    }
    leg.set("switch_r_sdp", String::from_utf8_lossy(sdp.theirs));
    leg.set("rtp_local_sdp_str", String::from_utf8_lossy(sdp.ours));
    leg.set("endpoint_disposition", "ANSWER");
}

/// Variables the dialplan sets on a leg that called.
pub fn dialplan(leg: &mut Leg, routing: &Routing) {
    exported(leg, &routing.exports());
    leg.set("domain_name", routing.domain.as_str());
    leg.set("cc_export_vars", "vp_domain,vp_call");
    leg.set("hangup_after_bridge", "true");
}

/// Variables the dialplan exports to a leg that is called.
pub fn exported(leg: &mut Leg, exports: &[(&'static str, String)]) {
    let names: Vec<&str> = exports.iter().map(|(name, _)| *name).collect();
    leg.set("export_vars", names.join(","));
    for (name, value) in exports {
        leg.set(name, value.as_str());
    }
}

/// Variables of two legs that hear each other from now on.
pub fn bridged(a: &mut Leg, b: &mut Leg) {
    let now = clock::now();
    let (a_uuid, b_uuid) = (a.uuid().to_owned(), b.uuid().to_owned());
    let (a_channel, b_channel) = (a.profile.chan_name.clone(), b.profile.chan_name.clone());
    for (leg, uuid, channel) in [(&mut *a, b_uuid, b_channel), (&mut *b, a_uuid, a_channel)] {
        leg.times.bridged = Some(now);
        leg.set("last_bridge_to", uuid.as_str());
        leg.set("bridge_channel", channel);
        leg.set("bridge_uuid", uuid.as_str());
        leg.set("signal_bond", uuid);
    }
    a.set("last_bridge_role", "originator");
    b.set("call_uuid", b.uuid().to_owned());
}

fn addresses(leg: &mut Leg, message: &Message) {
    leg.set("sip_call_id", message.call_id());
    copy(leg, message, "CSeq", "sip_cseq");
    for (header, names, full) in [("From", FROM, "sip_full_from"), ("To", TO, "sip_full_to")] {
        if let Some(value) = message.headers.get(header).and_then(NameAddr::parse) {
            address(leg, names, &value.uri);
            if header == "From" && !value.display.is_empty() {
                leg.set("sip_from_display", value.display);
            }
        }
        copy(leg, message, header, full);
    }
    if let Some(tag) = message.from_tag() {
        leg.set("sip_from_tag", tag);
    }
    if let Start::Request { uri, .. } = &message.start {
        address(leg, REQUEST, uri);
    }
    if let Some(contact) = message.headers.get("Contact").and_then(NameAddr::parse) {
        address(leg, CONTACT, &contact.uri);
    }
}

fn address(leg: &mut Leg, [user, uri, host, port]: Names, value: &str) {
    if let Some(parsed) = Uri::parse(value) {
        leg.set(uri, value.split_once(':').map_or(value, |(_, rest)| rest));
        leg.set(host, parsed.host);
        if let Some(name) = parsed.user {
            leg.set(user, name);
        }
        if let Some(number) = parsed.port {
            leg.set(port, number.to_string());
        }
    }
}

fn profile(leg: &mut Leg, local: SocketAddr) {
    leg.set("sofia_profile_name", "kamailio");
    leg.set("recovery_profile_name", "kamailio");
    leg.set("sofia_profile_url", format!("sip:media-double@{local}"));
}

/// Copies a header to a variable; of CSeq the number only, as FreeSWITCH has it.
fn copy(leg: &mut Leg, message: &Message, header: &str, variable: &'static str) {
    if let Some(value) = message.headers.get(header) {
        let value = if header == "CSeq" { value.split(' ').next().unwrap_or(value) } else { value };
        leg.set(variable, value);
    }
}
