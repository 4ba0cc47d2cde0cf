//! Statements as they are put together, for the test that has PostgreSQL plan each (`crate::statements`).

use jiff::Timestamp;

use super::candidates::{self, Candidates, Known};
use super::conditions::{Subject, Tenancy};
use super::filter::{CdrFilter, Column, Compare, Condition, Number, Pattern, Time, Wanted};
use super::page::{Cursor, PageOf, Walk};
use super::sql::Sql;
use super::stats::{GroupBy, StatsOf};
use super::{calls, count, legs, stats};

const TEXTS: [Column; 17] = [
    Column::Caller,
    Column::Name,
    Column::Dialled,
    Column::Queue,
    Column::Direction,
    Column::Status,
    Column::HangupBy,
    Column::Cause,
    Column::Context,
    Column::Node,
    Column::Source,
    Column::Callee,
    Column::Agent,
    Column::Trunk,
    Column::SipCallId,
    Column::Uuid,
    Column::CallUuid,
];

/// Every condition alone and its contrary, in every statement; every tenancy and every page with all conditions together.
pub(crate) fn statements() -> Vec<Sql> {
    let mut made = Vec::new();
    let all = conditions();
    for condition in &all {
        for not in [false, true] {
            let filter = filter(vec![Wanted { condition: condition.clone(), not }]);
            add(&mut made, &Tenancy::Everybody, &filter, walk(None));
        }
    }
    let together = |not| filter(all.iter().map(|it| Wanted { condition: it.clone(), not }).collect());
    let cursor = || "1795341549991056.7".to_owned();
    let pages = [None, Some(Cursor::After(cursor())), Some(Cursor::Before(cursor()))];
    for tenancy in [Tenancy::Everybody, Tenancy::Id(1), Tenancy::Stranger("x".to_owned())] {
        for page in &pages {
            add(&mut made, &tenancy, &together(false), walk(page.clone()));
            add(&mut made, &tenancy, &CdrFilter::default(), walk(page.clone()));
        }
    }
    made
}

/// The lists of calls and legs after a cursor.
pub(crate) fn pages_after(tenancy: &Tenancy, start: Timestamp) -> [Sql; 2] {
    let walk = walk(Some(Cursor::After(format!("{}.1", start.as_microsecond()))));
    let filter = CdrFilter::default();
    [calls::walking(tenancy, &filter, walk, None), legs::statement(tenancy, &filter, walk)]
}

fn add(made: &mut Vec<Sql>, tenancy: &Tenancy, filter: &CdrFilter, walk: Walk) {
    let found = Candidates {
        calls: [("a".to_owned(), Timestamp::UNIX_EPOCH)].into(),
        rest: filter.clone(),
        span: (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
        known: Known::All,
    };
    made.push(calls::walking(tenancy, filter, walk, Some(Timestamp::UNIX_EPOCH)));
    made.push(calls::of_candidates(tenancy, walk, &found, Some(Timestamp::UNIX_EPOCH)));
    made.push(legs::statement(tenancy, filter, walk));
    made.push(count::among(tenancy, &found));
    for subject in [Subject::Call, Subject::Leg] {
        made.push(count::whole("EXPLAIN (FORMAT JSON) SELECT", subject, tenancy, filter));
    }
    for by in GroupBy::ALL {
        made.push(stats::statement(
            tenancy,
            filter,
            &StatsOf { by, zone: "Europe/Berlin".to_owned(), within_s: 20 },
        ));
    }
    for wanted in &filter.conditions {
        made.extend(candidates::statements(tenancy, filter, walk, &wanted.condition));
    }
}

fn filter(conditions: Vec<Wanted>) -> CdrFilter {
    let time = Some(Timestamp::UNIX_EPOCH);
    CdrFilter { from: time, to: time, domain: None, conditions }
}

fn walk(cursor: Option<Cursor>) -> Walk {
    Walk::of(&PageOf { limit: 50, cursor, ..PageOf::default() }).unwrap()
}

fn conditions() -> Vec<Condition> {
    let text = || "1001".to_owned();
    let patterns =
        || [Pattern::Is(text()), Pattern::Begins(text()), Pattern::Ends(text()), Pattern::Holds(text())];
    let texts =
        TEXTS.into_iter().flat_map(|column| patterns().map(|pattern| Condition::Text(column, pattern)));
    let compares = [Compare::Is, Compare::AtLeast, Compare::AtMost, Compare::Below];
    let numbers = [Number::Q850, Number::Duration, Number::Billsec, Number::Wait, Number::Talk];
    let numbers = numbers.into_iter().zip(compares.into_iter().cycle());
    let times = [Time::Answer, Time::End].into_iter().zip(compares.into_iter().skip(1));
    texts
        .chain(numbers.map(|(number, compare)| Condition::Number(number, compare, 16)))
        .chain(times.map(|(time, compare)| Condition::Time(time, compare, Timestamp::UNIX_EPOCH)))
        .chain([Condition::Extension(vec![text()]), Condition::User(text()), Condition::Recorded])
        .collect()
}
