use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
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
    current: Mutex<Option<MultiplexedConnection>>,
}

impl Connection {
    pub(crate) fn new(config: Arc<QueueConfig>, answer_timeout: Duration) -> Self {
        Self { config, answer_timeout, current: Mutex::new(None) }
    }

    /// Sends one command. Its error keeps Redis' own code, which a pipeline's hides.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let mut connection = self.get().await.map_err(Failure::Connect)?;
        self.judged(command.query_async(&mut connection).await).await
    }

    /// Sends several commands in one round trip.
    pub(crate) async fn ask_all<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Failure> {
        let mut connection = self.get().await.map_err(Failure::Connect)?;
        self.judged(pipeline.query_async(&mut connection).await).await
    }

    async fn judged<T>(&self, answer: redis::RedisResult<T>) -> Result<T, Failure> {
        if answer.as_ref().is_err_and(spoils_connection) {
            self.current.lock().await.take();
        }
        answer.map_err(Failure::Answer)
    }

    async fn get(&self) -> Result<MultiplexedConnection> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let connection = self.connect().await?;
        *current = Some(connection.clone());
        Ok(connection)
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
        let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(TCP_USER_TIMEOUT);
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
