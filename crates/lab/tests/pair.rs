//! The real way onto two servers: package, init, apply, invite, join; then a call through the virtual address.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a failed test")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Lab, skipped};

const VIP: &str = "198.18.77.100";

#[test]
fn two_servers_become_a_pair_and_carry_a_call() {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
    if skipped() {
        return;
    }
    if !packages.is_dir() {
        eprintln!("SKIPPED: there are no packages in dist; type: make deb");
        return;
    }
    let lab = Lab::new('p');
    let up = lab.must(&["up", "--debs", packages.to_str().unwrap()]);
    assert!(up.contains("the lab is up"), "{up}");
    // Said by the exit code; what was not well yet would be in its words.
    for node in ["n1", "n2"] {
        let status = lab.exec(node, &["tandem", "status"]);
        assert!(status.succeeded, "{}", status.out);
    }

    let holds = |node: &str| lab.exec(node, &["ip", "-br", "addr", "show", "svc0"]).out.contains(VIP);
    assert!(holds("n1") && !holds("n2"), "the address is on the first node");
    let streams = "SELECT application_name || ' ' || state || ' ' || sync_state FROM pg_stat_replication";
    let psql = ["runuser", "-u", "postgres", "--", "psql", "-Atc", streams];
    assert_eq!(lab.exec("n1", &psql).out.trim(), "n2_e1_j1 streaming sync");
    let again = lab.must(&["exec", "n1", "--", "tandem", "apply", "--json"]);
    assert!(again.contains("\"changed\":false") || again.contains("\"changed\": false"), "{again}");

    an_apply_that_changes_something_says_one_document(&lab);

    it_wrote_the_environment(&lab);
    let calls: serde_json::Value = serde_json::from_str(&lab.must(&["call", "--json"])).unwrap();
    assert_eq!(calls["items"].as_array().unwrap().len(), 2, "{calls:#}");

    a_recording_is_measured_copied_played_and_deleted(&lab);

    a_purge_leaves_the_data_it_names(&lab);
    lab.must(&["down"]);
    assert_eq!(lab.remains(), Vec::<String>::new());
}

/// Nothing runs, no port but ssh's is open, packet filter and traffic control are gone, and what files stay are named.
fn a_purge_leaves_the_data_it_names(lab: &Lab) {
    let shell = |script: &str| lab.exec("n2", &["sh", "-c", script]).out;
    let before = shell("nft list tables; tc qdisc show");
    assert!(before.contains("table inet tandem") && before.contains("htb"), "{before}");
    // The media double is there where FreeSWITCH is not.
    let packages = "dpkg-query -W -f '${Package}\\n' 'tandem*'";
    let said = shell(&format!("DEBIAN_FRONTEND=noninteractive apt-get purge -y $({packages}) 2>&1"));
    assert_eq!(shell("dpkg-query -W -f '${db:Status-Status}' tandem 2>/dev/null"), "", "{said}");
    let running = shell(
        "ps -eo comm= | grep -E '^(postgres|redis|kamailio|keepalived|freeswitch|voipadmind|tandem|rsync|prometheus|media)'",
    );
    assert_eq!(running, "", "{said}");
    let ports = shell("ss -Hlntup | grep -v '\"sshd\"' | grep -v systemd-resolve");
    assert_eq!(ports, "", "{said}");
    let rules = shell("nft list tables; tc qdisc show");
    assert!(!rules.contains("tandem") && !rules.contains("htb"), "{rules}\n{said}");
    let address = lab.exec("n2", &["ip", "-br", "addr", "show", "svc0"]).out;
    assert!(!address.contains(VIP), "{address}");
    // The lab's own mark and the system's package cache are no files of the package.
    let files = shell(
        "find / -xdev \\( -path /proc -o -path /sys -o -path /var/lib/dpkg -o -path /var/cache/apt -o -path /var/log/journal \
         -o -path /var/tmp \\) -prune -o \\( -iname '*tandem*' ! -name '*tandem-lab' -o -iname '*voip*admin*' \\) -print; \
         find /var/lib/tandem /etc/tandem -mindepth 1 -maxdepth 1 2>/dev/null",
    );
    let unnamed: Vec<&str> = files
        .lines()
        .filter(|file| !said.contains(file) && !["/var/lib/tandem"].contains(file))
        .filter(|file| {
            !file.starts_with("/var/lib/tandem/replaced/") && !file.starts_with("/var/lib/voip-admin/")
        })
        .collect();
    assert_eq!(unnamed, Vec::<&str>::new(), "{said}");
    let failed = shell("systemctl --failed --plain --no-legend");
    assert_eq!(failed, "", "{said}");
}

