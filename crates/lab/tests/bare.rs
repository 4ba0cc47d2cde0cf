//! Two bare Debian systems from nothing and back, every fault on the way, through the real commands.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a failed test")]

mod support;

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Lab, skipped};

/// Until an `up` that is to be killed has made something.
const MADE: Duration = Duration::from_secs(280);

const N2_SERVICE: &str = "198.18.77.12";
const N2_PEER: &str = "198.18.78.12";
const GATEWAY: &str = "198.18.77.1";

#[test]
fn two_systems_come_up_break_mend_and_go() {
    if skipped() {
        return;
    }
    let lab = Lab::new('a');
    let up = lab.must(&["up", "--bare", "--witness"]);
    assert!(up.contains("the lab is up"), "{up}");
    let again = lab.must(&["up", "--bare", "--witness"]);
    assert!(again.contains("runs already"), "{again}");
    assert!(lab.must(&["status"]).contains("n1       on"));

    systems_are_their_own(&lab);
    networks_are_cut_and_healed(&lab);
    frames_are_lost_and_late(&lab);
    power_goes_and_comes_back(&lab);
    a_disk_is_filled_and_no_other(&lab);
    a_disk_is_slow(&lab);
    a_service_is_frozen_and_told_another_time(&lab);
    wrong_words_are_answered(&lab);

    // Whatever was killed meanwhile, all of it goes.
    let state: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(lab.file("state.json")).unwrap()).unwrap();
    let pid = state["processes"][0]["pid"].as_i64().unwrap();
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    let down = lab.must(&["down"]);
    assert!(down.contains("the lab is gone"), "{down}");
    assert_eq!(lab.remains(), Vec::<String>::new());
    let again = lab.must(&["down"]);
    assert!(again.contains(&format!("there is no lab '{}'", lab.name)), "{again}");
}

fn systems_are_their_own(lab: &Lab) {
    assert_eq!(lab.exec("n1", &["hostname"]).out.trim(), "n1");
    let ids = ["n1", "n2"].map(|node| lab.exec(node, &["cat", "/etc/machine-id"]).out);
    assert!(ids[0].trim().len() == 32 && ids[0] != ids[1], "{ids:?}");
    for address in [N2_SERVICE, N2_PEER, GATEWAY, "198.18.77.50", "198.18.78.13"] {
        assert!(lab.pings("n1", address), "n1 does not reach {address}");
    }
    let sysctl = lab.exec("n1", &["sysctl", "-w", "net.ipv4.ip_nonlocal_bind=1"]);
    assert!(sysctl.succeeded, "a node's own network settings are its own: {sysctl:?}");
    assert_eq!(lab.exec("n1", &["sh", "-c", "exit 3"]).out, "");
    assert_eq!(lab.command(&["exec", "n1", "--", "sh", "-c", "exit 3"]).status().unwrap().code(), Some(3));
}

fn networks_are_cut_and_healed(lab: &Lab) {
    lab.must(&["cut", "n1", "n2", "--net", "service"]);
    assert!(!lab.pings("n1", N2_SERVICE) && lab.pings("n1", N2_PEER) && lab.pings("n1", GATEWAY));
    lab.must(&["heal"]);
    lab.must(&["cut", "n1", "gw"]);
    assert!(!lab.pings("n1", GATEWAY) && lab.pings("n2", GATEWAY) && lab.pings("n1", N2_SERVICE));
    lab.must(&["heal"]);
    lab.must(&["cut", "n2", "n1", "--net", "peer", "--one-way"]);
    // What n1 sends arrives; the answers do not.
    let listener = "python3 -c 'import socket; s=socket.socket(2, 2); s.bind((\"198.18.78.12\", 9)); s.settimeout(9); \
                    print(s.recv(9))'";
    let hears = std::thread::scope(|scope| {
        let heard = scope.spawn(|| lab.exec("n2", &["sh", "-c", listener]));
        let send = "import socket, time\nfor _ in range(40):\n socket.socket(2, 2).sendto(b'x', ('198.18.78.12', 9)); \
                    time.sleep(0.1)";
        lab.exec("n1", &["python3", "-c", send]);
        heard.join().unwrap()
    });
    assert!(hears.out.contains("b'x'"), "{hears:?}");
    assert!(!lab.pings("n1", N2_PEER));
    lab.must(&["heal"]);
    assert!(lab.pings("n1", N2_PEER));
}

