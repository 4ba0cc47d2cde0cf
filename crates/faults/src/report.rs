//! Words and tables for what came of the cases.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use host::files;
use lab::NODES;

use crate::cases::{CASES, Case, Expect};
use crate::floor::{Floor, median};
use crate::probe::Probe;
use crate::run_case::Ran;

/// Of a take-over (issue: from kill to the first write and the first SIP answer).
pub const TAKE_OVER_MAX: Duration = Duration::from_secs(3);

/// What was run on, told above the tables.
pub struct Setting {
    pub command: String,
    pub release: String,
    pub media: String,
    pub arbiter: String,
    pub floor: Option<Floor>,
}

/// One case, as it ended.
pub fn line(ran: &Ran) -> String {
    let moved = if let Some(compared) = &ran.compared {
        format!("{compared}; {} acknowledged writes lost", ran.verdict.lost.len())
    } else if ran.moved() {
        format!("moved {} → {}", NODES[ran.before], NODES[ran.after])
    } else {
        format!("stayed on {}", NODES[ran.after])
    };
    let ms = |time: Option<Duration>| time.map_or("-".into(), |time| time.as_millis().to_string());
    let holders = match ran.verdict.two_holders_times {
        0 => String::new(),
        times => format!(", two holders {times} x {} ms", ran.verdict.two_holders.as_millis()),
    };
    let word = match (&ran.compared, ran.broken.as_slice()) {
        (Some(_), _) => "seen",
        (None, []) => "ok",
        (None, _) => "BROKEN",
    };
    format!(
        "{word:6} {:40} {moved}; no write for {} ms (API {} ms), no SIP for {} ms; whole {:.1} s after mending{holders}",
        ran.case,
        ms(ran.writes),
        ms(ran.api),
        ms(ran.sip),
        ran.whole_after.as_secs_f64()
    )
}

/// What was acknowledged and what became of it, over all that is ours.
pub fn sums(all: &[Ran]) -> String {
    let all: Vec<&Ran> = all.iter().filter(|ran| ran.compared.is_none()).collect();
    let sum = |of: fn(&Ran) -> usize| all.iter().copied().map(of).sum::<usize>();
    let acknowledged =
        |probe: Probe| all.iter().filter_map(|ran| ran.verdict.acknowledged.get(&probe)).sum::<usize>();
    let holders: Duration = all.iter().map(|ran| ran.verdict.two_holders).sum();
    format!(
        "acknowledged: {} writes through the API, {} call records, {} SQL commits at the address and {} at the nodes; \
         answered: {} SIP requests\nlost {}, twice {}, acknowledged by two nodes at once {}; two holders of the address {} \
         times, {} ms",
        acknowledged(Probe::Http),
        acknowledged(Probe::Cdr),
        acknowledged(Probe::Sql),
        acknowledged(Probe::Direct(0)) + acknowledged(Probe::Direct(1)),
        acknowledged(Probe::Sip),
        sum(|ran| ran.verdict.lost.len() + ran.verdict.not_copied),
        sum(|ran| ran.verdict.twice.len()),
        sum(|ran| ran.verdict.dual.len()),
        sum(|ran| ran.verdict.two_holders_times),
        holders.as_millis()
    )
}

/// Take-over times of a node's death beside the floor.
pub fn take_overs(all: &[Ran], floor: Option<&Floor>) -> Option<String> {
    let deaths = all.iter().filter(|ran| ran.case == "active-dies" && ran.moved());
    let mut times: Vec<u64> =
        deaths.filter_map(|ran| u64::try_from(ran.take_over()?.as_millis()).ok()).collect();
    times.sort_unstable();
    let p99 = *times.get((times.len() * 99).div_ceil(100).checked_sub(1)?)?;
    let middle = median(times.clone())?;
    let beside = floor.map_or(String::new(), |floor| {
        let ratio = middle as f64 / floor.total().as_millis().max(1) as f64;
        format!("; floor {floor}; {ratio:.2} x of it")
    });
    Some(format!(
        "take-over after the active node's death, of {}: median {middle} ms, p99 {p99} ms{beside}",
        times.len()
    ))
}

/// The file, written anew.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, of: &Setting, all: &[Ran], failed: &[(String, String)]) -> Result<()> {
    let text = document(of, all, failed);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    files::write(path, 0o644, None, text.as_bytes()).with_context(|| format!("writing {}", path.display()))
}

/// Ours, or what is compared with it; `None` where nothing of it was run.
fn table(all: &[Ran], compared: bool) -> Option<Table> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "case",
        "fault",
        "repeats",
        "what happened",
        "no write, ms: median / max",
        "through the API",
        "no CDR taken",
        "no SIP, ms: median / max",
        "lost",
        "twice",
        "dual writers",
        "two holders, ms",
        "whole again, s",
    ]);
    for case in CASES.iter().filter(|case| matches!(case.expect, Expect::Compared(_)) == compared) {
        let runs: Vec<&Ran> = all.iter().filter(|ran| ran.case == case.name).collect();
        if !runs.is_empty() {
            table.add_row(row(case, &runs));
        }
    }
    (!table.is_empty()).then_some(table)
}

