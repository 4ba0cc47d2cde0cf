//! The list of legs: each condition looks at the leg itself.

use super::conditions::{Subject, Tenancy, push_condition, resolve};
use super::count;
use super::filter::{CdrFilter, Column, Condition, Pattern, Wanted};
use super::list::{push_order, push_page};
use super::page::{Listed, PageOf, Walk};
use super::sql::Sql;
use crate::cdr_read::{COLUMNS, LegRow, leg_row};
use crate::{Result, Scope, Store};

impl Store {
    /// A page of legs, newest first.
    ///
    /// # Errors
    /// As [`calls`](Self::calls).
    pub async fn legs(&self, scope: Scope, filter: &CdrFilter, page: &PageOf) -> Result<Listed<LegRow>> {
        let walk = Walk::of(page)?;
        let mut tx = self.read(scope).await?;
        let tenancy = Tenancy::find(&mut tx, scope, filter.domain.as_deref()).await?;
        let filter = resolve(&mut tx, &tenancy, filter).await?;
        let sql = statement(&tenancy, &filter, walk);
        let rows = tx.search(sql.text(), &sql.params()).await?;
        let legs = rows.iter().map(leg_row).collect::<Result<Vec<_>>>()?;
        let count = match page.count {
            Some(how) => Some(count::of(&mut tx, Subject::Leg, &tenancy, &filter, how).await?),
            None => None,
        };
        tx.commit().await?;
        Ok(Listed { count, ..walk.cut(legs, LegRow::cursor) })
    }
}

pub(super) fn statement(tenancy: &Tenancy, filter: &CdrFilter, walk: Walk) -> Sql {
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS);
    if let Some(one) = names_one(filter) {
        // OFFSET 0: found by its index before anything else is looked at, statistics or none.
        sql.push(" FROM (SELECT * FROM voip.cdr c WHERE ");
        push_condition(&mut sql, Subject::Leg, one);
        sql.push(" OFFSET 0) c WHERE true");
        push_page(&mut sql, Subject::Leg, tenancy, filter, walk);
        return sql;
    }
    // Each half has its index, in the order of the list; the page is among the first of both.
    sql.push(" FROM ((SELECT * FROM voip.cdr c WHERE head");
    push_page(&mut sql, Subject::Leg, tenancy, filter, walk);
    sql.push(") UNION ALL (SELECT * FROM voip.cdr c WHERE NOT head");
    push_page(&mut sql, Subject::Leg, tenancy, filter, walk);
    sql.push(")) c");
    push_order(&mut sql, walk);
    sql
}

/// A condition that a handful of legs fulfil.
fn names_one(filter: &CdrFilter) -> Option<&Condition> {
    let named = |wanted: &&Wanted| {
        let column = match &wanted.condition {
            Condition::Text(column, Pattern::Is(_)) => *column,
            _ => return false,
        };
        !wanted.not && matches!(column, Column::Uuid | Column::CallUuid | Column::SipCallId)
    };
    filter.conditions.iter().find(named).map(|wanted| &wanted.condition)
}
