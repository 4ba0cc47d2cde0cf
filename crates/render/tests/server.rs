//! What a server's files mean to the programs that read them: each is started, in a network namespace of its own where it
//! touches the network. Needs root for that; SKIPPED otherwise.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a failed test")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Uid;
use spec::Shape;
use testkit::Folder;

/// The pair's n1, below a folder, as `tandem render --out` writes it.
struct Server {
    folder: Folder,
}

/// A script's marks: what it saw, a line each.
type Seen = String;

impl Server {
    fn new() -> Self {
        let server = Self { folder: Folder::new("server").unwrap() };
        for file in common::node(&common::pair(Shape::Node), "n1") {
            let path = server.at(file.target.to_str().unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, file.contents).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(file.mode)).unwrap();
        }
        server
    }

    fn at(&self, target: &str) -> PathBuf {
        self.folder.path().join(target.trim_start_matches('/'))
    }

    /// The file with its paths moved below the folder.
    fn moved(&self, target: &str, paths: &[&str]) -> PathBuf {
        let mut text = fs::read_to_string(self.at(target)).unwrap();
        for path in paths {
            fs::create_dir_all(self.at(path)).unwrap();
            text = text.replace(path, self.at(path).to_str().unwrap());
        }
        let moved = self.folder.path().join("moved");
        fs::write(&moved, text).unwrap();
        moved
    }

    /// Runs a script in a network namespace that has the server's interfaces; its output, or a panic with it.
    fn in_namespace(&self, script: &str, file: &Path) -> Seen {
        let script = format!(
            "set -eu; ip link set lo up; ip link add eth0 type veth peer name wire0; ip link add eth1 type veth peer name wire1
             for i in eth0 wire0 eth1 wire1; do ip link set $i up; done
             ip address add 192.168.1.101/24 dev eth0; ip address add 10.0.0.101/24 dev eth1\n{script}"
        );
        let output = Command::new("unshare")
            .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script, "sh"])
            .arg(file)
            .env("ROOT", self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{said}\n{complaint}", output.status);
        said
    }
}

/// None, and SKIPPED, unless root with these programs.
fn server(programs: &[&str]) -> Option<Server> {
    if !Uid::effective().is_root() {
        testkit::skip(&"only root may make a network namespace");
        return None;
    }
    let missing = programs
        .iter()
        .find(|p| !["/usr/sbin", "/usr/bin", "/sbin"].iter().any(|d| Path::new(d).join(p).exists()));
    if let Some(program) = missing {
        testkit::skip(&format!("{program} is not installed"));
        return None;
    }
    Some(Server::new())
}

#[test]
fn keepalived_gives_the_address_to_the_role_and_to_nobody_else() {
    let Some(server) = server(&["keepalived", "ip"]) else { return };
    let config = server.moved("/etc/keepalived/keepalived.conf", &["/run/tandem"]);
    // Its scripts write below /run and are looked at by themselves.
    let text = fs::read_to_string(&config).unwrap().replace("/usr/local/bin/failover_", "/bin/true #");
    fs::write(&config, text).unwrap();
    let unit = fs::read_to_string(server.at("/etc/systemd/system/keepalived.service.d/tandem.conf")).unwrap();
    let stop = unit.lines().find_map(|l| l.strip_prefix("ExecStopPost=-")).unwrap();
    let seen = server.in_namespace(
        &format!(
            r#"
            role=$ROOT/run/tandem/role
            keepalived --config-test --use-file "$1"
            vip() {{ ip -brief address show eth0 | grep -q 192.168.1.100/24 && echo "$1: yes" || echo "$1: no"; }}
            eventually() {{ n=0; until [ "$(vip x)" = "x: $1" ] || [ $n -ge 50 ]; do sleep 0.1; n=$((n + 1)); done; }}
            start() {{ keepalived --dont-fork --log-console --vrrp --use-file "$1" --pid "$ROOT/k" --vrrp_pid "$ROOT/v" >"$ROOT/log" 2>&1 & }}
            start "$1"; sleep 1.5
            vip "no file"; cat "$role"
            echo 1 >"$role"; eventually yes; vip "role 1"
            echo 0 >"$role"; eventually no; vip "role 0"
            echo 1 >"$role.new"; mv "$role.new" "$role"; eventually yes; vip "renamed to 1"
            rm "$role"; eventually no; vip "file lost"
            echo 1 >"$role"; eventually yes; vip "role 1 again"
            kill "$(cat "$ROOT/k")"; wait; vip "stopped"
            echo 1 >"$role"; start "$1"; eventually yes; vip "started as the writer"
            # A killed child's status is no failure of this script.
            kill -9 "$(cat "$ROOT/v")" "$(cat "$ROOT/k")"; wait || :; vip "killed"
            {stop}; vip "after ExecStopPost"
            "#
        ),
        &config,
    );
    let expected = "no file: no\n0role 1: yes\nrole 0: no\nrenamed to 1: yes\nfile lost: no\nrole 1 again: yes\nstopped: no\n\
                    started as the writer: yes\nkilled: yes\nafter ExecStopPost: no\n";
    assert_eq!(seen.replace("0\nrole 1", "0role 1"), expected);
}

