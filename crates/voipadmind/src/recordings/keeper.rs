//! What a node does with recordings by itself, in bounded rounds: it measures those that are finished, says which copies of
//! the peer's are here, deletes what retention has ended, and looks again whether each file still is what it was.
//!
//! The owner of a file has the say over it; the peer tells of its copy alone. Retention: the row is `deleting`, committed on
//! both nodes, before any file is touched; the owner deletes first, for it would push the file again; then the peer deletes
//! its copy and the row.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use store::Store;
use store::recordings::keep::{FileState, Kept};

use super::Recordings;
use super::measure::measure;
use super::tree::Trees;

/// Files of one step of one round, and bytes hashed in it; the next round takes the rest.
const FILES_MAX: i64 = 200;
const BYTES_MAX: u64 = 512 << 20;
/// Of the look at old files, which has a week.
const OLD_FILES_MAX: i64 = 50;
/// A file that was written to this recently may be unfinished.
const SETTLED: Duration = Duration::from_secs(3);
/// A file that is not there when its call's record is: it is looked for this long.
const LATE_MAX_S: i64 = 600;
/// What is missing or changed is looked at again after this.
const LOST_AGAIN: Duration = Duration::from_secs(600);
/// What has gone wrong, and what is on its way. `stored` counts on a pair: those are copies that are not there yet.
const COUNTED: [&str; 5] = ["recording", "missing", "changed", "deleting", "stored"];

/// The task of one node.
pub struct Keeper {
    pub store: Store,
    pub recordings: Recordings,
    pub every: Duration,
    /// A file is looked at again after this.
    pub again: Duration,
}

impl Keeper {
    /// Runs for ever; a round that fails is tried again.
    pub async fn run(self) {
        let mut tick = tokio::time::interval(self.every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for (step, done) in [
                ("finish", self.finish().await),
                ("copies", self.copies().await),
                ("retention", self.retention().await),
                ("check", self.check().await),
                ("count", self.count().await),
            ] {
                if let Err(error) = done {
                    tracing::debug!(step, %error, "recordings: a step was not done; trying again");
                }
            }
        }
    }

    async fn finish(&self) -> store::Result<()> {
        let node = &self.recordings.0.node;
        let unfinished = self.store.recordings_to_finish(node, FILES_MAX).await?;
        let found = self.look(unfinished, first_look).await;
        tell_lost(&found);
        self.store.mark_recordings(&found).await
    }

    async fn check(&self) -> store::Result<()> {
        let node = &self.recordings.0.node;
        let old = self.store.recordings_to_check(node, self.again, LOST_AGAIN, OLD_FILES_MAX).await?;
        let found = self.look(old, another_look).await;
        tell_lost(&found);
        self.store.mark_recordings(&found).await
    }

    async fn copies(&self) -> store::Result<()> {
        let Some(peer) = &self.recordings.0.peer else { return Ok(()) };
        let asked = self.store.copies_to_check(&peer.name, self.again, FILES_MAX).await?;
        let (trees, owner) = (self.recordings.0.trees.clone(), peer.name.clone());
        let found: Vec<(Kept, bool)> = blocking(move || {
            let is_here = |kept: &Kept| {
                let size = trees.open(&owner, &kept.file_path).ok().map(|(_, size)| size);
                size.is_some() && size == kept.file_size.and_then(|size| u64::try_from(size).ok())
            };
            asked.into_iter().map(|kept| (is_here(&kept), kept)).map(|(here, kept)| (kept, here)).collect()
        })
        .await;
        self.store.mark_copies(&found).await
    }

    async fn retention(&self) -> store::Result<()> {
        let own = &self.recordings.0.node;
        let deleted = self.delete(own, self.store.claim_expired_recordings(own, FILES_MAX).await?).await;
        let Some(peer) = &self.recordings.0.peer else {
            return self.store.forget_recordings(&deleted).await;
        };
        self.store.mark_deleted(&deleted).await?;
        let copies = self.delete(&peer.name, self.store.copies_to_delete(&peer.name, FILES_MAX).await?).await;
        self.store.forget_recordings(&copies).await
    }

    /// Deletes files of one tree; the ids of those that are gone now.
    async fn delete(&self, owner: &str, expired: Vec<Kept>) -> Vec<i64> {
        let (trees, owner) = (self.recordings.0.trees.clone(), owner.to_owned());
        blocking(move || {
            let mut gone = Vec::new();
            for kept in expired {
                match trees.delete(&owner, &kept.file_path) {
                    Ok(()) => gone.push(kept.id),
                    Err(error) => {
                        let file = format!("{owner}/{}", kept.file_path);
                        tracing::error!(file, %error, "an expired recording cannot be deleted (docs/runbook.md#recordings)");
                    }
                }
            }
            metrics::counter!("voip_recordings_deleted_total").increment(gone.len() as u64);
            gone
        })
        .await
    }

