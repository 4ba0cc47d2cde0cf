//! Two agents, two real PostgreSQL servers. The service manager alone is a double: it runs `pg_ctl` as systemd would.
//!
//! As root only: the servers have a user of their own, and PostgreSQL knows root by `pg_ident.conf`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use fsm::{Mode, Role, Standby, State};
use nix::unistd::{Uid, User};
use spec::{Ports, Secrets};

use super::client::Client;
use super::{Agent, http, tokens};
use crate::apply::{AGENT, has_no_role, standby_is_there};
use crate::config::Config;
use crate::fixtures;
use crate::join::wire::{Again, Joined, Progress, Terms};
use crate::join::{ask, copy};
use crate::observe::{Snapshot, Transition};
use crate::places::Places;
use crate::postgresql::cluster;
use crate::postgresql::include::{self, Names};
use crate::postgresql::session::Commits;
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
             fsync = off\nwal_level = replica\nmax_wal_senders = 10\nhot_standby = on\ninclude_dir = 'conf.d'\n",
            ports.postgresql,
            paths.postgresql_socket.display(),
            paths.postgresql_etc.join("pg_hba.conf").display(),
            paths.postgresql_etc.join("pg_ident.conf").display(),
        );
        let hba =
            "local all postgres peer map=tandem\nhost replication replicator 127.0.0.0/8 scram-sha-256\n";
        for (file, text) in [
            ("postgresql.conf", conf.as_str()),
            ("pg_hba.conf", hba),
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

    fn state(&self) -> State {
        state::load(&self.places, fixtures::CLUSTER, &self.config.name).unwrap().unwrap()
    }

    async fn listen(&self, agent: &Arc<Agent>) {
        let address = (self.config.node().unwrap().address, self.config.cluster.ports.agent);
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        tokio::spawn(http::accept(http::router(Arc::clone(agent)), listener));
    }
}

/// There is no Redis in these tests: everything before it must be done all the same.
async fn keep_role(agent: &Arc<Agent>) {
    let problem = agent.keep_role().await.unwrap_err();
    assert!(format!("{problem:#}").contains("Redis"), "{problem:#}");
}

