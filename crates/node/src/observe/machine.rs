//! The machine: cores, memory, load, disks, clock.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::bounded::output;
use super::{ANSWER_MAX, Disk, Machine, Place};

/// A clock does not lose its source from one second to the next.
const CLOCK_EVERY: Duration = Duration::from_secs(60);

/// Set while a look at the disks is out: a dead mount must not collect threads, one a second.
static LOOKING_AT_DISKS: AtomicBool = AtomicBool::new(false);

pub async fn look(place: &Place) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo");
    Machine {
        cores: cores(&read("/sys/devices/system/cpu/online")),
        load: load(&read("/proc/loadavg")),
        memory_bytes: memory_field(&memory, "MemTotal:"),
        memory_available_bytes: memory_field(&memory, "MemAvailable:"),
        uptime_seconds: read("/proc/uptime").split('.').next().and_then(|s| s.parse().ok()).unwrap_or(0),
        disks: disks(vec!["/".into(), "/var".into(), place.layout.paths.storage.display().to_string()]).await,
        clock_synchronised: None,
    }
}

async fn disks(paths: Vec<String>) -> Vec<Disk> {
    let problem = |words: &str| {
        let disk =
            |path: &String| Disk { path: path.clone(), problem: Some(words.into()), ..Disk::default() };
        paths.iter().map(disk).collect()
    };
    if LOOKING_AT_DISKS.swap(true, Ordering::AcqRel) {
        return problem("an earlier question to these disks is not answered yet");
    }
    let asked = paths.clone();
    let looking = spawn_blocking(move || {
        let found: Vec<Disk> = asked.iter().map(|path| disk(path)).collect();
        LOOKING_AT_DISKS.store(false, Ordering::Release);
        found
    });
    match timeout(ANSWER_MAX, looking).await {
        Ok(Ok(found)) => found,
        _ => problem("no answer: is it a network disk that is away?"),
    }
}

fn disk(path: &str) -> Disk {
    let disk = Disk { path: path.to_owned(), ..Disk::default() };
    match statvfs(Path::new(path)) {
        Ok(fs) => Disk {
            total_bytes: fs.blocks().saturating_mul(fs.fragment_size()),
            free_bytes: fs.blocks_available().saturating_mul(fs.fragment_size()),
            // A filesystem without a fixed number of inodes says 0 of 0.
            inodes_free_percent: u8::try_from(100 * fs.files_available() / fs.files().max(1))
                .unwrap_or(100)
                .max(if fs.files() == 0 { 100 } else { 0 }),
            ..disk
        },
        Err(error) => Disk { problem: Some(error.desc().to_owned()), ..disk },
    }
}

/// `0-3,8-11`: not the cores this process may use, which a unit's CPUAffinity narrows.
fn cores(online: &str) -> u32 {
    let count = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    online.trim().split(',').filter_map(count).sum()
}

fn load(text: &str) -> [f32; 3] {
    let mut numbers = text.split(' ').map_while(|word| word.parse().ok());
    [(); 3].map(|()| numbers.next().unwrap_or(0.0))
}

fn memory_field(text: &str, key: &str) -> u64 {
    let kib =
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Whether the kernel's clock is kept by somebody.
#[derive(Default)]
pub struct Clock {
    known: Option<bool>,
    looked: Option<Instant>,
}

impl Clock {
    /// timedated reads the kernel's own flag (adjtimex), whoever sets it: timesyncd, chrony, ntpd, a container's host.
    pub async fn ask(&mut self) -> Option<bool> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= CLOCK_EVERY) {
            self.looked = Some(Instant::now());
            let said =
                output("timedatectl", &["show", "--property=NTPSynchronized", "--value"], ANSWER_MAX).await;
            self.known = said.ok().and_then(|text| match text.trim() {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            });
        }
        self.known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!((cores("0-1\n"), cores("0-3,8-11\n"), cores("0\n"), cores("")), (2, 8, 1, 0));
        assert_eq!(load("3.64 1.53 0.79 2/345 6789\n"), [3.64, 1.53, 0.79]);
        let memory = "MemTotal:       24684000 kB\nMemFree: 7000 kB\nMemAvailable:   23518000 kB\n";
        assert_eq!(memory_field(memory, "MemAvailable:"), 23_518_000 << 10);
        assert_eq!(memory_field(memory, "Swap:"), 0);
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_said() {
        let found = disks(vec!["/".into(), "/no/such/folder".into()]).await;
        assert!(found[0].total_bytes > 0 && found[0].problem.is_none());
        assert!(found[1].problem.is_some());
    }
}
