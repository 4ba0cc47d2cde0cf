//! The seed taken literally, to compare with: its keepalived.conf, its four scripts and its asynchronous replication run on
//! the lab's two nodes instead of the agent, and the same probes ask the same.
//!
//! The files beside this one are the seed's own, word for word (sections 3.1 to 3.3). Replaced are only names of a place:
//! the interface, the address, PostgreSQL's version; node 2's file is node 1's with what the seed says of it. Its nodes
//! have sudo and a PostgreSQL that starts at boot and takes clients, so these get that too.
//!
//! Architecture invariant: nothing here is judged. What was acknowledged at the address and is not on the node that has it at the
//! end is counted as lost, and told.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lab::{NODES, VIP, fault};

use crate::cases::Case;
use crate::interrupt::pause;
use crate::pair::{Pair, whole};
use crate::probe::{Probe, Probes};
use crate::run_case::{CALM, LATELY, Ran, WHOLE, begin, holder, lacking};
use crate::verdict::{Verdict, gap};
use crate::written;

/// What is done to its node 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Its section 9.1: keepalived is stopped, and started again.
    KeepalivedStops,
    /// Power off, and on again.
    NodeDies,
}

/// The seed's own wait before it looks.
const MOVES: Duration = Duration::from_secs(30);
/// After the node is back: its checks, two in a row every five seconds, and its script's own eight.
const RETURNS: Duration = Duration::from_secs(20);
/// A script of ours in a node: PostgreSQL stops in it.
const SCRIPT_S: &str = "60";
const LOOK_EVERY: Duration = Duration::from_secs(2);

const KEEPALIVED: &str = include_str!("seed_literal/keepalived.conf");
const SCRIPTS: [(&str, &str); 4] = [
    ("failover_master.sh", include_str!("seed_literal/failover_master.sh")),
    ("failover_backup.sh", include_str!("seed_literal/failover_backup.sh")),
    ("failover_fault.sh", include_str!("seed_literal/failover_fault.sh")),
    ("postgres_failover.sh", include_str!("seed_literal/postgres_failover.sh")),
];