async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// What must come true within ten seconds.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..100 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not come true in ten seconds");
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
async fn a_standby_joins_with_a_token_and_is_waited_for() {
    let postgres = User::from_name("postgres").ok().flatten();
    let (true, Some(user)) = (Uid::effective().is_root(), postgres) else {
        eprintln!("SKIPPED: not root, or no user 'postgres': two servers of another user cannot be run");
        return;
    };
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
    let first = n1.agent();
    keep_role(&first).await;
    assert_eq!(std::fs::read_to_string(n1.places.role()).unwrap(), "1\n");
    let sql = first.server.connect(Commits::Synchronous).await.unwrap();
    sql.batch_execute(&format!(
        "CREATE ROLE replicator LOGIN REPLICATION PASSWORD '{}'; CREATE TABLE t (n int)",
        secrets.db_replicator
    ))
    .await
    .unwrap();
    n1.listen(&first).await;

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
    let joins_too = joins.clone();
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

    // A stranger is refused while the role is being changed: he neither waits for that nor is waited for.
    let changing = first.held.lock().await;
    let (joins, wrong) = (joins_too, token.replace(&token[20..30], "0123456789"));
    let stranger = blocking(move || error(joins(&wrong, None, None)));
    let told = tokio::time::timeout(Duration::from_secs(5), stranger).await.expect("refused at once");
    assert!(told.contains("not one of this node's"), "{told}");
    drop(changing);

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
        copy::take(&config, &copied, &user, "20260101T000000Z").unwrap();
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
    let second = n2.agent();
    keep_role(&second).await;
    assert_eq!(std::fs::read_to_string(n2.places.role()).unwrap(), "0\n");
    // Who asks is away before the barrier is through: what was begun is done to its end all the same.
    let name = Standby { node: "n2", at }.to_string();
    until(async || {
        let found = first.streaming(&name).await.unwrap();
        found.is_some_and(|standby| standby.state == "streaming")
    })
    .await;
    let gone = tokio::time::timeout(Duration::from_millis(2), first.pair(&Joined { at })).await;
    assert!(gone.is_err(), "a barrier takes longer: {gone:?}");
    until(async || n1.state().mode == Mode::Paired).await;
    assert_eq!(first.held.lock().await.as_ref().unwrap(), &n1.state());
    let mut paired = None;
    for _ in 0..100 {
        match post(&client).await.unwrap() {
            Progress::Paired { sync_state } if sync_state == "sync" => {
                paired = Some(sync_state);
                break;
            }
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    assert_eq!(paired.as_deref(), Some("sync"));
    assert_eq!((n1.state().mode, n1.state().join), (Mode::Paired, 1));
    sql.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    keep_role(&first).await;

    // A restart of the agent leaves the address where it is, a stop does not.
    for (restarting, role) in [(true, "1\n"), (false, "0\n")] {
        n1.services.restarting.store(restarting, Ordering::Relaxed);
        first.leave().await.unwrap();
        assert_eq!(std::fs::read_to_string(n1.places.role()).unwrap(), role);
    }

    // A reload that was lost: the file is right, the server waits for a name nobody has. The next pass sees it.
    let state = n1.state();
    first.write_include(&state, &Names::One(fsm::BARRIER.into())).unwrap();
    first.server.reload().await.unwrap();
    first.write_include(&state, &Names::of(&n1.config, &state)).unwrap();
    keep_role(&first).await;
    let settings = include::settings(&n1.config, &state, &Names::of(&n1.config, &state));
    assert!(first.server.differing(&settings).await.unwrap().is_empty());
    let commit = sql.batch_execute("INSERT INTO t VALUES (11)");
    tokio::time::timeout(Duration::from_secs(20), commit).await.expect("it waits for the standby").unwrap();
    // And one that somebody overrules is told, not fought over in silence.
    sql.batch_execute("ALTER SYSTEM SET synchronous_standby_names = ''").await.unwrap();
    first.server.reload().await.unwrap();
    until(async || !first.server.differing(&settings).await.unwrap().is_empty()).await;
    let overruled = format!("{:#}", first.keep_role().await.unwrap_err());
    assert!(overruled.contains("another synchronous_standby_names"), "{overruled}");
    sql.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    keep_role(&first).await;

    // Redis' folder is not what it should be: PostgreSQL is started all the same, and then it is told.
    let etc = &n1.config.layout.paths.redis_etc;
    std::fs::rename(etc, etc.with_extension("away")).unwrap();
    std::fs::write(etc, "no folder").unwrap();
    n1.services.run("stop").unwrap();
    let told = format!("{:#}", first.keep_role().await.unwrap_err());
    assert!(told.contains("Redis' role cannot be kept"), "{told}");
    assert_eq!(std::fs::read_to_string(n1.places.role()).unwrap(), "1\n");
    std::fs::remove_file(etc).unwrap();
    std::fs::rename(etc.with_extension("away"), etc).unwrap();
    keep_role(&first).await;
    let sql = first.server.connect(Commits::Synchronous).await.unwrap();
    until(async || first.streaming(&name).await.unwrap().is_some()).await;

    // Joining twice, and to the standby.
    let twice = blocking({
        let client = Arc::clone(&client);
        move || error(client.post::<Terms>("/joining", &Again { postgresql: major }))
    })
    .await;
    assert!(twice.contains("joined already"), "{twice}");
    n2.listen(&second).await;
    let to_standby =
        blocking(move || error(ask::with_token(&base.replace(".11:", ".12:"), &token, None, "15"))).await;
    assert!(
        to_standby.contains("is standby") && to_standby.contains("tandem join 127.0.0.11"),
        "{to_standby}"
    );

    // The standby is gone: a commit waits, and a restarted agent keeps it waiting.
    n2.services.run("stop").unwrap();
    let waits =
        tokio::time::timeout(Duration::from_secs(2), sql.batch_execute("INSERT INTO t VALUES (2)")).await;
    assert!(waits.is_err(), "a paired primary acknowledged alone");
    let server = first.server.clone();
    let told = error(blocking(move || standby_is_there(&server, Duration::ZERO)).await);
    assert!(told.contains("waits for its standby n2_e1_j1"), "{told}");
    keep_role(&n1.agent()).await;
    keep_role(&second).await;
    let sql = first.server.connect(Commits::Synchronous).await.unwrap();
    let commit = sql.batch_execute("INSERT INTO t VALUES (3)");
    tokio::time::timeout(Duration::from_secs(20), commit).await.expect("the standby is back").unwrap();
    let server = first.server.clone();
    blocking(move || standby_is_there(&server, Duration::from_secs(20))).await.unwrap();

    // A state file that cannot be trusted: the server is stopped, its data kept.
    std::fs::write(n1.places.state(), "{\"role\":").unwrap();
    let held = n1.agent().keep_role().await.unwrap_err().to_string();
    assert!(held.contains("holds") && held.contains("damaged"), "{held}");
    assert!(!cluster::is_running(&n1.services.data) && n1.services.data.join("PG_VERSION").exists());
    assert_eq!(std::fs::read_to_string(n1.places.role()).unwrap(), "0\n");
    // And a standby's data is never started as a primary's.
    let mut wrong = n2.state();
    n2.services.run("stop").unwrap();
    wrong.role = Role::Primary;
    state::save(&n2.places, &wrong, "a mistake").unwrap();
    let refused = n2.agent().keep_role().await.unwrap_err().to_string();
    assert!(refused.contains("a standby's"), "{refused}");
}
