//! What the engines could not post, they left in a folder: FreeSWITCH `<uuid>.cdr.json` in its err-log-dir, Kamailio
//! `<uuid>.json`, one event a file. Nothing else ever posts these again.
//!
//! A file is taken when its writer closes it (inotify), and otherwise, as at a start, when nobody wrote to it for a while.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use tokio_util::sync::CancellationToken;

use super::Kind;
use super::http::CDR_BYTES_MAX;
use super::intake::{Intake, Refusal};

const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// Files of one round; the next round takes the rest.
const FILES_MAX: usize = 1_000;
/// A file that was written to this recently may be unfinished: neither engine writes atomically.
const SETTLED: Duration = Duration::from_secs(2);
/// Of the kernel's events at once: an event with the longest name has 272.
const EVENT_BYTES: usize = 4 << 10;
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
        let mut closed = Closed::default();
        loop {
            let files = tokio::select! {
                () = stop.cancelled() => return,
                files = closed.next(&self.dir) => files,
                _ = tick.tick() => {
                    let dir = self.dir.clone();
                    closed.watch(&dir);
                    tokio::task::spawn_blocking(move || settled_files(&dir)).await.unwrap_or_default()
                }
            };
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
        let bytes = match tokio::fs::metadata(file).await {
            // Taken by the round before: told of twice.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(told)?.len(),
        };
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

/// The folder's files, as their writers close them.
#[derive(Default)]
struct Closed(Option<EventStream<Vec<u8>>>);

impl Closed {
    /// Where it is not watched: the folder may come later, or be replaced.
    fn watch(&mut self, dir: &Path) {
        let watched = || -> std::io::Result<EventStream<Vec<u8>>> {
            let inotify = Inotify::init()?;
            let mask =
                WatchMask::CLOSE_WRITE | WatchMask::MOVED_TO | WatchMask::DELETE_SELF | WatchMask::MOVE_SELF;
            inotify.watches().add(dir, mask | WatchMask::ONLYDIR)?;
            inotify.into_event_stream(vec![0; EVENT_BYTES])
        };
        // Without it files are found a little later, when they have settled.
        self.0 = self.0.take().or_else(|| watched().ok());
    }

    /// The next one. Cancelled, it loses nothing that the next sweep would not find.
    async fn next(&mut self, dir: &Path) -> Vec<PathBuf> {
        let Some(events) = &mut self.0 else { return std::future::pending().await };
        match events.next().await {
            Some(Ok(event))
                if !event
                    .mask
                    .intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED) =>
            {
                let file = event.name.map(|name| dir.join(name));
                file.into_iter().filter(|file| is_document(file)).collect()
            }
            _ => {
                self.0 = None;
                Vec::new()
            }
        }
    }
}

fn is_document(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}

/// In no order: it does not matter to the store.
fn settled_files(dir: &Path) -> Vec<PathBuf> {
    prune(&dir.join("done"));
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| is_document(&entry.path()))
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
