//! `POST /fs/cdr` and `POST /fs/kamailio`: bytes in, durable, 200.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::Kind;
use super::intake::{Intake, KEY_CHARS_MAX, Refusal};
use crate::http::input::read_body;
use crate::http::problem::Problem;

/// The largest CDR taken (the largest seen has 33 KB).
pub const CDR_BYTES_MAX: usize = 1 << 20;
/// One event of Kamailio has about 500 bytes.
pub const EVENT_BYTES_MAX: usize = 16 << 10;

/// Takes a CDR of mod_json_cdr or mod_format_cdr, in any of their encodings.
///
/// 200 means it is durable; whether it could be understood is decided later, and what could not is kept whole in
/// quarantine. The leg's uuid in the query is only a hint for that case.
pub async fn freeswitch(State(intake): State<Intake>, request: Request) -> Result<Response, Problem> {
    let query = request.uri().query().unwrap_or_default();
    let uuid = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "uuid");
    let key = uuid.map(|(_, value)| value.into_owned()).unwrap_or_default();
    accept(&intake, Kind::Freeswitch, &key, request, CDR_BYTES_MAX).await
}

/// Takes one event of Kamailio about a call: answered, ended or failed.
pub async fn kamailio(State(intake): State<Intake>, request: Request) -> Result<Response, Problem> {
    accept(&intake, Kind::Kamailio, "", request, EVENT_BYTES_MAX).await
}

async fn accept(
    intake: &Intake,
    kind: Kind,
    key: &str,
    request: Request,
    bytes_max: usize,
) -> Result<Response, Problem> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse().ok());
    let body = match read_body(request.into_body(), "the document", bytes_max).await {
        Ok(body) if body.is_empty() => {
            let problem = "the document is empty: there is nothing to keep";
            Err(("empty", Problem::new(StatusCode::BAD_REQUEST, problem)))
        }
        Ok(body) => Ok(body),
        Err(problem) if problem.status == StatusCode::PAYLOAD_TOO_LARGE => Err(("too_large", problem)),
        Err(problem) => Err(("broken_off", problem)),
    };
    match body {
        Ok(body) => intake.accept(kind, key, body).await?,
        Err((reason, problem)) => {
            refused(kind, key, reason, length);
            return Err(problem);
        }
    }
    Ok(([(header::CONTENT_TYPE, "text/plain")], "kept\n").into_response())
}

/// Tells of a document that never got as far as the intake: of what its sender does with it, nobody else knows.
fn refused(kind: Kind, key: &str, reason: &'static str, length: Option<u64>) {
    metrics::counter!("voip_cdr_received_total", "kind" => kind.as_str()).increment(1);
    metrics::counter!("voip_cdr_refused_total", "reason" => reason).increment(1);
    // A client chose it.
    let uuid: String = key.chars().filter(|c| !c.is_control()).take(KEY_CHARS_MAX).collect();
    tracing::warn!(
        kind = kind.as_str(),
        uuid,
        length,
        reason,
        "a posted document was refused; its sender keeps it (docs/runbook.md#files-in-bad)"
    );
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge(_) => Self::too_large("the document", CDR_BYTES_MAX),
            Refusal::Full { retry_after_s, .. } => Self::unavailable(refusal.to_string(), retry_after_s),
            Refusal::Broken(ref why) => {
                tracing::error!(
                    why,
                    "the journal cannot take CDRs; FreeSWITCH spools them (docs/runbook.md#journal)"
                );
                Self::unavailable("the journal cannot write", 5)
            }
            Refusal::NoCopy => Self::unavailable(refusal.to_string(), 5),
        }
    }
}
