//! Ports: the expected program on each, and nobody else.

use super::super::facts::Facts;
use super::{Line, Lines, NEEDS_ROOT};
use crate::listeners::Listener;

struct Expected {
    service: &'static str,
    protocol: &'static str,
    port: u16,
    /// As the kernel has it: 15 characters at most.
    programs: &'static [&'static str],
}

fn expected(facts: &Facts) -> Vec<Expected> {
    let ports = &facts.place.cluster.ports;
    let of = |service, protocol, port, programs| Expected { service, protocol, port, programs };
    let kamailio: &[&str] = &["kamailio"];
    let double = facts.place.media_engine() == "double";
    let media: &[&str] = if double { &["tandem-media-do", "media-double"] } else { &["freeswitch"] };
    let mut all = vec![
        of("kamailio", "udp", ports.sip, kamailio),
        of("kamailio", "tcp", ports.sip, kamailio),
        of("kamailio", "tcp", ports.kamailio_rpc, kamailio),
        of(if double { "media-double" } else { "freeswitch" }, "udp", ports.fs_sip, media),
        of("voip-admin", "tcp", ports.api, &["voipadmind"]),
        of("redis", "tcp", ports.redis, &["redis-server"]),
        of("tandem-agent", "tcp", ports.agent, &["tandem"]),
    ];
    if !double {
        all.push(of("freeswitch", "tcp", ports.esl, media));
    }
    let role = facts.here().and_then(|here| here.role.clone());
    if matches!(role.as_deref(), Some("primary" | "standby")) {
        all.push(of("postgresql", "tcp", ports.postgresql, &["postgres"]));
    }
    all
}

pub fn listeners(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let found = match &facts.listeners {
        Ok(found) => found,
        Err(why) => {
            lines.warn(format!("not known: {why}"), "type: apt install iproute2");
            return lines.list;
        }
    };
    let expected = expected(facts);
    let mut well = Vec::new();
    for port in &expected {
        let there: Vec<&Listener> =
            found.iter().filter(|l| l.protocol == port.protocol && l.port == port.port).collect();
        let at = format!("{}/{}", port.port, port.protocol);
        let stranger = there.iter().filter_map(|l| l.program.as_deref()).find(|p| !is_ours(p, port));
        if let Some(stranger) = stranger {
            lines.fail(
                format!("{at} of {} is taken by {stranger}", port.service),
                format!("stop {stranger}, or give it another port; runbook: 'A port is taken'"),
            );
        } else if there.is_empty() {
            lines.fail(
                format!("nobody listens on {at}: {} should", port.service),
                format!("type: systemctl status {}; runbook: 'Nobody listens'", unit(facts, port.service)),
            );
        } else {
            well.push(format!("{} {at}", port.service));
        }
    }
    if !well.is_empty() {
        lines.ok(well.join(", "));
    }
    if !facts.is_root {
        lines.skipped("whose sockets these are is not judged", NEEDS_ROOT);
    }
    lines.list
}

fn unit<'a>(facts: &'a Facts, service: &'a str) -> &'a str {
    let services = facts.here().map(|here| here.services.as_slice()).unwrap_or_default();
    services.iter().find(|s| s.name == service).map_or(service, |s| s.unit.as_str())
}

/// Exactly, or cut by the kernel.
fn is_ours(program: &str, port: &Expected) -> bool {
    port.programs.contains(&program)
}
