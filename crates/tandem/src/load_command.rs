//! `tandem load`: the command line of crate phones' load.

use std::path::PathBuf;

use anyhow::Result;
use phones::load;

use crate::dev;

#[derive(clap::Args)]
pub struct Args {
    /// Calls at once, such as 100, 400, 600, 800.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(load::CALLS_MAX)))]
    calls: u32,
    /// New calls a second until there are so many.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(load::CPS_MAX)))]
    cps: u32,
    /// Seconds that all of them last together.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=i64::from(load::HOLD_S_MAX)))]
    hold: u32,
    /// Percent of calls to another phone, to the demo queue, to the demo menu.
    #[arg(long, default_value_t = load::Mix::default())]
    mix: load::Mix,
    /// Env file of the dev node or the lab; default: that of the folder.
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
    /// A Markdown file in which this load's section is written anew.
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
    /// The cluster's folder.
    #[arg(long, env = "TANDEM_DIR", default_value = ".tandem", value_name = "FOLDER")]
    dir: PathBuf,
}

/// Finds the platform's processes, and puts the load on.
pub fn run(args: Args) -> Result<()> {
    let file = args.env.unwrap_or_else(|| args.dir.join("env"));
    let platform = dev::platform(&file);
    let options = load::Options {
        calls: args.calls,
        cps: args.cps,
        hold_s: args.hold,
        mix: args.mix,
        json: args.json,
        report: args.report,
        platform,
    };
    load::run(&phones::Env::read(&file)?, &options)
}
