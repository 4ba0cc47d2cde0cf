//! What the platform's processes use meanwhile, from `/proc` of the machine that they and the phones share.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

/// What the kernel counts processor time in, on every Linux there is (USER_HZ, proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;
/// Processes looked at.
const PROCESSES_MAX: usize = 50_000;
/// Memory is dear to read: every so many samples.
const MEMORY_EVERY: u32 = 5;
const MIB: f64 = 1_048_576.0;

/// Which processes are the platform's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platform {
    /// The supervisor of a dev node, and all below it.
    Supervisor(u32),
    /// All in these network namespaces, each with the node's name.
    Namespaces(Vec<(String, PathBuf)>),
    /// They are not on this machine.
    Elsewhere,
}

/// What all processes of one program on one node used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Usage {
    pub node: String,
    pub program: String,
    /// At the last look.
    pub processes: usize,
    /// Of the whole run.
    pub cpu_seconds: f64,
    /// Of one processor, over the whole run.
    pub cpu_percent: f64,
    /// Of one processor, in the worst second.
    pub cpu_percent_peak: f64,
    /// Memory at the peak; what processes share is counted once (PSS).
    pub memory_mib_peak: f64,
}

/// Looks again and again.
pub struct Sampler {
    platform: Platform,
    began: Instant,
    last: Option<Instant>,
    samples: u32,
    /// Ticks of each process at the last look; by number and start, which together are one process.
    ticks: HashMap<(u32, u64), u64>,
    usage: BTreeMap<(String, String), Usage>,
    /// Idle and all ticks of the machine when it began, and at the last look.
    machine: Option<((u64, u64), (u64, u64))>,
    idle_percent_min: f64,
}

struct Process {
    pid: u32,
    parent: u32,
    program: String,
    ticks: u64,
    started: u64,
}

impl Sampler {
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            began: Instant::now(),
            last: None,
            samples: 0,
            ticks: HashMap::new(),
            usage: BTreeMap::new(),
            machine: None,
            idle_percent_min: 100.0,
        }
    }

    /// Once a second.
    pub fn sample(&mut self) {
        let now = Instant::now();
        let seconds = self.last.replace(now).map(|last| (now - last).as_secs_f64());
        let with_memory = self.samples.is_multiple_of(MEMORY_EVERY);
        self.samples += 1;
        self.sample_machine();
        let mut totals: BTreeMap<(String, String), (usize, u64, f64)> = BTreeMap::new();
        let mut ticks = HashMap::new();
        for (node, process) in self.processes() {
            let id = (process.pid, process.started);
            // One that is new since the last look was born within it; at the first look all are older.
            let before = self.ticks.get(&id).copied().or_else(|| seconds.map(|_| 0)).unwrap_or(process.ticks);
            let total = totals.entry((node, process.program)).or_default();
            total.0 += 1;
            total.1 += process.ticks.saturating_sub(before);
            if with_memory {
                total.2 += memory_mib(process.pid);
            }
            ticks.insert(id, process.ticks);
        }
        self.ticks = ticks;
        for ((node, program), (processes, ticks, memory_mib)) in totals {
            let usage = self.usage.entry((node.clone(), program.clone())).or_default();
            (usage.node, usage.program, usage.processes) = (node, program, processes);
            let cpu_seconds = ticks as f64 / TICKS_PER_SECOND;
            usage.cpu_seconds += cpu_seconds;
            if let Some(seconds) = seconds.filter(|seconds| *seconds > 0.5) {
                usage.cpu_percent_peak = usage.cpu_percent_peak.max(cpu_seconds / seconds * 100.0);
            }
            usage.memory_mib_peak = usage.memory_mib_peak.max(memory_mib);
        }
    }

    /// By node and program, and the machine's idle time in percent: over the run, and in the worst second.
    pub fn finish(self) -> (Vec<Usage>, Option<(f64, f64)>) {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let usage = self.usage.into_values().map(|mut usage| {
            usage.cpu_percent = usage.cpu_seconds / seconds * 100.0;
            usage
        });
        let idle = self.machine.map(|(first, last)| (idle_percent(first, last), self.idle_percent_min));
        (usage.collect(), idle)
    }

    fn sample_machine(&mut self) {
        let Some(now) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(machine_ticks) else {
            return;
        };
        let (first, last) = self.machine.unwrap_or((now, now));
        if now.1 > last.1 {
            self.idle_percent_min = self.idle_percent_min.min(idle_percent(last, now));
        }
        self.machine = Some((first, now));
    }

    fn processes(&self) -> Vec<(String, Process)> {
        match &self.platform {
            Platform::Elsewhere => Vec::new(),
            Platform::Supervisor(supervisor) => {
                let all = all_processes();
                let parents: HashMap<u32, u32> = all.iter().map(|p| (p.pid, p.parent)).collect();
                let below = |mut pid: u32| {
                    // No tree is deeper than it has processes.
                    for _ in 0..parents.len() {
                        match parents.get(&pid) {
                            Some(_) if pid == *supervisor => return true,
                            Some(parent) => pid = *parent,
                            None => return false,
                        }
                    }
                    false
                };
                all.into_iter().filter(|p| below(p.pid)).map(|p| ("dev".to_owned(), p)).collect()
            }
            Platform::Namespaces(namespaces) => {
                let id = |path: PathBuf| fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
                let nodes: HashMap<_, _> =
                    namespaces.iter().filter_map(|(node, file)| Some((id(file.clone())?, node))).collect();
                let node_of =
                    |pid| nodes.get(&id(format!("/proc/{pid}/ns/net").into())?).map(|n| (*n).clone());
                all_processes().into_iter().filter_map(|p| Some((node_of(p.pid)?, p))).collect()
            }
        }
    }
}

