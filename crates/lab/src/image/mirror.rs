//! Where packages come from: the mirrors this machine itself uses.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{Release, run};

/// Asked of apt: label of the archive and where it is.
const FORMAT: &str = "$(LABEL)|$(REPO_URI)";

/// The mirror of Debian proper; `None` where there is none (then debootstrap's own).
pub fn main(_release: Release) -> Option<String> {
    labelled("Debian").or_else(|| labelled("Raspbian"))
}

fn labelled(label: &str) -> Option<String> {
    let targets =
        run::output("apt-get", ["indextargets", "--format", FORMAT, "Created-By: Packages"]).ok()?;
    let mut lines = targets.lines().filter_map(|line| line.split_once('|'));
    lines.find(|(found, _)| *found == label).map(|(_, uri)| uri.to_owned())
}

/// The system's own sources: the release, and its security updates where this machine takes them from somewhere.
pub fn write_sources(root: &Path, release: Release) -> Result<()> {
    let file = root.join("etc/apt/sources.list");
    let written = fs::read_to_string(&file).unwrap_or_default();
    // debootstrap wrote the mirror it used.
    let mirror = written.split_ascii_whitespace().find(|word| word.contains("://")).map(str::to_owned);
    let mirror = mirror.context("debootstrap wrote no sources.list")?;
    let name = release.as_str();
    let mut lines = format!("deb {mirror} {name} main\ndeb {mirror} {name}-updates main\n");
    if let Some(security) = labelled("Debian-Security") {
        lines.push_str(&format!("deb {security} {name}-security main\n"));
    }
    fs::write(&file, lines).context("writing sources.list")
}

/// What this machine needs to reach its mirrors; for the making of images only, no node gets it.
pub fn proxies(command: &mut Command) {
    for (key, value) in std::env::vars() {
        if key.to_ascii_lowercase().ends_with("_proxy") {
            command.env(key, value);
        }
    }
}
