//! Audio between the nodes: what is not on this node's disk is asked of the peer's voipadmind, and passed on as it comes.
//!
//! Only the peer's addresses are heard, with a password of this one purpose (derived from the cluster's key). Like the copy
//! by rsync it is not encrypted: it takes the link between the nodes (docs/network.md).

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::range::Part;
use super::{Recordings, media, stream};
use crate::config::{self, Fs};
use crate::http::engines::EngineDoor;
use crate::http::problem::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Until the peer's answer begins: it opens a file, and reads it once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const USER: &str = "peer";

/// The other node, as this one asks it.
pub(super) struct Peer {
    pub(super) name: String,
    url: String,
    authorization: String,
    client: Client<HttpConnector, Body>,
}

impl Peer {
    pub(super) fn new(config: &config::RecordingsPeer) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let token = STANDARD.encode(format!("{USER}:{}", config.password.expose()));
        Self {
            name: config.name.clone(),
            url: config.url.trim_end_matches('/').to_owned(),
            authorization: format!("Basic {token}"),
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// A part of the file that is `size` bytes long and has this entity tag; `None` where the peer has no such file.
    pub(super) async fn fetch(
        &self,
        node: &str,
        path: &str,
        part: Part,
        size: u64,
        etag: &str,
    ) -> io::Result<Option<BoxStream<'static, io::Result<Bytes>>>> {
        let mut request = Request::get(format!("{}/peer/recordings/{node}/{path}", self.url))
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::IF_MATCH, etag);
        if let Part::Bytes { first, last } = part {
            request = request.header(header::RANGE, format!("bytes={first}-{last}"));
        }
        let request = request.body(Body::empty()).map_err(io::Error::other)?;
        let answer = timeout(ANSWER_TIMEOUT, self.client.request(request)).await?;
        let answer = answer.map_err(io::Error::other)?;
        let told = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        match answer.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                let length = part.span(size).1.to_string();
                let same = told(header::CONTENT_RANGE).map(str::to_owned) == part.content_range(size)
                    && told(header::CONTENT_LENGTH) == Some(&length);
                // A copy of another size is not this recording: it is on its way.
                Ok(same.then(|| {
                    answer.into_body().into_data_stream().map(|it| it.map_err(io::Error::other)).boxed()
                }))
            }
            StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => Ok(None),
            status => Err(io::Error::other(format!("it answered {status}"))),
        }
    }
}

/// The door that only the peer passes; none on a single node.
pub fn door(config: &config::Recordings) -> Option<EngineDoor> {
    let peer = config.peer.as_ref()?;
    let who = Fs { user: USER.to_owned(), password: peer.password.clone(), allow: peer.allow.clone() };
    Some(EngineDoor::new(&who))
}

/// `GET /peer/recordings/{node}/{path}`: a file of either tree on this node's own disk, if it is the one of the `If-Match` (RFC
/// 9110, section 13.1.1). Who may hear it, and that it is known who did, is the asking node's duty.
pub async fn serve(
    State(recordings): State<Recordings>,
    Path((node, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = media::place(&recordings)?;
    let etag = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((file, size)) = media::open(&recordings, &node, &path, etag).await? else {
        return Err(Problem::not_found("file: none, or not the one of If-Match"));
    };
    let part = Part::asked(&headers, None, size);
    let (first, length) = part.span(size);
    if part == Part::Unsatisfiable {
        let range = part.content_range(size).unwrap_or_default();
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, range)]).into_response());
    }
    let pieces = stream::of_file(file, first, length).map_err(media::unreadable)?;
    let mut answer = Response::new(stream::body(pieces, place));
    answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    if let Some(range) = part.content_range(size).and_then(|range| range.parse().ok()) {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        answer.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    Ok(answer)
}
