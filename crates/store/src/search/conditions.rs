//! Conditions as SQL. Columns are named without a table: in a sub-select they are that one's.

use super::filter::{CdrFilter, Column, Compare, Condition, Number, Pattern, Time, Wanted};
use super::sql::{Sql, Value};
use crate::cdr_read::{ANY_DOMAIN_ID, NUMBERS_OF_USER};
use crate::transaction::Transaction;
use crate::{Error, Result, Scope};

/// Numbers of one user that a search looks for at most.
const NUMBERS_MAX: i64 = 32;

/// Whose rows, in the words of the indexes.
#[derive(Debug, Clone)]
pub(crate) enum Tenancy {
    Everybody,
    Id(i32),
    /// A domain that is none of ours.
    Stranger(String),
}

impl Tenancy {
    /// A domain that is one of ours is looked up by its id, which the indexes know.
    pub(crate) async fn find(tx: &mut Transaction, scope: Scope, domain: Option<&str>) -> Result<Self> {
        let Some(name) = domain else {
            return Ok(scope.tenant().map_or(Self::Everybody, Self::Id));
        };
        let known = tx.query_opt(ANY_DOMAIN_ID, &[&name]).await?;
        Ok(match known {
            Some(row) => Self::Id(row.try_get(0)?),
            None => Self::Stranger(name.to_owned()),
        })
    }
}

/// What the conditions look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The row that stands for a call, and the call's legs.
    Call,
    /// A leg by itself.
    Leg,
}

/// A user becomes the numbers he is reached by.
pub(crate) async fn resolve(
    tx: &mut Transaction,
    tenancy: &Tenancy,
    filter: &CdrFilter,
) -> Result<CdrFilter> {
    let mut resolved = filter.clone();
    for Wanted { condition, .. } in &mut resolved.conditions {
        let Condition::User(name) = condition else { continue };
        let Tenancy::Id(domain_id) = tenancy else {
            let reason = "a platform key names the domain too: users of two tenants may share a name";
            return Err(Error::Invalid { field: "domain", reason: reason.to_owned() });
        };
        let rows = tx.query(NUMBERS_OF_USER, &[domain_id, name, &NUMBERS_MAX]).await?;
        let mut numbers = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        if !numbers.contains(name) {
            numbers.push(name.clone());
        }
        *condition = Condition::Extension(numbers);
    }
    Ok(resolved)
}

pub(crate) fn push_tenancy(sql: &mut Sql, tenancy: &Tenancy) {
    match tenancy {
        Tenancy::Everybody => {}
        Tenancy::Id(id) => drop(sql.push(" AND domain_id = ").value(Value::Int(*id))),
        Tenancy::Stranger(name) => {
            sql.push(" AND domain = lower(").value(Value::Text(name.clone())).push(")");
        }
    }
}

