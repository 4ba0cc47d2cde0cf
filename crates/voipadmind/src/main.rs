//! `voipadmind`: the daemon of one Tandem node, and its few commands.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Bad configuration; sysexits.h EX_CONFIG. systemd is told not to restart on it.
const EXIT_CONFIG: u8 = 78;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    version,
    about = "Directory, call records and management of one Tandem node",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(flatten)]
    run: Run,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Run {
    /// The configuration file (`-config FILE` is accepted as well).
    #[arg(long, default_value = "/etc/voip-admin/config.yaml")]
    config: PathBuf,
    /// Read the configuration, say whether it is right, and stop.
    #[arg(long)]
    check_config: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make roles, database, schema and seed data. Runs as the database's superuser over its Unix socket; idempotent.
    Bootstrap {
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    match Cli::parse_from(seed_spelling(std::env::args())) {
        Cli { command: Some(Command::Bootstrap { config }), .. } => {
            finish(voipadmind::bootstrap::run(&config))
        }
        Cli { run, .. } => {
            let config = match voipadmind::config::load(&run.config, |name| std::env::var(name).ok()) {
                Ok(config) => config,
                Err(error) => {
                    eprintln!("voipadmind: {error}");
                    return ExitCode::from(EXIT_CONFIG);
                }
            };
            if run.check_config {
                println!("{}: ok", run.config.display());
                return ExitCode::SUCCESS;
            }
            finish(voipadmind::run::run(config, &run.config))
        }
    }
}

fn finish(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("voipadmind: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The seed's unit starts the daemon with `-config FILE`, as programs written in Go take it.
fn seed_spelling(args: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    args.map(|arg| match arg.strip_prefix("-config") {
        Some(rest) if rest.is_empty() || rest.starts_with('=') => format!("--config{rest}"),
        _ => arg,
    })
}
