//! Every command, in one place.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};
use spec::PORT_OFFSET_MAX;

use crate::{cdr_command, dev, documents, init, load_command, node_command, pair_command, render_command};

#[derive(Parser)]
#[command(name = "tandem", version, about = "Two servers, one phone platform: configuration and operation")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a new cluster.yaml, every key explained, and its secrets.
    Init {
        /// A single node on this machine's loopback.
        #[arg(long, required_unless_present = "node", conflicts_with = "node")]
        dev: bool,
        #[command(flatten)]
        pair: init::PairArgs,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        ports: Ports,
    },
    /// Write every configuration file of a node below a folder: a server's where they belong from `/` on.
    Render {
        /// The node's name in cluster.yaml.
        #[arg(long)]
        node: String,
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Make this server the node that cluster.yaml describes; the changes are shown first.
    Apply(node_command::ApplyArgs),
    /// Print a one-time token for the second node.
    Invite {
        #[arg(long)]
        json: bool,
    },
    /// Make this server the second node, from the first.
    Join(node_command::JoinArgs),
    /// Decide this node's role and keep it in it; run by its unit.
    Agent,
    /// Make the standby the primary, as planned: nothing is lost, calls go on. Typed on either node.
    Switchover {
        /// Call a switchover off that is under way; typed on the old primary.
        #[arg(long)]
        abort: bool,
    },
    /// Let this node go on alone because the other is dead: writes are acknowledged with one copy.
    Solo(pair_command::SoloArgs),
    /// Make a node that holds the other's standby again.
    Rejoin {
        /// What only this node has is lost.
        #[arg(long, required = true)]
        discard_local_data: bool,
    },
    /// Keep this standby's PostgreSQL down, over restarts too; the primary goes on alone meanwhile.
    Maintenance {
        #[arg(value_enum)]
        switch: pair_command::Switch,
    },
    /// Calls' records: what could not be understood, and the months they are in.
    Cdr(cdr_command::CdrArgs),
    /// Hundreds of calls at once through a dev node or a lab, each accounted for; fails if one is not.
    Load(load_command::Args),
    /// Both nodes, what is wrong and what to do: exit code 0 all well, 1 degraded, 2 down, 3 not known.
    Status {
        #[command(flatten)]
        place: NodePlace,
        /// Again each second.
        #[arg(long)]
        watch: bool,
        #[arg(long)]
        json: bool,
    },
    /// Check this node against what an installation needs, each line with its cure: exit code 1 if any failed.
    Doctor {
        #[command(flatten)]
        place: NodePlace,
        #[arg(long)]
        json: bool,
    },
    /// Run the dev node.
    Dev {
        #[command(subcommand)]
        command: Dev,
    },
    /// Write manual pages and shell completion: for the packages.
    #[command(hide = true)]
    Documents {
        #[arg(long, value_name = "FOLDER")]
        man: PathBuf,
        #[arg(long, value_name = "FOLDER")]
        completion: PathBuf,
    },
    /// Two Debian systems on this machine, installed as servers are, and faults on demand.
    Lab {
        /// Which lab; several run side by side, each with a --port of its own.
        #[arg(long, env = "TANDEM_LAB", default_value = "lab", global = true, value_name = "NAME")]
        lab: lab::LabName,
        #[command(subcommand)]
        command: Lab,
    },
}

#[derive(Subcommand)]
enum Lab {
    #[command(flatten)]
    Lab(lab::Command),
    #[command(flatten)]
    Faults(faults::Command),
}

/// Where cluster.yaml and secrets.yaml are.
#[derive(Args)]
struct Place {
    /// The cluster's folder.
    #[arg(long, env = "TANDEM_DIR", default_value = ".tandem", value_name = "FOLDER")]
    dir: PathBuf,
}

/// Where a server has them.
#[derive(Args)]
struct NodePlace {
    /// The folder of cluster.yaml, secrets.yaml and the node's name.
    #[arg(long, default_value = "/etc/tandem", value_name = "FOLDER")]
    dir: PathBuf,
}

#[derive(Args)]
struct Ports {
    /// Added to every port, so that several dev nodes run side by side; RTP takes 1000 ports.
    #[arg(long, env = "TANDEM_PORT_OFFSET", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=i64::from(PORT_OFFSET_MAX)))]
    port_offset: u16,
}

#[derive(Subcommand)]
enum Dev {
    /// Start the node, or say that it runs already.
    Up {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        ports: Ports,
    },
    /// Stop the node; its data stays.
    Down {
        #[command(flatten)]
        place: Place,
        /// Remove its data, configuration and secrets too.
        #[arg(long)]
        purge: bool,
    },
    /// What runs, as what, since when.
    Status {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        json: bool,
    },
    /// The engines' logs.
    Logs {
        /// Of one engine only.
        engine: Option<String>,
        /// Keep showing what comes.
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Two phones call each other and a queue; the calls' records are printed from the API.
    Call {
        #[command(flatten)]
        place: Place,
        /// The API's own JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// What `up` leaves running: starts the engines, restarts what dies.
    #[command(hide = true)]
    Supervise {
        #[arg(long)]
        plan: PathBuf,
    },
    /// Becomes an engine that does not outlive the supervisor.
    #[command(hide = true)]
    Exec(dev::ExecArgs),
}

/// Runs the command; most end with success or an error.
///
/// # Errors
/// What to tell the user: one line a cause.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Init { dev: true, place, ports, .. } => init::run(&place.dir, ports.port_offset),
        Command::Init { pair, place, .. } => init::pair(&place.dir, pair),
        Command::Render { node, out, place } => render_command::run(&place.dir, &node, &out),
        Command::Documents { man, completion } => documents::run(Cli::command(), &man, &completion),
        Command::Apply(args) => node_command::apply(args),
        Command::Invite { json } => node_command::invite(json),
        Command::Join(args) => node_command::join(args),
        Command::Agent => node_command::agent(),
        Command::Switchover { abort } => pair_command::switchover(abort),
        Command::Solo(args) => pair_command::solo(&args),
        Command::Rejoin { .. } => pair_command::rejoin(),
        Command::Maintenance { switch } => pair_command::maintenance(switch),
        Command::Cdr(args) => cdr_command::run(args),
        Command::Load(args) => load_command::run(args),
        Command::Status { place, watch, json } => {
            return node::status::run(&place.dir, node::status::Options { json, watch });
        }
        Command::Doctor { place, json } => return node::doctor::run(&place.dir, json),
        Command::Dev { command } => match command {
            Dev::Up { place, ports } => dev::up(&place.dir, ports.port_offset),
            Dev::Down { place, purge } => dev::down(&place.dir, purge),
            Dev::Status { place, json } => dev::status(&place.dir, json),
            Dev::Logs { engine, follow, place } => dev::logs(&place.dir, engine.as_deref(), follow),
            Dev::Call { place, json } => dev::call(&place.dir, json),
            Dev::Supervise { plan } => dev::supervise(&plan),
            Dev::Exec(args) => dev::exec(&args),
        },
        Command::Lab { lab, command: Lab::Lab(command) } => lab::run(&lab, command),
        Command::Lab { lab, command: Lab::Faults(command) } => faults::run(&lab, command),
    }?;
    Ok(ExitCode::SUCCESS)
}
