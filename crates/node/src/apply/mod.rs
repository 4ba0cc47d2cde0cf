//! `tandem apply`: packages plus `cluster.yaml` become a running node.
//!
//! In: what `render` says of this node, and the node as it is. Out: the node as it should be, `applied.json`, and under
//! `/var/lib/tandem/replaced/` everything that stood in the way.
//!
//! A run goes through the same stages each time and skips what is so already; so a run that broke is simply run again.
//!
//! Architecture invariant: no list of files here. Which files there are, whose they are and what their change asks for
//! is `render`'s to say.

mod checks;
mod database;
mod diff;
mod journal;
mod peer;
mod plan;
mod system;
mod undo;
mod units;
mod write;

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use fsm::{Role, State};
use host::{files, say};
use serde::Serialize;
use spec::{CLUSTER_FILE, SECRETS_FILE};

use crate::config::Config;
use crate::media;
use crate::places::Places;
use crate::services::Services;
use crate::state;
use diff::Mask;
use plan::{Change, Wanted};
use write::Writer;

pub use checks::system as preflight;
#[cfg(test)]
pub use database::standby_is_there;
pub use journal::{Applied, Written};
#[cfg(test)]
pub use peer::has_no_role;
pub use undo::undo;
pub use units::AGENT;

/// How it is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub dir: PathBuf,
    /// Which node this is, the first time.
    pub node: Option<String>,
    pub dry_run: bool,
    /// Without asking.
    pub yes: bool,
    pub json: bool,
    pub quiet: bool,
}

/// What was, or would be, done: `--json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    changed: bool,
    dry_run: bool,
    node: &'a str,
    files: Vec<FileReport<'a>>,
    /// Folders, units, database: in words.
    actions: &'a [String],
}

#[derive(Debug, Serialize)]
struct FileReport<'a> {
    path: &'a str,
    change: &'static str,
}

/// A node under way to be what it should: both `apply` and `join` go through it.
pub struct Run<'a> {
    pub places: &'a Places,
    pub services: &'a dyn Services,
    pub config: &'a Config,
    /// Where cluster.yaml is.
    dir: PathBuf,
    applied: Applied,
    wanted: Vec<Wanted>,
    changes: Vec<Change>,
    state: Option<State>,
    /// Names this run's kept files and data.
    pub stamp: String,
}

/// Runs it.
///
/// # Errors
/// What was refused or failed, with the cure; running it again goes on where it stopped.
pub fn run(places: &Places, services: &dyn Services, options: &Options) -> Result<()> {
    checks::system(places)?;
    let config = Config::load(places, &options.dir, options.node.as_deref())?;
    let mut run = Run::new(places, services, &config, &options.dir)?;
    run.check()?;
    if run.state.is_none() {
        run.may_be_first()?;
    }
    let actions = run.actions()?;
    let changed = !run.changes.is_empty() || !actions.is_empty();
    if options.json {
        run.print_json(changed, options.dry_run, &actions)?;
    } else if !options.quiet {
        run.print(&actions);
    }
    if !changed {
        if !options.json && !options.quiet {
            say!("nothing to change");
        }
        return Ok(());
    }
    if options.dry_run {
        return Ok(());
    }
    confirm(options)?;
    run.files()?;
    if run.state.is_none() {
        database::prepare(&config, services)?;
        run.become_first()?;
    }
    run.engines()?;
    if !options.json {
        say!("{} is applied", config.name);
    }
    Ok(())
}

fn confirm(options: &Options) -> Result<()> {
    if options.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("nothing was changed: without a terminal to ask, say --yes");
    }
    print!("Apply this? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was changed"),
    }
}

