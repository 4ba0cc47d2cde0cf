//! The commands of a Debian server's node: `apply`, `invite`, `join`, `agent`.

use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use node::places::Places;
use node::services::Systemd;
use node::{agent, apply, invite, join};

/// `EX_CONFIG` of sysexits.h: the unit does not start again on it.
const EXIT_CONFIG: i32 = 78;

#[derive(Args)]
pub struct ApplyArgs {
    /// Which node of cluster.yaml this machine is; needed the first time.
    #[arg(long)]
    node: Option<String>,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// What is done as JSON: `changed` is true or false.
    #[arg(long)]
    json: bool,
    /// Take back what apply wrote, and put back what it replaced; data stays.
    #[arg(long, conflicts_with_all = ["node", "dry_run", "json"])]
    undo: bool,
    /// Say only what fails.
    #[arg(long)]
    quiet: bool,
    /// The folder of cluster.yaml and secrets.yaml.
    #[arg(long, default_value = "/etc/tandem", value_name = "FOLDER")]
    dir: PathBuf,
}

#[derive(Args)]
pub struct JoinArgs {
    /// The first node: its address or name, with a port if the agent's is not the default.
    #[arg(required_unless_present = "rejoin")]
    address: Option<String>,
    /// A file with the token that 'tandem invite' printed; '-' for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "ssh")]
    token_file: Option<PathBuf>,
    /// The token. Never an argument: those are everybody's to read.
    #[arg(long = "token-from-environment", env = "TANDEM_JOIN_TOKEN", hide = true, hide_env_values = true)]
    token: Option<String>,
    /// Get a token from the first node by ssh, as root.
    #[arg(long)]
    ssh: bool,
    /// Which node of the first one's cluster.yaml this machine becomes.
    #[arg(long)]
    node: Option<String>,
    /// Copy a standby anew, its own data kept aside.
    #[arg(long)]
    rejoin: bool,
}

pub fn apply(args: ApplyArgs) -> Result<()> {
    let places = Places::default();
    if args.undo {
        if !args.yes {
            bail!("--undo takes this node's configuration away; say --yes with it");
        }
        return apply::undo(&places, &Systemd, args.quiet);
    }
    let options = apply::Options {
        dir: args.dir,
        node: args.node,
        dry_run: args.dry_run,
        yes: args.yes,
        json: args.json,
        quiet: args.quiet,
    };
    apply::run(&places, &Systemd, &options)
}

pub fn invite(json: bool) -> Result<()> {
    invite::run(&Places::default(), json)
}

pub fn join(args: JoinArgs) -> Result<()> {
    let options = join::Options {
        address: args.address.unwrap_or_default(),
        token_file: args.token_file,
        token: args.token,
        ssh: args.ssh,
        node: args.node,
        rejoin: args.rejoin,
        port: spec::Ports::default().agent,
    };
    join::run(&Places::default(), &Systemd, &options)
}

pub fn agent() -> Result<()> {
    let places = Places::default();
    match agent::configure(&places) {
        Ok(configured) => agent::run(&places, Arc::new(Systemd), configured),
        Err(error) => {
            eprintln!("tandem agent: {error:#}");
            exit(EXIT_CONFIG)
        }
    }
}
