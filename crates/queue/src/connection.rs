//! One connection to whichever server is the master, made anew when it fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError,
};
use tokio::sync::Mutex;

use crate::error::spoils_connection;
use crate::{Error, Result};

/// For an answer to anything but a blocking read.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Unacknowledged data fails a connection after this: the address may have moved.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that only waits is probed after this long, so that a blocked read learns of a dead server.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(2);

/// How to reach Redis.
#[derive(Clone)]
pub struct QueueConfig {
    /// Host and port of every node; the first that is a master is used.
    pub hosts: Vec<(String, u16)>,
    /// Empty for none.
    pub password: String,
    /// 0 to 15.
    pub db: i64,
    /// The stream's key.
    pub stream: String,
}

impl fmt::Debug for QueueConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueConfig({:?}, db {}, stream {})", self.hosts, self.db, self.stream)
    }
}

/// A connection that is made when it is needed and dropped when it fails. redis' own manager stays on a demoted server,
/// for which READONLY is no reason to look elsewhere.
pub(crate) struct Connection {
    config: Arc<QueueConfig>,
    answer_timeout: Duration,
    /// std's Mutex would do for the slot; this one is held while connecting, so that a crowd connects once.
    current: Mutex<Current>,
}

/// The connection in use and its number, so that who failed on an old one does not drop its successor.
#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    number: u64,
}

impl Connection {
    pub(crate) fn new(config: Arc<QueueConfig>, answer_timeout: Duration) -> Self {
        Self { config, answer_timeout, current: Mutex::default() }
    }

    /// Sends one command. Its error keeps Redis' own code, which a pipeline's hides.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let (mut connection, number) = self.get().await.map_err(Failure::Connect)?;
        self.judged(command.query_async(&mut connection).await, number).await
    }

    /// Sends several commands in one round trip.
    pub(crate) async fn ask_all<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Failure> {
        let (mut connection, number) = self.get().await.map_err(Failure::Connect)?;
        self.judged(pipeline.query_async(&mut connection).await, number).await
    }

    async fn judged<T>(&self, answer: redis::RedisResult<T>, number: u64) -> Result<T, Failure> {
        if answer.as_ref().is_err_and(spoils_connection) {
            let mut current = self.current.lock().await;
            if current.number == number {
                current.connection = None;
            }
        }
        answer.map_err(Failure::Answer)
    }

    async fn get(&self) -> Result<(MultiplexedConnection, u64)> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((connection.clone(), current.number));
        }
        let connection = self.connect().await?;
        *current = Current { connection: Some(connection.clone()), number: current.number + 1 };
        Ok((connection, current.number))
    }

    async fn connect(&self) -> Result<MultiplexedConnection> {
        let mut last = Error::Unavailable("no host is configured".to_owned());
        for (host, port) in &self.config.hosts {
            match self.connect_to(host, *port).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_to(&self, host: &str, port: u16) -> Result<MultiplexedConnection> {
        let mut login = RedisConnectionInfo::default().set_db(self.config.db);
        if !self.config.password.is_empty() {
            login = login.set_password(&self.config.password);
        }
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_AFTER);
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive)
            .set_user_timeout(TCP_USER_TIMEOUT);
        let address = ConnectionAddr::Tcp(host.to_owned(), port);
        let info = address.into_connection_info()?.set_redis_settings(login).set_tcp_settings(tcp);
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(self.answer_timeout));
        let mut connection =
            Client::open(info)?.get_multiplexed_async_connection_with_config(&settings).await?;
        let (role, ..): (String, redis::Value, redis::Value) =
            redis::cmd("ROLE").query_async(&mut connection).await?;
        if role != "master" {
            return Err(Error::Unavailable(format!("{host}:{port} is a {role}, not the master")));
        }
        Ok(connection)
    }
}

/// What went wrong, still in redis' words where the caller looks at them.
pub(crate) enum Failure {
    Connect(Error),
    Answer(RedisError),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connect(error) => error,
            Failure::Answer(error) => error.into(),
        }
    }
}
