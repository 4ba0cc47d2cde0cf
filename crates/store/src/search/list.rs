//! What lists of calls and of legs have in common.

use jiff::{SignedDuration, Timestamp};

use super::conditions::{Subject, Tenancy, push_filter};
use super::filter::CdrFilter;
use super::page::Walk;
use super::sql::{Sql, Value};

/// Legs of one call start within this of the row that stands for it (`cdr_write::calls`).
pub(super) const CALL_SPAN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The filter, the cursor, the order and the limit. `start_time <=` repeats the cursor so that the months are pruned.
pub(super) fn push_page(sql: &mut Sql, subject: Subject, tenancy: &Tenancy, filter: &CdrFilter, walk: Walk) {
    push_filter(sql, subject, tenancy, filter);
    if let Some(cursor) = walk.from {
        let (bound, beyond) = if walk.ascending {
            (" AND start_time >= ", " AND (start_time, id) > (")
        } else {
            (" AND start_time <= ", " AND (start_time, id) < (")
        };
        sql.push(bound).value(Value::Time(cursor.start)).push(beyond);
        sql.value(Value::Time(cursor.start)).push(", ").value(Value::Big(cursor.id)).push(")");
    }
    push_order(sql, walk);
}

pub(super) fn push_order(sql: &mut Sql, walk: Walk) {
    sql.push(if walk.ascending {
        " ORDER BY start_time, id LIMIT "
    } else {
        " ORDER BY start_time DESC, id DESC LIMIT "
    });
    sql.value(Value::Big(walk.rows));
}

pub(super) fn earlier(time: Timestamp) -> Timestamp {
    time.saturating_sub(CALL_SPAN).unwrap_or(Timestamp::MIN)
}

pub(super) fn later(time: Timestamp) -> Timestamp {
    time.saturating_add(CALL_SPAN).unwrap_or(Timestamp::MAX)
}
