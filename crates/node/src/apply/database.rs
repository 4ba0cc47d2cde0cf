//! The first node's database: Debian's untouched one taken over, or a new one. And what stands in it, by `voipadmind`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use host::{files, say};

use super::plan::sha256;
use crate::command;
use crate::config::Config;
use crate::postgresql::cluster::{self, Content};
use crate::postgresql::include;
use crate::postgresql::session::Server;
use crate::postgresql::standby;
use crate::services::Services;

const VOIPADMIND: &str = "/usr/sbin/voipadmind";
/// A first start, a recovery after a crash, or a standby that catches up.
const ANSWERS: Duration = Duration::from_secs(180);
/// Until a standby that was restarted, or whose primary was, streams again: it tries every five seconds.
const STANDBY: Duration = Duration::from_secs(30);
/// Of `voipadmind bootstrap`: migrations of a large database, or a standby that went away meanwhile.
const BOOTSTRAP: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(300);

/// Refuses a database that is somebody's; before anything is written.
pub fn may_take_over(config: &Config) -> Result<()> {
    let data = &config.layout.paths.postgresql_data;
    match cluster::content(data)? {
        Content::Absent | Content::Pristine if !include::has_standby_signal(data) => Ok(()),
        _ => bail!(
            "{} holds a database that Tandem did not make; a node has one of its own: move it away (pg_dumpall, then \
             'pg_dropcluster --stop {} main'), or set this machine up afresh",
            data.display(),
            config.postgresql_major()
        ),
    }
}

/// Makes the stopped database this node's own: data with checksums, and never started by itself.
pub fn prepare(config: &Config, services: &dyn Services) -> Result<()> {
    let (paths, users) = (&config.layout.paths, &config.layout.users);
    let (bin, data) = (&paths.postgresql_bin, &paths.postgresql_data);
    let user = command::user(&users.postgresql, "postgresql")?;
    services.stop(&config.postgresql_unit())?;
    if cluster::is_running(data) {
        bail!("PostgreSQL still runs on {}; stop it, then try again", data.display());
    }
    if cluster::content(data)? == Content::Absent {
        say!("  a new database in {}", data.display());
        cluster::make(bin, data, &user)?;
    }
    if cluster::ensure_checksums(bin, data, &user)? {
        say!("  checksums for {}", data.display());
    }
    Ok(())
}

/// PostgreSQL's own folders of configuration, where its package made none: the agent writes its file into `conf.d`.
pub fn folders(config: &Config) -> Result<()> {
    let etc = &config.layout.paths.postgresql_etc;
    let user = command::user(&config.layout.users.postgresql, "postgresql")?;
    let owner = Some((user.uid.as_raw(), user.gid.as_raw()));
    for folder in [etc.clone(), etc.join("conf.d")] {
        if !folder.is_dir() {
            files::folder(&folder, 0o755, owner).with_context(|| format!("making {}", folder.display()))?;
        }
    }
    Ok(())
}

/// Waits until the agent has the server up in the role.
pub fn wait(config: &Config, is_standby: bool, services: &dyn Services) -> Result<()> {
    let server = Server::of(config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    loop {
        let problem = match runtime.block_on(server.in_recovery()) {
            Ok(in_recovery)
                if in_recovery == is_standby && (is_standby || include::clients_let_in(config)) =>
            {
                return Ok(());
            }
            Ok(in_recovery) if in_recovery == is_standby => "it lets no clients in yet".to_owned(),
            Ok(_) => "it runs in another role".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if began.elapsed() > ANSWERS {
            bail!(
                "PostgreSQL did not come up in {} s: {problem}\ntandem-agent says:\n{}PostgreSQL says:\n{}",
                ANSWERS.as_secs(),
                services.last_words("tandem-agent.service"),
                services.last_words(&config.postgresql_unit())
            );
        }
        std::thread::sleep(POLL);
    }
}

/// What a bootstrap depends on: the program's version and its two files.
pub fn bootstrap_input(etc: &Path) -> String {
    let read = |name: &str| files::read(&etc.join(name)).ok().flatten().unwrap_or_default();
    let all = format!("{}\n{}\n{}", env!("CARGO_PKG_VERSION"), read("bootstrap.yaml"), read("seed.yaml"));
    sha256(all.as_bytes())
}

/// `voipadmind bootstrap`: roles, schema, the first tenant. Its commits wait for the standby of a pair.
pub fn bootstrap(config: &Config) -> Result<()> {
    standby_is_there(&Server::of(config), STANDBY)?;
    let file = config.layout.paths.voip_admin_etc.join("bootstrap.yaml");
    let said = command::output_within(
        Command::new(VOIPADMIND).args(["bootstrap", "--config"]).arg(&file).current_dir("/"),
        "voipadmind bootstrap",
        BOOTSTRAP,
    )
    .context(
        "the database's content is not as this version wants it. Do writes wait ('tandem status'), is the disk slow \
         ('iostat -x 1')? Run 'tandem apply' again: it goes on where it stopped",
    )?;
    for line in said.lines() {
        say!("  {line}");
    }
    Ok(())
}

/// Refuses while a standby that commits wait for is away.
pub fn standby_is_there(server: &Server, patience: Duration) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    while let Some(name) = runtime.block_on(standby::missed(server))? {
        if began.elapsed() > patience {
            bail!(
                "the database waits for its standby {name}, which does not stream: nothing can be written to it now; see \
                 docs/runbook.md 'Writes wait for the standby', then run 'tandem apply' again"
            );
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}