/// In the services' own sandboxes, which no test of voipadmind alone is in: a file as FreeSWITCH leaves it is measured,
/// copied to the peer, played through the address, and deleted on both nodes when its time is over.
fn a_recording_is_measured_copied_played_and_deleted(lab: &Lab) {
    let tree = "/storage/recordings/n1";
    let path = "2026/11/22/1b12750e-3862-47fe-846f-3e56bbf4a5b8.wav";
    // One second of silence, in folders that are not their group's to write to.
    let header = r"RIFF\244\076\000\000WAVEfmt \020\000\000\000\001\000\001\000\100\037\000\000\200\076\000\000\002\000\020\000data\200\076\000\000";
    let record = format!(
        "umask 022; cd {tree} && mkdir -p $(dirname {path}) && {{ printf '{header}'; head -c 16000 /dev/zero; }} >{path} \
         && touch -d '1 minute ago' {path}"
    );
    let recorded = lab.exec("n1", &["runuser", "-u", "freeswitch", "--", "sh", "-c", &record]);
    assert!(recorded.succeeded, "{recorded:?}");
    let psql = |statement: &str| {
        let ran = lab.exec(
            "n1",
            &["runuser", "-u", "postgres", "--", "psql", "-AtXqd", "voip_platform", "-c", statement],
        );
        assert!(ran.succeeded, "{ran:?}");
        ran.out.trim().to_owned()
    };
    let id = psql(&format!(
        "INSERT INTO voip.recordings (leg_uuid, start_time, node, file_path) VALUES ('1b12750e', now(), 'n1', '{path}') RETURNING id"
    ));
    let becomes = |wanted: &str| {
        let state = || {
            psql(&format!(
                "SELECT concat_ws(' ', state, file_size, duration) FROM voip.recordings WHERE id = {id}"
            ))
        };
        let there = testkit::wait_for(Duration::from_secs(120), || state() == wanted);
        assert!(there, "{} instead of {wanted}", state());
    };
    let pushed = lab.exec("n1", &["systemctl", "start", "tandem-recordings-all.service"]);
    assert!(pushed.succeeded, "{pushed:?}");
    becomes("replicated 16044 1");

    let environment = phones::Env::read(&lab.file("env")).unwrap();
    let url = format!("{}/api/recordings/{id}/media", environment.api);
    let key = format!("Authorization: Bearer {}", environment.api_key);
    let played = Command::new("curl").args(["-sSf", "-m", "10", "-H", &key, &url]).output().unwrap();
    assert!(
        played.status.success() && played.stdout.len() == 16_044,
        "{}",
        String::from_utf8_lossy(&played.stderr)
    );

    let opened = lab.exec("n1", &["systemctl", "start", "tandem-recordings-folders.service"]);
    assert!(opened.succeeded, "{opened:?}");
    psql(&format!("UPDATE voip.recordings SET expires_at = now() - interval '1 day' WHERE id = {id}"));
    becomes("");
    for node in ["n1", "n2"] {
        assert_eq!(lab.exec(node, &["find", "/storage/recordings", "-name", "*.wav"]).out, "", "{node}");
    }
}

/// Ansible reads it whole, and only its changes show what an apply says while it works.
fn an_apply_that_changes_something_says_one_document(lab: &Lab) {
    // One with a consequence that is told: the exporter is restarted.
    for file in ["/etc/logrotate.d/tandem", "/etc/default/prometheus-node-exporter"] {
        lab.exec("n1", &["sh", "-c", &format!("echo >>{file}")]);
    }
    let said = lab.must(&["exec", "n1", "--", "tandem", "apply", "--json", "--yes"]);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(report["changed"], true, "{report:#}");
}

/// design.md section 7: these names, mode 0600; the API's address works from here and from the phones' place.
fn it_wrote_the_environment(lab: &Lab) {
    let file = lab.file("env");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(file).unwrap();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    assert_eq!(value("TANDEM_VIP"), VIP);
    let health = format!("{}/health", value("TANDEM_API"));
    let there = ["ip", "netns", "exec", value("TANDEM_CLIENT_NETNS")];
    for before in [&[][..], &there] {
        let words = [before, &["curl", "-sSf", "-m", "5", &health]].concat();
        let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
}
