//! Becoming an engine: what has to happen between fork and exec, done in a process of our own instead, so that no
//! unsafe hook runs there.

use std::os::unix::process::{CommandExt, parent_id};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use super::plan::StopSignal;

#[derive(Args)]
pub struct ExecArgs {
    /// The supervisor's process id.
    #[arg(long)]
    parent: u32,
    /// Sent by the kernel when the supervisor dies.
    #[arg(long)]
    signal: StopSignal,
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

/// Open files an engine may have: FreeSWITCH and Kamailio take several a call.
const OPEN_FILES_WANTED: u64 = 65_536;

/// Turns this process into the program; returns only on failure.
pub fn exec(args: &ExecArgs) -> Result<()> {
    prctl::set_pdeathsig(Some(Signal::from(args.signal))).context("asking for the parent's death signal")?;
    if parent_id() != args.parent {
        bail!("the supervisor ended before this program started");
    }
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(OPEN_FILES_WANTED), most)?;
    let Some((program, rest)) = args.argv.split_first() else { bail!("no program named") };
    Err(Command::new(program).args(rest).exec()).with_context(|| format!("starting {program}"))
}
