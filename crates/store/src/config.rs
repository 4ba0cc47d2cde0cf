//! Where the database is, and how long anything may take.

use std::fmt;
use std::time::Duration;

/// How the daemon reaches its database. Every wait has a bound.
#[derive(Clone)]
pub struct StoreConfig {
    /// Host name or address (or a socket directory, beginning with `/`) and port of every node: the writable one is used.
    pub hosts: Vec<(String, u16)>,
    /// The database's name.
    pub dbname: String,
    /// The role, `voip_admin`.
    pub user: String,
    /// Its password; empty for none.
    pub password: String,
    /// Connections at most, the LISTEN connection of [`crate::changes`] not counted.
    pub connections_max: usize,
    /// Of these, at most so many are kept while nobody needs them.
    pub connections_idle_max: usize,
    /// A connection older than this is replaced when it is next used.
    pub connection_age_max: Duration,
    /// To find the writer among all hosts and log in.
    pub connect_timeout: Duration,
    /// To wait for a free connection of the pool.
    pub acquire_timeout: Duration,
    /// For one statement; the server enforces it, but never on a COMMIT.
    pub statement_timeout: Duration,
    /// For a COMMIT, which waits for the standby. Past it the outcome is unknown and the connection is dropped.
    pub commit_timeout: Duration,
    /// Unacknowledged data fails a connection after this (Linux `TCP_USER_TIMEOUT`): the address may have moved.
    pub tcp_user_timeout: Duration,
}

impl StoreConfig {
    /// The defaults for one server.
    pub fn new(host: &str, port: u16, dbname: &str, user: &str, password: &str) -> Self {
        Self {
            hosts: vec![(host.to_owned(), port)],
            dbname: dbname.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            connections_max: 20,
            connections_idle_max: 10,
            connection_age_max: Duration::from_secs(3600),
            connect_timeout: Duration::from_secs(3),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            commit_timeout: Duration::from_secs(10),
            tcp_user_timeout: Duration::from_secs(3),
        }
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("hosts", &self.hosts)
            .field("dbname", &self.dbname)
            .field("user", &self.user)
            .field("password", &"***")
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}
