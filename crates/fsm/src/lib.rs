//! The pair's decisions: what a node must know of itself before it touches PostgreSQL, and what it does next.
//!
//! In: [`State`] (durable), [`Observation`], [`Config`]. Out: a [`Decision`]: the row of [`TABLE`] that fits, the next
//! state to write, or the [`Action`]s to take. `tests/model` checks the very same [`step`] against an abstract PostgreSQL.
//!
//! Architecture invariant: pure. No file, no clock, no socket, no tokio: what decides the pair can be model-checked.
#![forbid(unsafe_code)]
// Two broken!(…) joined are two constants in a program, and alike.
#![cfg_attr(not(feature = "mutations"), allow(clippy::nonminimal_bool, clippy::eq_op))]

mod action;
mod config;
mod memory;
#[cfg(feature = "mutations")]
mod mutation;
mod names;
mod observation;
mod seen;
mod state;
mod table;
mod transition;

pub use action::{Action, FenceProof, Include};
pub use config::{Arbiter, Config};
pub use memory::Memory;
#[cfg(feature = "mutations")]
pub use mutation::Mutation;
pub use names::{BARRIER, Standby, slot};
pub use observation::{
    Barrier, Command, Copied, Grant, Heard, Lsn, Names, Observation, Postgres, Redis, Refused, Register,
    Row as BarrierRow, Vip,
};
pub use seen::Seen;
pub use state::{Flag, Mode, Point, Role, State, VERSION};
pub use table::{From, MAINTAINED, Row, TABLE};
pub use transition::To;

/// What a node does next.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The row's name.
    pub row: &'static str,
    /// The protocol's rule it comes from.
    pub rule: u8,
    /// The log's text.
    pub reason: &'static str,
    /// To be written durably before anything else is done, if it differs from the state.
    pub next: State,
    /// Empty if `next` differs.
    pub actions: Vec<Action>,
}

/// The first row of the table that fits.
///
/// Take it as often as it writes or acts; observe anew before each.
pub fn step(state: &State, observed: &Observation, config: &Config) -> Decision {
    let seen = Seen { state, observed, config };
    let row = TABLE.iter().find(|row| row.from.includes(state) && (row.when)(&seen));
    let Some(row) = row else {
        let reason = "no row fits";
        return Decision { row: "none", rule: 0, reason, next: state.clone(), actions: Vec::new() };
    };
    Decision {
        row: row.name,
        rule: row.rule,
        reason: row.why,
        next: row.to.write(&seen),
        actions: (row.does)(&seen),
    }
}
