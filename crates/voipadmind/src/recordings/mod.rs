//! Recordings: the files that FreeSWITCH wrote, from the end of a call to the end of their retention.
//!
//! In: rows made with their legs (`store::recordings`), files under `<dir>/<node>/YYYY/MM/DD/`, of this node and, copied by
//! rsync, of the peer. Out: `GET /api/recordings`, the audio, and states that say what is not as it should be.
//! Never: a file opened or deleted outside of those trees ([`tree`]), audio given out that the audit log does not know
//! ([`media`]) or that is not what was recorded ([`verified`]), or a file deleted that is under legal hold ([`keeper`]).

pub mod http;
pub mod keeper;
mod measure;
pub mod media;
pub mod peer;
mod range;
mod stream;
mod tree;
mod verified;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use crate::config;
use peer::Peer;
use tree::Trees;
use verified::Verified;

/// Audio streams at once, of people and of the peer alike: each holds a file, a connection and up to three pieces.
const STREAMS_AT_ONCE_MAX: usize = 128;

/// What the handlers and the keeper share.
#[derive(Clone)]
pub struct Recordings(Arc<Shared>);

struct Shared {
    node: String,
    trees: Trees,
    peer: Option<Peer>,
    streams: Arc<Semaphore>,
    verified: Verified,
    /// Of this node's own, as last counted.
    missing: AtomicU64,
    changed: AtomicU64,
}

impl Recordings {
    pub fn new(node: &str, config: &config::Recordings) -> Self {
        Self(Arc::new(Shared {
            node: node.to_owned(),
            trees: Trees::below(&config.dir),
            peer: config.peer.as_ref().map(Peer::new),
            streams: Arc::new(Semaphore::new(STREAMS_AT_ONCE_MAX)),
            verified: Verified::default(),
            missing: AtomicU64::new(0),
            changed: AtomicU64::new(0),
        }))
    }

    /// `ok`, or how many of this node's files are not what they were.
    pub fn health(&self) -> String {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        match (count(&self.0.missing), count(&self.0.changed)) {
            (0, 0) => "ok".to_owned(),
            (missing, changed) => format!(
                "{missing} missing, {changed} changed: GET /api/recordings?state=missing (docs/runbook.md#recordings)"
            ),
        }
    }
}
