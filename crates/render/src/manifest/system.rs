use super::{Do, Of, Template, template};
use Of::Freeswitch;

/// The systems' files, which no engine owns: service manager, kernel, packet filter, exporters, and the seed's scripts.
/// `root/` stands for `/`.
pub(super) const FILES: &[Template] = &[
    // First: the folders of what follows.
    template!("root/etc/tmpfiles.d/tandem-node.conf", 0o644, NodeAndLab).then(&[Do::Run(&[
        "systemd-tmpfiles",
        "--create",
        "/etc/tmpfiles.d/tandem-node.conf",
    ])]),
    template!("root/etc/sysctl.d/90-tandem.conf", 0o644, NodeAndLab).then(&[Do::Sysctl]),
    template!("root/etc/tandem/nftables.conf", 0o640, NodeAndLab).then(FIREWALL),
    template!("root/etc/tandem/firewall-first", 0o755, NodeAndLab),
    template!("root/etc/systemd/system/tandem-firewall.service", 0o644, NodeAndLab).then(FIREWALL),
    template!("root/etc/tandem/tc", 0o755, NodeAndLab).then(TC),
    template!("root/etc/systemd/system/tandem-tc.service", 0o644, NodeAndLab).then(TC),
    template!("root/etc/logrotate.d/tandem", 0o644, NodeAndLab),
    // A unit's new limits are its at the next start; CPUAffinity too.
    template!("root/etc/systemd/system/postgresql@V-main.service.d/tandem.conf", 0o644, NodeAndLab)
        .then(&[Do::DaemonReload]),
    template!("root/etc/systemd/system/redis-server.service.d/tandem.conf", 0o644, NodeAndLab)
        .then(&[Do::DaemonReload, Do::Restart("redis-server.service")]),
    template!("root/etc/systemd/system/voip-admin.service.d/tandem.conf", 0o644, NodeAndLab)
        .then(&[Do::DaemonReload, Do::Restart("voip-admin.service")]),
    template!("root/etc/systemd/system/kamailio.service.d/tandem.conf", 0o644, NodeAndLab)
        .then(&[Do::DaemonReload, Do::Restart("kamailio.service")]),
    template!("root/etc/systemd/system/freeswitch.service", 0o644, NodeAndLab).then(FREESWITCH),
    template!("root/etc/systemd/system/freeswitch.service.d/tandem.conf", 0o644, NodeAndLab).then(FREESWITCH),
    template!("root/etc/fs_cli.conf", 0o600, NodeAndLab),
    // keepalived, when everything it leads to is there.
    template!("root/etc/systemd/system/keepalived.service.d/tandem.conf", 0o644, Pair)
        .then(&[Do::DaemonReload, Do::Restart("keepalived.service")]),
    template!("root/usr/local/bin/failover_master.sh", 0o755, Pair),
    template!("root/usr/local/bin/failover_backup.sh", 0o755, Pair),
    template!("root/usr/local/bin/failover_fault.sh", 0o755, Pair),
    template!("root/usr/local/bin/postgres_failover.sh", 0o755, NodeAndLab),
    template!("root/usr/local/bin/system_health.sh", 0o755, NodeAndLab),
    template!("root/etc/keepalived/keepalived.conf", 0o644, Pair).then(&[Do::Reload("keepalived.service")]),
    // Recordings: deleted on every node, copied on a pair.
    template!("root/etc/systemd/system/tandem-recordings-folders.service", 0o644, NodeAndLab)
        .then(&[Do::DaemonReload]),
    template!("root/etc/systemd/system/tandem-recordings-folders.timer", 0o644, NodeAndLab)
        .then(&[Do::DaemonReload, Do::Enable("tandem-recordings-folders.timer")]),
    template!("root/etc/tandem/rsyncd.conf", 0o644, Pair).then(RSYNCD),
    template!("root/etc/tandem/rsyncd.secrets", 0o600, Pair),
    template!("root/etc/tandem/rsync.password", 0o600, Pair).of(Freeswitch),
    template!("root/etc/systemd/system/tandem-rsyncd.service", 0o644, Pair).then(RSYNCD),
    template!("root/etc/tandem/push-recordings", 0o755, Pair),
    template!("root/etc/systemd/system/tandem-recordings.service", 0o644, Pair).then(&[Do::DaemonReload]),
    template!("root/etc/systemd/system/tandem-recordings-all.service", 0o644, Pair).then(&[Do::DaemonReload]),
    template!("root/etc/systemd/system/tandem-recordings.timer", 0o644, Pair)
        .then(&[Do::DaemonReload, Do::Enable("tandem-recordings.timer")]),
    template!("root/etc/systemd/system/tandem-recordings-all.timer", 0o644, Pair)
        .then(&[Do::DaemonReload, Do::Enable("tandem-recordings-all.timer")]),
    // Exporters. Their passwords are read by the service manager, as root.
    template!("root/etc/default/prometheus-node-exporter", 0o644, NodeAndLab).then(&[
        Do::Enable("prometheus-node-exporter.service"),
        Do::Restart("prometheus-node-exporter.service"),
    ]),
    template!("root/etc/default/prometheus-postgres-exporter", 0o600, NodeAndLab).then(&[
        Do::Enable("prometheus-postgres-exporter.service"),
        Do::Restart("prometheus-postgres-exporter.service"),
    ]),
    template!("root/etc/default/prometheus-redis-exporter", 0o600, NodeAndLab).then(&[
        Do::Enable("prometheus-redis-exporter.service"),
        Do::Restart("prometheus-redis-exporter.service"),
    ]),
    template!("root/etc/tandem/prometheus.yml", 0o644, NodeAndLab),
];

const FIREWALL: &[Do] =
    &[Do::DaemonReload, Do::Enable("tandem-firewall.service"), Do::Reload("tandem-firewall.service")];
const TC: &[Do] = &[Do::DaemonReload, Do::Enable("tandem-tc.service"), Do::Restart("tandem-tc.service")];
const RSYNCD: &[Do] =
    &[Do::DaemonReload, Do::Enable("tandem-rsyncd.service"), Do::Restart("tandem-rsyncd.service")];
/// The calls on this node end.
const FREESWITCH: &[Do] =
    &[Do::DaemonReload, Do::Enable("freeswitch.service"), Do::Restart("freeswitch.service")];
