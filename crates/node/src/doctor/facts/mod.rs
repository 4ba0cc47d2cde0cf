//! What the checks judge. Gathered all at once, every question with a limit.

mod arbiter;
mod backlog;
mod files;
mod freeswitch;
mod system;

use std::time::Duration;

use nix::unistd::Uid;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub use arbiter::{Arbiters, Etcd as EtcdFacts};
#[cfg(test)]
pub use arbiter::{Endpoint, Gateway, Program};
pub use backlog::Backlog;
pub use files::{FileState, FileStatus, Files};
pub use freeswitch::FreeSwitch;
#[cfg(test)]
pub use system::KernelSetting;
pub use system::System;

use crate::listeners::{self, Listener};
use crate::observe::{Place, Snapshot, output};
use crate::status::{self, Report};

/// Of each question beyond the snapshots.
const ANSWER_MAX: Duration = Duration::from_secs(5);

pub struct Facts {
    pub place: Place,
    pub is_root: bool,
    /// Both nodes, judged.
    pub report: Report,
    pub system: System,
    /// Or why they are not known.
    pub listeners: Result<Vec<Listener>, String>,
    pub files: Result<Files, String>,
    pub backlogs: Vec<Backlog>,
    pub arbiters: Arbiters,
    /// None where there is no FreeSWITCH to ask.
    pub freeswitch: Option<Result<FreeSwitch, String>>,
}

impl Facts {
    pub async fn gather(place: Place) -> Self {
        let (for_files, for_backlog) = (place.clone(), place.clone());
        let (report, system, listeners, files, backlogs, freeswitch, arbiters) = tokio::join!(
            status::report(&place),
            system::look(&place),
            listening(),
            blocking(move || files::look(&for_files)),
            blocking(move || Ok(backlog::look(&for_backlog))),
            freeswitch::ask(&place),
            arbiter::look(&place),
        );
        Self {
            is_root: Uid::effective().is_root(),
            report,
            system,
            listeners,
            files,
            backlogs: backlogs.unwrap_or_default(),
            freeswitch,
            arbiters,
            place,
        }
    }

    /// This node's snapshot.
    pub fn here(&self) -> Option<&Snapshot> {
        self.report.nodes.iter().find(|n| n.node == self.place.node)?.snapshot.as_ref()
    }
}

async fn listening() -> Result<Vec<Listener>, String> {
    let said = output("ss", &listeners::SS, ANSWER_MAX).await;
    said.map(|said| listeners::read(&said)).map_err(|e| e.to_string())
}

/// Disk work, which may hang where a network disk is away.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match timeout(ANSWER_MAX, spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err("the question was broken off".into()),
        Err(_) => Err(format!("no answer within {} s: is a disk away?", ANSWER_MAX.as_secs())),
    }
}
