//! `/api/cdr/quarantine`: documents that were not understood, shown whole, given again, put away. Platform keys only.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use store::page::Page;
use store::quarantine::Quarantined;
use store::{Content, Item, Store};
use uuid::Uuid;

use super::Kind;
use super::worker::understood;
use crate::http::caller::{Access, Caller};
use crate::http::input::{Query, page_items};
use crate::http::problem::Problem;
use crate::provisioning::{Request, to_the_end};

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    /// `held` (default), `imported`, `discarded` or `all`.
    state: Option<String>,
    /// 1 to 500, default 50.
    limit: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
}

/// A document and what it holds.
#[derive(Debug, Serialize)]
pub struct Whole {
    #[serde(flatten)]
    about: Quarantined,
    /// As text; what is not UTF-8 in it is shown as U+FFFD. `…/body` gives the bytes.
    body: String,
}

/// Which of the held documents are given again.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Again {
    /// 1 to 500, default 50, the newest first.
    limit: Option<String>,
    /// `next` of the answer before.
    after: Option<String>,
}

/// What became of documents given again.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Replayed {
    /// Understood and stored now.
    imported: usize,
    /// Rows that are new; the others were there already.
    rows: usize,
    /// Not understood yet.
    held: usize,
    /// Give it as `after` for the next ones; null at the end.
    next: Option<String>,
}

#[utoipa::path(get, path = "/api/cdr/quarantine", params(Listing), tag = "cdr", security(("key" = [])),
    responses((status = 200, description = "One page: items, next"), (status = 403, body = Problem)))]
pub async fn list(
    caller: Caller,
    State(store): State<Store>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<Quarantined>>, Problem> {
    caller.may_for_platform(Access::Read, "cdr")?;
    let state = match listing.state.as_deref() {
        None => Some("held"),
        Some("all") => None,
        Some(state @ ("held" | "imported" | "discarded")) => Some(state),
        Some(_) => {
            return Err(Problem::parameter("state", "is 'held', 'imported', 'discarded' or 'all'"));
        }
    };
    let items = page_items(listing.limit.as_deref())?;
    Ok(Json(store.quarantine(state, items, listing.after.as_deref()).await?))
}

#[utoipa::path(get, path = "/api/cdr/quarantine/{id}", tag = "cdr", security(("key" = [])),
    params(("id" = i64, Path)), responses((status = 200), (status = 404, body = Problem)))]
pub async fn show(
    caller: Caller,
    State(store): State<Store>,
    path: Path<String>,
) -> Result<Json<Whole>, Problem> {
    caller.may_for_platform(Access::Read, "cdr")?;
    let (about, body) = store.quarantined(id(&path)?).await?;
    Ok(Json(Whole { about, body: String::from_utf8_lossy(&body).into_owned() }))
}

#[utoipa::path(get, path = "/api/cdr/quarantine/{id}/body", tag = "cdr", security(("key" = [])),
    params(("id" = i64, Path)), responses((status = 200, description = "the bytes as they came"), (status = 404, body = Problem)))]
pub async fn body(
    caller: Caller,
    State(store): State<Store>,
    path: Path<String>,
) -> Result<Response, Problem> {
    caller.may_for_platform(Access::Read, "cdr")?;
    let (_, body) = store.quarantined(id(&path)?).await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response())
}

#[utoipa::path(post, path = "/api/cdr/quarantine/{id}/replay", tag = "cdr", security(("key" = [])),
    params(("id" = i64, Path)), description = "Gives a document again, held or discarded.",
    responses((status = 200, body = Replayed), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub async fn replay(
    caller: Caller,
    State(store): State<Store>,
    path: Path<String>,
    request: Request,
) -> Result<Json<Replayed>, Problem> {
    caller.may_for_platform(Access::Write, "cdr")?;
    let actor = request.actor(&caller, store::Scope::Platform, &());
    let id = id(&path)?;
    let replay = async move {
        match replay_one(&store, &actor, id).await {
            Err(store::Error::NotFound) => Err(why_not(&store, id).await),
            done => done,
        }
    };
    match to_the_end(replay).await? {
        Replay::Imported { rows } => Ok(Json(Replayed { imported: 1, rows, ..Replayed::default() })),
        Replay::Held { reason } => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason)),
    }
}

