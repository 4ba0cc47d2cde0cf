//! Who is who, for FreeSWITCH's mod_xml_curl.
//!
//! In: the forms FreeSWITCH posts. Out: one user's document with HA1, or the quiet miss.
//! Never: a password, a value that FreeSWITCH's preprocessor would obey, or a wait longer than it takes to say 503.

pub mod cache;
mod document;

use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cache::{Directory, Source};
use fsxml::{DirectoryRequest, REQUEST_MAX_BYTES};
use http::{Method, StatusCode, header};

use crate::http::input::read_body;
use crate::http::problem::Problem;

/// `GET|POST /fs/xml/directory`.
///
/// 503 when nobody can know: FreeSWITCH then asks again at the phone's next try, instead of keeping a wrong "no".
pub async fn answer(State(directory): State<Directory>, request: Request) -> Result<Response, Problem> {
    let started = Instant::now();
    let form = form(request).await?;
    let asked = DirectoryRequest::parse(&form);
    let (source, answer) = answer_for(&directory, &asked).await?;
    directory.count(source, started.elapsed());
    Ok(xml(answer))
}

/// `/fs/xml/dialplan` and `/fs/xml/configuration`: the quiet miss. The dialplan is static (a look-up for every call is
/// what the seed measured as too slow); configuration is rendered.
pub async fn not_found(request: Request) -> Result<Response, Problem> {
    form(request).await?;
    Ok(xml(Bytes::from_static(fsxml::not_found().as_bytes())))
}

async fn answer_for(directory: &Directory, asked: &DirectoryRequest<'_>) -> Result<(Source, Bytes), Problem> {
    let miss = Bytes::from_static(fsxml::not_found().as_bytes());
    if let Some((user, domain)) = asked.user_at_domain() {
        let (source, found) = directory.user(domain, user).await;
        let answer = found.map_err(|error| {
            tracing::warn!(%error, user, domain, "a directory look-up could not be answered");
            Problem::unavailable("the database is away and this user is not known here", 2)
        })?;
        return Ok((source, answer.unwrap_or(miss)));
    }
    // Gateways are Kamailio's, and our access lists name addresses, not the users of a domain: nothing to tell.
    Ok((Source::Nowhere, miss))
}

/// The parameters: the body of a POST, the query string of a GET.
async fn form(request: Request<Body>) -> Result<Bytes, Problem> {
    let what = "the directory request";
    if request.method() == Method::POST {
        return read_body(request.into_body(), what, REQUEST_MAX_BYTES).await;
    }
    let query = request.uri().query().unwrap_or_default();
    if query.len() > REQUEST_MAX_BYTES {
        return Err(Problem::too_large(what, REQUEST_MAX_BYTES));
    }
    Ok(Bytes::copy_from_slice(query.as_bytes()))
}

fn xml(document: Bytes) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/xml; charset=utf-8")], document).into_response()
}
