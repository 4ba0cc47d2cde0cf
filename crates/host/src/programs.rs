//! The programs of a node as they are on this machine.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::ifaddrs::getifaddrs;
use nix::unistd::{Uid, User};
use render::{Found, Machine};

/// A program and what it says of its version.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
    pub version: String,
}

/// What the dev node runs.
#[derive(Debug)]
pub struct Programs {
    /// Folder of `initdb`, `postgres`, `pg_isready`.
    pub postgresql_bin: PathBuf,
    pub postgres: Program,
    pub redis: Program,
    pub kamailio: Program,
    pub freeswitch: Freeswitch,
}

/// FreeSWITCH is the operator's own: not in Debian, so not always there.
#[derive(Debug)]
pub enum Freeswitch {
    Found(Program),
    /// Why the media double stands in.
    Absent(String),
}

/// Debian keeps servers out of a user's PATH.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"];
const POSTGRESQL_FOLDER: &str = "/usr/lib/postgresql";
const FREESWITCH_PREFIX: &str = "/opt/freeswitch";
/// Major versions this is built for.
const POSTGRESQL_MAJORS: std::ops::RangeInclusive<u32> = 15..=17;

/// Finds every program; `written` is cluster.yaml's own choice, `data_major` the version an existing database has.
///
/// # Errors
/// The first that is missing, with the Debian package it is in.
pub fn find(written: &spec::PathOverrides, data_major: Option<u32>, user: &User) -> Result<Programs> {
    let postgresql_bin = match &written.postgresql_bin {
        Some(folder) => folder.clone(),
        None => postgresql_bin(data_major)?,
    };
    Ok(Programs {
        postgres: program(&postgresql_bin.join("postgres"), "--version", "postgresql")?,
        redis: named("redis-server", "--version", "redis-server")?,
        kamailio: named("kamailio", "-v", "kamailio")?,
        freeswitch: freeswitch(written, user),
        postgresql_bin,
    })
}

/// Folders the templates name, as far as they are there; Debian's places for the rest.
pub fn found() -> Found {
    let mut found = Found::default();
    if let Ok(folder) = postgresql_bin(None) {
        found.postgresql_bin = folder;
    }
    if let Some(folder) = below("/usr/lib", "kamailio/modules") {
        found.kamailio_mod = folder;
    }
    if let Ok(path) = freeswitch_path(&spec::PathOverrides::default()) {
        (found.freeswitch_prefix, found.freeswitch_mod) = freeswitch_folders(&path);
    }
    found.machine = machine();
    found.interfaces = interfaces();
    found
}

/// Cores and memory; render's own default where /proc does not say.
fn machine() -> Machine {
    let cores = std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok());
    let memory_bytes = fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_bytes(&text));
    let default = Machine::default();
    Machine {
        cores: cores.unwrap_or(default.cores),
        memory_bytes: memory_bytes.unwrap_or(default.memory_bytes),
    }
}

/// `MemTotal:       24576000 kB`, rounded to 64 MiB: the kernel's own share differs a little from boot to boot, and
/// nothing is to be rendered anew for that.
fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib.div_ceil(1 << 16) << 26)
}

/// Addresses and who has them; empty where the kernel does not say.
fn interfaces() -> BTreeMap<IpAddr, String> {
    let all = getifaddrs().into_iter().flatten();
    all.filter_map(|i| {
        let address = i.address?;
        let ip = address
            .as_sockaddr_in()
            .map(|v4| IpAddr::V4(v4.ip()))
            .or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))?;
        // A label (`eth0:vip`) is no interface of its own.
        let name = i.interface_name.split(':').next().unwrap_or_default().to_owned();
        Some((ip, name))
    })
    .collect()
}

fn postgresql_bin(major: Option<u32>) -> Result<PathBuf> {
    let mut versions: Vec<u32> = fs::read_dir(POSTGRESQL_FOLDER)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().join("bin/initdb").exists())
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    let wanted = match major {
        Some(major) => versions.iter().copied().find(|v| *v == major),
        None => versions.iter().copied().rfind(|v| POSTGRESQL_MAJORS.contains(v)),
    };
    match (wanted, major) {
        (Some(version), _) => Ok(Path::new(POSTGRESQL_FOLDER).join(version.to_string()).join("bin")),
        (None, Some(major)) => bail!(
            "the dev node's database was made by PostgreSQL {major}, which is not installed now; install \
             postgresql-{major}, or start afresh with 'tandem dev down --purge'"
        ),
        (None, None) => bail!("PostgreSQL 15 to 17 is not installed; type: sudo apt-get install postgresql"),
    }
}

fn named(name: &str, version_flag: &str, package: &str) -> Result<Program> {
    let path = in_path(name)
        .with_context(|| format!("{name} is not installed; type: sudo apt-get install {package}"))?;
    program(&path, version_flag, package)
}

