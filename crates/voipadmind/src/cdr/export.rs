//! `GET /api/cdr/export`: all that a search finds, as CSV or NDJSON, to any size. It is read page by page while the client
//! takes it: a page is all that is ever held, and no transaction stays open. Each row carries the cursor to go on after it.

use std::sync::Arc;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header;
use jiff::tz::TimeZone;
use serde_json::Value;
use store::cdr_read::{CALL_FIELDS, CALL_FIELDS_OF_LEGS, LEG_FIELDS};
use store::page::PAGE_ITEMS_MAX;
use store::search::{CdrFilter, Cursor, PageOf};
use store::{Scope, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::csv;
use super::filters::{self, Filters, Params};
use super::search::{Fields, View, json, keep, move_times};
use crate::http::caller::{Access, Caller};
use crate::http::input::Query;
use crate::http::problem::Problem;

/// Exports that run at once: each holds a connection of the pool most of the time.
const EXPORTS_MAX: usize = 4;
static EXPORTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(EXPORTS_MAX)));

/// A call has lists in it, for which CSV has no place.
const NOT_IN_CSV: [&str; 3] = ["legs", "recordings", "events"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Ndjson,
}

#[utoipa::path(get, path = "/api/cdr/export", tag = "cdr", security(("key" = [])),
    description = "All that the filters of `/api/cdr` find, newest first, streamed. Each row has a `cursor`; give the last one \
        received as `after` to go on where a transfer broke. In CSV (RFC 4180, with a header line) a text that a spreadsheet would \
        run as a formula has a `'` before it; of calls it has `provisional` and `recorded` only where `fields` names them.",
    params(
        Filters,
        ("format" = Option<String>, Query, description = "`csv` (default) or `ndjson`"),
        ("view" = Option<String>, Query, description = "`calls` (default) or `legs`"),
        ("fields" = Option<String>, Query, description = "names of fields, comma between them; in CSV their order too"),
        ("after" = Option<String>, Query, description = "the `cursor` of the last row received"),
        ("tz" = Option<String>, Query, description = "IANA name: times without offset are read in it, and all are shown in it"),
    ),
    responses((status = 200, description = "text/csv or application/x-ndjson"), (status = 400, body = Problem)))]
pub async fn stream(
    caller: Caller,
    State(store): State<Store>,
    Query(mut params): Query<Params>,
) -> Result<Response, Problem> {
    let scope = caller.may(Access::Read, "cdr")?;
    let zone = filters::zone(params.remove("tz").as_deref())?;
    let format = match params.remove("format").as_deref() {
        None | Some("csv") => Format::Csv,
        Some("ndjson") => Format::Ndjson,
        Some(_) => return Err(Problem::parameter("format", "is 'csv' or 'ndjson'")),
    };
    let view = View::take(&mut params)?;
    let known = if view == View::Legs { LEG_FIELDS } else { CALL_FIELDS };
    let fields = Fields::take(&mut params, known)?;
    let after = params.remove("after");
    let filter = filters::take(&mut params, &zone)?;
    filters::nothing_left(&params)?;
    // The legs of every call of a year are read only for who asks for it.
    let with_legs = view == View::Legs || fields.are_named();
    let in_csv =
        |name: &&str| !NOT_IN_CSV.contains(name) && (with_legs || !CALL_FIELDS_OF_LEGS.contains(name));
    let columns: Vec<&'static str> =
        fields.names(known).into_iter().filter(|name| format == Format::Ndjson || in_csv(name)).collect();
    if columns.is_empty() {
        return Err(Problem::parameter("fields", "names nothing that CSV can show: take format=ndjson"));
    }
    let Ok(permit) = Arc::clone(&EXPORTS).try_acquire_owned() else {
        return Err(Problem::unavailable(format!("{EXPORTS_MAX} exports run already"), 10));
    };
    let mut export =
        Export { store, scope, filter, view, format, columns, zone, after, done: false, _permit: permit };
    // The first page before the answer begins: what is wrong with the request is told properly.
    let mut first = export.page().await?;
    if export.format == Format::Csv {
        first = [csv::line(export.columns.iter().copied().chain(["cursor"])).into_bytes(), first].concat();
    }
    let (kind, file) = match format {
        Format::Csv => ("text/csv; charset=utf-8; header=present", "attachment; filename=\"cdr.csv\""),
        Format::Ndjson => ("application/x-ndjson", "attachment; filename=\"cdr.ndjson\""),
    };
    let rest = stream::try_unfold((export, Some(first)), |(mut export, first)| async move {
        let page = match first {
            Some(page) => page,
            None if export.done => return Ok(None),
            // The transfer breaks off, so that nobody takes a part for the whole.
            None => export.page().await.map_err(|problem| std::io::Error::other(problem.detail))?,
        };
        Ok::<_, std::io::Error>(Some((Bytes::from(page), (export, None))))
    });
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, file)];
    Ok((headers, Body::from_stream(rest)).into_response())
}

struct Export {
    store: Store,
    scope: Scope,
    filter: CdrFilter,
    view: View,
    format: Format,
    columns: Vec<&'static str>,
    zone: TimeZone,
    /// The cursor of the last row read.
    after: Option<String>,
    done: bool,
    _permit: OwnedSemaphorePermit,
}

impl Export {
    async fn page(&mut self) -> Result<Vec<u8>, Problem> {
        let heads_only = !self.columns.iter().any(|name| CALL_FIELDS_OF_LEGS.contains(name));
        let cursor = self.after.take().map(Cursor::After);
        let page = PageOf { limit: PAGE_ITEMS_MAX, cursor, count: None, heads_only };
        let mut lines = Vec::new();
        let next = match self.view {
            View::Calls => {
                let listed = self.store.calls(self.scope, &self.filter, &page).await?;
                for call in &listed.items {
                    self.write(&mut lines, json(call)?, call.cursor());
                }
                listed.next
            }
            View::Legs => {
                let listed = self.store.legs(self.scope, &self.filter, &page).await?;
                for leg in &listed.items {
                    self.write(&mut lines, json(leg)?, leg.cursor());
                }
                listed.next
            }
        };
        self.done = next.is_none();
        self.after = next;
        Ok(lines)
    }

    fn write(&self, lines: &mut Vec<u8>, mut item: Value, cursor: String) {
        move_times(&mut item, &self.zone);
        match self.format {
            Format::Csv => {
                let cells = self.columns.iter().map(|name| csv::cell(&item[*name]));
                lines.extend(csv::line(cells.chain([cursor])).bytes());
            }
            Format::Ndjson => {
                if let Some(fields) = item.as_object_mut() {
                    keep(fields, &self.columns);
                    fields.insert("cursor".to_owned(), cursor.into());
                }
                lines.extend(item.to_string().bytes());
                lines.push(b'\n');
            }
        }
    }
}
