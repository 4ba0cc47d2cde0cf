//! A call as the API tells it; only what is shown or checked.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// One page of `GET /api/cdr`.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// Calls.
    pub items: Vec<Value>,
}

/// What a call and a leg both have.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Record {
    pub direction: String,
    pub caller_id_number: Option<String>,
    pub destination_number: Option<String>,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    /// Seconds.
    pub duration: i64,
    /// Seconds.
    pub billsec: i64,
    pub hangup_cause: Option<String>,
    pub queue: Option<String>,
    pub agent: Option<String>,
}

/// A leg.
#[derive(Debug, Deserialize)]
pub struct Leg {
    #[serde(flatten)]
    pub record: Record,
    #[serde(default)]
    pub leg_direction: String,
}

/// A call with its legs.
#[derive(Debug, Deserialize)]
pub struct Call {
    #[serde(flatten)]
    pub record: Record,
    pub legs: Vec<Leg>,
}

impl Call {
    /// Reads an item.
    pub fn read(item: &Value) -> serde_json::Result<Self> {
        Self::deserialize(item)
    }
}