fn program(path: &Path, version_flag: &str, package: &str) -> Result<Program> {
    let output = Command::new(path)
        .arg(version_flag)
        .output()
        .with_context(|| format!("running {} (Debian package '{package}')", path.display()))?;
    Ok(Program { path: path.into(), version: version_in(&String::from_utf8_lossy(&output.stdout)) })
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = SYSTEM_FOLDERS.iter().map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The first word with a dot between digits: `postgres (PostgreSQL) 15.18`, `v=7.0.15`, `1.10.12-release`.
fn version_in(text: &str) -> String {
    text.split_ascii_whitespace()
        .map(|word| word.trim_start_matches(|c: char| !c.is_ascii_digit()))
        .find(|word| word.split_once('.').is_some_and(|(major, _)| major.parse::<u32>().is_ok()))
        .map(|word| word.split(['~', '-']).next().unwrap_or(word).to_owned())
        .unwrap_or_default()
}

/// `TANDEM_FREESWITCH` (the program, its prefix, or `none`), cluster.yaml, PATH, /opt/freeswitch; else why there is none.
fn freeswitch_path(written: &spec::PathOverrides) -> Result<PathBuf, String> {
    let in_prefix = |prefix: &Path| prefix.join("bin/freeswitch");
    if let Some(chosen) = env::var_os("TANDEM_FREESWITCH").filter(|v| !v.is_empty()) {
        let chosen = PathBuf::from(chosen);
        return match chosen.to_str() {
            Some("none") => Err("TANDEM_FREESWITCH=none".into()),
            _ if chosen.is_dir() => Ok(in_prefix(&chosen)),
            _ => Ok(chosen),
        };
    }
    let written = written.freeswitch_prefix.as_deref().map(in_prefix);
    written
        .or_else(|| in_path("freeswitch"))
        .or_else(|| Some(in_prefix(Path::new(FREESWITCH_PREFIX))).filter(|p| p.exists()))
        .ok_or_else(|| "FreeSWITCH is not installed".into())
}

fn freeswitch(written: &spec::PathOverrides, user: &User) -> Freeswitch {
    let path = match freeswitch_path(written) {
        Ok(path) => path,
        Err(why) => return Freeswitch::Absent(why),
    };
    // As the user it will run as: a build in root's home is of no use to it.
    let mut command = Command::new(&path);
    command.arg("-version").env_clear().current_dir("/");
    if Uid::effective().is_root() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    match command.output() {
        Ok(output) if output.status.success() => {
            let version = version_in(&String::from_utf8_lossy(&output.stdout));
            Freeswitch::Found(Program { path, version })
        }
        Ok(output) => Freeswitch::Absent(format!("{} -version failed ({})", path.display(), output.status)),
        Err(error) => {
            Freeswitch::Absent(format!("{} cannot be run by {}: {error}", path.display(), user.name))
        }
    }
}

/// Prefix and folder of modules of a FreeSWITCH at `<prefix>/bin/freeswitch`.
fn freeswitch_folders(path: &Path) -> (PathBuf, PathBuf) {
    let prefix = path.parent().and_then(Path::parent).unwrap_or(Path::new("/usr")).to_owned();
    let module_folders = [prefix.join("lib/freeswitch/mod"), prefix.join("mod")];
    let modules = module_folders.iter().find(|folder| folder.is_dir()).cloned();
    let modules = modules
        .or_else(|| below(prefix.join("lib"), "freeswitch/mod"))
        .unwrap_or_else(|| prefix.join("lib/freeswitch/mod"));
    (prefix, modules)
}

/// `<top>/<architecture>/<rest>`, the multi-arch place.
fn below(top: impl AsRef<Path>, rest: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(top).ok()?.flatten().map(|e| e.path().join(rest)).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        let text = "MemTotal:       24576000 kB\nMemFree: 1 kB\n";
        assert_eq!(memory_bytes(text), Some(24576000_u64.div_ceil(65536) * 65536 * 1024));
        assert_eq!(memory_bytes("MemFree: 1 kB"), None);
        assert!(machine().memory_bytes > 1 << 28 && machine().cores > 0);
        assert!(interfaces().values().any(|name| name == "lo"), "{:?}", interfaces());
    }

    #[test]
    fn versions_are_read_from_what_each_program_says() {
        for (text, version) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "15.18"),
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "7.0.15"),
            ("version: kamailio 5.6.3 (x86_64/linux) \nflags: USE_TCP", "5.6.3"),
            ("FreeSWITCH version: 1.10.12-release~64bit ( 64bit)", "1.10.12"),
            ("nothing", ""),
        ] {
            assert_eq!(version_in(text), version);
        }
    }
}