fn frames_are_lost_and_late(lab: &Lab) {
    lab.must(&["loss", "100"]);
    assert!(!lab.pings("n1", N2_SERVICE));
    lab.must(&["loss", "0"]);
    lab.must(&["slow", "60"]);
    // The first one waits for the hardware address too.
    lab.pings("n1", N2_SERVICE);
    let ping = lab.exec("n1", &["ping", "-c", "1", "-W", "2", N2_SERVICE]).out;
    let ms: f64 = ping.split("time=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((120.0..400.0).contains(&ms), "there and back in {ms} ms");
    lab.must(&["heal"]);
    assert!(lab.pings("n1", N2_SERVICE));
}

fn power_goes_and_comes_back(lab: &Lab) {
    lab.exec("n1", &["sh", "-c", "echo kept >/var/lib/kept && sync; touch /run/gone"]);
    lab.exec("n1", &["ip", "addr", "add", "198.18.77.100/24", "dev", "svc0"]);
    lab.must(&["kill", "n1"]);
    assert!(lab.must(&["status"]).contains("n1       off"));
    assert!(!lab.pings("n2", "198.18.77.11"));
    let exec = lab.exec("n1", &["true"]);
    assert!(!exec.succeeded && exec.err.contains("tandem lab start n1"), "{exec:?}");
    assert!(!lab.tandem(&["kill", "n1"]).succeeded);
    lab.must(&["start", "n1"]);
    assert!(lab.pings("n2", "198.18.77.11") && !lab.pings("n2", "198.18.77.100"));
    assert_eq!(lab.exec("n1", &["cat", "/var/lib/kept"]).out, "kept\n");
    assert!(!lab.exec("n1", &["test", "-e", "/run/gone"]).succeeded);
}

fn a_disk_is_filled_and_no_other(lab: &Lab) {
    lab.must(&["fill", "n1", "/var/lib"]);
    let write = ["sh", "-c", "echo more >/var/lib/more"];
    assert!(!lab.exec("n1", &write).succeeded && lab.exec("n2", &write).succeeded);
    assert!(lab.exec("n1", &["sh", "-c", "echo more >/etc/more"]).succeeded);
    lab.must(&["unfill", "n1"]);
    assert!(lab.exec("n1", &write).succeeded);
    assert!(lab.tandem(&["fill", "n1", "/var/../etc"]).err.contains("not below /var"));
}

fn a_disk_is_slow(lab: &Lab) {
    lab.must(&["slow-disk", "n1", "100"]);
    let began = Instant::now();
    // As a service of the node's: what is run from outside is none of its processes to the kernel.
    let write = "dd if=/dev/zero of=/var/lib/slow bs=4096 count=6 oflag=dsync";
    let ran = lab.exec("n1", &["systemd-run", "--quiet", "--wait", "sh", "-c", write]);
    assert!(ran.succeeded, "{ran:?}");
    assert!(began.elapsed() > Duration::from_millis(500), "six writes in {:?}", began.elapsed());
    lab.must(&["slow-disk", "n1", "off"]);
    assert!(lab.tandem(&["slow-disk", "n1", "1001"]).err.contains("from 1 to 1000, or off"));
}

fn a_service_is_frozen_and_told_another_time(lab: &Lab) {
    let state = "ps -o stat= -p $(systemctl show -p MainPID --value ssh)";
    lab.must(&["pause", "n1", "ssh"]);
    assert!(lab.exec("n1", &["sh", "-c", state]).out.starts_with('T'));
    lab.must(&["resume", "n1", "ssh"]);
    assert!(lab.exec("n1", &["sh", "-c", state]).out.starts_with('S'));
    let clock = lab.must(&["clock", "n1", "ssh", "+1h"]);
    assert!(clock.contains("libfaketime"), "{clock}");
    let loaded = "grep -q libfaketime /proc/$(systemctl show -p MainPID --value ssh)/maps";
    assert!(lab.exec("n1", &["sh", "-c", loaded]).succeeded);
    lab.must(&["clock", "n1", "ssh", "off"]);
}

fn wrong_words_are_answered(lab: &Lab) {
    for (words, answer) in [
        (&["exec", "n3", "--", "true"][..], "is no node of the lab: n1, n2"),
        (&["cut", "n1", "n9"], "is no host of the lab"),
        (&["cut", "n1", "gw", "--net", "peer"], "share no such network"),
        (&["pause", "n1", "nothing"], "runs no nothing.service"),
        (&["clock", "n1", "ssh", "1h"], "starts with + or -"),
        (&["up"], "take it down first"),
        (&["call"], "the lab is bare"),
    ] {
        let ran = lab.tandem(words);
        assert!(!ran.succeeded && ran.err.contains(answer), "{words:?}: {ran:?}");
    }
    let mut other = Lab::new('c');
    other.name = "../x".into();
    assert!(other.tandem(&["status"]).err.contains("small letters and digits"));
}

#[test]
fn an_up_that_was_killed_leaves_nothing_that_down_does_not_take() {
    if skipped() {
        return;
    }
    let lab = Lab::new('b');
    let mut up = lab.command(&["up", "--bare"]).spawn().unwrap();
    let started = Instant::now();
    // Both systems are there, and are booting.
    let booting = || lab.remains().iter().filter(|what| what.starts_with("/proc/")).count() >= 2;
    while !booting() && started.elapsed() < MADE && up.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    up.kill().unwrap();
    up.wait().unwrap();
    assert!(!lab.remains().is_empty(), "it had made nothing when it was killed");
    lab.must(&["down"]);
    assert_eq!(lab.remains(), Vec::<String>::new());
}
