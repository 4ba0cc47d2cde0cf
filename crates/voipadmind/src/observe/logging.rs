//! Logs: one readable sentence with fields, JSON by default, the level re-read on SIGHUP.

use std::fs::OpenOptions;
use std::sync::Mutex;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{Level, LogFormat, Logging};

/// Changes the level of a running program.
pub struct LevelHandle(reload::Handle<EnvFilter, Registry>);

impl LevelHandle {
    pub fn set(&self, level: Level) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::warn!(%error, "log level not changed");
        }
    }
}

/// Starts logging to stderr or to the file of `logging.output`.
///
/// A log that cannot be opened is no reason not to take calls: it falls back to stderr and says so.
pub fn start(logging: &Logging) -> LevelHandle {
    let (filter, handle) = reload::Layer::new(filter(logging.level));
    let file = (logging.output.as_os_str() != "stderr")
        .then(|| OpenOptions::new().append(true).create(true).open(&logging.output));
    let (writer, complaint) = match file {
        Some(Ok(file)) => (fmt::writer::BoxMakeWriter::new(Mutex::new(file)), None),
        Some(Err(error)) => (fmt::writer::BoxMakeWriter::new(std::io::stderr), Some(error)),
        None => (fmt::writer::BoxMakeWriter::new(std::io::stderr), None),
    };
    let layer = fmt::layer().with_writer(writer).with_ansi(false);
    let layer = match logging.format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.boxed(),
    };
    tracing_subscriber::registry().with(filter).with(layer).init();
    if let Some(error) = complaint {
        let output = logging.output.display().to_string();
        tracing::warn!(output, %error, "cannot write the log file; logging to stderr instead");
    }
    LevelHandle(handle)
}

/// Our own lines at the level asked for; libraries only from `warn` up unless it is `trace`.
fn filter(level: Level) -> EnvFilter {
    let own = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => return EnvFilter::new("trace"),
    };
    let crates = ["voipadmind", "store", "queue", "journal"].map(|name| format!("{name}={own}")).join(",");
    EnvFilter::new(format!("warn,{crates}"))
}
