//! The directory's answers, kept for both nodes.

use std::time::Duration;

use bytes::Bytes;

use crate::{Queue, Result};

/// Cache keys carry a TTL, the stream does not: with `maxmemory-policy volatile-lru` Redis may evict the one, never the other.
impl Queue {
    /// Keeps a value for `ttl`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn cache_put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<()> {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(value).arg("EX").arg(ttl.as_secs().max(1));
        Ok(self.connection.ask::<()>(&set).await?)
    }

    /// The value, if it is still there.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn cache_get(&self, key: &str) -> Result<Option<Bytes>> {
        let value: Option<Vec<u8>> = self.connection.ask(redis::cmd("GET").arg(key)).await?;
        Ok(value.map(Bytes::from))
    }

    /// Forgets the value.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn cache_del(&self, key: &str) -> Result<()> {
        Ok(self.connection.ask::<()>(redis::cmd("DEL").arg(key)).await?)
    }
}
