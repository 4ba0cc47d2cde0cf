//! Images: a Debian system, what our packages depend on upon it, and a `/var` to start from.
//!
//! In: a release, relations as in a Depends line. Out: overlayfs' lower folders and an ext4 image, in the cache. Each is
//! made beside its place and moved there whole, by one command at a time; what a broken run left is made anew.

mod debs;
mod freeswitch;
mod mirror;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

pub use debs::Debs;
pub use freeswitch::Freeswitch;

use crate::progress::Progress;
use crate::{Release, lock, places, run};

/// Counted up when an image made before will not do any more.
const FORMAT: u32 = 1;
const MAKE_PACKAGES: &str = include_str!("packages.sh");
/// What a server has before anything of ours: systemd, a network, a way in, Python for Ansible; and libfaketime.
const BASE_PACKAGES: &str = "systemd,systemd-sysv,dbus,udev,iproute2,iputils-ping,nftables,procps,ca-certificates,\
    openssh-server,openssh-client,rsync,python3,python3-apt,curl,libfaketime,less,iputils-arping,tcpdump";
/// An arbiter of the failover: 8 MB, and a lab made without it shares the image of one with it.
const ETCD: &str = "etcd-server";
/// The disk of a node's data. Sparse: it takes what is written.
const VAR_SIZE: &str = "4G";
/// How often a long step shows that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// What is kept of a long step's words to show when it fails.
const LINES_MAX: usize = 30;
/// Of the hash of the relations, in the names of images.
const KEY_CHARS: usize = 16;

/// A system to start nodes from.
#[derive(Debug, Clone)]
pub struct Image {
    /// Lower folders, the uppermost first, joined by colons.
    pub lower: String,
    /// To be copied for each node.
    pub var: PathBuf,
}

/// Where the images of a release with these relations are.
struct Plan {
    base: PathBuf,
    packages: Option<PathBuf>,
    var: PathBuf,
    relations: String,
}

impl Plan {
    fn of(release: Release, relations: &[String]) -> Self {
        let cache = places::cache(release);
        // Beside what ours depend on; it is asked for by nobody and started by `--arbiter etcd` alone.
        let relations: Vec<String> = match relations {
            [] => Vec::new(),
            ours => ours.iter().cloned().chain([ETCD.into()]).collect(),
        };
        let base = cache.join(format!("base-{}", key(&[BASE_PACKAGES])));
        let relations = relations.join(", ");
        let key = key(&[BASE_PACKAGES, VAR_SIZE, &relations, MAKE_PACKAGES]);
        Self {
            base,
            packages: (!relations.is_empty()).then(|| cache.join(format!("packages-{key}"))),
            var: cache.join(format!("var-{key}.img")),
            relations,
        }
    }

    fn ready(&self) -> bool {
        self.base.is_dir() && self.packages.as_ref().is_none_or(|p| p.is_dir()) && self.var.is_file()
    }

    fn image(&self) -> Image {
        let layers = self.packages.as_ref().map(|packages| packages.join("upper"));
        let layers = layers.into_iter().chain([self.base.clone()]);
        let lower = layers.map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>().join(":");
        Image { lower, var: self.var.clone() }
    }
}

fn key(parts: &[&str]) -> String {
    let digest = Sha256::digest(format!("{FORMAT}\n{}", parts.join("\n")));
    hex::encode(digest)[..KEY_CHARS].to_owned()
}

/// Whether [`make`] has nothing to do.
pub fn cached(release: Release, relations: &[String]) -> bool {
    Plan::of(release, relations).ready()
}

/// The image, made if it is not there.
///
/// # Errors
/// No mirror, no room, a package that cannot be had; with the last words of what failed.
pub fn make(release: Release, relations: &[String], progress: &Progress) -> Result<Image> {
    let plan = Plan::of(release, relations);
    let cache = places::cache(release);
    let _turn = lock::take(&cache.with_extension("lock"), &format!("the images of {}", release.as_str()))?;
    if plan.ready() {
        return Ok(plan.image());
    }
    host::files::folder(&cache, 0o755, None).with_context(|| format!("making {}", cache.display()))?;
    if !plan.base.is_dir() {
        progress.step(format_args!("a Debian {} by debootstrap (once; about two minutes)", release.as_str()));
        let new = fresh(&cache.join("base.new"))?;
        let mirror = mirror::main(release).unwrap_or_default();
        let arguments = [release.as_str(), &text(&new), &mirror, BASE_PACKAGES];
        script(include_str!("base.sh"), &arguments, progress).context("making the base system")?;
        mirror::write_sources(&new, release)?;
        fs::rename(&new, &plan.base).context("keeping the base system")?;
    }
    if let Some(packages) = plan.packages.as_ref().filter(|p| !p.is_dir()) {
        progress.step("the packages ours depend on (once, until the list changes)");
        let new = fresh(&cache.join("packages.new"))?;
        let arguments = [&text(&plan.base), &text(&new), release.as_str(), plan.relations.as_str()];
        script(MAKE_PACKAGES, &arguments, progress).context("installing what our packages need")?;
        for scratch in ["root", "work"] {
            fs::remove_dir_all(new.join(scratch)).ok();
        }
        fs::rename(&new, packages).context("keeping the installed packages")?;
    }
    if !plan.var.is_file() {
        progress.step(format_args!("an image of {VAR_SIZE} for /var (once)"));
        let new = fresh(&cache.join("var.new"))?;
        let lower = plan.image().lower;
        let arguments = [lower.as_str(), &text(&new), &text(&plan.var), VAR_SIZE];
        script(include_str!("var.sh"), &arguments, progress).context("making the image of /var")?;
        fs::remove_dir_all(&new).ok();
    }
    Ok(plan.image())
}

/// An empty folder, instead of what a broken run left.
fn fresh(path: &Path) -> Result<PathBuf> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing {}", path.display()));
        }
        _ => {}
    }
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
    Ok(path.into())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Runs a script in mount and process namespaces of its own, with a sign of life now and then.
fn script(script: &str, arguments: &[&str], progress: &Progress) -> Result<()> {
    let mut command = run::command("unshare");
    // All in the PID namespace die with its first process, and that one with us.
    command.args(["--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-c"]).arg(format!("exec 2>&1\n{script}")).arg("sh").args(arguments);
    mirror::proxies(&mut command);
    let mut child = command.stdout(Stdio::piped()).spawn().context("running unshare")?;
    let output = child.stdout.take().context("no output")?;
    let mut last = std::collections::VecDeque::new();
    let mut shown = Instant::now();
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { continue };
        if shown.elapsed() >= SIGN_OF_LIFE {
            progress.detail(line.trim_start_matches("I: ").chars().take(90).collect::<String>().trim());
            shown = Instant::now();
        }
        last.push_back(line);
        if last.len() > LINES_MAX {
            last.pop_front();
        }
    }
    let status = child.wait().context("waiting")?;
    if !status.success() {
        bail!("it failed ({status}). Its last words:\n{}", Vec::from(last).join("\n"));
    }
    Ok(())
}
