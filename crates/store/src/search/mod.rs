//! Calls and legs as people ask for them: filtered, newest first, in keyset pages both ways, counted.
//!
//! In: a [`CdrFilter`] and a [`PageOf`]. Out: a [`Listed`] page. A statement is put together of constants, one for each
//! condition that is given, and planned with its values: an absent filter costs nothing, and a range of times prunes partitions.
//!
//! Architecture invariant: no input is ever part of a statement's text ([`sql`] takes constants and values apart).

mod calls;
mod candidates;
mod conditions;
mod count;
mod filter;
mod legs;
mod list;
mod page;
#[cfg(test)]
mod samples;
mod sql;
mod stats;

pub use filter::{CONDITIONS_MAX, CdrFilter, Column, Compare, Condition, Number, Pattern, Time, Wanted};
pub use page::{Count, CountOf, Cursor, Listed, PageOf};
pub use stats::{GROUPS_MAX, Group, GroupBy, StatsOf};

pub(crate) use conditions::Tenancy;
#[cfg(test)]
pub(crate) use {samples::pages_after, samples::statements, sql::Sql};
