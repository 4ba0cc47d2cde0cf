//! What can go wrong, sorted by what the caller does next: try later, ask again with the same key, correct the request,
//! or call the operator.

use tokio_postgres::error::SqlState;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was changed, and asking again later may succeed: no server, no writable server, too busy, a lost race.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The statement was stopped because it took too long. A search is narrowed; anything else may be tried again.
    #[error("it takes too long: {0}")]
    TooSlow(String),
    /// The commit was sent and no valid acknowledgement came. It may or may not have happened; asking again with the same
    /// idempotency key tells.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// It contradicts something stored: that name or number is taken, or what it refers to is not there.
    #[error("{field}: {reason}")]
    Conflict {
        /// The field of the request.
        field: &'static str,
        /// What it contradicts.
        reason: String,
    },
    /// A value of the request is not acceptable.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field of the request.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such thing, or it is another tenant's.
    #[error("not found")]
    NotFound,
    /// A mistake of ours or of the installation: a missing table, a refused right.
    #[error("the database refused: {0}")]
    Database(String),
}

impl Error {
    /// Whether the same call may succeed later with nothing changed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TooSlow(_) | Self::Unknown(_))
    }

    /// Whether this value, not the server, is at fault: another try fails the same way.
    pub(crate) fn is_of_the_data(&self) -> bool {
        matches!(self, Self::Invalid { .. } | Self::Conflict { .. })
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            // A value that has no form on the wire is the only client-side error that is not the connection's.
            let text = with_cause(&error);
            return if text.starts_with("error serializing parameter") {
                Self::Invalid { field: "value", reason: text }
            } else if text.starts_with("error deserializing") {
                Self::Database(text)
            } else {
                Self::Unavailable(text)
            };
        };
        let text = format!("{} ({})", db.message(), db.code().code());
        match db.code() {
            // No partition takes the row: its month was dropped just now, and is made again.
            &SqlState::CHECK_VIOLATION if db.constraint().is_none() => Self::Unavailable(text),
            &SqlState::UNIQUE_VIOLATION | &SqlState::FOREIGN_KEY_VIOLATION | &SqlState::CHECK_VIOLATION => {
                of_constraint(db.code(), db.constraint().unwrap_or_default(), text)
            }
            &SqlState::QUERY_CANCELED => Self::TooSlow(text),
            &SqlState::NOT_NULL_VIOLATION => Self::Invalid { field: "value", reason: text },
            // A server that became read-only was demoted: the pool drops the connection and finds the writer.
            &SqlState::READ_ONLY_SQL_TRANSACTION => Self::Unavailable(text),
            code => match &code.code()[..2] {
                // Connection, transaction state, lost races, resources, locks, operator, system.
                "08" | "25" | "40" | "53" | "55" | "57" | "58" => Self::Unavailable(text),
                // Data that is given twice, does not fit its type, or a limit of the engine (an index row, say).
                "21" | "22" | "54" => Self::Invalid { field: "value", reason: text },
                "28" | "3D" => Self::Unavailable(text),
                _ => Self::Database(text),
            },
        }
    }
}

fn with_cause(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Our constraints are named `<table>_<field>_<what>`, so that the error can name the request's field.
fn of_constraint(code: &SqlState, constraint: &str, text: String) -> Error {
    let known = CONSTRAINTS.iter().find(|(name, ..)| *name == constraint);
    let (field, reason) = match known {
        Some((_, field, reason)) => (*field, (*reason).to_owned()),
        None => ("value", text),
    };
    if *code == SqlState::CHECK_VIOLATION {
        Error::Invalid { field, reason }
    } else {
        Error::Conflict { field, reason }
    }
}

/// Constraint, field, what to tell. Those not listed are told in PostgreSQL's words.
const CONSTRAINTS: &[(&str, &str, &str)] = &[
    ("domains_domain_unique", "domain", "this domain exists already"),
    ("domains_domain_form", "domain", "write it in lower case, at most 64 characters, like pbx.example.com"),
    ("users_username_unique", "username", "this user exists already"),
    ("users_username_form", "username", "1 to 64 of 0-9 A-Z a-z _ . + -"),
    ("users_role_known", "role", "one of agent, supervisor, admin"),
    ("queues_name_unique", "name", "a queue of this name exists already"),
    ("queues_name_form", "name", "1 to 64 of 0-9 A-Z a-z _ . -"),
    ("queues_strategy_known", "strategy", "not a strategy of mod_callcenter"),
    ("queues_max_wait_time_range", "max_wait_time", "0 to 86400 seconds"),
    ("queues_max_wait_time_with_no_agent_range", "max_wait_time_with_no_agent", "0 to 86400 seconds"),
    ("queues_discard_abandoned_after_range", "discard_abandoned_after", "0 to 86400 seconds"),
    ("queue_members_user", "members", "no such user in this domain"),
    ("queue_members_user_unique", "members", "this user is a member already"),
    ("queue_members_tier_range", "tier", "0 to 1000"),
    ("queue_members_position_range", "position", "0 to 10000"),
    ("extensions_extension_unique", "extension", "this extension exists already"),
    ("extensions_extension_form", "extension", "1 to 50 of 0-9 A-Z a-z _ . + * # -"),
    ("extensions_type_known", "type", "one of user, queue, ivr, voicemail, trunk_out, conference"),
    (
        "extensions_type_reference",
        "type",
        "give exactly the reference that the type needs: user_id, queue_id, ivr_id, voicemail_box_id, trunk_id or conference_id",
    ),
    ("extensions_description_length", "description", "at most 255 characters"),
    ("extensions_service_ref_object", "service_ref", "a JSON object of at most 8 KiB"),
    ("extensions_user", "user_id", "no such user in this domain"),
    ("extensions_queue", "queue_id", "no such queue in this domain"),
    ("extensions_ivr", "ivr_id", "no such menu in this domain"),
    ("extensions_voicemail_box", "voicemail_box_id", "no such mailbox in this domain"),
    ("extensions_trunk", "trunk_id", "no such trunk in this domain"),
    ("extensions_conference", "conference_id", "no such conference in this domain"),
    ("extensions_recording_policy", "recording_policy_id", "no such policy in this domain"),
    ("cdr_retention_days_range", "days", "1 to 36500 days"),
    ("api_keys_name_unique", "name", "a key of this name exists already"),
    ("api_keys_prefix_unique", "prefix", "this prefix is taken: make another key"),
    ("idempotency_keys_key_length", "Idempotency-Key", "1 to 255 characters"),
];
