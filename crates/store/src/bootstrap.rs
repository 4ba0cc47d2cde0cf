//! From an empty PostgreSQL to a platform's database: roles, database, schema, rights. Run by the installer as
//! superuser over the unix socket; running it again changes nothing but passwords that were given anew.
//!
//! Architecture invariant: no clear password leaves this process. The server gets SCRAM verifiers (RFC 5803), so neither
//! its log nor `pg_stat_activity` can show one.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use postgres_protocol::password::scram_sha_256;
use tokio_postgres::{Client, NoTls};

use crate::{Error, Result, migrations};

/// The platform's database.
pub const DATABASE: &str = "voip_platform";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach the server as superuser, and the roles' passwords.
#[derive(Clone)]
pub struct Bootstrap {
    /// The directory of the server's unix socket.
    pub socket_dir: PathBuf,
    /// The port that names the socket.
    pub port: u16,
    /// The superuser.
    pub superuser: String,
    /// Its password, where peer authentication does not do.
    pub superuser_password: Option<String>,
    /// The database to make; [`DATABASE`] but in tests.
    pub database: String,
    /// Clear passwords of the roles that log in.
    pub passwords: RolePasswords,
}

/// One password a role.
#[derive(Clone)]
pub struct RolePasswords {
    /// Kamailio: reads its views, keeps registrations.
    pub kamailio: String,
    /// The daemon.
    pub voip_admin: String,
    /// The standby's walreceiver.
    pub replicator: String,
    /// The Prometheus exporter.
    pub exporter: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrapped {
    /// The database did not exist before.
    pub database_created: bool,
    /// Migrations applied now.
    pub migrations_applied: usize,
}

impl fmt::Debug for RolePasswords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RolePasswords(***)")
    }
}

/// Makes or completes the platform's database.
///
/// # Errors
/// [`Error::Unavailable`] where the server cannot be reached, [`Error::Database`] where it refuses.
pub async fn bootstrap(options: &Bootstrap) -> Result<Bootstrapped> {
    let admin = open(options, "postgres").await?;
    // Held until this session ends: two nodes may bootstrap at once.
    migrations::lock(&admin).await?;
    make_roles(&admin, &options.passwords).await?;
    let database_created = make_database(&admin, &options.database).await?;
    let mut platform = open(options, &options.database).await?;
    let migrations_applied = migrations::run(&mut platform).await?;
    platform.batch_execute(RIGHTS).await?;
    Ok(Bootstrapped { database_created, migrations_applied })
}

/// A superuser's connection; the task that carries it ends with the client.
pub(crate) async fn open(options: &Bootstrap, database: &str) -> Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(&options.socket_dir)
        .port(options.port)
        .user(&options.superuser)
        .dbname(database)
        .application_name("voipadmind bootstrap")
        .connect_timeout(CONNECT_TIMEOUT);
    if let Some(password) = &options.superuser_password {
        config.password(password);
    }
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!("the superuser's connection ended: {error}");
        }
    });
    // Whatever the installation's defaults are: our texts are UTF-8 and ours to quote.
    client.batch_execute("SET client_encoding = 'UTF8'; SET standard_conforming_strings = on").await?;
    Ok(client)
}

async fn make_roles(admin: &Client, passwords: &RolePasswords) -> Result<()> {
    let roles = [
        ("voip_owner", "NOLOGIN", None),
        ("kamailio", "LOGIN", Some(&passwords.kamailio)),
        ("voip_admin", "LOGIN", Some(&passwords.voip_admin)),
        ("replicator", "LOGIN REPLICATION", Some(&passwords.replicator)),
        ("exporter", "LOGIN", Some(&passwords.exporter)),
    ];
    for (role, attributes, password) in roles {
        if admin.query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&role]).await?.is_none() {
            admin.batch_execute(&format!("CREATE ROLE {role} NOINHERIT {attributes}")).await?;
        }
        if let Some(password) = password {
            // The verifier's alphabet is base64, `$` and `:`: it needs no quoting.
            let verifier = scram_sha_256(password.as_bytes());
            admin.batch_execute(&format!("ALTER ROLE {role} PASSWORD '{verifier}'")).await?;
        }
    }
    // INHERIT: functions of voip_owner read the statistics. The exporter does nothing else.
    admin
        .batch_execute(
            "ALTER ROLE voip_owner INHERIT; ALTER ROLE exporter INHERIT; GRANT pg_monitor TO voip_owner, exporter",
        )
        .await?;
    Ok(())
}

async fn make_database(admin: &Client, database: &str) -> Result<bool> {
    if !database.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        || database.is_empty()
    {
        return Err(Error::Invalid { field: "database", reason: "only a-z, 0-9 and _".to_owned() });
    }
    let exists = admin.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&database]).await?.is_some();
    if !exists {
        // template0: the cluster's locale or additions to template1 must not shape ours. C: names sort by bytes, and an
        // upgrade of the C library cannot corrupt an index.
        admin
            .batch_execute(&format!(
                "CREATE DATABASE {database} OWNER voip_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
            ))
            .await?;
    }
    admin
        .batch_execute(&format!(
            "REVOKE ALL ON DATABASE {database} FROM PUBLIC;
             GRANT CONNECT ON DATABASE {database} TO kamailio, voip_admin, exporter;
             ALTER ROLE kamailio IN DATABASE {database} SET search_path = kamailio;
             -- A SIP engine never waits for the peer, and never long for anything.
             ALTER ROLE kamailio IN DATABASE {database} SET synchronous_commit = local;
             ALTER ROLE kamailio IN DATABASE {database} SET statement_timeout = '2s';
             ALTER ROLE kamailio IN DATABASE {database} SET lock_timeout = '1s';
             ALTER ROLE kamailio IN DATABASE {database} SET idle_in_transaction_session_timeout = '10s';
             ALTER ROLE voip_admin IN DATABASE {database} SET search_path = voip;
             -- Waits for locks are lost races, told as such. No statement_timeout here: it would cut a COMMIT's wait
             -- for the standby short and report success. Transactions set their own.
             ALTER ROLE voip_admin IN DATABASE {database} SET lock_timeout = '5s';
             -- Short statements: compiling one takes longer than running it.
             ALTER ROLE voip_admin IN DATABASE {database} SET jit = off;
             ALTER ROLE voip_admin IN DATABASE {database} SET idle_in_transaction_session_timeout = '30s';
             ALTER ROLE exporter IN DATABASE {database} SET statement_timeout = '5s'"
        ))
        .await?;
    Ok(!exists)
}

/// Rights that are not of a migration's table: run at every bootstrap, so that a hand-made grant does not stay.
pub(crate) const RIGHTS: &str = "REVOKE ALL ON SCHEMA public FROM PUBLIC;
    REVOKE CREATE ON SCHEMA voip, kamailio, monitoring FROM PUBLIC, kamailio, voip_admin, exporter";