fn all_processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .take(PROCESSES_MAX)
        .filter_map(|pid: u32| process(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// proc(5): `pid (name) state ppid … utime(14) stime(15) … starttime(22)`.
fn process(pid: u32, stat: &str) -> Option<Process> {
    // The name may hold anything: fields are counted from its end.
    let (front, fields) = stat.rsplit_once(')')?;
    let program = front.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let parent = u32::try_from(number(4)?).ok()?;
    Some(Process { pid, parent, program, ticks: number(14)? + number(15)?, started: number(22)? })
}

/// Proportional where we may ask (the kernel lets only the owner and root), else resident.
fn memory_mib(pid: u32) -> f64 {
    let kib = |file: &str, key: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().next()?.parse::<f64>().ok()
    };
    kib("smaps_rollup", "Pss:").or_else(|| kib("status", "VmRSS:")).unwrap_or_default() * 1_024.0 / MIB
}

/// `cpu user nice system idle iowait …`: idle (with waiting for disks), and all.
fn machine_ticks(stat: &str) -> Option<(u64, u64)> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = fields.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect();
    // The last two, of guests, are in the first two already.
    Some((ticks.get(3)? + ticks.get(4)?, ticks.iter().take(8).sum()))
}

fn idle_percent((idle, all): (u64, u64), (idle_after, all_after): (u64, u64)) -> f64 {
    match all_after.saturating_sub(all) {
        0 => 100.0,
        ticks => idle_after.saturating_sub(idle) as f64 / ticks as f64 * 100.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 9876 1 2";
        let process = process(42, stat).unwrap();
        assert_eq!((process.parent, process.ticks, process.started), (7, 200, 9876));
        assert_eq!(process.program, "a) b (c)");
    }

    #[test]
    fn the_machines_idle_time_is_what_nobody_used() {
        let ticks = |text| machine_ticks(text).unwrap();
        let (before, after) =
            (ticks("cpu  10 0 10 70 10 0 0 0 5 0\ncpu0"), ticks("cpu  30 0 30 110 30 0 0 0 5 0"));
        assert_eq!(before, (80, 100));
        assert_eq!(idle_percent(before, after), 60.0);
        assert_eq!(idle_percent(before, before), 100.0);
    }

    #[test]
    fn this_process_is_found_below_itself() {
        let mut sampler = Sampler::new(Platform::Supervisor(std::process::id()));
        sampler.sample();
        let (usage, idle) = sampler.finish();
        assert_eq!((usage.len(), usage[0].processes, usage[0].node.as_str()), (1, 1, "dev"));
        assert!(usage[0].memory_mib_peak > 0.5 && idle.is_some(), "{usage:?}");
    }
}
