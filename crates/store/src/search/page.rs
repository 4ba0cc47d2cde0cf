//! Pages in both directions, and what is told beside them.

use serde::Serialize;

use crate::page::{TimeCursor, limits};
use crate::{Error, Result};

/// Which page is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageOf {
    /// Items: 1 to [`PAGE_ITEMS_MAX`](crate::page::PAGE_ITEMS_MAX).
    pub limit: u16,
    /// Where it lies; `None`: the newest.
    pub cursor: Option<Cursor>,
    /// Whether all that fulfil the filter are counted.
    pub count: Option<CountOf>,
    /// The calls are wanted without what their legs tell (`CALL_FIELDS_OF_LEGS`): `false` is the default.
    pub heads_only: bool,
}

/// Where a page lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// Older than this: `next` of another page.
    After(String),
    /// Newer than this: `previous` of another page.
    Before(String),
}

/// How to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountOf {
    /// One by one: seconds over years.
    Exact,
    /// As the planner believes: at once.
    Estimate,
}

/// How many fulfil the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// So many.
    pub value: i64,
    /// Counted, or believed.
    pub exact: bool,
}

/// A page, newest first, and where its neighbours are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give it as `after` for older ones; `None`: there are none.
    pub next: Option<String>,
    /// Give it as `before` for newer ones; `None`: there were none.
    pub previous: Option<String>,
    /// Where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
}

/// A list's direction and where it goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    /// Oldest first: a page of newer ones is read backwards.
    pub(super) ascending: bool,
    pub(super) from: Option<TimeCursor>,
    pub(super) items: usize,
    /// One more than items, which is how the end of a list is seen.
    pub(super) rows: i64,
}

impl Walk {
    pub(super) fn of(page: &PageOf) -> Result<Self> {
        let (items, rows) = limits(page.limit);
        let (ascending, from) = match &page.cursor {
            None => (false, None),
            Some(Cursor::After(text)) => (false, Some(text.parse()?)),
            Some(Cursor::Before(text)) => {
                let newer = text.parse().map_err(|_| Error::Invalid {
                    field: "before",
                    reason: "not a cursor of this list: give `previous` of another page".to_owned(),
                })?;
                (true, Some(newer))
            }
        };
        Ok(Self { ascending, from, items, rows })
    }

    /// Cuts the page from the rows asked for, in the list's own order.
    pub(super) fn cut<T>(self, mut rows: Vec<T>, cursor: impl Fn(&T) -> String) -> Listed<T> {
        let more = rows.len() > self.items;
        rows.truncate(self.items);
        if self.ascending {
            rows.reverse();
        }
        // Whoever came here by a cursor came from an item.
        let came = self.from.is_some() && !rows.is_empty();
        let (older, newer) = if self.ascending { (came, more) } else { (more, came) };
        let next = if older { rows.last().map(&cursor) } else { None };
        let previous = if newer { rows.first().map(&cursor) } else { None };
        Listed { items: rows, next, previous, count: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_its_neighbours_in_both_directions() {
        let page = |cursor| PageOf { limit: 2, cursor, ..PageOf::default() };
        let cut = |cursor, rows: &[i32]| {
            let listed = Walk::of(&page(cursor)).unwrap().cut(rows.to_vec(), i32::to_string);
            (listed.items, listed.next, listed.previous)
        };
        let some = |text: &str| Some(text.to_owned());
        let after = || Some(Cursor::After("1.1".to_owned()));
        let before = || Some(Cursor::Before("1.1".to_owned()));
        assert_eq!(cut(None, &[9, 8, 7]), (vec![9, 8], some("8"), None));
        assert_eq!(cut(None, &[9, 8]), (vec![9, 8], None, None));
        assert_eq!(cut(after(), &[7, 6, 5]), (vec![7, 6], some("6"), some("7")));
        assert_eq!(cut(after(), &[5]), (vec![5], None, some("5")));
        assert_eq!(cut(after(), &[]), (vec![], None, None));
        assert_eq!(cut(before(), &[6, 7, 8]), (vec![7, 6], some("6"), some("7")));
        assert_eq!(cut(before(), &[8, 9]), (vec![9, 8], some("8"), None));
        let foreign = Walk::of(&page(Some(Cursor::Before("x".to_owned()))));
        assert!(matches!(foreign, Err(Error::Invalid { field: "before", .. })));
    }
}
