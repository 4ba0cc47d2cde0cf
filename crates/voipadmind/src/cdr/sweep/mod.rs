//! What the engines could not post, they left in a folder: FreeSWITCH `<uuid>.cdr.json` in its err-log-dir, Kamailio
//! `<uuid>.json`, one event a file. Nothing else ever posts these again.
//!
//! A file is taken when its writer closes it (inotify), and otherwise, as at a start, when nobody wrote to it for a while.
//! Understood, it goes to `done/` (FreeSWITCH's) or away (Kamailio's); all else is kept whole in `bad/`, told and counted.

mod closed;
mod folder;
mod memory;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::Content;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use self::closed::Closed;
use self::folder::{Found, Seen, look, place_in};
use self::memory::{Lying, Moved, Troubles};
use super::Kind;
use super::http::CDR_BYTES_MAX;
use super::intake::{Intake, Refusal};
use super::worker::understood;

const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// Files of one round; the next round takes the rest.
const FILES_MAX: usize = 1_000;
/// What is not understood may be half a document, whose writer is held up by its disk or was stopped for a while: it is taken
/// as it is when nobody wrote to it for this long, in which a slow disk answers and the kernel gives up on a dead one.
const UNFINISHED: Duration = Duration::from_secs(60);

/// One folder of one engine.
pub struct Sweeper {
    pub dir: PathBuf,
    pub kind: Kind,
    pub intake: Intake,
}

/// What became of a file.
enum Outcome {
    /// Imported, or taken away by somebody.
    Gone,
    /// May still grow: left where it is.
    Unfinished,
    Bad(Lying),
}

enum Failure {
    /// This file cannot be read or moved; others can.
    File(std::io::Error),
    /// Nothing is taken in now.
    Intake(Refusal),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

impl Sweeper {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(SWEEP_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut closed, mut troubles, mut moved) =
            (Closed::default(), Troubles::default(), Moved::default());
        // Of the intake: told like a file's.
        let mut refusals = Troubles::default();
        loop {
            let files = tokio::select! {
                () = stop.cancelled() => return,
                files = closed.next(&self.dir) => files,
                _ = tick.tick() => {
                    closed.watch(&self.dir);
                    self.round(&mut troubles, &mut moved).await
                }
            };
            for file in files {
                match self.import(&file).await {
                    Ok(outcome) => {
                        troubles.forget(&file);
                        refusals = Troubles::default();
                        if let Outcome::Bad(lying) = outcome {
                            moved.remember(lying);
                        }
                    }
                    Err(Failure::File(error)) => {
                        if troubles.note(&file, Instant::now()) {
                            let file = file.display().to_string();
                            tracing::warn!(file, %error, "a spooled document cannot be taken; trying again each minute (docs/runbook.md#cdrs-wait-in-a-spool-folder)");
                        }
                    }
                    Err(Failure::Intake(error)) => {
                        if refusals.note(&self.dir, Instant::now()) {
                            let dir = self.dir.display().to_string();
                            tracing::warn!(dir, %error, "spooled documents wait; trying again every 2 s");
                        }
                        break;
                    }
                }
            }
        }
    }

    /// The files to try now.
    async fn round(&self, troubles: &mut Troubles, moved: &mut Moved) -> Vec<PathBuf> {
        let (dir, mut lying) = (self.dir.clone(), std::mem::take(moved));
        let looked = tokio::task::spawn_blocking(move || {
            lying.put_back(Instant::now());
            (look(&dir), lying)
        });
        let found: Found;
        (found, *moved) = looked.await.unwrap_or_default();
        troubles.keep(&found.documents);
        let gauge = |name: &'static str, files: usize| {
            metrics::gauge!(name, "kind" => self.kind.as_str()).set(files as f64);
        };
        gauge("voip_cdr_spool_waiting", found.documents.len());
        gauge("voip_cdr_spool_unreadable", troubles.len());
        gauge("voip_cdr_spool_bad", found.bad);
        let now = Instant::now();
        found.settled.into_iter().filter(|file| troubles.is_due(file, now)).take(FILES_MAX).collect()
    }

    async fn import(&self, file: &Path) -> Result<Outcome, Failure> {
        let about = match tokio::fs::metadata(file).await {
            // Taken by the round before: told of twice.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Outcome::Gone),
            found => found?,
        };
        let seen = Seen::of(&about);
        if !about.is_file() {
            return Ok(Outcome::Gone);
        }
        if seen.bytes > CDR_BYTES_MAX as u64 {
            return self.put_into_bad(file, seen, "too_large", "").await;
        }
        let mut body = Vec::new();
        tokio::fs::File::open(file).await?.take(CDR_BYTES_MAX as u64).read_to_end(&mut body).await?;
        if body.len() as u64 != seen.bytes {
            return Ok(Outcome::Unfinished);
        }
        let body = Bytes::from(body);
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let uuid = name.strip_suffix(".cdr.json").unwrap_or_default();
        // What is understood is whole: no beginning of a document is one.
        let poison = match understood(self.kind, uuid, &body) {
            Content::Poison { reason, .. } => Some(reason),
            _ => None,
        };
        if poison.is_some() && !seen.is_older_than(UNFINISHED) {
            return Ok(Outcome::Unfinished);
        }
        if body.is_empty() {
            // What a full disk left of a record.
            return self.put_into_bad(file, seen, "empty", "").await;
        }
        // Before it is taken in: one that cannot be put aside would be taken in again and again.
        let folder = match (self.kind, &poison) {
            (_, Some(_)) => Some(self.dir.join("bad")),
            (Kind::Freeswitch, None) => Some(self.dir.join("done")),
            (Kind::Kamailio | Kind::Channel, None) => None,
        };
        if let Some(folder) = &folder {
            tokio::fs::create_dir_all(folder).await?;
        }
        match self.intake.accept(self.kind, uuid, body).await {
            Ok(()) => {}
            Err(Refusal::TooLarge(_)) => return self.put_into_bad(file, seen, "too_large", "").await,
            Err(refusal) => return Err(Failure::Intake(refusal)),
        }
        metrics::counter!("voip_cdr_spool_imported_total", "kind" => self.kind.as_str()).increment(1);
        if let Some(why) = poison {
            return self.put_into_bad(file, seen, "not_understood", &why).await;
        }
        match folder {
            Some(done) => tokio::fs::rename(file, done.join(file.file_name().unwrap_or_default())).await?,
            None => tokio::fs::remove_file(file).await?,
        }
        Ok(Outcome::Gone)
    }

    /// `reason` is the counter's label, `why` for a person.
    async fn put_into_bad(
        &self,
        file: &Path,
        as_read: Seen,
        reason: &'static str,
        why: &str,
    ) -> Result<Outcome, Failure> {
        let bad = self.dir.join("bad");
        tokio::fs::create_dir_all(&bad).await?;
        let in_bad = place_in(&bad, file).await?;
        tokio::fs::rename(file, &in_bad).await?;
        metrics::counter!("voip_cdr_spool_bad_total", "kind" => self.kind.as_str(), "reason" => reason)
            .increment(1);
        let (shown, bytes) = (in_bad.display().to_string(), as_read.bytes);
        tracing::warn!(
            file = shown,
            bytes,
            reason,
            why,
            "a spooled file was put aside (docs/runbook.md#files-in-bad)"
        );
        Ok(Outcome::Bad(Lying { in_bad, from: file.to_owned(), as_read, since: Instant::now() }))
    }
}
