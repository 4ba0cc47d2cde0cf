//! `tandem lab up`: from nothing to two nodes that replicate.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use host::{files, say};

use crate::arbiter::{self, Arbiter};
use crate::image::{self, Debs, Freeswitch, Image};
use crate::net::{HOSTS, Host, NODES};
use crate::places::{self, Places};
use crate::progress::Progress;
use crate::state::{Faults, State};
use crate::{LabName, Release, down, environment, forward, install, lock, net, node, preflight, process};

/// What to make.
#[derive(Debug, Clone)]
pub struct Options {
    pub release: Release,
    /// Systems only.
    pub bare: bool,
    pub witness: bool,
    pub arbiter: Arbiter,
    pub port: u16,
    /// Where our packages are.
    pub debs: PathBuf,
    /// Becomes a link to the lab's folder.
    pub link: PathBuf,
}

/// Makes the lab, or says that it runs already.
///
/// # Errors
/// [`preflight::Impossible`], or what failed; what was made is left to look at, and removed by the next `up` or `down`.
pub fn run(lab: &LabName, options: &Options) -> Result<()> {
    preflight::possible()?;
    if options.bare && options.arbiter != Arbiter::None {
        bail!("bare systems have no failover to decide about; leave out --bare or --arbiter");
    }
    let progress = Progress::start();
    let places = Places::of(lab);
    let _turn = lock::take(&down::lock_file(lab), &format!("the lab {lab}"))?;
    if runs_already(lab, options, &places)? {
        return Ok(());
    }
    if !down::remains(lab, &places).is_empty() {
        progress.step("removing what an earlier lab left");
        down::remove(lab, &places)?;
    }
    let debs = match Debs::in_folder(&options.debs) {
        Ok(debs) => Some(debs),
        // Bare systems have what ours needs where it is known, so that it can be installed without a mirror.
        Err(_) if options.bare => None,
        Err(error) => return Err(error),
    };
    let freeswitch = Freeswitch::find(options.release)?;
    let mut relations = debs.as_ref().map(Debs::relations).transpose()?.unwrap_or_default();
    if let Freeswitch::Host { packages, .. } = &freeswitch {
        relations.extend(packages.iter().cloned());
    }
    preflight::room(image::cached(options.release, &relations), options.port)?;
    let image = image::make(options.release, &relations, &progress)?;

    let mut state = State {
        release: options.release,
        bare: options.bare,
        witness: options.witness,
        arbiter: options.arbiter,
        port: options.port,
        lower: image.lower.clone(),
        media: if matches!(freeswitch, Freeswitch::Host { .. }) { "freeswitch" } else { "double" }.into(),
        freeswitch: match &freeswitch {
            Freeswitch::Host { prefix, .. } => Some(prefix.clone()),
            Freeswitch::Absent(_) => None,
        },
        whole: false,
        processes: Vec::new(),
        faults: Faults::default(),
    };
    files::folder(&places.top, 0o700, None).with_context(|| format!("making {}", places.top.display()))?;
    state.write(&places)?;
    environment::link(&places, &options.link)?;
    systems(lab, &mut state, &places, &image, &progress)?;
    arbiter::start(lab, &mut state, &places, &progress)?;
    state.write(&places)?;
    if !options.bare {
        if let Freeswitch::Absent(why) = &freeswitch {
            progress.step(format_args!("{why}: the media double, a test program, stands in for FreeSWITCH"));
        }
        let debs = debs.context("no packages")?;
        progress.step("n1, n2: installing the package");
        both(|name| install::package(lab, &state, &places, name, &debs))?;
        install::cluster(lab, &state, &places, &progress)?;
        state.processes.push(forward::start(lab, &places, options.port)?);
        environment::write(&environment::of(lab, &state, &places)?, &places)?;
        progress.step("n1, n2: tandem status");
        install::settle(lab, &progress)?;
    }
    state.whole = true;
    state.write(&places)?;
    progress.step("the lab is up");
    tell(lab, &state, &places);
    Ok(())
}

/// Networks, disks, and two systems that booted.
fn systems(
    lab: &LabName,
    state: &mut State,
    places: &Places,
    image: &Image,
    progress: &Progress,
) -> Result<()> {
    progress.step("networks and disks");
    net::make_switch(lab)?;
    for host in state.hosts() {
        net::plug_in(lab, host)?;
    }
    for name in NODES {
        node::make_disks(&places.node(name), image)?;
        identify(places, name)?;
    }
    progress.step("n1, n2: booting");
    let mut booting = Vec::new();
    for name in NODES {
        let nspawn = node::boot(lab, state, &places.node(name), name)?;
        state.processes.push(nspawn.clone());
        state.write(places)?;
        booting.push((name, nspawn));
    }
    for (name, nspawn) in booting {
        let failed =
            node::wait(lab, name, &nspawn, &places.node(name)).with_context(|| format!("booting {name}"))?;
        if !failed.is_empty() {
            progress.detail(&format!("{name}: failed at boot: {}", failed.join(", ")));
        }
    }
    Ok(())
}