#[test]
fn the_packet_filter_is_taken_twice_and_lets_in_whom_it_should() {
    let Some(server) = server(&["nft", "ip"]) else { return };
    let file = server.at("/etc/tandem/nftables.conf");
    let seen = server.in_namespace(
        r#"
        nft --check --file "$1"
        nft add table inet other
        nft --file "$1"; nft --file "$1"
        nft list tables
        nft list chain inet tandem input
        "#,
        &file,
    );
    assert!(seen.contains("table inet other"), "another's table is gone: {seen}");
    for rule in [
        "policy drop",
        "tcp dport 22 accept",
        "udp dport 5060 accept",
        "udp dport 16384-32767 accept",
        "ip protocol vrrp ip saddr 192.168.1.102 accept",
        "udp dport 5080 ip saddr { 10.0.0.102, 192.168.1.102 } accept",
        "tcp dport { 5432, 6379, 7400, 8730 } ip saddr { 10.0.0.102, 192.168.1.102 } accept",
        "ip saddr 192.168.1.60 tcp dport { 9100, 9121, 9187 } accept",
        "iifname != \"eth1\" ip saddr 10.0.0.102 drop",
    ] {
        assert!(seen.contains(rule), "no '{rule}' in {seen}");
    }
    // 'delete table' leaves nothing of it.
    server.in_namespace(
        "nft --file \"$1\"; nft delete table inet tandem; [ -z \"$(nft list tables)\" ]",
        &file,
    );
}

#[test]
fn traffic_goes_into_its_class() {
    let Some(server) = server(&["tc", "ip"]) else { return };
    let seen = server.in_namespace(
        r#"
        ip neighbour add 192.168.1.9 lladdr 02:00:00:00:00:09 dev eth0
        sh "$1" start; sh "$1" start
        # Bash's /dev/udp cannot choose a source port; python is not everywhere; a port to send to does for SIP.
        sent() { tc -s class show dev eth0 classid "$1" | sed -n 's/.* \([0-9]*\) pkt .*/\1/p' | head -1; }
        echo "before $(sent 1:11)"
        bash -c 'echo x >/dev/udp/192.168.1.9/5060; echo x >/dev/udp/192.168.1.9/5060'
        sleep 0.3
        echo "sip $(sent 1:11)"
        bash -c 'echo x >/dev/udp/192.168.1.9/7400'; sleep 0.3
        echo "heartbeat $(sent 1:9)"
        ping -q -c 2 -i 0.2 -W 0.1 -Q 0xb8 192.168.1.9 >/dev/null 2>&1 || true
        echo "ef $(sent 1:10)"
        tc filter show dev eth0 | grep -c 'flowid 1:10'
        sh "$1" stop; tc qdisc show dev eth0 | grep -c htb || true
        "#,
        &server.at("/etc/tandem/tc"),
    );
    assert!(seen.contains("before 0") && seen.contains("sip 2") && seen.contains("heartbeat 1"), "{seen}");
    if Path::new("/usr/bin/ping").exists() || Path::new("/bin/ping").exists() {
        assert!(seen.contains("ef 2"), "{seen}");
    }
    assert!(seen.ends_with("2\n0\n"), "{seen}");
}