    async fn count(&self) -> store::Result<()> {
        let shared = &self.recordings.0;
        // On a single node every recording is `stored` for good.
        let states = if shared.peer.is_some() { &COUNTED[..] } else { &COUNTED[..4] };
        let counts = self.store.count_recordings(&shared.node, states).await?;
        for state in states {
            let count = counts.get(*state).copied().unwrap_or(0);
            metrics::gauge!("voip_recordings", "state" => *state).set(count as f64);
            match *state {
                "missing" => shared.missing.store(count.unsigned_abs(), Ordering::Relaxed),
                "changed" => shared.changed.store(count.unsigned_abs(), Ordering::Relaxed),
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks at this node's own files, one after the other, until [`BYTES_MAX`] are read. `judge` says nothing of a file it
    /// can say nothing of.
    async fn look(
        &self,
        files: Vec<Kept>,
        judge: fn(&Trees, &str, &Kept) -> io::Result<Option<FileState>>,
    ) -> Vec<(Kept, FileState)> {
        let (trees, node) = (self.recordings.0.trees.clone(), self.recordings.0.node.clone());
        blocking(move || {
            let (mut found, mut read) = (Vec::new(), 0);
            if files.is_empty() {
                return found;
            }
            // A disk that is not mounted is not a thousand files that are missing.
            if let Err(error) = trees.has(&node) {
                tracing::error!(%error, "the recordings' folder cannot be opened (docs/runbook.md#recordings)");
                return found;
            }
            for kept in files {
                match judge(&trees, &node, &kept) {
                    Ok(Some(state)) => {
                        read += kept.file_size.unwrap_or(1 << 20).unsigned_abs();
                        found.push((kept, state));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(file = kept.file_path, %error, "a recording cannot be read (docs/runbook.md#recordings)");
                        let state =
                            if kept.sha256.is_some() { FileState::Changed } else { FileState::Missing };
                        found.push((kept, state));
                    }
                }
                if read > BYTES_MAX {
                    break;
                }
            }
            found
        })
        .await
    }
}

/// A file whose call has ended: measured once nobody writes to it any more.
fn first_look(trees: &Trees, node: &str, kept: &Kept) -> io::Result<Option<FileState>> {
    let mut file = match trees.open(node, &kept.file_path) {
        Ok((file, _)) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((kept.age_s > LATE_MAX_S).then_some(FileState::Missing));
        }
        Err(error) => return Err(error),
    };
    let modified = file.metadata()?.modified()?;
    if !SystemTime::now().duration_since(modified).is_ok_and(|since| since > SETTLED) {
        return Ok(None);
    }
    let measured = measure(&mut file)?;
    let after = file.metadata()?;
    if after.modified()? != modified || after.len() != measured.size {
        return Ok(None);
    }
    Ok(Some(FileState::Measured {
        size: i64::try_from(measured.size).unwrap_or(i64::MAX),
        duration: measured.duration_s.and_then(|seconds| i32::try_from(seconds).ok()),
        sha256: measured.sha256,
    }))
}

/// A file that was measured once: is it still the same?
fn another_look(trees: &Trees, node: &str, kept: &Kept) -> io::Result<Option<FileState>> {
    let (mut file, size) = match trees.open(node, &kept.file_path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(FileState::Missing)),
        Err(error) => return Err(error),
    };
    Ok(Some(match (kept.file_size, kept.sha256) {
        (Some(size_then), Some(sha256)) => {
            let same = u64::try_from(size_then) == Ok(size) && measure(&mut file)?.sha256 == sha256;
            if same { FileState::AsBefore } else { FileState::Changed }
        }
        _ => FileState::Unmeasured,
    }))
}

fn tell_lost(found: &[(Kept, FileState)]) {
    for (kept, state) in found {
        let state = match state {
            FileState::Missing if kept.state != "missing" => "missing",
            FileState::Changed if kept.state != "changed" => "changed",
            _ => continue,
        };
        metrics::counter!("voip_recordings_lost_total", "state" => state).increment(1);
        tracing::error!(
            recording = kept.id,
            file = kept.file_path,
            state,
            "a recording is not as it was (docs/runbook.md#recordings)"
        );
    }
}

/// File work off the runtime's threads. A panic in it is nothing found.
async fn blocking<T: Default + Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}
