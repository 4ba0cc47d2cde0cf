//! How a file comes into being: whole, or not at all.

use std::io;

use crate::storage::{Storage, StorageFile, SyncPoint};

/// Files that end so are half-made; opening removes them.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Why a file did not come into being; what may still be done afterwards differs.
#[derive(Debug)]
pub(crate) enum PublishError {
    /// It can be tried again.
    Refused(io::Error),
    /// An fsync failed: what is on the disk is not known any more.
    Sync(io::Error),
}

/// Writes the file under another name and gives it its own (replacing the one before) when its content is durable.
/// The name is durable when this returns.
pub(crate) fn publish(
    storage: &dyn Storage,
    name: &str,
    content: &[u8],
    content_point: SyncPoint,
    name_point: SyncPoint,
) -> Result<Box<dyn StorageFile>, PublishError> {
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    let written = storage.create(&temporary).and_then(|file| file.write_all_at(content, 0).map(|()| file));
    let renamed = match written {
        Ok(file) => {
            file.sync(content_point).map_err(PublishError::Sync)?;
            storage.rename(&temporary, name).map(|()| file)
        }
        Err(e) => Err(e),
    };
    let file = renamed.map_err(|e| {
        // As a rule the disk is full: give the room back. If that fails too, opening does it.
        let _ = storage.remove(&temporary);
        PublishError::Refused(e)
    })?;
    storage.sync_dir(name_point).map_err(PublishError::Sync)?;
    Ok(file)
}
