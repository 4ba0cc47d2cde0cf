//! Calls found by one of their legs. The list is in the order of the rows that stand for calls; a condition on any leg has
//! its index on legs. So the legs are asked first, a few and then more: are they all, their calls are all there is to look at;
//! are they in the order of time and reach far enough, the newest of them decide the page.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::conditions::{Subject, Tenancy, push_condition, push_tenancy};
use super::filter::{CdrFilter, Column, Condition, Pattern, Wanted};
use super::list::{earlier, later};
use super::page::Walk;
use super::sql::{Sql, Value};
use crate::Result;
use crate::transaction::Transaction;

/// Legs of one index that are looked at: a page of somebody's calls is among the first few.
pub(super) const LEGS_FEW: i64 = 300;
/// Who has more of them than this in [`CALL_SPAN`](super::list::CALL_SPAN) is met soon by walking the list.
pub(super) const LEGS_MANY: i64 = 2_500;
/// Where the rest of the filter leaves few of the calls: still faster than the list, which would be walked for each of them.
pub(super) const LEGS_MOST: i64 = 20_000;

/// The calls of the legs that fulfil a condition.
pub(super) struct Candidates {
    /// Each call, and when one of its legs started.
    pub(super) calls: BTreeMap<String, Timestamp>,
    /// What they still have to fulfil.
    pub(super) rest: CdrFilter,
    /// The first and the last of the legs' starts.
    pub(super) span: (Timestamp, Timestamp),
    pub(super) known: Known,
}

/// Which of the calls that fulfil the condition these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    All,
    /// All whose row starts beyond this, in the direction of the list.
    Beyond(Timestamp),
    /// Some.
    Some,
}

/// The candidates of the condition that leaves the fewest; `None`: no condition is on any leg, or none of them helps.
pub(super) async fn find(
    tx: &mut Transaction,
    tenancy: &Tenancy,
    filter: &CdrFilter,
    walk: Walk,
    legs_max: i64,
) -> Result<Option<Candidates>> {
    let mut best: Option<Candidates> = None;
    for (index, Wanted { condition, not }) in filter.conditions.iter().enumerate() {
        let probes = probes(condition);
        if *not || probes.is_empty() {
            continue;
        }
        let found = ask(tx, tenancy, filter, walk, index, &probes, legs_max).await?;
        let better = match (&best, found.known) {
            (None, _) | (_, Known::All) => true,
            (Some(best), Known::Beyond(_)) => best.known == Known::Some,
            (Some(_), Known::Some) => false,
        };
        if better {
            let all = found.known == Known::All;
            best = Some(found);
            if all {
                break;
            }
        }
    }
    Ok(best)
}

/// One index that finds legs.
struct Probe {
    /// The rest of the index' condition.
    rows: &'static str,
    condition: Condition,
    /// The index has them in the order of their starts.
    in_order: bool,
}

fn probes(condition: &Condition) -> Vec<Probe> {
    let text = |column, pattern: &Pattern| Condition::Text(column, pattern.clone());
    match condition {
        Condition::Text(column @ (Column::Agent | Column::Trunk), pattern) => {
            vec![Probe {
                rows: "",
                condition: text(*column, pattern),
                in_order: matches!(pattern, Pattern::Is(_)),
            }]
        }
        Condition::Text(Column::SipCallId, Pattern::Is(_)) => {
            vec![Probe { rows: "", condition: condition.clone(), in_order: false }]
        }
        Condition::Text(Column::Uuid, pattern @ Pattern::Is(_)) => [Column::Uuid, Column::CallUuid]
            .map(|column| Probe { rows: "", condition: text(column, pattern), in_order: false })
            .into(),
        Condition::Text(Column::Callee, pattern @ (Pattern::Is(_) | Pattern::Begins(_))) => {
            let in_order = matches!(pattern, Pattern::Is(_));
            [" AND head", " AND NOT head"]
                .map(|rows| Probe { rows, condition: text(Column::Callee, pattern), in_order })
                .into()
        }
        Condition::Extension(numbers) => numbers.iter().flat_map(|number| of_number(number)).collect(),
        _ => Vec::new(),
    }
}

