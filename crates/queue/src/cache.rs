use std::time::Duration;

use bytes::Bytes;
use redis::Pipeline;

use crate::{Queue, Result};

/// Cache keys carry a TTL, the stream does not: with `maxmemory-policy volatile-lru` Redis may evict the one, never the other.
impl Queue {
    /// Keeps a value for `ttl`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn cache_put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<()> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SET").arg(key).arg(value).arg("EX").arg(ttl.as_secs().max(1)).ignore();
        Ok(self.connection.ask::<()>(&pipeline).await?)
    }

    /// The value, if it is still there.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn cache_get(&self, key: &str) -> Result<Option<Bytes>> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("GET").arg(key);
        let (value,): (Option<Vec<u8>>,) = self.connection.ask(&pipeline).await?;
        Ok(value.map(Bytes::from))
    }

    /// Forgets the value.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn cache_del(&self, key: &str) -> Result<()> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("DEL").arg(key).ignore();
        Ok(self.connection.ask::<()>(&pipeline).await?)
    }
}
