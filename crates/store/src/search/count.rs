//! How many there are.

use serde_json::Value as Json;

use super::calls::push_candidates;
use super::candidates::{self, Candidates, Known, LEGS_MANY};
use super::conditions::{Subject, Tenancy, push_filter};
use super::filter::CdrFilter;
use super::page::{Count, CountOf, PageOf, Walk};
use super::sql::Sql;
use crate::transaction::Transaction;
use crate::{Error, Result};

pub(super) async fn of(
    tx: &mut Transaction,
    subject: Subject,
    tenancy: &Tenancy,
    filter: &CdrFilter,
    how: CountOf,
) -> Result<Count> {
    let everything = Walk::of(&PageOf::default())?;
    let found = match subject {
        Subject::Call => candidates::find(tx, tenancy, filter, everything, LEGS_MANY).await?,
        Subject::Leg => None,
    };
    // Few enough to count, whatever was asked.
    if let Some(found) = found.filter(|found| found.known == Known::All) {
        if found.calls.is_empty() {
            return Ok(Count { value: 0, exact: true });
        }
        return counted(tx, among(tenancy, &found)).await;
    }
    match how {
        CountOf::Exact => counted(tx, whole("SELECT count(*)", subject, tenancy, filter)).await,
        CountOf::Estimate => {
            believed(tx, whole("EXPLAIN (FORMAT JSON) SELECT", subject, tenancy, filter)).await
        }
    }
}

pub(super) fn whole(select: &'static str, subject: Subject, tenancy: &Tenancy, filter: &CdrFilter) -> Sql {
    let mut sql = Sql::new(select);
    sql.push(" FROM voip.cdr c WHERE ").push(if subject == Subject::Call { "head" } else { "true" });
    push_filter(&mut sql, subject, tenancy, filter);
    sql
}

pub(super) fn among(tenancy: &Tenancy, found: &Candidates) -> Sql {
    let mut sql = Sql::new("SELECT count(*) FROM ");
    push_candidates(&mut sql, found);
    push_filter(&mut sql, Subject::Call, tenancy, &found.rest);
    sql
}

async fn counted(tx: &mut Transaction, sql: Sql) -> Result<Count> {
    let rows = tx.search(sql.text(), &sql.params()).await?;
    let value = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(Count { value, exact: true })
}

async fn believed(tx: &mut Transaction, sql: Sql) -> Result<Count> {
    let rows = tx.search(sql.text(), &sql.params()).await?;
    let plan: Json = rows.first().map_or(Ok(Json::Null), |row| row.try_get(0))?;
    let value = plan.pointer("/0/Plan/Plan Rows").and_then(Json::as_i64);
    let value = value.ok_or_else(|| Error::Database("a plan without its count of rows".to_owned()))?;
    Ok(Count { value, exact: false })
}
