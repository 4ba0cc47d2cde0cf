//! Redis follows the node's role. The role is durable in a file of the agent's that `redis.conf` includes, so that a
//! restarted Redis is what it was; a running one is told.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use fsm::{Redis, Role};
use host::files::{self, Owner};
use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use tokio::time::timeout;

use crate::config::Config;

const ANSWER: Duration = Duration::from_secs(2);
/// A frozen Redis holds up no decision.
const LOOK: Duration = Duration::from_millis(300);

/// Whom Redis follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follows {
    Nobody,
    Peer { host: String, port: u16 },
}

impl Follows {
    /// The peer's, of a pair.
    pub fn peer(config: &Config) -> Self {
        config.peer().map_or(Self::Nobody, |peer| Self::Peer {
            host: peer.peer_side().to_string(),
            port: config.cluster.ports.redis,
        })
    }

    /// A standby's follows the peer; everybody else's follows nobody.
    pub fn of(config: &Config, role: Role) -> Self {
        if role == Role::Standby { Self::peer(config) } else { Self::Nobody }
    }
}

/// The agent's file.
pub fn path(config: &Config) -> PathBuf {
    config.layout.paths.redis_etc.join("tandem.conf")
}

/// Writes the file where it differs.
pub fn write(config: &Config, follows: &Follows, owner: Owner) -> Result<()> {
    let path = path(config);
    let role = match follows {
        Follows::Nobody => String::new(),
        Follows::Peer { host, port } => format!("replicaof {host} {port}\n"),
    };
    let text = format!("# Written by tandem's agent: this node's role. Every change here is undone.\n{role}");
    if files::read(&path).is_ok_and(|old| old.as_deref() == Some(&text)) {
        return Ok(());
    }
    files::write_durably(&path, 0o640, owner, text.as_bytes())
        .with_context(|| format!("writing {}", path.display()))
}

/// Tells a running Redis; true when it had to change. One that is away reads the file when it comes.
pub async fn tell(config: &Config, follows: &Follows) -> Result<bool> {
    timeout(ANSWER, ask(config, follows)).await.context("Redis did not answer in time")?
}

async fn ask(config: &Config, follows: &Follows) -> Result<bool> {
    let mut redis = connect(config).await?;
    if is(&mut redis).await? == *follows {
        return Ok(false);
    }
    let mut command = redis::cmd("REPLICAOF");
    match follows {
        Follows::Nobody => command.arg("NO").arg("ONE"),
        Follows::Peer { host, port } => command.arg(host).arg(*port),
    };
    command.query_async::<()>(&mut redis).await?;
    Ok(true)
}

/// What a running Redis is, as the failover's table calls it.
pub async fn role(config: &Config) -> Redis {
    let asked = async { is(&mut connect(config).await?).await };
    match timeout(LOOK, asked).await {
        Ok(Ok(Follows::Nobody)) => Redis::Master,
        Ok(Ok(Follows::Peer { .. })) => Redis::ReplicaOfPeer,
        _ => Redis::Down,
    }
}

async fn is(redis: &mut MultiplexedConnection) -> Result<Follows> {
    let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(redis).await?;
    let word = |at: usize| -> Option<String> { redis::from_redis_value(role.get(at)?.clone()).ok() };
    Ok(match word(0).as_deref() {
        Some("slave" | "replica") => Follows::Peer {
            host: word(1).unwrap_or_default(),
            port: word(2).and_then(|p| p.parse().ok()).unwrap_or(0),
        },
        _ => Follows::Nobody,
    })
}

async fn connect(config: &Config) -> Result<MultiplexedConnection> {
    let address = ConnectionAddr::Tcp("127.0.0.1".into(), config.cluster.ports.redis);
    let login = RedisConnectionInfo::default().set_password(&config.secrets.redis);
    let info: ConnectionInfo = address.into_connection_info()?.set_redis_settings(login);
    Ok(redis::Client::open(info)?.get_multiplexed_async_connection().await?)
}
