//! `tandem lab …`: every command, in one place.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use host::say;

use crate::arbiter::Arbiter;
use crate::net::{CLIENTS, Net};
use crate::places::Places;
use crate::process::MARK;
use crate::state::State;
use crate::{LabName, Release, down, fault, forward, net, node, power, run as programs, status, up};

/// Most of the delay that makes sense: two seconds each way is a satellite of a satellite.
const SLOW_MS_MAX: i64 = 2_000;
/// A write a second.
const SLOW_DISK_MS_MAX: u32 = 1_000;

/// The laboratory's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make two Debian systems, install the package, make them a pair; or say that they run.
    Up(Up),
    /// Remove all of it but the images.
    Down {
        #[command(flatten)]
        link: Link,
        /// The images too.
        #[arg(long)]
        purge: bool,
    },
    /// Hosts, and what is broken on purpose.
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Run a command in a node, as its root.
    Exec {
        node: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// A shell in a node.
    Shell { node: String },
    /// A node's journal; of one unit when it is named.
    Logs {
        node: String,
        unit: Option<String>,
        /// Keep showing what comes.
        #[arg(short, long)]
        follow: bool,
    },
    /// Power loss; of `w`, where etcd runs, its member.
    Kill { node: String },
    /// Power again.
    Start { node: String },
    /// Drop every frame between two hosts.
    Cut {
        from: String,
        to: String,
        /// On one network only.
        #[arg(long)]
        net: Option<Net>,
        /// From the first to the second only.
        #[arg(long)]
        one_way: bool,
    },
    /// No cut, no loss, no delay any more.
    Heal,
    /// Lose frames by chance.
    Loss {
        #[arg(value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
        percent: u8,
    },
    /// Delay frames (a relay of ours: not every kernel has netem).
    Slow {
        #[arg(value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=SLOW_MS_MAX))]
        ms: u32,
    },
    /// Freeze a service: SIGSTOP to each of its processes.
    Pause { node: String, service: String },
    /// Go on.
    Resume { node: String, service: String },
    /// Fill the file system of a folder below /var.
    Fill { node: String, folder: String },
    /// Take the filling out.
    Unfill { node: String },
    /// One write every so many ms to a node's /var, the next ones wait; 'off' ends it, so does a power loss.
    SlowDisk {
        node: String,
        #[arg(value_name = "MS|off", value_parser = disk_delay)]
        ms: u32,
    },
    /// Restart a service with another time, by libfaketime: +1h, -90s; 'off' ends it.
    Clock {
        node: String,
        service: String,
        #[arg(allow_hyphen_values = true)]
        offset: String,
    },
    /// Two phones on the clients' host call each other and a queue through the virtual address.
    Call {
        /// The API's own JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// What `.tandem/env` says.
    Env,
    /// Is the forwarder.
    #[command(hide = true)]
    Forward {
        #[arg(long)]
        port: u16,
    },
    /// Is the power switch behind gw.
    #[command(hide = true)]
    Power,
    /// Delays frames of the switch's ports.
    #[command(hide = true)]
    Relay {
        #[arg(long)]
        ms: u32,
        ports: Vec<String>,
    },
    /// `call`, on the clients' host.
    #[command(hide = true)]
    CallHere {
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub struct Up {
    #[arg(long, env = "TANDEM_LAB_RELEASE", default_value = "trixie")]
    release: Release,
    /// Systems only: nothing of Tandem in them.
    #[arg(long)]
    bare: bool,
    /// A third host, `w`, on both networks.
    #[arg(long)]
    witness: bool,
    /// Who says whether a node may go on alone; etcd brings the witness.
    #[arg(long, env = "TANDEM_LAB_ARBITER", value_name = "none|fence|etcd", default_value = "none")]
    arbiter: Arbiter,
    /// On 127.0.0.1, forwarded to the API at the virtual address.
    #[arg(long, env = "TANDEM_LAB_PORT", default_value_t = 8080)]
    port: u16,
    /// The folder of tandem_*.deb.
    #[arg(long, env = "TANDEM_DEB_DIR", default_value = "dist", value_name = "FOLDER")]
    debs: PathBuf,
    #[command(flatten)]
    link: Link,
}

#[derive(Debug, Args)]
pub struct Link {
    /// Becomes a link to the lab's folder, where `env` is.
    #[arg(long, env = "TANDEM_DIR", default_value = ".tandem", value_name = "LINK")]
    dir: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// What to tell the user.
pub fn run(lab: &LabName, command: Command) -> Result<()> {
    match command {
        Command::Up(Up { release, bare, witness, arbiter, port, debs, link }) => {
            let witness = witness || arbiter == Arbiter::Etcd;
            up::run(lab, &up::Options { release, bare, witness, arbiter, port, debs, link: link.dir })
        }
        Command::Down { link, purge } => down::run(lab, &link.dir, purge),
        Command::Status { json } => status::run(lab, json),
        Command::Exec { node, command } => become_in(lab, &node, &command),
        Command::Shell { node } => become_in(lab, &node, &["bash".into(), "-l".into()]),
        Command::Logs { node, unit, follow } => logs(lab, &node, unit.as_deref(), follow),
        Command::Kill { node } => told(fault::kill(lab, &node)),
        Command::Start { node } => told(fault::start(lab, &node)),
        Command::Cut { from, to, net, one_way } => {
            let nets = net.map_or_else(|| Net::ALL.to_vec(), |net| vec![net]);
            told(fault::cut(lab, &from, &to, &nets, one_way))
        }
        Command::Heal => told(fault::heal(lab)),
        Command::Loss { percent } => told(fault::loss(lab, percent)),
        Command::Slow { ms } => told(fault::slow(lab, ms)),
        Command::Pause { node, service } => told(fault::signal(lab, &node, &service, "SIGSTOP")),
        Command::Resume { node, service } => told(fault::signal(lab, &node, &service, "SIGCONT")),
        Command::Fill { node, folder } => told(fault::fill(lab, &node, &folder)),
        Command::Unfill { node } => told(fault::unfill(lab, &node)),
        Command::SlowDisk { node, ms } => told(fault::slow_disk(lab, &node, ms)),
        Command::Clock { node, service, offset } => told(fault::clock(lab, &node, &service, &offset)),
        Command::Call { json } => call(lab, json),
        Command::Env => env(lab),
        Command::Forward { port } => forward::run(lab, port),
        Command::Power => power::run(lab),
        Command::Relay { ms, ports } => net::relay::run(&ports, ms),
        Command::CallHere { json } => {
            let env = phones::Env::read(&Places::of(lab).env())?;
            phones::call::run(&env, phones::call::Options { json })
        }
    }
}

fn disk_delay(words: &str) -> Result<u32, String> {
    match words.parse() {
        _ if words == "off" => Ok(0),
        Ok(ms) if (1..=SLOW_DISK_MS_MAX).contains(&ms) => Ok(ms),
        _ => Err(format!("milliseconds from 1 to {SLOW_DISK_MS_MAX}, or off")),
    }
}

fn told(words: Result<String>) -> Result<()> {
    say!("{}", words?);
    Ok(())
}

/// This process becomes a command in the node, so that its exit code is the command's.
fn become_in(lab: &LabName, name: &str, words: &[String]) -> Result<()> {
    node::named(name)?;
    State::existing(&Places::of(lab))?;
    let init = node::init(lab, name);
    let init = init.with_context(|| format!("{name} is off; 'tandem lab start {name}' gives it power"))?;
    let mut command = node::command(&init);
    command.args(words).stdin(std::process::Stdio::inherit());
    if let Some(terminal) = std::env::var_os("TERM") {
        command.env("TERM", terminal);
    }
    Err(command.exec()).context("running nsenter")
}

fn logs(lab: &LabName, name: &str, unit: Option<&str>, follow: bool) -> Result<()> {
    let mut words = vec!["journalctl".to_owned(), "--no-pager".to_owned()];
    match unit {
        Some(unit) => words.extend(["--unit".to_owned(), fault::pattern(unit)]),
        None => words.push("--boot".to_owned()),
    }
    if follow {
        words.push("--follow".to_owned());
    }
    become_in(lab, name, &words)
}

/// Again, in the clients' namespace.
fn call(lab: &LabName, json: bool) -> Result<()> {
    let state = State::existing(&Places::of(lab))?;
    if state.bare {
        bail!("the lab is bare: nothing in it takes a call");
    }
    let mut command = programs::command("ip");
    command.args(["netns", "exec", &lab.of_host(CLIENTS)]);
    command.arg(std::env::current_exe().context("finding this program")?);
    command.args(["lab", "--lab", lab.as_str(), "call-here"]).args(json.then_some("--json"));
    command.env(MARK, lab.as_str());
    Err(command.exec()).context("running ip netns exec")
}

fn env(lab: &LabName) -> Result<()> {
    let places = Places::of(lab);
    State::existing(&places)?;
    let text = host::files::read(&places.env())?.context("the lab is bare, or half made: it has no env")?;
    say!("{}", text.trim_end());
    Ok(())
}
