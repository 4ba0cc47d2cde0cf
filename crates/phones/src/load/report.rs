//! The outcome as a section of a file, which each run of the same load writes anew.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::outcome::Outcome;
use super::percentiles::Percentiles;
use host::files;

/// What a new file begins with.
const PREFACE: &str = "# Load\n\n\
    Calls at once through a whole platform: every section below is written by the run that it tells of (`tandem load`,\n\
    with `--report`), and replaced by the next run of the same load. Phones are SIPp's. `direct` calls go from phone to\n\
    phone, `queue` calls wait for the demo queue's agents, `ivr` calls listen to the demo menu. A call is *accounted for*\n\
    when `/api/cdr` has exactly one finished record of its Call-ID that says the same as the phone saw.\n\n\
    Post-dial delay is from the first INVITE to 180 or 200, the challenge between them; registration from the first\n\
    REGISTER to its 200. Percentiles are by nearest rank. Memory is PSS: what processes share is counted once. Processor\n\
    time is of one processor: 200 % is two.\n";
/// Call-IDs that are listed.
const NAMED_MAX: usize = 20;
/// How a section begins.
const SECTION: &str = "\n## ";

/// `lab (Debian GNU/Linux 12 (bookworm)), FreeSWITCH: 600 calls`.
fn heading(outcome: &Outcome) -> String {
    let system = outcome.machine.nodes.first().map_or(&outcome.machine.system, |(_, system)| system);
    format!("{} on {system}, {}: {} calls", outcome.shape, outcome.media_server, outcome.calls)
}

/// The section, ending in a line feed.
pub fn section(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = write_section(&mut text, outcome);
    text
}

fn write_section(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let machine = &outcome.machine;
    writeln!(text, "## {}\n", heading(outcome))?;
    writeln!(text, "`{}`\n", outcome.command)?;
    writeln!(
        text,
        "Written by the run of {}, {:.0} s, on {} processors ({}), {} GiB, {}, Linux {}; phones and platform share them.",
        outcome.started.strftime("%Y-%m-%d %H:%M UTC"),
        outcome.run_s,
        machine.processors,
        machine.model,
        machine.memory_gib,
        machine.system,
        machine.kernel,
    )?;
    if let (Some(idle), Some(least)) = (outcome.idle_percent, outcome.idle_percent_min) {
        writeln!(
            text,
            "With whatever else ran on it, the machine was idle {idle:.0} % of the time, {least:.0} % in the worst second."
        )?;
    }
    writeln!(text, "\n{}\n", media(outcome))?;
    calls(text, outcome)?;
    latencies(text, outcome)?;
    usage(text, outcome)
}

fn media(outcome: &Outcome) -> String {
    match outcome.media_received_packets {
        0 => "media: none (signalling only)".to_owned(),
        packets => format!(
            "media: none from the phones; {} sent {packets} packets ({:.0} a second on average) to callers who wait and \
             listen, which were counted and thrown away",
            outcome.media_server,
            packets as f64 / outcome.run_s.max(1.0)
        ),
    }
}

fn calls(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    writeln!(text, "| calls | tried | connected | failed | dialogs at peak |\n|---|---:|---:|---:|---:|")?;
    for kind in &outcome.kinds {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            kind.kind, kind.tried, kind.connected, kind.failed, kind.dialogs_peak
        )?;
    }
    let failed = outcome.failures();
    writeln!(
        text,
        "| **all** | **{}** | **{}** | **{failed}** | **{}** |\n",
        outcome.tried, outcome.connected, outcome.dialogs_peak
    )?;
    for (words, count) in &outcome.failed {
        writeln!(text, "- failed: {count} × {words}")?;
    }
    let equal = if outcome.tried == outcome.accounted { "=" } else { "≠" };
    writeln!(
        text,
        "- calls tried {} {equal} {} accounted for\n- requests sent again: {}; registrations failed: {}",
        outcome.tried, outcome.accounted, outcome.requests_repeated, outcome.registrations_failed
    )?;
    for (call_id, lack) in outcome.unaccounted.iter().take(NAMED_MAX) {
        writeln!(text, "- not accounted for: `{call_id}` {lack}")?;
    }
    if outcome.unaccounted.len() > NAMED_MAX {
        writeln!(text, "- and {} more", outcome.unaccounted.len() - NAMED_MAX)?;
    }
    writeln!(text)
}

fn latencies(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    writeln!(text, "| milliseconds | samples | p50 | p95 | p99 | most |\n|---|---:|---:|---:|---:|---:|")?;
    let mut row = |name: &str, times: Option<Percentiles>| match times {
        None => writeln!(text, "| {name} | 0 | | | | |"),
        Some(t) => writeln!(
            text,
            "| {name} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
            t.count, t.p50_ms, t.p95_ms, t.p99_ms, t.max_ms
        ),
    };
    row("post-dial delay", outcome.post_dial)?;
    for kind in &outcome.kinds {
        row(&format!("post-dial delay, {}", kind.kind), kind.post_dial)?;
    }
    row("registration", outcome.registration)?;
    writeln!(text)
}

fn usage(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    if outcome.usage.is_empty() {
        return writeln!(text, "The platform's processes are not on this machine: their use was not seen.");
    }
    writeln!(text, "| node | program | processes | CPU s | CPU % | CPU % at peak | MiB at peak |")?;
    writeln!(text, "|---|---|---:|---:|---:|---:|---:|")?;
    for usage in &outcome.usage {
        writeln!(
            text,
            "| {} | {} | {} | {:.1} | {:.1} | {:.0} | {:.0} |",
            usage.node,
            usage.program,
            usage.processes,
            usage.cpu_seconds,
            usage.cpu_percent,
            usage.cpu_percent_peak,
            usage.memory_mib_peak
        )?;
    }
    Ok(())
}

/// Puts the section into `file`, in the place of the one with its heading or at the end.
///
/// # Errors
/// The file cannot be read or written.
pub fn write(file: &Path, outcome: &Outcome) -> Result<()> {
    let old = files::read(file).with_context(|| format!("reading {}", file.display()))?;
    let text = placed(old.as_deref().unwrap_or(PREFACE), &section(outcome), &heading(outcome));
    files::write(file, 0o644, None, text.as_bytes()).with_context(|| format!("writing {}", file.display()))
}

fn placed(old: &str, section: &str, heading: &str) -> String {
    let title = format!("{SECTION}{heading}\n");
    match old.find(&title) {
        None => format!("{}\n\n{section}", old.trim_end()),
        Some(at) => {
            let after = &old[at + title.len()..];
            let rest = after.find(SECTION).map_or("", |next| &after[next..]);
            format!("{}\n\n{section}{rest}", old[..at].trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_its_own_and_no_other() {
        let one = placed("# Load\n\nWords.\n", "## a\n\none\n", "a");
        assert_eq!(one, "# Load\n\nWords.\n\n## a\n\none\n");
        let two = placed(&one, "## b\n\ntwo\n", "b");
        assert_eq!(two, "# Load\n\nWords.\n\n## a\n\none\n\n## b\n\ntwo\n");
        let again = placed(&two, "## a\n\nthree\n", "a");
        assert_eq!(again, "# Load\n\nWords.\n\n## a\n\nthree\n\n## b\n\ntwo\n");
        assert_eq!(
            placed(&again, "## b\n\nfour\n", "b"),
            "# Load\n\nWords.\n\n## a\n\nthree\n\n## b\n\nfour\n"
        );
    }
}