#[utoipa::path(post, path = "/api/cdr/quarantine/replay", tag = "cdr", security(("key" = [])), params(Again),
    description = "Gives those that are held again, a page at a time.", responses((status = 200, body = Replayed)))]
pub async fn replay_all(
    caller: Caller,
    State(store): State<Store>,
    Query(again): Query<Again>,
    request: Request,
) -> Result<Json<Replayed>, Problem> {
    caller.may_for_platform(Access::Write, "cdr")?;
    let actor = request.actor(&caller, store::Scope::Platform, &());
    let items = page_items(again.limit.as_deref())?;
    let all = async move {
        // By id: what is imported meanwhile leaves the list without moving the cursor.
        let page = store.quarantine(Some("held"), items, again.after.as_deref()).await?;
        let mut done = Replayed { next: page.next, ..Replayed::default() };
        for kept in page.items {
            match replay_one(&store, &actor, kept.id).await {
                Ok(Replay::Imported { rows }) => {
                    done.imported += 1;
                    done.rows += rows;
                }
                Ok(Replay::Held { .. }) => done.held += 1,
                // Somebody else was faster.
                Err(store::Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    };
    to_the_end(all).await.map(Json)
}

#[utoipa::path(post, path = "/api/cdr/quarantine/{id}/discard", tag = "cdr", security(("key" = [])),
    params(("id" = i64, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn discard(
    caller: Caller,
    State(store): State<Store>,
    path: Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    caller.may_for_platform(Access::Write, "cdr")?;
    let actor = request.actor(&caller, store::Scope::Platform, &());
    let id = id(&path)?;
    let discard = async move {
        match store.discard_quarantined(&actor, id).await {
            Err(store::Error::NotFound) => Err(why_not(&store, id).await),
            done => done,
        }
    };
    to_the_end(discard).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Why nothing is done with a document: it is not there, or what was done with it.
async fn why_not(store: &Store, id: i64) -> store::Error {
    let reason = match store.quarantined(id).await.map(|(about, _)| about.state) {
        Ok(state) if state == "imported" => {
            "it is imported already: what it says is in GET /api/cdr, and nothing more is to be done"
        }
        Ok(state) if state == "discarded" => "it is discarded already; replay gives it again",
        // Changed again meanwhile.
        Ok(_) => "it is held; ask again",
        Err(error) => return error,
    };
    store::Error::Conflict { field: "state", reason: reason.to_owned() }
}

enum Replay {
    Imported { rows: usize },
    Held { reason: String },
}

async fn replay_one(store: &Store, actor: &store::audit::Actor, id: i64) -> store::Result<Replay> {
    let (about, body) = store.quarantined(id).await?;
    if about.state == "imported" {
        return Err(store::Error::NotFound);
    }
    let body = Bytes::from(body);
    let key = about.uuid.as_deref().unwrap_or_default();
    let content = match Kind::from_name(&about.source) {
        Some(kind) => understood(kind, key, &body),
        None => return Ok(Replay::Held { reason: about.reason }),
    };
    if let Content::Poison { reason, .. } = content {
        store.still_quarantined(id, &reason).await?;
        return Ok(Replay::Held { reason });
    }
    // No journal waits for a receipt of it.
    let item = Item {
        journal_id: Uuid::nil(),
        seq: 0,
        node: about.node,
        received: about.received_at,
        body,
        content,
    };
    match store.import_quarantined(actor, id, &item).await {
        Ok(outcome) => Ok(Replay::Imported { rows: outcome.inserted + outcome.replaced }),
        Err(error @ (store::Error::Invalid { .. } | store::Error::Conflict { .. })) => {
            let reason = format!("the database refused it: {error}");
            store.still_quarantined(id, &reason).await?;
            Ok(Replay::Held { reason })
        }
        Err(error) => Err(error),
    }
}

/// What is no number is no document: 404, like one that is not there.
fn id(path: &Path<String>) -> Result<i64, Problem> {
    path.parse().map_err(|_| Problem::not_found("document in quarantine"))
}
