//! The system below the node: Debian, container or machine, clock, kernel settings, name.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::ANSWER_MAX;
use crate::observe::{Place, output};

const SYSCTL_FOLDER: &str = "/etc/sysctl.d";
/// A list of reserved ports is the longest there is.
const SYSCTL_BYTES_MAX: usize = 16 << 10;

#[derive(Debug)]
pub struct System {
    /// `debian`, `12`.
    pub id: String,
    pub version: String,
    pub pretty: String,
    /// systemd-nspawn, docker…; none on a machine.
    pub container: Option<String>,
    /// `timedatectl show`, or why there is none.
    pub time: Result<BTreeMap<String, String>, String>,
    /// Which of the clock's keepers runs.
    pub clock_keeper: Option<String>,
    pub kernel: Vec<KernelSetting>,
    pub hostname: String,
    pub hostname_resolves: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSetting {
    pub key: String,
    pub wanted: String,
    /// None: this kernel, or this network namespace, has no such key.
    pub is: Option<String>,
}

pub async fn look(_: &Place) -> System {
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let resolving = ["ahosts", hostname.as_str()];
    let (container, time, keepers, resolved) = tokio::join!(
        output("systemd-detect-virt", &["--container"], ANSWER_MAX),
        output("timedatectl", &["show"], ANSWER_MAX),
        keeper(),
        output("getent", &resolving, ANSWER_MAX),
    );
    let release = pairs(&fs::read_to_string("/etc/os-release").unwrap_or_default());
    let get = |key: &str| release.get(key).cloned().unwrap_or_default();
    System {
        id: get("ID"),
        version: get("VERSION_ID"),
        pretty: get("PRETTY_NAME"),
        container: container.ok().map(|kind| kind.trim().to_owned()),
        time: time.map(|text| pairs(&text)).map_err(|e| e.to_string()),
        clock_keeper: keepers,
        kernel: kernel(),
        hostname_resolves: resolved.is_ok(),
        hostname,
    }
}

async fn keeper() -> Option<String> {
    let units = ["chrony", "systemd-timesyncd", "ntpsec", "ntp"];
    for unit in units {
        let active = output("systemctl", &["is-active", "--quiet", unit], ANSWER_MAX).await;
        if active.is_ok() {
            return Some(unit.to_owned());
        }
    }
    None
}

/// `KEY=value` or `KEY="value"`, a line each.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        line.split_once('=').map(|(k, v)| (k.trim().to_owned(), v.trim().trim_matches('"').to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// What our files in sysctl.d ask for, and what the kernel has.
fn kernel() -> Vec<KernelSetting> {
    let ours =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("tandem"));
    let files = fs::read_dir(SYSCTL_FOLDER).into_iter().flatten().flatten().map(|e| e.path()).filter(ours);
    let texts = files.filter_map(|path| fs::read_to_string(path).ok());
    texts
        .flat_map(|text| wanted(&text))
        .map(|(key, wanted)| KernelSetting { is: current(&key), key, wanted })
        .collect()
}

fn wanted(text: &str) -> Vec<(String, String)> {
    let setting = |line: &str| {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            return None;
        }
        let (key, value) = line.split_once('=')?;
        Some((key.trim().trim_start_matches('-').to_owned(), words(value)))
    };
    text.lines().filter_map(setting).collect()
}

fn current(key: &str) -> Option<String> {
    let path = Path::new("/proc/sys").join(key.replace('.', "/"));
    // In one read: the kernel answers a second one with nothing, and `read_to_string` begins with 32 bytes.
    let mut value = [0; SYSCTL_BYTES_MAX];
    let length = fs::File::open(path).ok()?.read(&mut value).ok()?;
    Some(words(&String::from_utf8_lossy(value.get(..length)?)))
}

/// The kernel separates by tabs.
fn words(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_sysctl_reads_them() {
        let text =
            "# why\nnet.ipv4.tcp_rmem = 4096\t87380 67108864\n\n; no\n-fs.file-max=2097152\nnot a setting\n";
        let expected = [("net.ipv4.tcp_rmem", "4096 87380 67108864"), ("fs.file-max", "2097152")];
        assert_eq!(wanted(text), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(current("kernel.hostname").is_some() && current("no.such.key").is_none());
    }

    #[test]
    fn what_systemd_and_debian_say_is_read() {
        let time = "Timezone=Etc/UTC\nLocalRTC=no\nCanNTP=yes\nNTP=yes\nNTPSynchronized=yes\nTimeUSec=Tue 2026-11-24 18:00:00 UTC\n";
        assert_eq!(pairs(time)["NTPSynchronized"], "yes");
        let release = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nVERSION_ID=\"13\"\nID=debian\n";
        assert_eq!((pairs(release)["VERSION_ID"].as_str(), pairs(release)["ID"].as_str()), ("13", "debian"));
    }
}