fn document(of: &Setting, all: &[Ran], failed: &[(String, String)]) -> String {
    let floor = of.floor.map_or("not measured".into(), |floor| floor.to_string());
    let mut text = format!(
        "# Faults\n\nWritten by `{}`. A lab on one machine: Debian {}, media: {}, arbiter: {}. While a fault lasts, clients at \
         the virtual address never stop: 10 writes a second through the API, 20 call records, 20 SQL commits (and 10 at each \
         node's own address), 20 SIP requests. *No write* and *no SIP*: from the last good answer to the first good one. \
         *Lost*, *twice*: acknowledged writes that are not there, or more than once, on either node when the pair is whole \
         again. *Dual writers*: writes that two nodes acknowledged at once. *Two holders*: of the virtual address \
         (failover.md 14). How each fault is made: [lab.md](lab.md).\n\nFloor of a take-over: {floor}.\n\n{}\n\n{}\n",
        of.command,
        of.release,
        of.media,
        of.arbiter,
        table(all, false).map_or_else(String::new, |table| table.to_string()),
        sums(all).replace('\n', "  \n")
    );
    if let Some(line) = take_overs(all, of.floor.as_ref()) {
        text.push_str(&format!("\n{line}\n"));
    }
    if let Some(table) = table(all, true) {
        text.push_str(&format!(
            "\n## Compared\nThe seed's own keepalived.conf, scripts and replication on the same nodes, asked by the same clients: no \
             promise of ours. *Lost*: acknowledged at the address, and not on the node that has it at the end.\n\n{table}\n"
        ));
    }
    let broken: Vec<String> = all
        .iter()
        .flat_map(|ran| ran.broken.iter().map(move |what| format!("- `{}`: {what}\n", ran.case)))
        .chain(failed.iter().map(|(case, why)| format!("- `{case}`: {why}\n")))
        .collect();
    if !broken.is_empty() {
        text.push_str(&format!("\n## Not as promised\n{}", broken.concat()));
    }
    text
}

fn row(case: &Case, runs: &[&Ran]) -> Vec<String> {
    let moved = runs.iter().filter(|ran| ran.moved()).count();
    let served = runs.iter().filter(|ran| ran.served).count();
    let compared = runs.iter().find_map(|ran| ran.compared.clone());
    let mut what = match moved {
        _ if compared.is_some() => compared.unwrap_or_default(),
        0 => "stayed".to_owned(),
        moved if moved == runs.len() => "moved".into(),
        moved => format!("moved {moved} of {}", runs.len()),
    };
    if runs.iter().any(|ran| ran.cure.is_some()) {
        what.push_str("; writes waited, status said what to type");
    } else if served < runs.len() && runs.iter().all(|ran| ran.compared.is_none()) {
        what.push_str(&format!(
            "; served again only when mended ({} of {})",
            runs.len() - served,
            runs.len()
        ));
    }
    let times = |of: fn(&Ran) -> Option<Duration>| {
        let all: Vec<u64> = runs.iter().filter_map(|ran| u64::try_from(of(ran)?.as_millis()).ok()).collect();
        let max = all.iter().max().copied();
        median(all).zip(max).map_or("-".into(), |(median, max)| format!("{median} / {max}"))
    };
    let sum = |of: fn(&Ran) -> usize| runs.iter().map(|ran| of(ran)).sum::<usize>().to_string();
    let holders: Duration = runs.iter().map(|ran| ran.verdict.two_holders).sum();
    let whole = runs.iter().filter(|ran| ran.compared.is_none()).map(|ran| ran.whole_after).max();
    vec![
        case.name.into(),
        case.about.into(),
        runs.len().to_string(),
        what,
        times(|ran| ran.writes),
        times(|ran| ran.api),
        times(|ran| ran.cdr),
        times(|ran| ran.sip),
        sum(|ran| ran.verdict.lost.len() + ran.verdict.not_copied),
        sum(|ran| ran.verdict.twice.len()),
        sum(|ran| ran.verdict.dual.len()),
        holders.as_millis().to_string(),
        whole.map_or("-".into(), |whole| format!("{:.1}", whole.as_secs_f64())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict;
    use crate::verdict::tests::log;
    use crate::written::Written;

    fn ran(case: &'static str, after: usize, ms: u64) -> Ran {
        Ran {
            case,
            before: 0,
            after,
            served: true,
            writes: Some(Duration::from_millis(ms)),
            api: Some(Duration::from_millis(ms)),
            cdr: None,
            sip: Some(Duration::from_millis(ms / 2)),
            cure: None,
            whole_after: Duration::from_secs(7),
            verdict: Verdict::of(&log(Vec::new()), &[Written::default(), Written::default()]),
            compared: None,
            broken: Vec::new(),
        }
    }

    #[test]
    fn a_document_tells_each_case_once() {
        let of = Setting {
            command: "tandem lab faults".into(),
            release: "trixie".into(),
            media: "double".into(),
            arbiter: "none".into(),
            floor: None,
        };
        let mut all =
            vec![ran("active-dies", 1, 1_500), ran("active-dies", 1, 1_700), ran("standby-dies", 0, 9)];
        all[2].broken.push("it broke".into());
        let text = document(&of, &all, &[("blip".into(), "no lab".into())]);
        assert!(text.contains("| active-dies") && text.contains("1700 / 1700"), "{text}");
        assert!(text.contains("median 1700 ms, p99 1700 ms"), "{text}");
        assert!(text.contains("- `standby-dies`: it broke\n- `blip`: no lab"), "{text}");
        assert!(!text.contains("## Compared"), "{text}");
        let seed = Ran { compared: Some("2 primaries".into()), ..ran("seed-literal-9.1", 1, 9_000) };
        assert!(line(&seed).starts_with("seen ") && !line(&seed).contains("moved"), "{}", line(&seed));
        let text = document(&of, &[seed], &[]);
        let (ours, theirs) = text.split_once("## Compared").unwrap();
        assert!(theirs.contains("2 primaries") && !ours.contains("seed-literal"), "{text}");
        assert!(
            line(&all[0]).contains("moved n1 → n2; no write for 1500 ms (API 1500 ms)"),
            "{}",
            line(&all[0])
        );
    }
}
