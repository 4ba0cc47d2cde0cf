//! `media-double --marker FILE --config FILE`

#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::Parser;
use media_double::{Config, Running, marker};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Test program that stands where FreeSWITCH would in Tandem's dev node and lab. It is not FreeSWITCH.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Marker file of the dev node or of the lab; without it nothing starts.
    #[arg(long)]
    marker: PathBuf,
    /// Configuration file (YAML), as `tandem render` writes it.
    #[arg(long)]
    config: PathBuf,
    /// Reads the configuration, says what is wrong with it, and stops.
    #[arg(long)]
    check_config: bool,
}

/// A call has two RTP sockets, and the usual soft limit is 1,024 files. Where it cannot be raised, calls beyond it are
/// refused one by one.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    let args = Args::parse();
    marker::require(&args.marker)?;
    let config = Config::load(&args.config)?;
    if args.check_config {
        return Ok(());
    }
    raise_file_limit();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let running = Running::start(&config).await?;
    tracing::info!(address = %running.address(), kamailio = %config.kamailio, "the media double answers SIP");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await;
    Ok(())
}
