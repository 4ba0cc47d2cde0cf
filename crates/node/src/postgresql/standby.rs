//! What a primary knows of its standby.

use anyhow::Result;
use tokio_postgres::Client;

use super::session::{Commits, Server, answer};

/// A walsender's standby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streaming {
    /// `streaming`, `catchup`, `backup`, …
    pub state: String,
    /// `sync`, `async`, …
    pub sync_state: String,
    /// Bytes of WAL this server has flushed and the standby has not.
    pub lag_bytes: u64,
}

/// The standby of that application name, if it is connected.
pub async fn streaming(client: &Client, name: &str) -> Result<Option<Streaming>> {
    let sql = "SELECT state, sync_state, \
               greatest(0, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn))::int8 \
               FROM pg_stat_replication WHERE application_name = $1 ORDER BY backend_start DESC LIMIT 1";
    let row = answer(client.query_opt(sql, &[&name])).await?;
    Ok(row.map(|row| Streaming {
        state: row.get::<_, Option<String>>(0).unwrap_or_default(),
        sync_state: row.get::<_, Option<String>>(1).unwrap_or_default(),
        // Nothing flushed yet is told as NULL.
        lag_bytes: row.get::<_, Option<i64>>(2).map_or(u64::MAX, i64::unsigned_abs),
    }))
}

/// The standby that commits wait for and that is not there: its name, as PostgreSQL is told it.
pub async fn missed(server: &Server) -> Result<Option<String>> {
    let client = server.connect(Commits::Local).await?;
    let sql = "SELECT current_setting('synchronous_standby_names') \
               WHERE current_setting('synchronous_standby_names') <> '' \
               AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')";
    let row = answer(client.query_opt(sql, &[])).await?;
    Ok(row.map(|row| row.get::<_, String>(0).trim_matches('"').to_owned()))
}
