//! Whether the database can do its work now.

use serde::Serialize;

use crate::migrations::{SCHEMA_VERSION, schema_version_built};
use crate::{Result, Store};

/// The database as one look found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseHealth {
    /// `primary` or `standby`.
    pub role: &'static str,
    /// It takes writes.
    pub writable: bool,
    /// The schema's version; older than [`schema_version_wanted`](Self::schema_version_wanted) is not usable.
    pub schema_version: i32,
    /// What this program was built for.
    pub schema_version_wanted: i32,
    /// Standbys that stream from it.
    pub standbys: Vec<Standby>,
}

/// A standby, as its primary sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standby {
    /// Its `application_name`.
    pub peer: String,
    /// Such as `streaming`.
    pub state: String,
    /// `sync`, `async`, …
    pub sync_state: Option<String>,
    /// WAL it has not replayed, bytes.
    pub replay_lag_bytes: Option<i64>,
    /// The same as time, milliseconds, where it is known.
    pub replay_lag_ms: Option<i64>,
}

impl Store {
    /// Looks at role, writability, schema and lag: `SELECT 1` passes on a server that can do nothing for us.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) where no writable server answers.
    pub async fn health(&self) -> Result<DatabaseHealth> {
        let mut transaction = self.look().await?;
        let role = transaction.query_opt(ROLE, &[]).await?;
        let (standby, writable) = match &role {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (true, false),
        };
        let version = transaction.query_opt(SCHEMA_VERSION, &[]).await?;
        let version: Option<i32> = version.map_or(Ok(None), |row| row.try_get(0))?;
        let standbys = transaction.query(STANDBYS, &[]).await?;
        let standbys = standbys
            .iter()
            .map(|row| {
                Ok(Standby {
                    peer: row.try_get(0)?,
                    state: row.try_get(1)?,
                    sync_state: row.try_get(2)?,
                    replay_lag_bytes: row.try_get(3)?,
                    replay_lag_ms: row.try_get(4)?,
                })
            })
            .collect::<Result<_>>()?;
        transaction.commit().await?;
        Ok(DatabaseHealth {
            role: if standby { "standby" } else { "primary" },
            writable,
            schema_version: version.unwrap_or(0),
            schema_version_wanted: schema_version_built(),
            standbys,
        })
    }
}

pub(crate) const ROLE: &str =
    "SELECT pg_is_in_recovery(), NOT current_setting('transaction_read_only')::boolean";
pub(crate) const STANDBYS: &str =
    "SELECT peer, state, sync_state, replay_lag_bytes, replay_lag_ms FROM monitoring.replication()";