#[test]
fn units_are_understood_to_the_last_line() {
    let Some(server) = server(&["systemd-analyze"]) else { return };
    let system = server.at("/etc/systemd/system");
    // A drop-in is read with its unit; where the unit's package is missing, a bare one stands in.
    for dropin in fs::read_dir(&system).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let unit = dropin.with_extension("");
        let name = unit.file_name().unwrap().to_str().unwrap().to_owned();
        if !unit.exists() {
            let start = if name.starts_with("kamailio") { "" } else { "ExecStart=/bin/true\n" };
            fs::write(system.join(&name), format!("[Service]\n{start}")).unwrap();
        }
    }
    let units: Vec<_> =
        fs::read_dir(&system).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    assert!(units.len() > 10, "{units:?}");
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(&units)
        .env("SYSTEMD_UNIT_PATH", format!("{}:", system.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // What it says of programs that are not installed here is no word about the files.
    let complaints: Vec<_> = said
        .lines()
        .filter(|l| l.contains(system.to_str().unwrap()) && !l.contains("is not executable"))
        .collect();
    assert!(complaints.is_empty(), "{said}");
}

#[test]
fn sysctl_knows_every_key() {
    let Some(server) = server(&["sysctl"]) else { return };
    let text = fs::read_to_string(server.at("/etc/sysctl.d/90-tandem.conf")).unwrap();
    let keys: Vec<_> =
        text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(" = ")).collect();
    assert!(keys.len() > 10);
    // What belongs to a network namespace is set, and reads back; the rest is the host's and only has to exist.
    let seen = server.in_namespace(
        r#"grep '^net.ipv4' "$1" >"$ROOT/net"; sysctl -q -p "$ROOT/net"; sysctl net.ipv4.ip_nonlocal_bind net.ipv4.ip_local_reserved_ports"#,
        &server.at("/etc/sysctl.d/90-tandem.conf"),
    );
    assert!(seen.contains("ip_nonlocal_bind = 1"), "{seen}");
    let reserved = "5060,5065,5080,5082,5432,6379,7400,8021,8080,8730,9100,9121,9187,16384-32767";
    assert!(seen.contains(reserved), "{seen}");
    for (key, _) in keys {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        assert!(Path::new(&path).exists(), "the kernel knows no {key}");
    }
}

