//! A recording's audio: whole or a range of it, from this node's disk or the peer's.
//!
//! Architecture invariant: not a byte of it goes to a person before the row that says so is in the audit log.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use store::Store;
use store::audit::Actor;
use store::recordings::{Access, Recording};
use tokio::sync::OwnedSemaphorePermit;

use super::range::Part;
use super::{Recordings, stream};
use crate::http::problem::Problem;
use crate::provisioning::to_the_end;

/// From where audio is asked for, and how.
pub struct Asked {
    address: IpAddr,
    method: Method,
    pub(super) headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = <ConnectInfo<SocketAddr> as FromRequestParts<S>>::Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let peer = ConnectInfo::<SocketAddr>::from_request_parts(parts, state).await?;
        let address = peer.ip().to_canonical();
        Ok(Self { address, method: parts.method.clone(), headers: parts.headers.clone() })
    }
}

/// Answers with the audio of `recording`, which its caller may hear.
pub(super) async fn answer(
    recordings: &Recordings,
    store: Store,
    recording: Recording,
    actor: Actor,
    asked: Asked,
) -> Result<Response, Problem> {
    let (etag, size) = finished(&recording)?;
    if is_known(&asked.headers, &etag) {
        return built(StatusCode::NOT_MODIFIED, &recording, &etag, None, Body::empty());
    }
    let part = Part::asked(&asked.headers, Some(&etag), size);
    let range = part.content_range(size);
    if part == Part::Unsatisfiable {
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        return built(status, &recording, &etag, range.map(|range| (range, 0)), Body::empty());
    }
    let place = place(recordings)?;
    let pieces = pieces(recordings, &recording, part, size, &etag).await?;
    if asked.method != Method::HEAD {
        let access = Access { range: range.clone(), address: asked.address.to_string() };
        let noted = recording.clone();
        to_the_end(async move { store.log_recording_access(&actor, &noted, &access).await }).await?;
    }
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let length = part.span(size).1;
    built(status, &recording, &etag, Some((range.unwrap_or_default(), length)), stream::body(pieces, place))
}

/// Its entity tag and size; an error while, or since, there is nothing that can be vouched for.
fn finished(recording: &Recording) -> Result<(String, u64), Problem> {
    let conflict = |detail: &str| Problem::new(StatusCode::CONFLICT, detail);
    match recording.state.as_str() {
        "deleting" => {
            return Err(Problem::new(StatusCode::GONE, "its retention has ended: it is being deleted"));
        }
        "changed" => {
            return Err(conflict(
                "the file is not the one that was recorded: its SHA-256 differs. Both nodes' files are \
                 to be looked at by the operator (docs/runbook.md#recordings)",
            ));
        }
        _ => {}
    }
    let size = recording.file_size.and_then(|size| u64::try_from(size).ok());
    match (&recording.sha256, size) {
        (Some(sum), Some(size)) => Ok((format!("\"{sum}\""), size)),
        _ if recording.state == "missing" => Err(Problem::not_found("file: it was never found on its node")),
        _ => Err(conflict("it is not finished yet: ask again in a few seconds")),
    }
}

/// `If-None-Match` (RFC 9110, section 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// A place among the streams of this node.
pub(super) fn place(recordings: &Recordings) -> Result<OwnedSemaphorePermit, Problem> {
    let streams = recordings.0.streams.clone();
    streams
        .try_acquire_owned()
        .map_err(|_| Problem::unavailable("too many recordings are being played at once", 5))
}

/// A file of this node's disk whose bytes are those of the entity tag, with its size; `None` where there is none.
pub(super) async fn open(
    recordings: &Recordings,
    node: &str,
    path: &str,
    etag: &str,
) -> Result<Option<(File, u64)>, Problem> {
    let mut sha256 = [0; 32];
    if hex::decode_to_slice(etag.trim_matches('"'), &mut sha256).is_err() {
        return Ok(None);
    }
    let (recordings, node, path) = (recordings.clone(), node.to_owned(), path.to_owned());
    let opened = move || {
        let (mut file, size) = recordings.0.trees.open(&node, &path)?;
        let same = recordings.0.verified.is(&mut file, sha256)?;
        if !same {
            // Or a copy on its way. The owner's next look at it says so in the row.
            tracing::warn!(
                node,
                path,
                "a recording's file is not what was recorded: it is not given out (docs/runbook.md#recordings)"
            );
        }
        Ok(same.then_some((file, size)))
    };
    match tokio::task::spawn_blocking(opened).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(None),
        Ok(Err(error)) => Err(unreadable(error)),
        Err(panicked) => Err(unreadable(io::Error::other(panicked))),
    }
}

pub(super) fn unreadable(error: io::Error) -> Problem {
    tracing::error!(%error, "a recording cannot be read (docs/runbook.md#recordings)");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read; the log says why")
}

async fn pieces(
    recordings: &Recordings,
    recording: &Recording,
    part: Part,
    size: u64,
    etag: &str,
) -> Result<BoxStream<'static, io::Result<Bytes>>, Problem> {
    let (node, path) = (&recording.node, &recording.file_path);
    let here = open(recordings, node, path, etag).await;
    if let Ok(Some((file, _))) = here {
        let (first, length) = part.span(size);
        return Ok(stream::of_file(file, first, length).map_err(unreadable)?.boxed());
    }
    if let Some(peer) = &recordings.0.peer {
        match peer.fetch(node, path, part, size, etag).await {
            Ok(Some(pieces)) => return Ok(pieces),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, peer = peer.name, "a recording is not here, and the peer cannot be asked");
                return Err(Problem::unavailable("the file is on the other node, which does not answer", 5));
            }
        }
    }
    here?;
    Err(Problem::not_found("file: no node has it as it was recorded"))
}

fn built(
    status: StatusCode,
    recording: &Recording,
    etag: &str,
    content: Option<(String, u64)>,
    body: Body,
) -> Result<Response, Problem> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let mut headers = vec![
        (header::ETAG, etag.to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::VARY, "Accept".to_owned()),
        // Asked again each time: whoever hears it is in the audit log.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    if let Some((range, length)) = content {
        headers.push((header::CONTENT_LENGTH, length.to_string()));
        headers.push((header::CONTENT_TYPE, "audio/wav".to_owned()));
        headers.push((header::CONTENT_DISPOSITION, format!("inline; filename=\"{}\"", file_name(recording))));
        if !range.is_empty() {
            headers.push((header::CONTENT_RANGE, range));
        }
    }
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).map_err(|error| unreadable(io::Error::other(error)))?;
        answer.headers_mut().insert(name, value);
    }
    Ok(answer)
}

/// `20261122T120000Z_1001_8001_17.wav`: numbers come from strangers, so only what no system minds is left of them.
fn file_name(recording: &Recording) -> String {
    let plain = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or("unknown").chars();
        text.map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).take(32).collect::<String>()
    };
    let (caller, callee) = (plain(&recording.caller_id_number), plain(&recording.destination_number));
    let start = recording.start_time.strftime("%Y%m%dT%H%M%SZ");
    format!("{start}_{caller}_{callee}_{}.wav", recording.id)
}
