//! The machine a load ran on, in words: a number without it means nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde::Serialize;

use super::platform::Platform;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub processors: usize,
    pub model: String,
    pub memory_gib: u64,
    pub kernel: String,
    pub system: String,
    /// Of each node, where it is another than the machine's.
    pub nodes: Vec<(String, String)>,
}

/// This one.
pub fn this(nodes: &[(String, String)]) -> Machine {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory_kib = read("/proc/meminfo").lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.split_ascii_whitespace().next()?.parse::<u64>().ok()
    });
    Machine {
        processors: cpus.lines().filter(|line| line.starts_with("processor")).count(),
        model: model.map_or_else(|| "unknown".into(), |(_, model)| model.trim().to_owned()),
        memory_gib: memory_kib.unwrap_or_default().div_ceil(1 << 20),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        system: pretty_name(&read("/etc/os-release")),
        nodes: nodes.to_vec(),
    }
}

/// What each node of a lab runs, as one of its processes sees it.
pub fn systems(platform: &Platform) -> Vec<(String, String)> {
    let Platform::Namespaces(nodes) = platform else { return Vec::new() };
    let system = |file: &std::path::Path| {
        let namespace = fs::metadata(file).ok()?;
        let inside = fs::read_dir("/proc").ok()?.flatten().find(|process| {
            fs::metadata(process.path().join("ns/net"))
                .is_ok_and(|m| (m.dev(), m.ino()) == (namespace.dev(), namespace.ino()))
        })?;
        Some(pretty_name(&fs::read_to_string(inside.path().join("root/etc/os-release")).ok()?))
    };
    nodes.iter().filter_map(|(node, file)| Some((node.clone(), system(file)?))).collect()
}

/// os-release(5).
fn pretty_name(text: &str) -> String {
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_owned()
}
