//! The snapshot as Prometheus reads it.

use std::fmt::Write as _;

use crate::observe::Snapshot;

/// Exposition format 0.0.4. Names end in their unit.
pub fn text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, values: &[(String, f64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let plain = |value: f64| vec![(String::new(), value)];
    let yes = |is: bool| plain(if is { 1.0 } else { 0.0 });
    let s = snapshot;
    let role = s.role.as_deref().unwrap_or("none");
    let mode = s.mode.as_deref().unwrap_or("none");
    let labels = format!("{{node=\"{}\",role=\"{role}\",mode=\"{mode}\"}}", s.node);
    gauge("tandem_node_role", "This node's role and mode, as labels.", &[(labels, 1.0)]);
    gauge("tandem_epoch", "The epoch this node is in.", &plain(s.epoch.unwrap_or(0) as f64));
    gauge("tandem_join", "The join of the epoch.", &plain(s.join.unwrap_or(0) as f64));
    gauge(
        "tandem_vip_held",
        "Whether this node has the virtual address.",
        &yes(s.vip.as_ref().is_some_and(|v| v.held)),
    );
    let doing = s.doing.as_ref();
    gauge(
        "tandem_may_take_over",
        "This standby is proven and may take over.",
        &yes(doing.is_some_and(|doing| doing.promotable)),
    );
    gauge(
        "tandem_peer_hears",
        "The other node is heard, and hears this one.",
        &yes(doing.is_some_and(|doing| doing.peer_hears)),
    );
    gauge(
        "tandem_asks_for_a_person",
        "The agent says what somebody may type ('tandem status').",
        &yes(doing.is_some_and(|doing| doing.cure.is_some())),
    );
    gauge("tandem_postgresql_up", "PostgreSQL answered.", &yes(s.postgresql.running));
    gauge("tandem_postgresql_writable", "PostgreSQL takes writes.", &yes(s.postgresql.writable));
    gauge(
        "tandem_postgresql_writes_waiting",
        "Commits that wait for the standby.",
        &plain(s.postgresql.writes_waiting as f64),
    );
    let lags = s.postgresql.standbys.iter().filter_map(|standby| {
        let labels = format!(
            "{{standby=\"{}\",sync_state=\"{}\"}}",
            plain_label(&standby.name),
            plain_label(&standby.sync_state)
        );
        Some((labels, standby.flush_lag_bytes? as f64))
    });
    gauge("tandem_standby_flush_lag_bytes", "WAL not yet on the standby's disk.", &lags.collect::<Vec<_>>());
    let kept = s.postgresql.slots.iter().filter_map(|slot| {
        Some((format!("{{slot=\"{}\"}}", plain_label(&slot.name)), slot.retained_bytes? as f64))
    });
    gauge("tandem_slot_retained_bytes", "WAL kept for a slot.", &kept.collect::<Vec<_>>());
    gauge("tandem_redis_up", "Redis answered.", &yes(s.redis.running));
    let services = s.services.iter().map(|service| {
        (format!("{{service=\"{}\"}}", plain_label(&service.name)), if service.active { 1.0 } else { 0.0 })
    });
    gauge("tandem_service_active", "systemd says the unit is active.", &services.collect::<Vec<_>>());
    gauge(
        "tandem_snapshot_time_seconds",
        "When this was seen, seconds since 1970.",
        &plain(s.sampled_at.as_second() as f64),
    );
    text
}

/// A standby chooses its own name: no quote or line break of it reaches the format.
fn plain_label(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.@".contains(*c)).take(80).collect()
}
