//! Two agents, two real PostgreSQL servers. The service manager alone is a double: it runs `pg_ctl` as systemd would.
//!
//! As root only: the servers have a user of their own, and PostgreSQL knows root by `pg_ident.conf`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use fsm::{Mode, Role, State};
use nix::unistd::{Uid, User};
use spec::{Ports, Secrets};
use tokio::task::JoinSet;

use super::client::Client;
use super::orders::Order;
use super::{Agent, http, run, tokens};
use crate::apply::{AGENT, has_no_role, standby_is_there};
use crate::config::Config;
use crate::fixtures;
use crate::join::ask;
use crate::join::wire::{Again, Joined, Progress, Terms};
use crate::observe::{Snapshot, Transition};
use crate::places::Places;
use crate::postgresql::base_copy::{self, Old, Source};
use crate::postgresql::session::Commits;
use crate::postgresql::{Server, cluster};
use crate::services::Services;
use crate::{command, state};

/// `pg_ctl` in systemd's place; one server a node.
struct PgCtl {
    bin: PathBuf,
    data: PathBuf,
    etc: PathBuf,
    restarting: AtomicBool,
}

impl PgCtl {
    fn run(&self, what: &str) -> Result<()> {
        let user = command::user("postgres", "postgresql")?;
        let config = format!("-c config_file={}", self.etc.join("postgresql.conf").display());
        let mut pg_ctl = command::as_user(&self.bin.join("pg_ctl"), &user);
        pg_ctl.args([what, "-w", "-t", "30", "-m", "immediate", "-D"]).arg(&self.data).arg("-l");
        pg_ctl.arg(self.data.with_extension("log")).args(["-o", &config]);
        command::run(&mut pg_ctl, what)
    }
}

