//! The daemon's life: load, bind, open the journal, serve, drain, close. In this order, so that nothing is taken in
//! before there is a place to keep it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use journal::{Journal, Limits};
use queue::Queue;
use store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cdr::intake::{Intake, Pushed};
use crate::cdr::open::Watch;
use crate::cdr::sessions::{Sessions, records};
use crate::cdr::{Kind, partitions, pump::Pump, receipts, sweep::Sweeper, worker::Worker};
use crate::config::{self, Config, Durability};
use crate::directory::cache::Directory;
use crate::http::caller::Keys;
use crate::http::engines::EngineDoor;
use crate::http::router::{App, Parts, router};
use crate::http::server;
use crate::live::changes;
use crate::observe::health::Health;
use crate::observe::logging::{self, LevelHandle};
use crate::observe::metrics;
use crate::recordings::{Recordings, keeper::Keeper, peer};

/// How long the background tasks may take to finish what they hold; the journal keeps what they do not finish.
const TASKS_DRAIN: Duration = Duration::from_secs(10);

const JOURNAL_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What kept the daemon from starting, with the cure.
pub fn run(config: Config, path: &Path) -> anyhow::Result<()> {
    let level = logging::start(&config.logging);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(serve(config, path.to_owned(), level));
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn serve(config: Config, path: PathBuf, level: LevelHandle) -> anyhow::Result<()> {
    let listener = server::bind(&config.server)?;
    let metrics = metrics::install()?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let (app, journal) = start(&config, metrics.clone(), &tasks, &stop)?;
    tasks.spawn(cancelled_by(stop.clone(), metrics::upkeep(metrics)));
    tasks.spawn(cancelled_by(stop.clone(), reload_level(path, level)));

    tracing::info!(node = config.node.name, address = %listener.local_addr()?, "ready to take calls' records");
    // No service manager is no error: dev runs without one.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tasks.spawn(cancelled_by(stop.clone(), keep_watchdog_calm()));
    let routes = router(app, config.server.write_timeout.0);
    let mut failed = None;
    let told_to_stop = async {
        tokio::select! {
            () = terminated() => {}
            reason = broken(&journal) => failed = Some(reason),
        }
    };
    let served = server::serve(listener, config.server.read_timeout.0, routes, told_to_stop).await;

    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(TASKS_DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!("stopped before the queue was drained; the journal keeps the rest for the next start");
    }
    journal.close().await;
    tracing::info!("stopped");
    served.context("serving HTTP")?;
    match failed {
        Some(reason) => {
            anyhow::bail!("the journal failed ({reason}); started again, it is read back (docs/runbook.md)")
        }
        None => Ok(()),
    }
}

/// Tells systemd twice a period that the runtime still runs tasks (sd_watchdog_enabled(3)); without WatchdogSec nothing.
async fn keep_watchdog_calm() {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval(period / 2);
    loop {
        beat.tick().await;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    }
}

/// Resolves when the journal has stopped taking records for good: only opening it anew shows what the disk really has.
async fn broken(journal: &Journal) -> Arc<str> {
    let mut look = tokio::time::interval(JOURNAL_LOOK_EVERY);
    loop {
        look.tick().await;
        if let Some(reason) = journal.stats().broken {
            tracing::error!(%reason, "the journal failed; stopping, so that it is opened anew (docs/runbook.md#journal)");
            return reason;
        }
    }
}

/// Opens the journal, makes the clients (which connect by themselves, whenever the engines are there) and starts the
/// background tasks.
///
/// # Errors
/// A journal that cannot be opened: without one no CDR may be acknowledged.
pub fn start(
    config: &Config,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<(App, Arc<Journal>)> {
    let cdr = &config.cdr;
    let limits = Limits { journal_bytes_max: cdr.journal_max.0, ..Limits::default() };
    let (journal, recovery) = Journal::open(&cdr.journal_dir, limits)
        .with_context(|| format!("opening the journal in {} (cdr.journal_dir)", cdr.journal_dir.display()))?;
    let journal = Arc::new(journal);
    if recovery.needs_attention() {
        tracing::error!(?recovery, "the journal could not be read in full (docs/runbook.md#journal)");
    }
    tracing::info!(?recovery, dir = %cdr.journal_dir.display(), "journal open");

    let store = Store::connect(store_config(&config.database))?;
    let queue = Queue::new(queue_config(config));
    let appended = Arc::new(Notify::new());
    let (pushed_tx, pushed) = watch::channel(Pushed::Down);
    let peers = config.database.host.to_vec().len() > 1;
    let strict = cdr.durability == Durability::Strict;
    let intake = Intake::new(Arc::clone(&journal), Arc::clone(&appended), pushed, peers, strict);
    let directory = Directory::new(store.clone(), queue.clone(), &config.cache);
    let keys = Keys::new(store.clone());

    let node = config.node.name.clone();
    let pump = Pump {
        journal: journal.clone(),
        queue: queue.clone(),
        node: node.clone(),
        appended,
        pushed: pushed_tx,
        has_peer: peers,
    };
    tasks.spawn(pump.run(stop.clone()));
    let reader = Arc::new(Mutex::new(queue.reader(&node)));
    for _ in 0..cdr.workers.get() {
        let worker = Worker {
            queue: queue.clone(),
            reader: Arc::clone(&reader),
            store: store.clone(),
            batch_size: cdr.batch_size.as_usize(),
            batch_timeout: cdr.batch_timeout.0,
        };
        tasks.spawn(worker.run(stop.clone()));
    }
    let spools = [(&cdr.spool_dir, Kind::Freeswitch), (&cdr.kamailio_spool_dir, Kind::Kamailio)];
    for (dir, kind) in spools {
        if let Some(dir) = dir.clone() {
            tasks.spawn(Sweeper { dir, kind, intake: intake.clone() }.run(stop.clone()));
        }
    }
    if let Some(watch) = Watch::new(&config.freeswitch, intake.clone(), store.clone()) {
        tasks.spawn(cancelled_by(stop.clone(), watch.run()));
    }
    if let Some(sessions) = Sessions::new(&config.freeswitch, &node, store.clone()) {
        tasks.spawn(cancelled_by(stop.clone(), sessions.run()));
    }
    let (found, records) = watch::channel(None);
    tasks.spawn(cancelled_by(stop.clone(), records::keep_looking(store.clone(), found)));
    tasks.spawn(cancelled_by(stop.clone(), partitions::keep_ahead(store.clone())));
    tasks.spawn(cancelled_by(stop.clone(), watch(store.clone())));
    tasks.spawn(receipts::run(journal.clone(), store.clone(), stop.clone()));
    let recordings = Recordings::new(&node, &config.recordings);
    let keeper = Keeper {
        store: store.clone(),
        recordings: recordings.clone(),
        every: config.recordings.check_every.0,
        again: config.recordings.check_again.0,
    };
    tasks.spawn(cancelled_by(stop.clone(), keeper.run()));
    let followers = changes::Followers::new(directory.clone(), keys.clone(), config);
    tasks.spawn(cancelled_by(stop.clone(), changes::follow(store.clone(), followers)));

    let app = App::from(Parts {
        intake,
        directory,
        keys,
        door: EngineDoor::new(&config.fs),
        peer_door: peer::door(&config.recordings),
        health: Health {
            store: store.clone(),
            queue,
            journal: journal.clone(),
            records,
            recordings: recordings.clone(),
            node: node.into(),
        },
        recordings,
        store,
        metrics,
        watchers: config.metrics.allow.clone().into(),
    });
    Ok((app, journal))
}

fn store_config(database: &config::Database) -> store::StoreConfig {
    let (name, user, password) = (&database.database, &database.user, database.password.expose());
    store::StoreConfig {
        hosts: database.host.to_vec().into_iter().map(|h| (h, database.port.get() as u16)).collect(),
        connections_max: database.max_open_conns.as_usize(),
        connections_idle_max: database.max_idle_conns.as_usize(),
        connection_age_max: database.conn_max_lifetime.0,
        ..store::StoreConfig::new("", 0, name, user, password)
    }
}

fn queue_config(config: &Config) -> queue::QueueConfig {
    let redis = &config.redis;
    queue::QueueConfig {
        hosts: redis.host.to_vec().into_iter().map(|h| (h, redis.port.get() as u16)).collect(),
        password: redis.password.expose().to_owned(),
        db: redis.db.get() as i64,
        stream: config.cdr.queue_name.clone(),
    }
}

async fn cancelled_by(stop: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = task => {}
    }
}

async fn terminated() {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut stream) => drop(stream.recv().await),
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals; stop with SIGKILL, the journal is safe");
            std::future::pending().await
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
    tracing::info!("asked to stop; finishing what is in progress");
}

async fn watch(store: Store) {
    store.watch().await;
}

/// SIGHUP re-reads the log level; a file that is wrong by then changes nothing.
async fn reload_level(path: PathBuf, level: LevelHandle) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        match config::load(&path, |name| std::env::var(name).ok()) {
            Ok(config) => {
                level.set(config.logging.level);
                tracing::info!(level = ?config.logging.level, "log level re-read");
            }
            Err(error) => tracing::warn!(%error, "configuration not re-read"),
        }
    }
}
