//! What a call was, from its legs: how it ended, who waited and talked how long, and its timeline.
//!
//! In: the legs of one call, each with its [`Story`]. Out: a [`Summary`], which stands in the row that stands for the call, and
//! the [`Moment`]s of [`timeline`], which are put together when a call is read.
//!
//! Architecture invariant: both depend on the set of legs alone, never on the order they arrived in.

mod event;
mod story;
mod summary;
mod timeline;

pub use event::{EVENTS_PER_LEG_MAX, Event, EventKind};
pub use story::{Facts, Stop, Story};
pub use summary::{CallLeg, HangupBy, LEGS_COUNTED_MAX, NODE_FAILURE, Status, Summary, seconds_between};
pub use timeline::{MOMENTS_PER_CALL_MAX, Moment, TimelineLeg, timeline};

#[cfg(test)]
mod tests;
