//! Keyset pages: a list is continued after the last item seen, so page 2,000 costs what page 1 costs.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;

use crate::{Error, Result};

/// Items of one page at most.
pub const PAGE_ITEMS_MAX: u16 = 500;

/// One page of a list, and where the next begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give it as `after` for the next page; `None` at the end of the list.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a page of `limit` from one item more than that, which is how the end of a list is seen.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

/// The bounded page size, and the rows to ask for: one more.
pub(crate) fn limits(limit: u16) -> (usize, i64) {
    let limit = limit.clamp(1, PAGE_ITEMS_MAX);
    (usize::from(limit), i64::from(limit) + 1)
}

/// Reads `after` of a list ordered by id.
pub(crate) fn id_after(after: Option<&str>) -> Result<i32> {
    after.map_or(Ok(0), |text| text.parse().map_err(|_| not_a_cursor()))
}

/// Where a list ordered by time, newest first, goes on: after this row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeCursor {
    pub(crate) start: Timestamp,
    pub(crate) id: i64,
}

impl fmt::Display for TimeCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.start.as_microsecond(), self.id)
    }
}

impl FromStr for TimeCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (start_us, id) = text.split_once('.').ok_or_else(not_a_cursor)?;
        let start_us = start_us.parse().map_err(|_| not_a_cursor())?;
        Ok(Self {
            start: Timestamp::from_microsecond(start_us).map_err(|_| not_a_cursor())?,
            id: id.parse().map_err(|_| not_a_cursor())?,
        })
    }
}

fn not_a_cursor() -> Error {
    Error::Invalid {
        field: "after",
        reason: "not a cursor of this list: give `next` of the page before".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_the_way_to_the_client_and_back() {
        let cursor =
            TimeCursor { start: Timestamp::from_microsecond(-1_795_341_549_991_056).unwrap(), id: 42 };
        assert_eq!(cursor.to_string().parse::<TimeCursor>().unwrap(), cursor);
        for bad in ["", ".", "1", "1.", ".1", "a.b", "99999999999999999999.1"] {
            assert!(bad.parse::<TimeCursor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_page_has_no_next() {
        let cut = |n: i32| Page::cut((0..n).collect(), 2, i32::to_string);
        assert_eq!(cut(2), Page { items: vec![0, 1], next: None });
        assert_eq!(cut(3), Page { items: vec![0, 1], next: Some("1".to_owned()) });
    }
}
