//! Bytes to whoever listens, in bounded pieces, for as long as they are taken.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

const PIECE_BYTES: usize = 64 << 10;
/// Pieces read ahead of the listener.
const PIECES_AHEAD: usize = 2;
/// A listener that takes nothing for so long, or a source that gives nothing, ends the stream.
const STALL: Duration = Duration::from_secs(60);

/// Pieces of a file.
pub(super) fn of_file(
    mut file: File,
    first: u64,
    length: u64,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
    file.seek(SeekFrom::Start(first))?;
    let file = tokio::fs::File::from_std(file);
    Ok(stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let most = left.min(PIECE_BYTES as u64);
        let mut piece = BytesMut::with_capacity(most as usize);
        let read = (&mut file).take(most).read_buf(&mut piece).await? as u64;
        if read == 0 {
            // Shorter than it was: the length is promised already, so the listener must see it break.
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(Some((piece.freeze(), (file, left - read))))
    }))
}

/// A body that gives the pieces on. `place` is free again when the stream ends, however it ends.
pub(super) fn body(
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    place: OwnedSemaphorePermit,
) -> Body {
    let (give, take) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        let _place = place;
        let mut pieces = std::pin::pin!(pieces);
        loop {
            let piece = match timeout(STALL, pieces.next()).await {
                Ok(Some(piece)) => piece,
                Ok(None) => return,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            };
            let last = piece.is_err();
            if !matches!(timeout(STALL, give.send(piece)).await, Ok(Ok(()))) || last {
                return;
            }
        }
    });
    Body::from_stream(stream::unfold(take, |mut take| async move { Some((take.recv().await?, take)) }))
}