/// Runs a test of the seed's on a pair that is whole, and leaves one behind that is.
///
/// # Errors
/// As of any case; that the seed keeps nothing of what is promised is none.
pub fn run(
    pair: &Pair,
    case: &Case,
    test: Test,
    samples: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<Ran> {
    let before =
        pair.wait_whole(WHOLE).context("before the seed's files are put there the pair is not whole")?;
    written::prepare(pair, before.active)?;
    let ran = play(pair, case, test, before.active, samples, say);
    let since = Instant::now();
    leave(pair).context("putting Tandem's files back")?;
    let after = pair.wait_whole(WHOLE).context("with Tandem's files again the pair is not whole")?;
    written::clear(pair, after.active)?;
    ran.map(|ran| Ran { whole_after: since.elapsed(), ..ran })
}

fn play(
    pair: &Pair,
    case: &Case,
    test: Test,
    first: usize,
    samples: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<Ran> {
    enter(pair, first)?;
    say("the seed's keepalived.conf, scripts and replication are in place, the agents are stopped");
    let mut probes = Probes::start(&pair.env)?;
    begin(&mut probes)?;
    pause(CALM)?;
    let began = probes.now();
    match test {
        Test::KeepalivedStops => pair.shell(first, "systemctl stop keepalived").map(drop)?,
        Test::NodeDies => fault::kill(&pair.lab, NODES[first]).map(drop)?,
    }
    pause(MOVES)?;
    let now = probes.now();
    let (seen, held) = probes.look();
    let served = lacking(seen, now.saturating_sub(LATELY)).is_empty();
    let moved_to = holder(held);
    let mut told = vec![there(moved_to, first), primaries(pair)];
    say(&told.join("; "));
    match test {
        Test::KeepalivedStops => pair.shell(first, "systemctl start keepalived").map(drop)?,
        Test::NodeDies => fault::start(&pair.lab, NODES[first]).map(drop)?,
    }
    pause(RETURNS)?;
    let log = probes.stop();
    if let Some(file) = samples {
        log.write(file, began).with_context(|| format!("writing {}", file.display()))?;
    }
    let last = holder(&log.held);
    told.push(format!("when {} is back: {}, {}", NODES[first], there(last, first), primaries(pair)));
    let there = written::read(pair, &log, last.unwrap_or(first))?;
    // One copy counts, of the node that clients reach; and only what they were told there.
    let mut verdict = Verdict::of(&log, &[there.clone(), there]);
    verdict.lost.retain(|(probe, _)| !matches!(probe, Probe::Direct(_)));
    let length =
        |of: fn(Probe) -> bool| gap(&log.samples, of, began, log.ended).map(|gap| gap.length(log.ended));
    Ok(Ran {
        case: case.name,
        before: first,
        after: moved_to.unwrap_or(first),
        served,
        writes: length(Probe::is_write),
        api: length(|probe| probe == Probe::Http),
        cdr: length(|probe| probe == Probe::Cdr),
        sip: length(|probe| probe == Probe::Sip),
        cure: None,
        whole_after: Duration::ZERO,
        verdict,
        compared: Some(told.join("; ")),
        broken: Vec::new(),
    })
}

fn there(holder: Option<usize>, first: usize) -> String {
    match holder {
        None => "nobody has the address".into(),
        Some(node) if node == first => "the address is where it was".into(),
        Some(_) => "the address moved".into(),
    }
}

fn primaries(pair: &Pair) -> String {
    let is_primary =
        |node: &usize| pair.sql(*node, "SELECT pg_is_in_recovery()").is_ok_and(|said| said.trim() == "f");
    match (0..NODES.len()).filter(is_primary).count() {
        0 => "no primary".into(),
        1 => "one primary".into(),
        many => format!("{many} primaries"),
    }
}

/// Puts the seed's files there; `first` is its node 1. The standby's agent is stopped first: it would take over from one
/// that falls silent.
fn enter(pair: &Pair, first: usize) -> Result<()> {
    for node in [1 - first, first] {
        pair.shell_for(node, SCRIPT_S, &entering(node == first)).context("putting the seed's files there")?;
    }
    for node in [first, 1 - first] {
        pair.shell(node, "systemctl start keepalived")?;
    }
    Ok(())
}

/// Puts Tandem's files back where the seed's are, and gives up what its second primary wrote. Also after a run that was
/// killed.
///
/// # Errors
/// The pair does not become one again.
pub fn leave(pair: &Pair) -> Result<()> {
    let mut left = false;
    for (node, name) in NODES.into_iter().enumerate() {
        if !pair.is_on(node) {
            fault::start(&pair.lab, name)?;
        }
        left |= pair.shell_for(node, SCRIPT_S, LEAVE)?.contains("left");
    }
    if left { pair_again(pair) } else { Ok(()) }
}

/// Whoever holds gives its data up: the seed made two primaries.
fn pair_again(pair: &Pair) -> Result<()> {
    let until = Instant::now() + WHOLE;
    loop {
        let seen = pair.seen();
        if whole(&seen).is_ok() {
            return Ok(());
        }
        if Instant::now() >= until {
            bail!("{} is {}, {} is {}", NODES[0], seen[0], NODES[1], seen[1]);
        }
        for node in (0..NODES.len()).filter(|node| seen[*node].role == "hold") {
            // Refused until it hears the other one.
            let _early = pair.shell(node, "tandem rejoin --discard-local-data");
        }
        // Ctrl-C does not end this: what was broken is mended.
        sleep(LOOK_EVERY);
    }
}

/// Tandem's files are kept in one archive, whose presence says that the seed's are there. The seed's script starts FreeSWITCH,
/// which ends a media double even where there is none.
const LEAVE: &str = "set -e; kept=/var/lib/faults-seed.tar; [ -f $kept ] || exit 0; systemctl stop keepalived; \
    systemctl stop 'postgresql@*'; systemctl -q disable postgresql 2>/dev/null; tar -xf $kept -C /; \
    rm -f /usr/local/bin/sudo /etc/postgresql/*/main/conf.d/zz-seed.conf /var/log/voip-failover.log \
    /var/log/postgres-failover.log /run/voip-master.state; systemctl -q unmask tandem-agent; systemctl daemon-reload; \
    systemctl start tandem-agent; systemctl start keepalived; \
    ! systemctl -q is-enabled tandem-media-double 2>/dev/null || systemctl start tandem-media-double; rm $kept; echo left";

fn entering(is_first: bool) -> String {
    let mut script = String::from(
        "set -e; v=$(ls /etc/postgresql); main=/etc/postgresql/$v/main; kept=/var/lib/faults-seed.tar; cd /\n\
         tar -cf $kept.new usr/local/bin/failover_*.sh usr/local/bin/postgres_failover.sh etc/keepalived/keepalived.conf \
         etc/systemd/system/keepalived.service.d/tandem.conf .$main/start.conf .$main/tandem_hba.conf; mv $kept.new $kept\n\
         systemctl stop tandem-agent keepalived; systemctl -q mask tandem-agent 2>/dev/null\n\
         rm etc/systemd/system/keepalived.service.d/tandem.conf; systemctl daemon-reload\n",
    );
    let of_node = |text: &str| if is_first { text.to_owned() } else { of_node_2(text) };
    let files = SCRIPTS.map(|(name, text)| (format!("usr/local/bin/{name}"), text.to_owned()));
    let keepalived = ("etc/keepalived/keepalived.conf".to_owned(), of_node(KEEPALIVED));
    for (path, text) in files.into_iter().chain([keepalived]) {
        script.push_str(&format!("cat >{path} <<'SEED'\n{}SEED\n", of_the_lab(&text)));
    }
    script.push_str(
        "sed -i \"s,/postgresql/16/,/postgresql/$v/,\" usr/local/bin/*failover*.sh\n\
         printf '#!/bin/sh\\n[ \"$1\" = -u ] && shift; user=$1; shift; exec runuser -u \"$user\" -- \"$@\"\\n' \
         >usr/local/bin/sudo; chmod 0755 usr/local/bin/sudo\n\
         cat .$main/pg_hba.conf >.$main/tandem_hba.conf; echo auto >.$main/start.conf; systemctl -q enable postgresql 2>/dev/null\n\
         printf \"synchronous_commit = off\\nsynchronous_standby_names = ''\\n\" >.$main/conf.d/zz-seed.conf\n\
         chmod 0644 .$main/conf.d/zz-seed.conf; runuser -u postgres -- psql -XAtqc 'SELECT pg_reload_conf()'\n",
    );
    script
}

/// What the seed's second file has otherwise.
fn of_node_2(keepalived: &str) -> String {
    keepalived
        .replace("NODE1_VOIP", "NODE2_VOIP")
        .replace("state MASTER", "state BACKUP")
        .replace("priority 100", "priority 50")
}

fn of_the_lab(text: &str) -> String {
    text.replace("192.168.1.100", VIP).replace("eth0", "svc0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Held;

    #[test]
    fn the_seeds_files_are_the_labs_but_for_their_place() {
        let second = entering(false);
        assert!(
            second.contains("priority 50\n") && second.contains("198.18.77.100/24 dev svc0 label svc0:vip")
        );
        assert!(second.contains("state BACKUP") && !second.contains("192.168.") && !second.contains("eth0"));
        let first = entering(true);
        assert!(first.contains("priority 100\n") && first.contains("| grep -q UP"), "{first}");
    }

    #[test]
    fn who_holds_the_address_is_the_last_that_was_seen() {
        let held = |node, ms, holds| Held { node, at: Duration::from_millis(ms), holds };
        let log = [held(0, 0, true), held(1, 0, false), held(0, 5, false), held(1, 9, true)];
        assert_eq!(there(holder(&log), 0), "the address moved");
        assert_eq!(there(holder(&log[..3]), 0), "nobody has the address");
    }
}
