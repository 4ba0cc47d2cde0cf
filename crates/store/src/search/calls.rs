//! The list of calls.

use jiff::{SignedDuration, Timestamp};

use super::candidates::{self, Candidates, Known, LEGS_FEW, LEGS_MANY, LEGS_MOST};
use super::conditions::{Subject, Tenancy, resolve};
use super::count;
use super::filter::CdrFilter;
use super::list::{earlier, later, push_page};
use super::page::{Listed, PageOf, Walk};
use super::sql::{Sql, Value};
use crate::cdr_read::{COLUMNS, Call, LegRow, leg_row, nest_legs};
use crate::transaction::Transaction;
use crate::{Result, Scope, Store};

const MONTH: SignedDuration = SignedDuration::from_hours(31 * 24);

impl Store {
    /// A page of calls, newest first, each with its legs.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a foreign cursor, or a user without his domain;
    /// [`Error::TooSlow`](crate::Error::TooSlow) for a search that has no index and no range.
    pub async fn calls(&self, scope: Scope, filter: &CdrFilter, page: &PageOf) -> Result<Listed<Call>> {
        let walk = Walk::of(page)?;
        let mut tx = self.read(scope).await?;
        let tenancy = Tenancy::find(&mut tx, scope, filter.domain.as_deref()).await?;
        let filter = resolve(&mut tx, &tenancy, filter).await?;
        let heads = heads(&mut tx, &tenancy, &filter, walk).await?;
        let listed = walk.cut(heads, LegRow::cursor);
        let mut items: Vec<Call> = listed.items.into_iter().map(Call::of_head).collect();
        if !page.heads_only {
            nest_legs(&mut tx, &mut items).await?;
        }
        let count = match page.count {
            Some(how) => Some(count::of(&mut tx, Subject::Call, &tenancy, &filter, how).await?),
            None => None,
        };
        tx.commit().await?;
        Ok(Listed { items, next: listed.next, previous: listed.previous, count })
    }
}

/// By their legs, if that decides the page; along the list otherwise.
async fn heads(
    tx: &mut Transaction,
    tenancy: &Tenancy,
    filter: &CdrFilter,
    walk: Walk,
) -> Result<Vec<LegRow>> {
    let mut bound = None;
    for legs_max in [LEGS_FEW, LEGS_MANY, LEGS_MOST] {
        let Some(found) = candidates::find(tx, tenancy, filter, walk, legs_max).await? else { break };
        let reaches = match found.known {
            Known::All if found.calls.is_empty() => return Ok(Vec::new()),
            Known::All => return list(tx, of_candidates(tenancy, walk, &found, None)).await,
            Known::Beyond(time) => {
                // Should the page not be among them: where the first of them may stand.
                bound = Some(if walk.ascending { earlier(found.span.0) } else { later(found.span.1) });
                let reaches = found.beyond(time, walk.ascending) > walk.items;
                if reaches {
                    let rows = list(tx, of_candidates(tenancy, walk, &found, Some(time))).await?;
                    if rows.len() > walk.items {
                        return Ok(rows);
                    }
                }
                reaches
            }
            // They may be any, and their spread says nothing.
            Known::Some => false,
        };
        if !reaches && legs_max >= LEGS_MANY {
            break;
        }
    }
    if let Some(near) = nearest_month(filter, walk) {
        let rows = list(tx, walking(tenancy, &near, walk, bound)).await?;
        if rows.len() > walk.items {
            return Ok(rows);
        }
    }
    list(tx, walking(tenancy, filter, walk, bound)).await
}

/// The filter, where the page begins: what an index finds but not in the order of time is read as a whole and sorted, and
/// a month of it mostly is enough. `None`: it is in order, or the range is no longer than that.
fn nearest_month(filter: &CdrFilter, walk: Walk) -> Option<CdrFilter> {
    if !filter.conditions.iter().any(|wanted| !wanted.not && wanted.condition.is_sorted_by_value()) {
        return None;
    }
    let cursor = walk.from.map(|cursor| cursor.start);
    let (from, to) = if walk.ascending {
        let last = cursor?.saturating_add(MONTH).ok()?;
        (filter.from, Some(filter.to.map_or(last, |to| to.min(last))))
    } else {
        let top = filter.to.into_iter().chain(cursor).fold(Timestamp::now(), Timestamp::min);
        let first = top.saturating_sub(MONTH).ok()?;
        (Some(filter.from.map_or(first, |from| from.max(first))), filter.to)
    };
    let near = CdrFilter { from, to, ..filter.clone() };
    (near != *filter).then_some(near)
}

async fn list(tx: &mut Transaction, sql: Sql) -> Result<Vec<LegRow>> {
    tx.search(sql.text(), &sql.params()).await?.iter().map(leg_row).collect()
}

/// Along the rows that stand for calls.
pub(super) fn walking(tenancy: &Tenancy, filter: &CdrFilter, walk: Walk, bound: Option<Timestamp>) -> Sql {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM voip.cdr c WHERE head");
    if let Some(bound) = bound {
        sql.push(if walk.ascending { " AND start_time >= " } else { " AND start_time <= " });
        sql.value(Value::Time(bound));
    }
    push_page(&mut sql, Subject::Call, tenancy, filter, walk);
    sql
}

/// Among the calls that were found by their legs; `beyond`: those that are all there are.
pub(super) fn of_candidates(
    tenancy: &Tenancy,
    walk: Walk,
    found: &Candidates,
    beyond: Option<Timestamp>,
) -> Sql {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM ");
    push_candidates(&mut sql, found);
    if let Some(beyond) = beyond {
        sql.push(if walk.ascending { " AND start_time < " } else { " AND start_time > " });
        sql.value(Value::Time(beyond));
    }
    push_page(&mut sql, Subject::Call, tenancy, &found.rest, walk);
    sql
}

/// One look-up a call, in the month or two around its leg: OFFSET 0 keeps the planner from reading the list instead, which it
/// would where there are no statistics yet.
pub(super) fn push_candidates(sql: &mut Sql, found: &Candidates) {
    let (calls, starts) = found.calls.iter().map(|(call, start)| (call.clone(), *start)).unzip();
    sql.push("unnest(").value(Value::Texts(calls)).push(", ").value(Value::Times(starts)).push(
        ") AS n (candidate, leg_start) CROSS JOIN LATERAL (
            SELECT * FROM voip.cdr h WHERE h.call_uuid = n.candidate AND h.head AND h.start_time BETWEEN
                n.leg_start - interval '7 days' AND n.leg_start + interval '7 days' AND h.start_time BETWEEN ",
    );
    // So that other months are not even planned.
    sql.value(Value::Time(earlier(found.span.0))).push(" AND ").value(Value::Time(later(found.span.1)));
    sql.push(" OFFSET 0) c WHERE true");
}
