//! What the engines could not post, they left in a folder: FreeSWITCH `<uuid>.cdr.json` in its err-log-dir, Kamailio
//! `<uuid>.json`, one event a file. Nothing else ever posts these again.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::Kind;
use super::http::CDR_BYTES_MAX;
use super::intake::{Intake, Refusal};

const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// Files of one round; the next round takes the rest.
const FILES_MAX: usize = 1_000;
/// A file that was written to this recently may be unfinished: neither engine writes atomically.
const SETTLED: Duration = Duration::from_secs(2);
/// FreeSWITCH's files are kept this long after their import, in `done/`.
const DONE_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// One folder of one engine.
pub struct Sweeper {
    pub dir: PathBuf,
    pub kind: Kind,
    pub intake: Intake,
}

impl Sweeper {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(SWEEP_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let dir = self.dir.clone();
            let Ok(files) = tokio::task::spawn_blocking(move || settled_files(&dir)).await else { continue };
            for file in files {
                if let Err(error) = self.import(&file).await {
                    let file = file.display().to_string();
                    tracing::warn!(file, error, "a spooled document was not imported; trying again");
                    break;
                }
            }
        }
    }

    async fn import(&self, file: &Path) -> Result<(), String> {
        let told = |error: std::io::Error| error.to_string();
        // An empty one is what a full disk left of a record.
        let bytes = tokio::fs::metadata(file).await.map_err(told)?.len();
        if bytes == 0 || bytes > CDR_BYTES_MAX as u64 {
            return self.put_aside(file, "bad").await.map_err(told);
        }
        let body = Bytes::from(tokio::fs::read(file).await.map_err(told)?);
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let uuid = name.strip_suffix(".cdr.json").unwrap_or_default();
        match self.intake.accept(self.kind, uuid, body).await {
            Ok(()) => {}
            Err(Refusal::TooLarge(_)) => return self.put_aside(file, "bad").await.map_err(told),
            Err(refusal) => return Err(refusal.to_string()),
        }
        metrics::counter!("voip_cdr_spool_imported_total", "kind" => self.kind.as_str()).increment(1);
        match self.kind {
            Kind::Freeswitch => self.put_aside(file, "done").await.map_err(told),
            Kind::Kamailio | Kind::Channel => tokio::fs::remove_file(file).await.map_err(told),
        }
    }

    async fn put_aside(&self, file: &Path, folder: &str) -> std::io::Result<()> {
        let folder = self.dir.join(folder);
        tokio::fs::create_dir_all(&folder).await?;
        tokio::fs::rename(file, folder.join(file.file_name().unwrap_or_default())).await
    }
}

/// In no order: it does not matter to the store.
fn settled_files(dir: &Path) -> Vec<PathBuf> {
    prune(&dir.join("done"));
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "json"))
        .filter(|entry| entry.metadata().is_ok_and(|m| m.is_file() && older_than(&m, SETTLED)))
        .map(|entry| entry.path())
        .take(FILES_MAX)
        .collect()
}

fn prune(done: &Path) {
    let Ok(entries) = std::fs::read_dir(done) else { return };
    for entry in entries.filter_map(Result::ok).take(FILES_MAX) {
        if entry.metadata().is_ok_and(|m| m.is_file() && older_than(&m, DONE_KEPT)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn older_than(file: &std::fs::Metadata, age: Duration) -> bool {
    let modified = file.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    SystemTime::now().duration_since(modified).is_ok_and(|since| since > age)
}