impl<'a> Run<'a> {
    /// Compares the node with what is rendered for it.
    ///
    /// # Errors
    /// The state, the journal or a file cannot be read.
    pub fn new(
        places: &'a Places,
        services: &'a dyn Services,
        config: &'a Config,
        dir: &std::path::Path,
    ) -> Result<Self> {
        let id = config.cluster.cluster.id;
        let state = state::load(places, id, &config.name)?;
        let applied = Applied::load(places, id, &config.name)?;
        let rendered = render::render(&config.cluster, &config.secrets, &config.name, &config.layout)?;
        let mut wanted: Vec<Wanted> = rendered.into_iter().map(Wanted::from).collect();
        // The lab's test program has files only where it stands in for FreeSWITCH.
        if !media::is_double(&places.etc(), &config.layout) {
            let folder = &config.layout.paths.media_double_etc;
            wanted.retain(|file| !std::path::Path::new(&file.target).starts_with(folder));
        }
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let changes = plan::plan(places, &wanted, &applied)?;
        Ok(Self { places, services, config, dir: dir.to_owned(), applied, wanted, changes, state, stamp })
    }

    /// Everything that is refused, before anything is written.
    ///
    /// # Errors
    /// The first refusal.
    pub fn check(&self) -> Result<()> {
        checks::no_double(self.config)?;
        checks::media(self.config, self.places)?;
        checks::ssh_stays_open(self.places)?;
        // Before it is ours, Debian's own units may stand on our ports: they are stopped.
        checks::ports(self.config, &units::all(self.config, self.places))
    }

    /// A node without a state may become the first primary only if nothing says that it was one, or is to be a standby.
    fn may_be_first(&self) -> Result<()> {
        let first = self.config.cluster.nodes.first().context("cluster.yaml lists no node")?;
        if first.name != self.config.name {
            bail!(
                "{} is the second node: it is made from the first; type there 'tandem invite', and here 'tandem join {}'",
                self.config.name,
                first.address
            );
        }
        if self.applied.bootstrapped.is_some() {
            bail!(
                "{} is lost, but this node had a role once: it holds. If {} is primary, join it: 'tandem join ADDRESS \
                 --rejoin'; if this is the only copy, restore the file from a backup of /var/lib/tandem",
                self.places.state().display(),
                self.config.peer().map_or("no other node", |peer| peer.name.as_str())
            );
        }
        peer::has_no_role(self.config)?;
        database::may_take_over(self.config)
    }

    /// What is to be done besides files, in words.
    fn actions(&self) -> Result<Vec<String>> {
        let mut actions = Vec::new();
        for folder in system::folders(self.config, true)? {
            actions.push(format!("folder {}", folder.display()));
        }
        if self.state.is_none() {
            actions.push(format!("database: {} becomes the primary of a new cluster", self.config.name));
        }
        if self.needs_bootstrap() {
            actions.push("database: voipadmind bootstrap".into());
        }
        actions.extend(self.applied.pending.iter().map(|c| format!("{c} (left by a run that broke)")));
        if self.applied.agent_reads.as_deref() != Some(&self.agent_input()) {
            actions.push(format!("restart {}", units::AGENT));
        }
        let mut wanted = vec![units::AGENT.to_owned()];
        wanted.extend(units::engines(self.config, self.places));
        actions.extend(units::missing(&wanted, self.services).iter().map(|unit| format!("start {unit}")));
        Ok(actions)
    }

    fn is_primary(&self) -> bool {
        self.state.as_ref().is_none_or(|state| state.role == Role::Primary)
    }

    fn needs_bootstrap(&self) -> bool {
        let rendered = self
            .wanted
            .iter()
            .filter(|w| w.target.ends_with("/bootstrap.yaml") || w.target.ends_with("/seed.yaml"));
        let touched = rendered.into_iter().any(|w| self.changes.iter().any(|c| c.target == w.target));
        let input = database::bootstrap_input(&self.config.layout.paths.voip_admin_etc);
        self.is_primary() && (touched || self.applied.bootstrapped.as_deref() != Some(&input))
    }

    fn agent_input(&self) -> String {
        let read = |name: &str| files::read(&self.dir.join(name)).ok().flatten().unwrap_or_default();
        let (cluster, secrets) = (read(CLUSTER_FILE), read(SECRETS_FILE));
        plan::sha256(format!("{}\n{cluster}\n{secrets}", env!("CARGO_PKG_VERSION")).as_bytes())
    }

