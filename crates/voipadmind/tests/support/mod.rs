//! One voipadmind on real engines: its own PostgreSQL and Redis, free ports, a temporary folder.
//! Everything ends with the value.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

mod engine;
pub mod random;

pub use engine::Engine;

pub const FS_USER: &str = "freeswitch";
pub const FS_PASSWORD: &str = "engine0password0of0the0test";
/// A platform key with every scope, and a key of tenant `other.test` that may only read CDRs.
pub const PLATFORM_KEY: &str = "tdm_platform0123456789abcdefghijklmnopqrstuvwxyz";
pub const TENANT_KEY: &str = "tdm_tenantke0123456789abcdefghijklmnopqrstuvwxyz";
pub const PHONE_PASSWORD: &str = "phone0password";

pub struct Node {
    pub postgres: testkit::Postgres,
    pub redis: testkit::Redis,
    pub dir: tempfile::TempDir,
    pub port: u16,
    child: Option<Child>,
    agent: ureq::Agent,
}

pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Node {
    /// # Errors
    /// An engine that is not installed: `testkit::or_skip!`.
    pub fn start() -> Result<Self, testkit::Error> {
        Self::start_with(|config| config)
    }

    /// `adapt` may change the text of config.yaml before the daemon starts.
    pub fn start_with(adapt: impl Fn(String) -> String) -> Result<Self, testkit::Error> {
        Self::on(testkit::Postgres::start()?, testkit::Redis::start()?, adapt)
    }

    /// On engines that run already.
    pub fn on(
        postgres: testkit::Postgres,
        redis: testkit::Redis,
        adapt: impl Fn(String) -> String,
    ) -> Result<Self, testkit::Error> {
        let dir = tempfile::tempdir().unwrap();
        let port = testkit::free_port();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .new_agent();
        let node = Self { postgres, redis, dir, port, child: None, agent };
        node.write("bootstrap.yaml", &node.bootstrap_yaml());
        node.write("seed.yaml", SEED);
        node.write("config.yaml", &adapt(node.config_yaml()));
        let made =
            node.command().args(["bootstrap", "--config"]).arg(node.path("bootstrap.yaml")).output().unwrap();
        assert!(made.status.success(), "bootstrap: {}", String::from_utf8_lossy(&made.stderr));
        let mut node = node;
        node.launch();
        Ok(node)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn command(&self) -> Command {
        Command::new(env!("CARGO_BIN_EXE_voipadmind"))
    }

    fn bootstrap_yaml(&self) -> String {
        format!(
            "socket_dir: {}\nport: {}\nsuperuser: {}\ndatabase: voip_platform\n\
             roles: {{kamailio: kamailio0secret0secret, voip_admin: admin0secret0secret, \
             replicator: repl0secret0secret, exporter: exporter0secret}}\nseed: {}\n",
            self.postgres.socket_dir().display(),
            self.postgres.port(),
            self.postgres.superuser(),
            self.path("seed.yaml").display(),
        )
    }

    fn config_yaml(&self) -> String {
        format!(
            "node: {{name: n1}}\n\
             server: {{host: 127.0.0.1, port: {}}}\n\
             database: {{host: 127.0.0.1, port: {}, database: voip_platform, user: voip_admin, \
             password: admin0secret0secret}}\n\
             redis: {{host: 127.0.0.1, port: {}, password: {}}}\n\
             cdr: {{batch_timeout: 50ms, journal_dir: {}}}\n\
             fs: {{user: {FS_USER}, password: {FS_PASSWORD}}}\n\
             logging: {{level: info, format: text, output: {}}}\n",
            self.port,
            self.postgres.port(),
            self.redis.port(),
            self.redis.password(),
            self.path("journal").display(),
            self.path("daemon.log").display(),
        )
    }

    /// Starts the daemon and waits until it is ready.
    pub fn launch(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    pub fn wait_ready(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.try_get("/health").is_none_or(|a| a.status != 200) {
            assert!(Instant::now() < until, "voipadmind is not ready; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts the daemon without waiting for it.
    pub fn spawn(&mut self) {
        let errors = std::fs::File::create(self.path("daemon.err")).unwrap();
        // setpriv: a daemon must not outlive a test that is killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_voipadmind")])
            .arg("-config")
            .arg(self.path("config.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    pub fn pid(&self) -> i32 {
        self.child.as_ref().unwrap().id() as i32
    }

    /// SIGKILL: process death at this instant.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), nix::sys::signal::Signal::SIGTERM)
            .unwrap();
        self.child.take().unwrap().wait().unwrap()
    }

    /// It was started and not killed by the test.
    pub fn has_daemon(&self) -> bool {
        self.child.is_some()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| c.try_wait().unwrap().is_none())
    }

    pub fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.path(name)).unwrap_or_default();
        read("daemon.log") + &read("daemon.err")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn try_get(&self, path: &str) -> Option<Answer> {
        self.agent.get(self.url(path)).call().ok().map(answer)
    }

    /// GET with the platform key.
    pub fn get(&self, path: &str) -> Answer {
        self.api("GET", path, PLATFORM_KEY, None, &[])
    }

    pub fn api(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(self.url(path))
            .header("Authorization", format!("Bearer {key}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
        answer(self.agent.run(request.body(bytes).unwrap()).unwrap())
    }

    /// Who posts beside the test, while the node dies and comes back.
    pub fn engine(&self) -> Engine {
        Engine::new(self.url(""))
    }

    /// POST as an engine does.
    pub fn post_engine(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        self.post_as(path, content_type, body, &format!("{FS_USER}:{FS_PASSWORD}"))
    }

    pub fn get_engine(&self, path: &str) -> Answer {
        use base64::Engine as _;
        let credentials =
            base64::engine::general_purpose::STANDARD.encode(format!("{FS_USER}:{FS_PASSWORD}"));
        let request = self.agent.get(self.url(path)).header("Authorization", format!("Basic {credentials}"));
        answer(request.call().unwrap())
    }

    pub fn post_as(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
        who: &str,
    ) -> Result<Answer, ureq::Error> {
        use base64::Engine as _;
        let credentials = base64::engine::general_purpose::STANDARD.encode(who);
        let sent = self
            .agent
            .post(self.url(path))
            .header("Content-Type", content_type)
            .header("Authorization", format!("Basic {credentials}"))
            .send(body);
        sent.map(answer)
    }

    pub fn post_cdr(&self, uuid: &str, content_type: &str, body: &[u8]) -> Answer {
        self.post_engine(&format!("/fs/cdr?uuid={uuid}"), content_type, body).unwrap()
    }

    /// What a query yields (columns parted by `|`), asked as the superuser.
    pub fn sql(&self, query: &str) -> String {
        let output = Command::new("psql")
            .arg("--host")
            .arg(self.postgres.socket_dir())
            .args(["--port", &self.postgres.port().to_string(), "--username", self.postgres.superuser()])
            .args(["--dbname", "voip_platform", "--no-psqlrc", "-At", "--command", query])
            .output()
            .unwrap();
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Waits until the journal knows every record to be committed.
    pub fn settle(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let pending = self.get("/health").json()["details"]["journal_pending"].as_u64();
            if pending == Some(0) {
                return;
            }
            assert!(Instant::now() < until, "{pending:?} records not settled; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn answer(response: http::Response<ureq::Body>) -> Answer {
    let status = response.status().as_u16();
    let content_type =
        response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let headers = response.headers().clone();
    let body = response.into_body().read_to_vec().unwrap_or_default();
    Answer { status, content_type, headers, body }
}

/// The captures of `shared/wire`, copied to `fixtures/wire`.
pub fn wire(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire/freeswitch").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

const SEED: &str = "\
domains:
  - domain: default.local
    tenant_name: Default Tenant
    users:
      - {username: '1001', full_name: Alice, role: agent}
      - {username: '1002', full_name: Bob, role: agent}
    extensions:
      - {extension: '1001', type: user, user: '1001', password: phone0password}
      - {extension: '1002', type: user, user: '1002', password: phone0password}
    queues:
      - {name: Support_L1, extension: '8001', strategy: ring-all, agents: ['1002']}
  - domain: other.test
    tenant_name: Other
    users:
      - {username: '1001', full_name: Eve, role: agent}
    extensions:
      - {extension: '1001', type: user, user: '1001', password: phone0password}
api_keys:
  - {name: platform, key: tdm_platform0123456789abcdefghijklmnopqrstuvwxyz, scopes: {'*': write}}
  - {name: tenant, key: tdm_tenantke0123456789abcdefghijklmnopqrstuvwxyz, scopes: {'*': write}, domain: other.test}
";
