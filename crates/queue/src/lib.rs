//! The stream of call records in Redis, and the memory behind the directory.
//!
//! In: [`Entry`]s of the journal. Out: [`Delivered`] entries to one worker each, until they are acknowledged.
//! Never: the only copy of anything. Redis may be restarted, emptied or replaced at any time; the journal pushes again.
//!
//! Architecture invariant: the only crate that knows Redis. Every wait has a bound, and no call is repeated in here: a
//! connection that failed is dropped, and the caller decides.
#![forbid(unsafe_code)]

mod cache;
mod connection;
mod entry;
mod error;
mod reader;
mod stream;

use std::sync::Arc;

pub use connection::QueueConfig;
pub use entry::{Delivered, Entry};
pub use error::Error;
pub use reader::{BLOCK_MAX, Reader};
pub use stream::{GROUP, REPLICA_WAIT_MAX};

use connection::Connection;

/// What every function of this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A handle on the stream and the cache; clones share two connections.
#[derive(Clone)]
pub struct Queue {
    config: Arc<QueueConfig>,
    connection: Arc<Connection>,
    /// For pushing alone: who waits for a replica holds up whatever else is said on his connection.
    pushing: Arc<Connection>,
}

impl Queue {
    /// Makes the handle. Nothing is connected yet: Redis may come later.
    pub fn new(config: QueueConfig) -> Self {
        let config = Arc::new(config);
        let connection = || Arc::new(Connection::new(Arc::clone(&config), connection::ANSWER_TIMEOUT));
        Self { connection: connection(), pushing: connection(), config }
    }

    /// A reader for one consumer of the group, with a connection of its own: blocking reads would hold up the others.
    pub fn reader(&self, consumer: &str) -> Reader {
        Reader::new(Arc::clone(&self.config), consumer)
    }
}