    fn print(&self, actions: &[String]) {
        let text = diff::text(&self.changes, &Mask::of(&self.config.secrets));
        if !text.is_empty() {
            say!("{}", text.trim_end());
        }
        for action in actions {
            say!("{action}");
        }
    }

    fn print_json(&self, changed: bool, dry_run: bool, actions: &[String]) -> Result<()> {
        let files =
            self.changes.iter().map(|c| FileReport { path: &c.target, change: c.kind.as_str() }).collect();
        let report = Report { changed, dry_run, node: &self.config.name, files, actions };
        host::document(&serde_json::to_string_pretty(&report)?);
        Ok(())
    }

    /// Users, folders, files, and what the files ask for. On a node without a role Debian's engines are stopped first.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn files(&mut self) -> Result<()> {
        if self.state.is_none() {
            units::stop(self.config, self.places, self.services)?;
            self.services.stop(&self.config.postgresql_unit())?;
        }
        eprintln!("files: {} to change", self.changes.len());
        files::folder(&self.places.etc(), 0o755, None)?;
        files::write_durably(
            &self.places.node_name(),
            0o644,
            None,
            format!("{}\n", self.config.name).as_bytes(),
        )?;
        system::users(self.config)?;
        system::folders(self.config, false)?;
        database::folders(self.config)?;
        self.drop_keepalived()?;
        let mut writer = Writer {
            places: self.places,
            services: self.services,
            stamp: &self.stamp,
            between: &mut || Ok(()),
        };
        writer.write(&mut self.applied, &self.wanted, &self.changes)?;
        // Debian's start of the cluster at boot is made from start.conf by a generator.
        self.services.daemon_reload()
    }

    /// A node without an address that moves has no keepalived. No file enables it, so none stops it when it goes.
    fn drop_keepalived(&self) -> Result<()> {
        let is_its = |target: &str| target.starts_with("/etc/keepalived/");
        let had = self.applied.files.keys().any(|target| is_its(target));
        if had && !self.wanted.iter().any(|file| is_its(&file.target)) {
            say!("  stop {}", units::KEEPALIVED);
            write::take_away(units::KEEPALIVED, self.services)?;
        }
        Ok(())
    }

    fn become_first(&mut self) -> Result<()> {
        let first = State::first_primary(self.config.cluster.cluster.id, &self.config.name);
        state::save(self.places, &first, "first node of a new cluster")?;
        self.state = Some(first);
        Ok(())
    }

    /// The state as another has written it meanwhile: `join`.
    ///
    /// # Errors
    /// As [`state::load`].
    pub fn reload_state(&mut self) -> Result<()> {
        self.state = state::load(self.places, self.config.cluster.cluster.id, &self.config.name)?;
        Ok(())
    }

    /// The agent, and by it PostgreSQL; the database's content; the engines; then everything must answer.
    ///
    /// # Errors
    /// What does not come up, with its last words.
    pub fn engines(&mut self) -> Result<()> {
        let input = self.agent_input();
        let agent = [units::AGENT.to_owned()];
        if self.services.is_active(units::AGENT) && self.applied.agent_reads.as_deref() != Some(&input) {
            say!("  restart {}", units::AGENT);
            self.services.restart(units::AGENT)?;
        }
        units::start(&agent, self.services)?;
        self.applied.agent_reads = Some(input);
        self.applied.save(self.places)?;
        database::wait(self.config, !self.is_primary(), self.services)?;
        if self.needs_bootstrap() {
            database::bootstrap(self.config)?;
            self.applied.bootstrapped =
                Some(database::bootstrap_input(&self.config.layout.paths.voip_admin_etc));
            self.applied.save(self.places)?;
        }
        units::start(&units::engines(self.config, self.places), self.services)?;
        eprintln!("waiting until everything answers");
        units::wait(&self.dir, self.services)?;
        self.applied.complete = true;
        self.applied.save(self.places)
    }
}