/// What a person who installs a server says: its name, and where the others are.
fn identify(places: &Places, name: &str) -> Result<()> {
    let etc = places.node(name).root().join("etc");
    let write =
        |file: &str, text: String| fs::write(etc.join(file), text).with_context(|| format!("writing {file}"));
    write("hostname", format!("{name}\n"))?;
    let others = HOSTS.iter().filter_map(|h| Some(format!("{} {}\n", h.address(net::Net::Service)?, h.name)));
    write("hosts", format!("127.0.0.1 localhost\n{}", others.collect::<String>()))?;
    // There is no resolver to ask, so nothing must wait for one.
    fs::remove_file(etc.join("resolv.conf")).ok();
    write("resolv.conf", "# The lab has no resolver; /etc/hosts names its hosts.\n".into())?;
    write("machine-id", format!("{}\n", uuid::Uuid::new_v4().simple()))
}

/// On both nodes at once.
fn both(work: impl Fn(&'static str) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let threads = NODES.map(|name| {
            scope.spawn({
                let work = &work;
                move || work(name)
            })
        });
        for thread in threads {
            match thread.join() {
                Ok(done) => done?,
                Err(_) => bail!("a step ended in a panic"),
            }
        }
        Ok(())
    })
}

/// A lab that stands is left as it is; one that is not what is asked for is an error.
fn runs_already(lab: &LabName, options: &Options, places: &Places) -> Result<bool> {
    // A damaged state is an earlier lab's remains.
    let Some(mut state) = State::read(places).ok().flatten().filter(|state| state.whole) else {
        return Ok(false);
    };
    let on = NODES.iter().filter(|name| node::init(lab, name).is_some()).count();
    if on == 0 && net::namespaces(lab).is_empty() {
        say!("the lab of before is gone; was this machine restarted? Making a new one");
        return Ok(false);
    }
    if (state.release, state.bare, state.arbiter) != (options.release, options.bare, options.arbiter) {
        bail!(
            "a lab of {} ({}, arbiter {}) runs already; take it down first ('tandem lab down'), or name another with --lab and --port",
            state.release.as_str(),
            if state.bare { "bare" } else { "whole" },
            state.arbiter.as_str()
        );
    }
    if !state.bare && !forwarder_lives(lab) {
        say!("the forwarder had ended; it is started again");
        state.processes.retain(process::Process::lives);
        state.processes.push(forward::start(lab, places, state.port)?);
        state.write(places)?;
    }
    environment::link(places, &options.link)?;
    say!("the lab runs already");
    tell(lab, &state, places);
    Ok(true)
}

fn forwarder_lives(lab: &LabName) -> bool {
    process::marked(lab).iter().any(|process| process.runs_with("forward"))
}

/// What there is and how to use it.
fn tell(lab: &LabName, state: &State, places: &Places) {
    let address = |host: &Host| host.address(net::Net::Service).unwrap_or_default();
    for host in state.hosts() {
        let power = match (NODES.contains(&host.name), node::init(lab, host.name)) {
            (true, Some(_)) => format!("Debian {}", state.release.as_str()),
            (true, None) => format!("off ('tandem lab start {}')", host.name),
            (false, _) => "a network namespace".into(),
        };
        say!("  {:8} {:15} {power}", host.name, address(host));
    }
    if state.bare {
        say!("  bare systems: nothing of Tandem is installed; images in {}", places::CACHE);
        return;
    }
    say!("  {:8} {:15} the address that moves", "VIP", net::VIP);
    say!(
        "  media    {}",
        if state.media == "double" {
            "the media double (not FreeSWITCH)"
        } else {
            "FreeSWITCH, this machine's"
        }
    );
    let arbiter = match state.arbiter {
        Arbiter::None => "none: a primary without its standby waits for a person",
        Arbiter::Fence => "fence: a power switch behind gw",
        Arbiter::Etcd => "etcd on n1, n2 and w",
    };
    say!("  arbiter  {arbiter}");
    say!("  API      http://127.0.0.1:{}   key and phones in {}", state.port, places.env().display());
    say!("  try      make call · tandem lab exec n1 tandem status · tandem lab kill n1");
}
