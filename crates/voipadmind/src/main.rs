//! `voipadmind`: the daemon of one Tandem node, and its few commands.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

/// Bad configuration; sysexits.h EX_CONFIG. systemd is told not to restart on it.
const EXIT_CONFIG: u8 = 78;

/// What the manual page says beyond the options.
const MANUAL_MORE: &str = concat!(
    ".SH SIGNALS\n.TP\nSIGTERM, SIGINT\nfinish what is in progress, then stop\n",
    ".TP\nSIGHUP\nread logging.level again\n",
    ".SH EXIT STATUS\n.TP\n0\nasked to stop\n.TP\n1\nfailed; starting it again may help\n",
    ".TP\n78\nthe configuration is wrong: file, line, key and cure are on standard error\n",
    ".SH FILES\n.TP\n.I /etc/voip\\-admin/config.yaml\nwritten by\n.BR tandem\\-apply (1)\n",
    ".TP\n.I /var/lib/voip\\-admin/journal\nacknowledged call records until they are known to be stored; never remove it\n",
    ".SH SEE ALSO\n.BR tandem (1),\n.BR tandem\\-cluster.yaml (5)\n",
);

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
    /// Write the manual page, voipadmind.8, into a folder: for the packages.
    #[command(hide = true)]
    Manual { folder: PathBuf },
}

fn main() -> ExitCode {
    match Cli::parse_from(seed_spelling(std::env::args())) {
        Cli { command: Some(Command::Bootstrap { config }), .. } => {
            finish(voipadmind::bootstrap::run(&config))
        }
        Cli { command: Some(Command::Manual { folder }), .. } => finish(manual(&folder)),
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

fn manual(folder: &Path) -> anyhow::Result<()> {
    let mut page = Vec::new();
    let command = Cli::command().name("voipadmind").disable_help_subcommand(true);
    clap_mangen::Man::new(command).section("8").manual("Tandem").render(&mut page)?;
    page.extend_from_slice(MANUAL_MORE.as_bytes());
    std::fs::write(folder.join("voipadmind.8"), page)?;
    Ok(())
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
