use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use equivalent::Equivalent;
use metrics::{Counter, Histogram};
use moka::future::Cache;
use queue::Queue;
use store::Store;

use super::document;

/// A user that was asked for once and never changed is served this long while the database is away.
const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// 20,000 extensions at about 1.5 KB each, twice over: strangers' names must not push out real ones at once.
const ENTRIES_MAX: u64 = 40_000;
/// A database that does not answer by then is treated as away.
const LOAD_TIMEOUT: Duration = Duration::from_secs(2);

/// Where an answer came from; the label of `voip_directory_requests_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Cache,
    Database,
    Stale,
    Redis,
    Nowhere,
}

/// Looked up in the recorder once, not for every answer.
struct Counts {
    answers: [Counter; 5],
    seconds: Histogram,
}

impl Counts {
    fn new() -> Self {
        let of =
            |source: &'static str| metrics::counter!("voip_directory_requests_total", "source" => source);
        // In the order of `Source`.
        let answers = ["cache", "database", "stale", "redis", "nowhere"].map(of);
        Self { answers, seconds: metrics::histogram!("voip_directory_seconds") }
    }
}

/// Who is asked for: domain and user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    domain: String,
    user: String,
}

/// The same, borrowed from a request. It hashes as [`Key`] does: the same fields in the same order.
#[derive(Clone, Copy, Hash)]
struct KeyRef<'a> {
    domain: &'a str,
    user: &'a str,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.domain == key.domain && self.user == key.user
    }
}

impl From<KeyRef<'_>> for Key {
    fn from(key: KeyRef<'_>) -> Self {
        Self { domain: key.domain.to_owned(), user: key.user.to_owned() }
    }
}

#[derive(Clone)]
struct Kept {
    /// The document, or none if there is no such user: misses are kept too.
    answer: Option<Bytes>,
    at: Instant,
}

/// Directory answers: this process, then PostgreSQL, and while PostgreSQL is away the last answer known here or in
/// Redis. Redis is never asked while the database answers, so it can never make an answer older than it has to be.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    store: Store,
    queue: Queue,
    kept: Cache<Key, Kept>,
    /// Counts changes, so that an answer read before a change is not kept after it.
    changes: AtomicU64,
    ttl: Duration,
    counts: Counts,
}

impl Directory {
    pub fn new(store: Store, queue: Queue, cache: &crate::config::Cache) -> Self {
        // Without a local cache every answer is loaded, and still kept for the time the database is away.
        let ttl = if cache.enable_local_cache { cache.directory_ttl.0 } else { Duration::ZERO };
        let kept = Cache::builder()
            .max_capacity(ENTRIES_MAX)
            .time_to_live(STALE_MAX)
            .support_invalidation_closures()
            .build();
        Self(Arc::new(Inner { store, queue, kept, changes: AtomicU64::new(0), ttl, counts: Counts::new() }))
    }

    /// Counts an answer that took so long.
    pub fn count(&self, source: Source, took: Duration) {
        self.0.counts.answers[source as usize].increment(1);
        self.0.counts.seconds.record(took.as_secs_f64());
    }

    /// The document of one user, or none if there is no such user.
    ///
    /// # Errors
    /// Nobody knows: the database is away and the user was never asked for.
    pub async fn user(&self, domain: &str, user: &str) -> (Source, Result<Option<Bytes>, store::Error>) {
        let key = KeyRef { domain, user };
        let kept = self.0.kept.get(&key).await;
        let kept = match kept {
            Some(fresh) if fresh.at.elapsed() < self.0.ttl => return (Source::Cache, Ok(fresh.answer)),
            kept => kept,
        };
        // Spawned: FreeSWITCH hanging up must not stop a load that others wait for.
        let loader = self.clone();
        let key = Key::from(key);
        let load = tokio::spawn(async move { loader.0.load(key).await });
        match load.await {
            Ok(Ok(answer)) => (Source::Database, Ok(answer)),
            Ok(Err(error)) => self.0.last_known(kept, domain, user, error).await,
            Err(panicked) => (Source::Nowhere, Err(store::Error::Unavailable(panicked.to_string()))),
        }
    }

    /// Drops what a change made untrue; `user` none drops the whole domain.
    pub async fn changed(&self, domain: &str, user: Option<&str>) {
        self.0.changes.fetch_add(1, Ordering::AcqRel);
        match user {
            Some(user) => {
                self.0.kept.invalidate(&KeyRef { domain, user }).await;
                let _ = self.0.queue.cache_del(&redis_key(domain, user)).await;
            }
            None => {
                let domain = Arc::<str>::from(domain);
                let _ = self.0.kept.invalidate_entries_if(move |key, _| key.domain == *domain);
            }
        }
    }

    /// After the change listener was cut off: what changed meanwhile is not known.
    pub fn changed_unknown(&self) {
        self.0.changes.fetch_add(1, Ordering::AcqRel);
        self.0.kept.invalidate_all();
    }
}

impl Inner {
    async fn load(&self, key: Key) -> Result<Option<Bytes>, store::Error> {
        let changes = self.changes.load(Ordering::Acquire);
        let found = tokio::time::timeout(LOAD_TIMEOUT, self.store.directory_user(&key.domain, &key.user))
            .await
            .map_err(|_| store::Error::Unavailable("the database did not answer in 2 s".into()))??;
        let answer = found.and_then(|user| document::user(&user));
        if self.changes.load(Ordering::Acquire) == changes {
            if let Some(bytes) = &answer {
                self.remember_in_redis(&key, bytes.clone());
            }
            self.kept.insert(key, Kept { answer: answer.clone(), at: Instant::now() }).await;
        }
        Ok(answer)
    }

    fn remember_in_redis(&self, key: &Key, answer: Bytes) {
        let (queue, name) = (self.queue.clone(), redis_key(&key.domain, &key.user));
        tokio::spawn(async move {
            if let Err(error) = queue.cache_put(&name, &answer, STALE_MAX).await {
                tracing::debug!(%error, "directory answer not kept in Redis");
            }
        });
    }

    async fn last_known(
        &self,
        kept: Option<Kept>,
        domain: &str,
        user: &str,
        error: store::Error,
    ) -> (Source, Result<Option<Bytes>, store::Error>) {
        if let Some(stale) = kept {
            return (Source::Stale, Ok(stale.answer));
        }
        match self.queue.cache_get(&redis_key(domain, user)).await {
            Ok(Some(bytes)) => (Source::Redis, Ok(Some(bytes))),
            _ => (Source::Nowhere, Err(error)),
        }
    }
}

fn redis_key(domain: &str, user: &str) -> String {
    format!("dir:{domain}:{user}")
}