#[test]
fn logrotate_takes_the_file() {
    let Some(server) = server(&["logrotate"]) else { return };
    let text = fs::read_to_string(server.at("/etc/logrotate.d/tandem")).unwrap();
    // The users of a server may not exist here.
    let config = server.folder.path().join("logrotate");
    let text = text.replace("freeswitch freeswitch", "root root").replace("voip-admin adm", "root adm");
    fs::write(&config, text).unwrap();
    let output =
        Command::new("logrotate").args(["--debug", "--state", "/dev/null"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("error:"), "{said}");
    assert!(said.contains("freeswitch.log"), "{said}");
}

#[test]
fn recordings_go_to_the_peer_and_cannot_be_fetched_or_deleted() {
    let Some(server) = server(&["rsync", "ip"]) else { return };
    // A day's folder and its recordings; nothing is of yesterday.
    let now = jiff::Timestamp::now();
    let today = now.strftime("%Y/%m/%d").to_string();
    let earlier = (now - jiff::SignedDuration::from_hours(48)).strftime("%Y/%m/%d").to_string();
    for (day, name) in [(&today, "a.wav"), (&earlier, "old.wav")] {
        let folder = server.at(&format!("/storage/recordings/n1/{day}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), "RIFF").unwrap();
    }
    // Both ends on this node: n1 sends what n2's daemon would take, by n2's own file.
    let theirs = common::node(&common::pair(Shape::Node), "n2");
    let daemon = &theirs.iter().find(|f| f.target.ends_with("rsyncd.conf")).unwrap().contents;
    let root = server.folder.path().to_str().unwrap();
    let config = server.folder.path().join("rsyncd.conf");
    let moved = daemon
        .replace("/storage", &format!("{root}/taken"))
        .replace("/etc/tandem", &format!("{root}/theirs"))
        .replace("/run/tandem", root)
        .replace("freeswitch", "root")
        .replace("gid = voip-admin", "gid = root");
    fs::write(&config, moved).unwrap();
    fs::create_dir_all(server.folder.path().join("theirs")).unwrap();
    fs::create_dir_all(server.folder.path().join("taken/recordings/n1")).unwrap();
    let secrets = &theirs.iter().find(|f| f.target.ends_with("rsyncd.secrets")).unwrap().contents;
    let file = server.folder.path().join("theirs/rsyncd.secrets");
    fs::write(&file, secrets).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let script = fs::read_to_string(server.at("/etc/tandem/push-recordings")).unwrap();
    assert!(!script.contains("--delete"));
    let push = server.folder.path().join("push-recordings");
    fs::write(
        &push,
        script.replace("'/storage", &format!("'{root}/storage")).replace("=/etc", &format!("={root}/etc")),
    )
    .unwrap();
    for (unit, what) in [("tandem-recordings", "recent"), ("tandem-recordings-all", "all")] {
        let unit = fs::read_to_string(server.at(&format!("/etc/systemd/system/{unit}.service"))).unwrap();
        assert!(unit.contains(&format!("ExecStart=/etc/tandem/push-recordings {what}\n")), "{unit}");
    }
    let seen = server.in_namespace(
        &format!(
            r#"
            ip address add 10.0.0.102/32 dev lo
            ip route replace local 10.0.0.102 dev lo src 10.0.0.101 table local
            rsync --daemon --no-detach --config="$1" & sleep 0.5
            push() {{ sh "$ROOT/push-recordings" "$1"; }}
            cd "$ROOT/taken/recordings/n1"
            push recent; cat {today}/a.wav; echo; [ -e {earlier} ] && echo early || echo not yet
            find . -mindepth 1 -type d -printf '%m\n' | sort -u
            push all; cat {earlier}/old.wav; echo
            find "$ROOT/storage/recordings" -name '*.wav' -delete; push recent; push all; find . -name '*.wav' | wc -l
            p="--password-file=$ROOT/etc/tandem/rsync.password"
            rsync $p -r "$ROOT/storage/recordings/n1/" --delete rsync://n1@10.0.0.102:8730/recordings/ 2>/dev/null && echo deleted || echo refused
            rsync $p -r rsync://n1@10.0.0.102:8730/recordings/ "$ROOT/stolen" 2>/dev/null && echo fetched || echo refused
            echo wrong >"$ROOT/wrong"; chmod 600 "$ROOT/wrong"
            rsync --password-file="$ROOT/wrong" -r "$ROOT/etc/" rsync://n1@10.0.0.102:8730/recordings/ 2>/dev/null && echo in || echo refused
            kill %1 2>/dev/null || kill $! || true
            "#
        ),
        &config,
    );
    assert_eq!(seen, "RIFF\nnot yet\n2770\nRIFF\n2\nrefused\nrefused\nrefused\n");
}

#[test]
fn retention_may_delete_in_folders_that_freeswitch_made_on_a_single_node_too() {
    let single = common::node(&common::single(Shape::Node), "n1");
    let unit = single.iter().find(|it| it.target.ends_with("tandem-recordings-folders.service")).unwrap();
    assert!(single.iter().any(|it| it.target.ends_with("tandem-recordings-folders.timer")));
    let tree = tempfile::tempdir().unwrap();
    let day = tree.path().join("2026/11/22");
    fs::create_dir_all(&day).unwrap();
    let file = day.join("a.wav");
    fs::write(&file, "RIFF").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    // As FreeSWITCH makes them below a folder with the set-group-id bit.
    for folder in day.ancestors().take(3) {
        fs::set_permissions(folder, PermissionsExt::from_mode(0o2750)).unwrap();
    }
    let before = (mode(tree.path()), mode(&file));
    let start = unit.contents.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<&str> = start.split_whitespace().collect();
    for _ in 0..2 {
        let done = Command::new(words[0]).args(&words[1..]).current_dir(tree.path()).status().unwrap();
        assert!(done.success());
    }
    assert!(day.ancestors().take(3).all(|folder| mode(folder) == 0o2770));
    assert_eq!((mode(tree.path()), mode(&file)), before);
}

#[test]
fn scripts_are_scripts() {
    let Some(server) = server(&["sh"]) else { return };
    for script in [
        "/etc/tandem/tc",
        "/etc/tandem/push-recordings",
        "/usr/local/bin/failover_master.sh",
        "/usr/local/bin/failover_backup.sh",
        "/usr/local/bin/failover_fault.sh",
        "/usr/local/bin/postgres_failover.sh",
        "/usr/local/bin/system_health.sh",
    ] {
        let path = server.at(script);
        assert!(fs::read_to_string(&path).unwrap().starts_with("#!/bin/sh\n"));
        assert!(Command::new("sh").arg("-n").arg(&path).status().unwrap().success(), "{script}");
    }
    let usage = Command::new(server.at("/usr/local/bin/postgres_failover.sh")).output().unwrap();
    assert_eq!(usage.status.code(), Some(64));
}

#[test]
fn redis_takes_its_role_from_the_agent_s_file_and_starts_without_it() {
    let Some(server) = server(&["redis-server", "redis-cli", "ip"]) else { return };
    let config = server.moved("/etc/redis/redis.conf", &["/var/lib/redis", "/etc/redis"]);
    let seen = server.in_namespace(
        r#"
        export REDISCLI_AUTH=$(sed -n 's/^requirepass "\(.*\)"/\1/p' "$1")
        run() { redis-server "$1" >"$ROOT/log" 2>&1 & n=0; until redis-cli ping 2>/dev/null | grep -q PONG || [ $n -ge 50 ]; do sleep 0.1; n=$((n + 1)); done; }
        run "$1"; redis-cli role | head -1; redis-cli -h 10.0.0.101 ping; redis-cli shutdown; wait
        echo "replicaof 10.0.0.102 6379" >"$ROOT/etc/redis/tandem.conf"
        run "$1"; redis-cli role | head -2; redis-cli config get maxmemory-policy | tail -1; redis-cli shutdown nosave; wait
        "#,
        &config,
    );
    assert_eq!(seen, "master\nPONG\nslave\n10.0.0.102\nvolatile-lru\n");
}

#[test]
fn postgresql_starts_without_the_address_that_moves_and_lets_the_peer_replicate() {
    let bin = (15..=17).rev().map(|v| format!("/usr/lib/postgresql/{v}/bin")).find(|b| Path::new(b).exists());
    let Some(bin) = bin else { return testkit::skip(&"PostgreSQL 15 to 17 is not installed") };
    let Some(server) = server(&["setpriv", "ip"]) else { return };
    let paths = ["/var/lib/postgresql/15/main", "/run/postgresql", "/etc/postgresql/15/main"];
    let config = server.moved("/etc/postgresql/15/main/postgresql.conf", &paths);
    let small = fs::read_to_string(&config).unwrap().replace("shared_buffers = ", "shared_buffers = 128MB #");
    fs::write(&config, small).unwrap();
    let seen = server.in_namespace(
        &format!(
            r#"
            etc=$ROOT/etc/postgresql/15/main; data=$ROOT/var/lib/postgresql/15/main; mkdir -p "$etc/conf.d"; cp "$1" "$etc/postgresql.conf"
            chown -R 65534:65534 "$ROOT"; chmod 755 "$ROOT"; chmod 700 "$data"; as="setpriv --reuid 65534 --regid 65534 --clear-groups"
            $as {bin}/initdb -D "$data" -U postgres --no-sync >/dev/null
            printf "synchronous_standby_names = 'n2_e1_j1'\n" >"$etc/conf.d/tandem.conf"; chown 65534 "$etc/conf.d/tandem.conf"
            sed 's/peer map=tandem/trust/' "$etc/pg_hba.conf" >"$ROOT/hba"; cp "$ROOT/hba" "$etc/pg_hba.conf"
            cp "$ROOT/hba" "$etc/tandem_hba.conf"
            $as {bin}/postgres -c config_file="$etc/postgresql.conf" >"$ROOT/log" 2>&1 & server=$!
            q() {{ {bin}/psql -XtA -h "$ROOT/run/postgresql" -U postgres -d postgres -c "$1"; }}
            n=0; until q "SELECT 1" >/dev/null 2>&1 || [ $n -ge 100 ]; do sleep 0.1; n=$((n + 1)); done; cat "$ROOT/log" >&2
            q "SHOW synchronous_standby_names"; q "SHOW max_slot_wal_keep_size"; q "SHOW wal_log_hints"
            q "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL"
            q "SELECT count(*) FROM pg_hba_file_rules WHERE database = '{{replication,postgres}}' AND address = '10.0.0.102'"
            kill -INT $server; wait $server || true
            "#
        ),
        &config,
    );
    assert_eq!(seen, "n2_e1_j1\n32GB\non\n0\n1\n");
}
