//! A folder's files, as their writers close them.

use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};

use super::folder::is_document;

/// Of the kernel's events at once: an event with the longest name has 272.
const EVENT_BYTES: usize = 4 << 10;

#[derive(Default)]
pub struct Closed(Option<EventStream<Vec<u8>>>);

impl Closed {
    /// Where it is not watched: the folder may come later, or be replaced.
    pub fn watch(&mut self, dir: &Path) {
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
    pub async fn next(&mut self, dir: &Path) -> Vec<PathBuf> {
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