fn of_number(number: &str) -> [Probe; 4] {
    let probe = |rows, column| Probe {
        rows,
        condition: Condition::Text(column, Pattern::Is(number.to_owned())),
        in_order: true,
    };
    [
        probe(" AND head", Column::Caller),
        probe(" AND head", Column::Callee),
        probe(" AND NOT head", Column::Callee),
        probe("", Column::Agent),
    ]
}

async fn ask(
    tx: &mut Transaction,
    tenancy: &Tenancy,
    filter: &CdrFilter,
    walk: Walk,
    condition: usize,
    probes: &[Probe],
    legs_max: i64,
) -> Result<Candidates> {
    let mut calls = BTreeMap::new();
    let mut span = (Timestamp::MAX, Timestamp::MIN);
    let mut known = Known::All;
    for probe in probes {
        let sql = statement(tenancy, filter, walk, probe, legs_max);
        let rows = tx.search(sql.text(), &sql.params()).await?;
        let mut own = (Timestamp::MAX, Timestamp::MIN);
        for row in &rows {
            let (call, start) = leg(row)?;
            calls.insert(call, start);
            own = (own.0.min(start), own.1.max(start));
        }
        span = (span.0.min(own.0), span.1.max(own.1));
        if rows.len() == usize::try_from(legs_max).unwrap_or(usize::MAX) {
            known = known.and(probe, own, walk.ascending);
        }
    }
    let mut rest = filter.clone();
    rest.conditions.remove(condition);
    Ok(Candidates { rest, calls, span, known })
}

impl Candidates {
    /// How many of the calls have a leg that starts beyond `time`, in the direction of the list.
    pub(super) fn beyond(&self, time: Timestamp, ascending: bool) -> usize {
        self.calls.values().filter(|start| if ascending { **start < time } else { **start > time }).count()
    }
}

impl Known {
    /// What is left of it after a probe that did not see all its legs, but those of `own`.
    fn and(self, probe: &Probe, own: (Timestamp, Timestamp), ascending: bool) -> Self {
        // A leg that was not seen starts before the first one seen, its call's row within a week of it.
        let beyond = if ascending { earlier(own.1) } else { later(own.0) };
        match self {
            _ if !probe.in_order => Self::Some,
            Self::Some => Self::Some,
            Self::All => Self::Beyond(beyond),
            Self::Beyond(other) if ascending => Self::Beyond(other.min(beyond)),
            Self::Beyond(other) => Self::Beyond(other.max(beyond)),
        }
    }
}

fn statement(tenancy: &Tenancy, filter: &CdrFilter, walk: Walk, probe: &Probe, legs_max: i64) -> Sql {
    let mut sql = Sql::new("SELECT call_uuid, start_time FROM voip.cdr WHERE (");
    push_condition(&mut sql, Subject::Leg, &probe.condition);
    sql.push(")").push(probe.rows);
    push_tenancy(&mut sql, tenancy);
    let cursor = walk.from.map(|cursor| cursor.start);
    let first = filter.from.into_iter().chain(cursor.filter(|_| walk.ascending)).max();
    let last = filter.to.into_iter().chain(cursor.filter(|_| !walk.ascending)).min();
    if let Some(first) = first {
        sql.push(" AND start_time >= ").value(Value::Time(earlier(first)));
    }
    if let Some(last) = last {
        sql.push(" AND start_time <= ").value(Value::Time(later(last)));
    }
    if probe.in_order {
        sql.push(if walk.ascending { " ORDER BY start_time" } else { " ORDER BY start_time DESC" });
    }
    sql.push(" LIMIT ").value(Value::Big(legs_max));
    sql
}

fn leg(row: &Row) -> Result<(String, Timestamp)> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// What may be asked for this condition.
#[cfg(test)]
pub(super) fn statements(
    tenancy: &Tenancy,
    filter: &CdrFilter,
    walk: Walk,
    condition: &Condition,
) -> Vec<Sql> {
    probes(condition).iter().map(|probe| statement(tenancy, filter, walk, probe, LEGS_FEW)).collect()
}
