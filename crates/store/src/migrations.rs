//! The schema's history, embedded in the binary, and the check that database and binary agree on it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use crate::{Error, Result, Scope, Store};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Where applied migrations are recorded. Schema-qualified, so that no search_path decides.
pub(crate) const HISTORY_TABLE: &str = "voip.schema_history";

/// `VOIP` in ASCII, then a number of ours: an advisory lock's key. (Partitions use the two-key form, another space.)
pub(crate) const BOOTSTRAP_LOCK: i64 = 0x564F_4950_0000_0001;

/// How long one node waits for the other to finish its migrations.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(120);
const LOCK_RETRY: Duration = Duration::from_millis(100);

/// Applies what is missing, as voip_owner, on a superuser's connection to the platform's database. Returns how many
/// migrations that were. The caller holds [`BOOTSTRAP_LOCK`] ([`lock`]): refinery has no lock of its own.
pub(crate) async fn run(client: &mut Client) -> Result<usize> {
    client
        .batch_execute("CREATE SCHEMA IF NOT EXISTS voip AUTHORIZATION voip_owner; SET ROLE voip_owner")
        .await?;
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY_TABLE);
    let report = runner.run_async(client).await.map_err(|error| Error::Database(explain(&error)))?;
    client.batch_execute("RESET ROLE").await?;
    Ok(report.applied_migrations().len())
}

fn explain(error: &refinery::Error) -> String {
    match std::error::Error::source(error).and_then(|cause| cause.source()) {
        Some(cause) => format!("migration: {error}: {cause}"),
        None => format!("migration: {error}"),
    }
}

/// Takes the lock for this session. Two nodes start at once: the second waits here, and then finds nothing to do.
pub(crate) async fn lock(client: &Client) -> Result<()> {
    let deadline = Instant::now() + LOCK_WAIT_MAX;
    loop {
        let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&BOOTSTRAP_LOCK]).await?;
        if row.try_get(0)? {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::Unavailable("another node holds the migration lock; see its log".to_owned()));
        }
        sleep(LOCK_RETRY).await;
    }
}

/// The schema version this binary was built for.
pub fn schema_version_built() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(|m| m.version()).max().unwrap_or(0)
}

impl Store {
    /// The schema version of the database.
    ///
    /// # Errors
    /// [`Error::Database`] where the database was never bootstrapped.
    pub async fn schema_version(&self) -> Result<i32> {
        let mut transaction = self.read(Scope::Platform).await?;
        let row = transaction.query_opt(SCHEMA_VERSION, &[]).await?;
        let version = row.map_or(Ok(None), |row| row.try_get(0))?;
        Ok(version.unwrap_or(0))
    }

    /// Refuses a database that is older than this binary. A newer one is welcome: during an upgrade of the pair
    /// the first node migrates while the second still runs the old binary, so migrations only ever add.
    ///
    /// # Errors
    /// [`Error::Database`] with what to do.
    pub async fn check_schema(&self) -> Result<()> {
        let (found, built) = (self.schema_version().await?, schema_version_built());
        if found >= built {
            return Ok(());
        }
        Err(Error::Database(format!(
            "the schema is at version {found}, this program needs {built}: run `voipadmind bootstrap` on the primary"
        )))
    }
}

pub(crate) const SCHEMA_VERSION: &str = "SELECT max(version) FROM voip.schema_history";
