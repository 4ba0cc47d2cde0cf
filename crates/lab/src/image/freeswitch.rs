//! The host's FreeSWITCH in nodes of the host's own release: its prefix bound read-only, and the Debian libraries it needs.
//!
//! FreeSWITCH is the operator's own package, not in Debian and not ours to install; a node that runs the same release can
//! run the host's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{Release, run};

const PREFIX: &str = "/opt/freeswitch";
/// Names the prefix, or is `none`.
const VARIABLE: &str = "TANDEM_FREESWITCH";
/// Modules looked at: FreeSWITCH has about 100.
const MODULES_MAX: usize = 300;

/// What carries media in a lab.
#[derive(Debug, Clone)]
pub enum Freeswitch {
    Host {
        prefix: PathBuf,
        packages: Vec<String>,
    },
    /// Why the media double stands in.
    Absent(String),
}

impl Freeswitch {
    /// Looks for the host's, for nodes of `release`.
    pub fn find(release: Release) -> Result<Self> {
        let chosen = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
        if chosen.as_deref() == Some(Path::new("none")) {
            return Ok(Self::Absent(format!("{VARIABLE}=none")));
        }
        let chosen = chosen.unwrap_or_else(|| PREFIX.into());
        // The variable may name the program in the prefix.
        let prefix = if chosen.is_dir() {
            chosen
        } else {
            chosen.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_owned()
        };
        let program = prefix.join("bin/freeswitch");
        if !program.is_file() {
            return Ok(Self::Absent("FreeSWITCH is not installed on this machine".into()));
        }
        if !release.is_this_machine() {
            return Ok(Self::Absent(format!(
                "this machine's FreeSWITCH is not built for {}",
                release.as_str()
            )));
        }
        if prefix == Path::new("/usr") {
            return Ok(Self::Absent("FreeSWITCH is below /usr, which nodes have of their own".into()));
        }
        let packages = packages(&program)?;
        Ok(Self::Host { prefix, packages })
    }
}

/// Debian packages of the libraries that the program and its modules load.
fn packages(program: &Path) -> Result<Vec<String>> {
    let mut libraries = BTreeSet::new();
    let lib = program.parent().and_then(Path::parent).unwrap_or(Path::new("/")).join("lib");
    let mut files = vec![program.to_owned()];
    for folder in [lib.clone(), lib.join("freeswitch/mod"), lib.join("../mod")] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        files.extend(entries.filter(|p| p.extension().is_some_and(|e| e == "so")).take(MODULES_MAX));
    }
    let mut ldd = run::command("ldd");
    // `libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x…)`; a file it does not like is no matter.
    let text = ldd.args(&files).output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let found = text.lines().filter_map(|line| line.split_once("=> ")?.1.split(' ').next());
    libraries.extend(found.filter(|p| p.starts_with('/')).map(str::to_owned));
    let mut dpkg = run::command("dpkg");
    dpkg.arg("-S");
    for library in &libraries {
        // dpkg knows a library by one of its names: as loaded, behind links, with and without /usr.
        let real = fs::canonicalize(library).unwrap_or_default();
        let real = real.to_string_lossy();
        let plain = real.strip_prefix("/usr").unwrap_or(&real);
        dpkg.args([library, plain, &format!("/usr{plain}")]);
    }
    // Names it does not know make it fail, after it has told the others: `zlib1g:amd64: /lib/…`
    let owners = dpkg.output().context("asking dpkg")?.stdout;
    let owners = String::from_utf8_lossy(&owners);
    let packages: BTreeSet<&str> = owners
        .lines()
        .filter(|line| !line.starts_with("diversion "))
        .filter_map(|line| line.split([':', ',']).next())
        .collect();
    Ok(packages.into_iter().map(str::to_owned).collect())
}