/// ` AND …` for everything the filter asks.
pub(crate) fn push_filter(sql: &mut Sql, subject: Subject, tenancy: &Tenancy, filter: &CdrFilter) {
    push_tenancy(sql, tenancy);
    if let Some(from) = filter.from {
        sql.push(" AND start_time >= ").value(Value::Time(from));
    }
    if let Some(to) = filter.to {
        sql.push(" AND start_time < ").value(Value::Time(to));
    }
    for Wanted { condition, not } in &filter.conditions {
        // Legs start within a week of the row that stands for their call (`cdr_write::calls`). A sub-select that is asked
        // row by row, LIMIT and all: the planner would rather join with all legs of the range.
        let any_leg = subject == Subject::Call && condition.of_any_leg();
        sql.push(if any_leg {
            " AND (SELECT true FROM voip.cdr l WHERE l.call_uuid = c.call_uuid AND l.start_time BETWEEN
                c.start_time - interval '7 days' AND c.start_time + interval '7 days' AND ("
        } else {
            " AND ("
        });
        push_condition(sql, subject, condition);
        sql.push(if any_leg { ") LIMIT 1)" } else { ")" });
        // Not IS TRUE otherwise: no index would serve it.
        sql.push(if *not { " IS NOT TRUE" } else { "" });
    }
}

pub(super) fn push_condition(sql: &mut Sql, subject: Subject, condition: &Condition) {
    match condition {
        Condition::Text(Column::Uuid, Pattern::Is(uuid)) => {
            let uuid = || Value::Text(uuid.clone());
            sql.push("leg_uuid = ").value(uuid());
            if subject == Subject::Call {
                sql.push(" OR call_uuid = ").value(uuid());
            }
        }
        Condition::Text(column, pattern) => push_text(sql, *column, pattern),
        Condition::Extension(numbers) => {
            let numbers = || Value::Texts(numbers.clone());
            sql.push("head AND caller_id_number = ANY (").value(numbers());
            sql.push(") OR destination_number = ANY (").value(numbers());
            sql.push(") OR agent = ANY (").value(numbers()).push(")");
        }
        // `resolve` has replaced it.
        Condition::User(name) => push_condition(sql, subject, &Condition::Extension(vec![name.clone()])),
        Condition::Number(number, compare, value) => {
            let column = match number {
                Number::Q850 => "hangup_cause_q850",
                Number::Duration => "duration",
                Number::Billsec => "billsec",
                Number::Wait => "wait_seconds",
                Number::Talk => "talk_seconds",
            };
            sql.push(column).push(operator(*compare)).value(Value::Int(*value));
        }
        Condition::Time(time, compare, value) => {
            let column = match time {
                Time::Answer => "answer_time",
                Time::End => "end_time",
            };
            sql.push(column).push(operator(*compare)).value(Value::Time(*value));
        }
        Condition::Recorded => drop(sql.push("recorded")),
    }
}

fn push_text(sql: &mut Sql, column: Column, pattern: &Pattern) {
    let (name, reversed) = names(column);
    // As lower() does in a database of locale C.
    let value = |text: &str| {
        Value::Text(if column == Column::Name { text.to_ascii_lowercase() } else { text.to_owned() })
    };
    match (pattern, reversed) {
        (Pattern::Is(text), _) => drop(sql.push(name).push(" = ").value(value(text))),
        (Pattern::Begins(text), _) => drop(sql.push(name).push(" ^@ ").value(value(text))),
        (Pattern::Ends(text), Some(reversed)) => {
            sql.push(reversed).push(" ^@ ").value(value(&text.chars().rev().collect::<String>()));
        }
        (Pattern::Ends(text), None) => {
            sql.push("right(").push(name).push(", length(").value(value(text)).push(")) = ");
            sql.value(value(text));
        }
        (Pattern::Holds(text), _) => {
            sql.push("strpos(").push(name).push(", ").value(value(text)).push(") > 0");
        }
    }
}

/// The column, and the one that holds it backwards.
fn names(column: Column) -> (&'static str, Option<&'static str>) {
    match column {
        Column::Caller => ("caller_id_number", Some("caller_reversed")),
        Column::Name => ("caller_name_folded", None),
        Column::Dialled | Column::Callee => ("destination_number", Some("destination_reversed")),
        Column::Queue => ("queue", None),
        Column::Direction => ("direction", None),
        Column::Status => ("status", None),
        Column::HangupBy => ("hangup_by", None),
        Column::Cause => ("hangup_cause", None),
        Column::Context => ("context", None),
        Column::Node => ("node", None),
        Column::Source => ("source", None),
        Column::Agent => ("agent", None),
        Column::Trunk => ("trunk", None),
        Column::SipCallId => ("sip_call_id", None),
        Column::Uuid => ("leg_uuid", None),
        Column::CallUuid => ("call_uuid", None),
    }
}

fn operator(compare: Compare) -> &'static str {
    match compare {
        Compare::Is => " = ",
        Compare::AtLeast => " >= ",
        Compare::AtMost => " <= ",
        Compare::Below => " < ",
    }
}