impl Services for PgCtl {
    fn daemon_reload(&self) -> Result<()> {
        Ok(())
    }
    fn exists(&self, _: &str) -> bool {
        true
    }
    fn is_active(&self, _: &str) -> bool {
        cluster::is_running(&self.data)
    }
    fn is_restarting(&self, unit: &str) -> bool {
        unit == AGENT && self.restarting.load(Ordering::Relaxed)
    }
    fn is_enabled(&self, _: &str) -> bool {
        true
    }
    fn enable(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn disable(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn start(&self, _: &str) -> Result<()> {
        self.run("start")
    }
    fn stop(&self, _: &str) -> Result<()> {
        self.run("stop")
    }
    fn kill(&self, _: &str) -> Result<()> {
        let lock = std::fs::read_to_string(self.data.join("postmaster.pid"))?;
        let pid = lock.lines().next().unwrap_or_default();
        command::run(Command::new("kill").args(["-9", pid]), "kill")
    }
    fn restart(&self, _: &str) -> Result<()> {
        self.run("restart")
    }
    fn reload(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn last_words(&self, _: &str) -> String {
        String::new()
    }
}

/// One node below a folder of its own; its server is stopped with it.
struct Node {
    places: Places,
    config: Config,
    services: Arc<PgCtl>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.services.run("stop");
    }
}

impl Node {
    fn new(root: &Path, name: &str, secrets: &Secrets, ports: &Ports) -> Self {
        let root = root.join(name);
        let config = fixtures::config_below(&root, name, secrets, ports);
        let paths = &config.layout.paths;
        for folder in [&paths.postgresql_socket, &root.join("lib"), &paths.postgresql_etc, &paths.redis_etc] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let address = config.node().unwrap().address;
        let conf = format!(
            "listen_addresses = '{address}'\nport = {}\nunix_socket_directories = '{}'\nhba_file = '{}'\nident_file = '{}'\n\
             fsync = off\nwal_keep_size = 64MB\nrestart_after_crash = off\nwal_level = replica\nmax_wal_senders = 10\nhot_standby = on\ninclude_dir = 'conf.d'\n",
            ports.postgresql,
            paths.postgresql_socket.display(),
            paths.postgresql_etc.join(render::HBA_NOW).display(),
            paths.postgresql_etc.join("pg_ident.conf").display(),
        );
        let closed = "local all postgres peer map=tandem\n\
            host replication,postgres replicator 127.0.0.0/8 scram-sha-256\n";
        let open = format!("{closed}host postgres client 127.0.0.0/8 trust\n");
        for (file, text) in [
            ("postgresql.conf", conf.as_str()),
            ("pg_hba.conf", open.as_str()),
            ("pg_hba_closed.conf", closed),
            ("pg_ident.conf", "tandem root postgres\ntandem postgres postgres\n"),
        ] {
            std::fs::write(paths.postgresql_etc.join(file), text).unwrap();
        }
        std::fs::create_dir_all(root.join("run/tandem")).unwrap();
        assert!(Command::new("chown").args(["-R", "postgres"]).arg(&root).status().unwrap().success());
        let services = Arc::new(PgCtl {
            bin: paths.postgresql_bin.clone(),
            data: paths.postgresql_data.clone(),
            etc: paths.postgresql_etc.clone(),
            restarting: AtomicBool::new(false),
        });
        Self { places: Places::below(&root), config, services }
    }

    fn agent(&self) -> Arc<Agent> {
        Agent::new(self.places.clone(), self.config.clone(), self.services.clone()).unwrap()
    }

    /// The agent with all its tasks; they end when the second is dropped.
    fn alive(&self) -> (Arc<Agent>, JoinSet<()>) {
        let agent = self.agent();
        let tasks = run::tasks(&agent).unwrap();
        (agent, tasks)
    }

    /// As by a power loss, but for the disk.
    async fn dies(&self, tasks: JoinSet<()>) {
        drop(tasks);
        if cluster::is_running(&self.services.data) {
            self.services.kill("").unwrap();
            // The postmaster's children see that they are alone a moment later.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// keepalived may hold the address here.
    fn offers(&self) -> bool {
        std::fs::read_to_string(self.places.role()).is_ok_and(|text| text == "1\n")
    }

    fn is(&self, role: Role, mode: Mode, epoch: u64) -> bool {
        let state = self.state();
        (state.role, state.mode, state.epoch) == (role, mode, epoch)
    }

    fn is_promotable(&self) -> bool {
        let state = self.state();
        state.flag.is_some_and(|flag| (flag.epoch, flag.join) == (state.epoch, state.join))
    }

    /// A commit that waits for the standby.
    async fn insert(&self, n: i32) -> Result<()> {
        let sql = Server::of(&self.config).connect(Commits::Synchronous).await?;
        sql.execute("INSERT INTO t VALUES ($1)", &[&n]).await?;
        Ok(())
    }

    fn state(&self) -> State {
        state::load(&self.places, fixtures::CLUSTER, &self.config.name).unwrap().unwrap()
    }

    async fn listen(&self, agent: &Arc<Agent>) {
        let address = (self.config.node().unwrap().address, self.config.cluster.ports.agent);
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        tokio::spawn(http::accept(http::router(Arc::clone(agent)), listener));
    }
}

async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// What must come true within half a minute.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not in thirty seconds: {what}");
}

fn error<T>(done: Result<T>) -> String {
    format!("{:#}", done.err().expect("it was refused"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_node_set_up_afresh_does_not_begin_beside_the_other() {
    if !Uid::effective().is_root() || User::from_name("postgres").ok().flatten().is_none() {
        eprintln!("SKIPPED: not root, or no user 'postgres'");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ports = Ports { agent: testkit::free_port(), ..Ports::default() };
    let secrets = fixtures::config("n1").secrets;
    let n1 = Node::new(dir.path(), "n1", &secrets, &ports);
    let n2 = Node::new(dir.path(), "n2", &secrets, &ports);
    let asks = |config: &Config| {
        let config = config.clone();
        blocking(move || has_no_role(&config))
    };
    asks(&n1.config).await.expect("nobody listens there: it is not set up yet");

    let other = n2.agent();
    n2.listen(&other).await;
    assert!(error(asks(&n1.config).await).contains("no snapshot yet"));
    let snapshot = |role: Option<&str>| {
        let now = jiff::Timestamp::now();
        let said = serde_json::json!({ "node": "n2", "cluster": "test", "cluster_id": fixtures::CLUSTER,
            "version": "0", "sampled_at": now, "role": role });
        serde_json::from_value::<Snapshot>(said).unwrap()
    };
    other.snapshot.send_replace(Some(snapshot(None)));
    asks(&n1.config).await.expect("it runs, but was never anything");
    let had_one = Transition {
        at: jiff::Timestamp::now(),
        from: "none".into(),
        to: "primary".into(),
        reason: String::new(),
    };
    let damaged = Snapshot { transitions: vec![had_one], ..snapshot(None) };
    other.snapshot.send_replace(Some(damaged));
    assert!(error(asks(&n1.config).await).contains("the only copy"));
    for (role, says) in [("primary", "tandem join 127.0.0.12"), ("standby", "the only copy")] {
        other.snapshot.send_replace(Some(snapshot(Some(role))));
        let told = error(asks(&n1.config).await);
        assert!(told.contains(&format!("n2 is {role}")) && told.contains(says), "{told}");
    }
    // `tandem init` made new secrets: the other does not know them, and there is one all the same.
    let mut afresh = n1.config.clone();
    afresh.secrets = fixtures::config("n1").secrets;
    let told = error(asks(&afresh).await);
    assert!(told.contains("not signed with this cluster's key") && told.contains("tandem invite"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_become_a_pair_and_survive_each_other() {
    let postgres = User::from_name("postgres").ok().flatten();
    let (true, Some(user)) = (Uid::effective().is_root(), postgres) else {
        eprintln!("SKIPPED: not root, or no user 'postgres': two servers of another user cannot be run");
        return;
    };
    // Shown when the test fails.
    let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::INFO).try_init();
    let dir = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let ports = Ports {
        postgresql: testkit::free_port(),
        agent: testkit::free_port(),
        redis: testkit::free_port(),
        ..Ports::default()
    };
    let secrets = fixtures::config("n1").secrets;
    let n1 = Node::new(dir.path(), "n1", &secrets, &ports);
    let n2 = Node::new(dir.path(), "n2", &secrets, &ports);

    // The first node: a primary that waits for nobody.
    cluster::make(&n1.services.bin, &n1.config.layout.paths.postgresql_data, &user).unwrap();
    assert_eq!(cluster::content(&n1.services.data).unwrap(), cluster::Content::Pristine);
    assert!(
        !cluster::ensure_checksums(&n1.services.bin, &n1.services.data, &user).unwrap(),
        "made with checksums"
    );
    state::save(&n1.places, &State::first_primary(fixtures::CLUSTER, "n1"), "first node").unwrap();
    std::fs::create_dir_all(n1.places.etc()).unwrap();
    std::fs::write(n1.places.etc().join(spec::CLUSTER_FILE), "the cluster").unwrap();
    std::fs::write(n1.places.etc().join(spec::SECRETS_FILE), "the secrets").unwrap();
    let (first, first_tasks) = n1.alive();
    until("the address on n1", async || n1.offers()).await;
    let sql = first.server.connect(Commits::Synchronous).await.unwrap();
    sql.batch_execute(&format!(
        "CREATE ROLE replicator LOGIN REPLICATION PASSWORD '{}'; CREATE TABLE t (n int)",
        secrets.db_replicator
    ))
    .await
    .unwrap();

    // Who may join, and who may not.
    let base = format!("http://127.0.0.11:{}", ports.agent);
    let token = tokens::make(&n1.places.tokens(), jiff::Timestamp::now().as_second()).unwrap();
    let major = n2.config.postgresql_major();
    let joins = {
        let (base, major) = (base.clone(), major.clone());
        move |token: &str, node: Option<&str>, version: Option<&str>| {
            ask::with_token(&base, token, node, version.unwrap_or(&major))
        }
    };
    let (welcome, refused) = blocking({
        let token = token.clone();
        move || {
            let wrong = token.replace(&token[20..30], "0123456789");
            let refused = [
                error(joins(&wrong, None, None)),
                error(joins(&token, None, Some("9"))),
                error(joins(&token, Some("n7"), None)),
            ];
            let welcome = joins(&token, Some("n2"), None).unwrap();
            (welcome, [refused.as_slice(), &[error(joins(&token, None, None))]].concat())
        }
    })
    .await;
    for (said, says) in
        refused.iter().zip(["not one of this node's", "and 9 there", "not 'n7'", "used already"])
    {
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(
        (welcome.cluster_yaml.as_str(), welcome.secrets_yaml.as_str()),
        ("the cluster", "the secrets")
    );
    let terms = welcome.terms;
    assert_eq!((terms.primary.as_str(), terms.node.as_str(), terms.at.join), ("n1", "n2", 1));

    // Signed with the right key, and yet not admitted: under the receiver's own name, or for another receiver.
    let own_name = n1.config.clone();
    let (itself, mut astray) = (own_name.node().unwrap().clone(), n2.config.clone());
    let refused = blocking(move || {
        let again = Again { postgresql: "15".into() };
        let ask = |config: &Config, to: &spec::Node| {
            let at = [127, 0, 0, 11].into();
            error(Client::new(config, to, at, Duration::from_secs(5)).post::<Terms>("/joining", &again))
        };
        let reflected = ask(&own_name, &itself);
        let n2 = astray.node().unwrap().clone();
        let for_another = ask(&astray, &n2);
        astray.name = "n3".into();
        [reflected, for_another, ask(&astray, &itself)]
    })
    .await;
    for (said, says) in refused.iter().zip(["only the other node", "not signed", "only the other node"]) {
        assert!(said.contains(says), "{said}");
    }

    // The copy; one that is in the way is somebody's and stays.
    let config = n2.config.clone();
    std::fs::create_dir_all(n2.services.data.join("base/5")).unwrap();
    std::fs::write(n2.services.data.join("PG_VERSION"), "15").unwrap();
    std::fs::write(n2.services.data.join("base/5/16384"), "somebody's table").unwrap();
    let copied = terms.clone();
    let (bin, data) = (n2.services.bin.clone(), n2.services.data.clone());
    blocking(move || {
        std::fs::create_dir_all(cluster::beside(&data, "joining/half")).unwrap();
        let source = Source { address: copied.address, size_bytes: copied.size_bytes };
        base_copy::take(&config, source, &user, Old::Keep("20260101T000000Z")).unwrap();
        assert!(!cluster::ensure_checksums(&bin, &data, &user).unwrap());
    })
    .await;
    let kept = cluster::beside(&n2.services.data, "kept-20260101T000000Z");
    assert!(kept.join("base/5/16384").exists(), "a stranger's data went");

    // Not the standby yet: nobody waits.
    let at = terms.at;
    let asked = n2.config.clone();
    let client = Arc::new(Client::of_peer(&asked, Duration::from_secs(30)).unwrap());
    let post = |client: &Arc<Client>| {
        let client = Arc::clone(client);
        blocking(move || client.post::<Progress>("/joined", &Joined { at }))
    };
    assert!(matches!(post(&client).await.unwrap(), Progress::Waiting { .. }));
    state::save(&n2.places, &State::joined_standby(fixtures::CLUSTER, "n2", "n1", at), "joined").unwrap();
    let (second, second_tasks) = n2.alive();
    until("the pair", async || n1.is(Role::Primary, Mode::Paired, 1) && n2.is_promotable()).await;
    assert!(!n2.offers() && n1.offers());
    let paired = post(&client).await.unwrap();
    assert!(matches!(&paired, Progress::Paired { sync_state } if sync_state == "sync"), "{paired:?}");
    n1.insert(1).await.unwrap();

    // A restart of the agent leaves the address where it is, a stop does not.
    drop(first_tasks);
    for (restarting, role) in [(true, "1\n"), (false, "0\n")] {
        n1.services.restarting.store(restarting, Ordering::Relaxed);
        first.leave().await.unwrap();
        assert_eq!(std::fs::read_to_string(n1.places.role()).unwrap(), role);
    }
    drop(first);
    // One that was away for a moment is not missed; its role is in effect as before.
    let (first, first_tasks) = n1.alive();
    until("the address again", async || n1.offers()).await;
    assert!(n1.is(Role::Primary, Mode::Paired, 1) && n2.is(Role::Standby, Mode::Paired, 1));

    // What somebody overrules is put right.
    let sql = first.server.connect(Commits::Local).await.unwrap();
    sql.batch_execute("ALTER SYSTEM SET synchronous_standby_names = ''").await.unwrap();
    sql.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let trouble = |agent: &Arc<Agent>| agent.doing.borrow().trouble.clone().unwrap_or_default();
    until("the names are back", async || {
        let new = first.server.connect(Commits::Local).await.unwrap();
        let row = new.query_one("SHOW synchronous_standby_names", &[]).await.unwrap();
        row.get::<_, String>(0) == "\"n2_e1_j1\""
    })
    .await;

    // Joining twice, and to the standby.
    let twice = blocking({
        let client = Arc::clone(&client);
        move || error(client.post::<Terms>("/joining", &Again { postgresql: major }))
    })
    .await;
    assert!(twice.contains("joined already"), "{twice}");
    let to_standby =
        blocking(move || error(ask::with_token(&base.replace(".11:", ".12:"), &token, None, "15"))).await;
    assert!(
        to_standby.contains("is standby") && to_standby.contains("tandem join 127.0.0.11"),
        "{to_standby}"
    );

    // The standby is gone: a commit waits, the address stays, and what to type is said.
    n2.dies(second_tasks).await;
    drop(second);
    let waits = tokio::time::timeout(Duration::from_secs(2), n1.insert(2)).await;
    assert!(waits.is_err(), "a paired primary acknowledged alone: {waits:?}");
    let cure = first.doing.borrow().cure.clone().unwrap_or_default();
    assert!(cure.contains("tandem solo --peer-is-dead") && n1.offers(), "{cure}");
    let server = first.server.clone();
    let told = error(blocking(move || standby_is_there(&server, Duration::ZERO)).await);
    assert!(told.contains("waits for its standby n2_e1_j1"), "{told}");
    // Back in the same boot its flag stands; it streams on in the same join.
    let (second, second_tasks) = n2.alive();
    tokio::time::timeout(Duration::from_secs(20), n1.insert(3)).await.expect("the standby is back").unwrap();
    assert!(n1.is(Role::Primary, Mode::Paired, 1) && n1.state().join == 1 && n2.is_promotable());

    // The primary's postmaster dies: it is started in place.
    n1.services.kill("").unwrap();
    until("PostgreSQL again", async || n1.insert(4).await.is_ok()).await;
    assert!(n1.is(Role::Primary, Mode::Paired, 1), "{:?}", n1.state());

    // The primary dies with commits that its standby never saw: the standby takes over, the dead one rejoins by itself.
    n1.dies(first_tasks).await;
    drop(first);
    until("the take-over", async || n2.is(Role::Primary, Mode::Solo, 2) && n2.offers()).await;
    n2.insert(5).await.unwrap();
    let (first, first_tasks) = n1.alive();
    until("the rejoin", async || n1.is(Role::Standby, Mode::Paired, 2) && n1.is_promotable()).await;
    assert!(n2.is(Role::Primary, Mode::Paired, 2) && !n1.offers());
    n2.insert(6).await.unwrap();
    // A slot of its time as primary would keep log on a standby for ever.
    let slots = first.server.connect(Commits::Local).await.unwrap();
    let slots = slots.query_one("SELECT count(*) FROM pg_replication_slots", &[]).await.unwrap();
    assert_eq!(slots.get::<_, i64>(0), 0);

    // Somebody drops the standby's slot: it is made again, and the pair goes on.
    let sql = second.server.connect(Commits::Local).await.unwrap();
    let drop_slot = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots; SELECT pg_sleep(0.2); \
         SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active";
    until("the slot is gone", async || {
        let _ = sql.batch_execute(drop_slot).await;
        ["primary: slot", "paired: behind"].contains(&second.doing.borrow().row.as_str())
    })
    .await;
    until("the pair", async || n2.insert(61).await.is_ok() && n1.is_promotable()).await;

    // A planned switchover, typed on the standby.
    let done = first.order(Order::Switchover).await;
    assert!(done.done, "{done:?}");
    until("the switchover", async || n1.is(Role::Primary, Mode::Paired, 3) && n2.is_promotable()).await;
    assert!(n1.offers() && !n2.offers());
    n1.insert(7).await.unwrap();
    let rows = first.server.connect(Commits::Local).await.unwrap();
    let rows = rows.query_one("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t", &[]).await.unwrap();
    // 2 was never acknowledged; it may be there.
    assert_eq!(rows.get::<_, String>(0).replace(" 2 ", " "), "1 3 4 5 6 7 61");

    // What a person may type, and what not.
    let solo = Order::Solo { peer_is_off: true, peer_did_not_take_over: true, force: false };
    let refused = first.order(solo).await;
    assert!(!refused.done && refused.words.contains("its machine answers"), "{refused:?}");
    let refused = second.order(Order::Rejoin).await;
    assert!(!refused.done && refused.words.contains("standby"), "{refused:?}");
    let refused = first.order(Order::Maintenance { on: true }).await;
    assert!(!refused.done && refused.words.contains("tandem switchover"), "{refused:?}");
    // A standby in maintenance gives its join up, and the primary goes on alone; afterwards they pair again.
    assert!(second.order(Order::Maintenance { on: true }).await.done);
    until("solo", async || n1.is(Role::Primary, Mode::Solo, 4)).await;
    assert!(!cluster::is_running(&n2.services.data));
    n1.insert(8).await.unwrap();
    assert!(second.order(Order::Maintenance { on: false }).await.done);
    until("the pair again", async || n1.is(Role::Primary, Mode::Paired, 4) && n2.is_promotable()).await;

    // The standby is off and a person says so; but its machine, which is this one, answers.
    n2.dies(second_tasks).await;
    drop(second);
    until("it is missed", async || !first.doing.borrow().peer_hears).await;
    let unsure = Order::Solo { peer_is_off: true, peer_did_not_take_over: false, force: true };
    assert!(!first.order(unsure).await.done);
    let refused = first.order(solo).await;
    assert!(!refused.done && refused.words.contains("its machine answers"), "{refused:?}");
    let forced = Order::Solo { peer_is_off: true, peer_did_not_take_over: true, force: true };
    let done = first.order(forced).await;
    assert!(done.done, "{done:?}");
    n1.insert(9).await.unwrap();
    assert!(n1.state().forced && n1.is(Role::Primary, Mode::Solo, 5));

    // A state file that cannot be trusted: the server is stopped, its data kept.
    drop(first_tasks);
    drop(first);
    std::fs::write(n1.places.state(), "{\"role\":").unwrap();
    let (first, first_tasks) = n1.alive();
    until("it holds", async || !cluster::is_running(&n1.services.data)).await;
    let cure = first.doing.borrow().cure.clone().unwrap_or_default();
    assert!(
        cure.contains("damaged") && n1.services.data.join("PG_VERSION").exists() && !n1.offers(),
        "{cure}"
    );
    drop(first_tasks);
    // And a standby's data is never started as a primary's.
    let mut wrong = n2.state();
    wrong.role = Role::Primary;
    state::save(&n2.places, &wrong, "a mistake").unwrap();
    let (second, _second_tasks) = n2.alive();
    until("it is refused", async || trouble(&second).contains("a standby's")).await;
    assert!(!cluster::is_running(&n2.services.data));
}
