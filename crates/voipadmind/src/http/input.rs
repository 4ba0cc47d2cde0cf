//! Reading what a client sent, with a limit on everything and an error that names the field.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::request::Parts;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use store::page::PAGE_ITEMS_MAX;

use crate::http::problem::Problem;

/// JSON bodies of the API: the largest, a queue with all its members, has a few kilobytes.
pub const JSON_BYTES_MAX: usize = 64 << 10;
const QUERY_BYTES_MAX: usize = 8 << 10;
const PAGE_ITEMS: u16 = 50;

/// A sender of too much is heard to the end, up to this, because one that is cut off in mid-sentence never reads the answer.
const DISCARD_BYTES_MAX: usize = 8 << 20;

/// Reads a whole body of at most `bytes_max`.
///
/// # Errors
/// 413 over the limit, 400 when the connection broke before the end.
pub async fn read_body(mut body: Body, what: &str, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut kept = Kept::Nothing;
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let broken = |_| Problem::new(StatusCode::BAD_REQUEST, format!("{what} did not arrive whole"));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        total += data.len();
        if total > DISCARD_BYTES_MAX {
            break;
        }
        if total <= bytes_max {
            kept = kept.with(data);
        }
    }
    if total > bytes_max {
        return Err(Problem::too_large(what, bytes_max));
    }
    Ok(match kept {
        Kept::Nothing => Bytes::new(),
        Kept::One(data) => data,
        Kept::Several(all) => all.freeze(),
    })
}

/// What has come of a body: most come in one piece, which is not copied.
enum Kept {
    Nothing,
    One(Bytes),
    Several(BytesMut),
}

impl Kept {
    fn with(self, data: Bytes) -> Self {
        match self {
            Self::Nothing => Self::One(data),
            Self::One(first) => {
                let mut all = BytesMut::from(&first[..]);
                all.extend_from_slice(&data);
                Self::Several(all)
            }
            Self::Several(mut all) => {
                all.extend_from_slice(&data);
                Self::Several(all)
            }
        }
    }
}

/// A query string read into `T`, whose struct denies unknown fields. Every value is a string; a repeated or unknown
/// parameter is refused by name, because a filter that is silently ignored shows the wrong calls.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        if query.len() > QUERY_BYTES_MAX {
            return Err(Problem::too_large("the query string", QUERY_BYTES_MAX));
        }
        let mut map = Map::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if value.chars().any(char::is_control) {
                return Err(Problem::parameter(name, "holds a control character"));
            }
            if map.insert(name.clone().into_owned(), Value::String(value.into_owned())).is_some() {
                return Err(Problem::parameter(name, "is given twice"));
            }
        }
        serde_json::from_value(Value::Object(map)).map(Self).map_err(|e| {
            let text = e.to_string();
            Problem::parameter(quoted_name(&text).unwrap_or_default().to_owned(), text)
        })
    }
}

/// A JSON body read into `T`, whose struct denies unknown fields.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read_body(request.into_body(), "the body", JSON_BYTES_MAX).await?;
        read_json(&bytes).map(Self)
    }
}

/// A JSON object. serde would take an array too, by the order of our fields, which is nobody's contract.
fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the body is not a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        let text = e.into_inner().to_string();
        let detail = format!("the body is not the JSON asked for: {text}");
        // A value that is wrong is found by where it stands, a name that is wrong or missing by the message.
        match (path.as_str(), quoted_name(&text)) {
            ("." | "?", None) => Problem::new(StatusCode::BAD_REQUEST, detail),
            ("." | "?", Some(name)) => Problem::field(name, detail),
            (path, _) => Problem::field(path, detail),
        }
    })?;
    let rest = json.end();
    rest.map_err(|e| {
        Problem::new(StatusCode::BAD_REQUEST, format!("after the JSON object comes more: {e}"))
    })?;
    Ok(read)
}

/// The items of a page asked for by `limit=`; 50 when it was not given.
///
/// # Errors
/// 400 for what is no number from 1 to [`PAGE_ITEMS_MAX`].
pub fn page_items(limit: Option<&str>) -> Result<u16, Problem> {
    let Some(text) = limit else { return Ok(PAGE_ITEMS) };
    text.parse()
        .ok()
        .filter(|items| (1..=PAGE_ITEMS_MAX).contains(items))
        .ok_or_else(|| Problem::parameter("limit", format!("is a number from 1 to {PAGE_ITEMS_MAX}")))
}

/// serde names the field it stumbled over between back-ticks.
fn quoted_name(message: &str) -> Option<&str> {
    message.split('`').nth(1).filter(|name| name.len() <= 64)
}

/// Whether a peer may see details: loopback, or a network listed for it.
pub fn is_listed(peer: SocketAddr, allow: &[crate::config::Network]) -> bool {
    peer.ip().to_canonical().is_loopback() || allow.iter().any(|network| network.contains(peer.ip()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[serde(rename = "extension")]
        _extension: String,
        #[serde(rename = "members")]
        _members: Option<Vec<u8>>,
    }

    #[test]
    fn an_error_names_the_field_it_is_in() {
        let field =
            |body: &str| serde_json::to_value(read_json::<Wanted>(body.as_bytes()).unwrap_err()).unwrap();
        for (body, name) in [
            (r#"{"extension": 1011}"#, "extension"),
            (r#"{"extension": null}"#, "extension"),
            (r#"{"extension": "1", "members": [1, "x"]}"#, "members[1]"),
            ("{}", "extension"),
            (r#"{"extension": "1", "extnsion": "2"}"#, "extnsion"),
        ] {
            assert_eq!(field(body)["field"], json!(name), "{body}: {}", field(body));
        }
        for body in [r#"["1", null]"#, "[]", "", "nul", r#"{"extension": "1"} {}"#] {
            assert_eq!(field(body)["status"], json!(400), "{body}");
        }
        assert!(read_json::<Wanted>(b" {\"extension\": \"1\"} ").is_ok());
    }
}
