//! The agent's own sessions: superuser over the unix socket, never waiting for the standby.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::config::Config;

const CONNECT: Duration = Duration::from_secs(5);
/// Of every question: a frozen server must not freeze the agent.
const ANSWER: Duration = Duration::from_secs(10);

/// How this node's server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub socket: PathBuf,
    pub port: u16,
    /// The database superuser. root is let in as it by `pg_ident.conf`.
    pub user: String,
}

/// What a session's commits wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    /// This server's disk.
    Local,
    /// The standby, as long as it takes: such a wait is never cancelled (failover.md 13).
    Synchronous,
}

impl Server {
    pub fn of(config: &Config) -> Self {
        Self {
            socket: config.layout.paths.postgresql_socket.clone(),
            port: config.cluster.ports.postgresql,
            user: config.layout.users.postgresql.clone(),
        }
    }

    /// As the superuser, on the database `postgres`.
    pub fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&self.socket)
            .port(self.port)
            .user(&self.user)
            .dbname("postgres")
            .application_name("tandem agent")
            .connect_timeout(CONNECT);
        config
    }

    /// A session on the database `postgres`.
    ///
    /// # Errors
    /// The server is stopped, starting, full, or does not know root as its superuser.
    pub async fn connect(&self, commits: Commits) -> Result<Client> {
        let options = match commits {
            Commits::Local => "-c synchronous_commit=local -c statement_timeout=10s -c lock_timeout=5s",
            Commits::Synchronous => "-c synchronous_commit=on -c statement_timeout=0",
        };
        let mut config = self.config();
        config.options(options);
        let connecting = async {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!("a session of the agent's ended: {error}");
                }
            });
            Ok::<_, tokio_postgres::Error>(client)
        };
        timeout(CONNECT, connecting).await.context("PostgreSQL does not answer on its socket")?.with_context(
            || format!("connecting to PostgreSQL at {} as {}", self.socket.display(), self.user),
        )
    }

    /// Whether it runs as a standby.
    pub async fn in_recovery(&self) -> Result<bool> {
        let client = self.connect(Commits::Local).await?;
        let row = answer(client.query_one("SELECT pg_is_in_recovery()", &[])).await?;
        Ok(row.get(0))
    }

    /// The settings it runs with that are not as they should be, by their names.
    pub async fn differing(
        &self,
        client: &Client,
        settings: &[(&'static str, String)],
    ) -> Result<Vec<&'static str>> {
        let mut differ = Vec::new();
        for (setting, value) in settings {
            let row = answer(client.query_one("SELECT current_setting($1)", &[setting])).await?;
            if row.get::<_, String>(0) != *value {
                differ.push(*setting);
            }
        }
        Ok(differ)
    }

    /// Version as people say it (`17.6`), and the data's own identity.
    pub async fn identity(&self) -> Result<(String, i64)> {
        let client = self.connect(Commits::Local).await?;
        let sql = "SELECT split_part(current_setting('server_version'), ' ', 1), system_identifier \
                   FROM pg_control_system()";
        let row = answer(client.query_one(sql, &[])).await?;
        Ok((row.get(0), row.get(1)))
    }

    /// Bytes of all databases: about what a copy takes.
    pub async fn size_bytes(&self) -> Result<u64> {
        let client = self.connect(Commits::Local).await?;
        let sql = "SELECT sum(pg_database_size(oid))::int8 FROM pg_database";
        let row = answer(client.query_one(sql, &[])).await?;
        Ok(row.get::<_, Option<i64>>(0).unwrap_or(0).unsigned_abs())
    }
}

/// A question with its bound.
pub async fn answer<T>(question: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
    Ok(timeout(ANSWER, question).await.context("PostgreSQL did not answer in time")??)
}
