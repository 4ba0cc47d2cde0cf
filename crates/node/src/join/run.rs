//! `tandem join` from its first check to the commit that waits for this node.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fsm::{Role, State};
use host::{files, say};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};
use spec::{CLUSTER_FILE, Cluster, SECRETS_FILE};

use super::ask;
use super::wire::{Again, Joined, Progress, Terms, Welcome};
use crate::agent::client::Client;
use crate::apply::{AGENT, Run};
use crate::config::Config;
use crate::invite::Invitation;
use crate::places::Places;
use crate::postgresql::base_copy::{self, Old, Source};
use crate::postgresql::{cluster, include};
use crate::services::Services;
use crate::{command, state};

/// A token is short; a file that is not is no token.
const TOKEN_BYTES_MAX: u64 = 4096;
const ANSWER: Duration = Duration::from_secs(60);
/// Until the standby has caught up and is waited for.
const PAIRED: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_secs(1);

/// How it is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The primary, as its operator knows it: address, `host:port`.
    pub address: String,
    /// `-` is standard input.
    pub token_file: Option<PathBuf>,
    /// From TANDEM_JOIN_TOKEN.
    pub token: Option<String>,
    /// Get the token over ssh, as root.
    pub ssh: bool,
    pub node: Option<String>,
    /// This node was a standby or holds: copy it anew.
    pub rejoin: bool,
    /// Agent's port of an address without one.
    pub port: u16,
}

/// A join under way: what a broken run left for the next.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    terms: Terms,
    /// The copy stands in its place.
    copied: bool,
}

/// Makes this machine the standby of the primary at `options.address`.
///
/// # Errors
/// What was refused or broke. A broken run is run again, without a new token once the cluster's files are here.
pub fn run(places: &Places, services: &dyn Services, options: &Options) -> Result<()> {
    crate::apply::preflight(places)?;
    let etc = places.etc();
    if options.rejoin {
        let config = Config::load(places, &etc, None)?;
        rejoining(places, services, &config)?;
    }
    let (config, mut journal) = match resumed(places, options)? {
        Some(resumed) => resumed,
        None => welcomed(places, options)?,
    };
    say!(
        "this machine becomes {} of '{}', copied from {}",
        config.name,
        config.cluster.cluster.name,
        journal.terms.primary
    );
    let mut run = Run::new(places, services, &config, &etc)?;
    run.check()?;
    // It would start PostgreSQL under the copy, and keeps the old role.
    if services.exists(AGENT) {
        services.stop(AGENT)?;
    }
    run.files()?;
    if !journal.copied {
        services.stop(&config.postgresql_unit())?;
        let user = command::user(&config.layout.users.postgresql, "postgresql")?;
        let source = Source { address: journal.terms.address, size_bytes: journal.terms.size_bytes };
        base_copy::take(&config, source, &user, Old::Keep(&run.stamp))?;
        cluster::ensure_checksums(
            &config.layout.paths.postgresql_bin,
            &config.layout.paths.postgresql_data,
            &user,
        )?;
        journal.copied = true;
        write(places, &journal)?;
    }
    let terms = &journal.terms;
    let earlier = state::load(places, config.cluster.cluster.id, &config.name).ok().flatten();
    let standby = State {
        // Joins that are dead stay dead, and every one before this is dead for a node that was copied anew, whether its state
        // was known or lost (failover.md 6): the primary may make the next.
        mark: earlier
            .map(|state| state.mark)
            .unwrap_or_default()
            .max(fsm::Point { join: terms.at.join.saturating_sub(1), ..terms.at }),
        ..State::joined_standby(config.cluster.cluster.id, &config.name, &terms.primary, terms.at)
    };
    state::save(places, &standby, &format!("copied from {}", terms.primary))?;
    run.reload_state()?;
    run.engines()?;
    pair(&config, terms)?;
    let _ = std::fs::remove_file(places.joining());
    say!(
        "{} is the synchronous standby of {}: every acknowledged write is on both",
        config.name,
        terms.primary
    );
    Ok(())
}

/// The first run: the token is used, and the cluster's files are written.
fn welcomed(places: &Places, options: &Options) -> Result<(Config, Journal)> {
    not_a_node_yet(places, options)?;
    let base = ask::base(&options.address, options.port);
    let token = token(options)?;
    let found = host::programs::found();
    let major = found.postgresql_bin.parent().and_then(Path::file_name).unwrap_or_default();
    let welcome = ask::with_token(&base, &token, options.node.as_deref(), &major.to_string_lossy())?;
    let cluster =
        Cluster::parse(CLUSTER_FILE, &welcome.cluster_yaml).context("the primary's cluster.yaml")?;
    if let Some(warning) = ask::skew_warning(jiff::Timestamp::now().as_millisecond(), welcome.terms.now_ms) {
        eprintln!("tandem: warning: {warning}");
    }
    let journal = keep(places, welcome)?;
    let secrets = spec::Secrets::load(&places.etc().join(SECRETS_FILE), &cluster)?;
    Ok((Config::of(cluster, secrets, journal.terms.node.clone())?, journal))
}

/// The welcome on the disk. The journal first and cluster.yaml last: a run that broke between them is told by the journal
/// from a machine that was set up for a cluster, and what is missing from one that is whole.
fn keep(places: &Places, welcome: Welcome) -> Result<Journal> {
    let Welcome { cluster_yaml, secrets_yaml, terms } = welcome;
    let etc = places.etc();
    files::folder(&etc, 0o755, None)?;
    files::folder(&places.lib(), 0o700, None)?;
    let journal = Journal { terms, copied: false };
    write(places, &journal)?;
    let put = |name: &str, mode, text: &str| {
        let path = etc.join(name);
        files::write_durably(&path, mode, None, text.as_bytes())
            .with_context(|| format!("writing {}", path.display()))
    };
    put(SECRETS_FILE, 0o600, &secrets_yaml)?;
    put(CLUSTER_FILE, 0o644, &cluster_yaml)?;
    Ok(journal)
}

/// A later run: the cluster's files are here, so its key is asked with, and the terms may have changed meanwhile.
fn resumed(places: &Places, options: &Options) -> Result<Option<(Config, Journal)>> {
    let journal = match files::read(&places.joining())? {
        Some(text) => Some(serde_json::from_str::<Journal>(&text).with_context(|| {
            format!("{} is damaged; remove it and join with a new token", places.joining().display())
        })?),
        None => None,
    };
    let node = journal.as_ref().map(|j| j.terms.node.clone());
    if journal.is_none() && !options.rejoin {
        return Ok(None);
    }
    if !options.rejoin && files::read(&places.etc().join(CLUSTER_FILE))?.is_none() {
        say!("an earlier join broke before it had the cluster's files; its token is used up: give a new one");
        return Ok(None);
    }
    let config = Config::load(places, &places.etc(), node.as_deref())?;
    say!("going on with an earlier join: no token is needed");
    let client = Client::of_peer(&config, ANSWER)?;
    let terms: Terms = match client.post("/joining", &Again { postgresql: config.postgresql_major() }) {
        Ok(terms) => terms,
        // Paired in the very last step of the broken run.
        Err(error) if format!("{error:#}").contains("joined already") => {
            let journal = journal.context("this node is joined already")?;
            return Ok(Some((config, journal)));
        }
        Err(error) => return Err(error),
    };
    let data = &config.layout.paths.postgresql_data;
    // The copy of another join streams under a name nobody waits for; of another database it does not stream at all.
    let still_good = journal.as_ref().is_some_and(|j| {
        j.copied
            && j.terms.at == terms.at
            && j.terms.system_id == terms.system_id
            && include::has_standby_signal(data)
    });
    let journal = Journal { terms, copied: still_good && !options.rejoin };
    write(places, &journal)?;
    Ok(Some((config, journal)))
}

/// A machine that has a role is not made another's standby by a slip.
fn not_a_node_yet(places: &Places, options: &Options) -> Result<()> {
    let text = files::read(&places.state())?;
    let Some(text) = text else {
        if let Some(cluster) = files::read(&places.etc().join(CLUSTER_FILE))? {
            let path = places.etc().join(CLUSTER_FILE);
            let _ = cluster;
            bail!(
                "{} is here already: this machine was set up for a cluster; move {} and {} away if it is to join another",
                path.display(),
                path.display(),
                places.etc().join(SECRETS_FILE).display()
            );
        }
        return Ok(());
    };
    let told = serde_json::from_str::<State>(&text).map_or_else(
        |_| "its state file cannot be read".to_owned(),
        |s| format!("{} of the cluster {}, epoch {}", s.role.as_str(), s.cluster, s.epoch),
    );
    bail!(
        "this machine is a node already ({told}); a standby that is to be copied anew: tandem join {} --rejoin",
        options.address
    );
}

/// Before a copy replaces a standby's data: its joins are dead for ever, durably (failover.md 6), and it is stopped.
fn rejoining(places: &Places, services: &dyn Services, config: &Config) -> Result<()> {
    if places.maintenance().exists() {
        bail!("this node is in maintenance: type 'tandem maintenance off' first");
    }
    let known = match state::load(places, config.cluster.cluster.id, &config.name) {
        Err(newer @ state::Unusable::Newer { .. }) => return Err(newer.into()),
        // There is nothing to promise, and the copy is of the primary's own word. The file is kept for who wonders.
        Err(unusable) => {
            let aside = places.state().with_extension("json.unusable");
            say!("{unusable}");
            say!("it is kept as {}", aside.display());
            std::fs::rename(places.state(), &aside)
                .with_context(|| format!("keeping {}", places.state().display()))?;
            None
        }
        Ok(known) => known,
    };
    if known.as_ref().is_some_and(|state| state.role == Role::Primary) {
        bail!(
            "this node is primary: a join does not make it another's standby by a slip; see docs/runbook.md 'Two primaries'"
        );
    }
    say!("stopping this node's agent and database: writes on the primary wait until it is back");
    services.stop(AGENT)?;
    if let Some(state) = known {
        let burnt = state.flag.map(|flag| fsm::Point { epoch: flag.epoch, join: flag.join });
        let mark = burnt.map_or(state.mark, |point| point.max(state.mark));
        let next = State { role: Role::Rejoining, flag: None, mark, ..state };
        state::save(places, &next, "copied anew by an operator: earlier joins are dead")?;
    }
    services.stop(&config.postgresql_unit())
}

fn token(options: &Options) -> Result<String> {
    if options.ssh {
        return token_by_ssh(&options.address);
    }
    let text = match (&options.token_file, &options.token) {
        (Some(path), _) if path == Path::new("-") => {
            let mut text = String::new();
            std::io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
            text
        }
        (Some(path), _) => {
            files::read(path)?.with_context(|| format!("there is no token file {}", path.display()))?
        }
        (None, Some(text)) => text.clone(),
        (None, None) => bail!(
            "a token is needed: 'tandem invite' on the first node prints one; give it with --token-file FILE, or '-' for \
             standard input, or in TANDEM_JOIN_TOKEN; or use --ssh"
        ),
    };
    Ok(text.trim().to_owned())
}

/// ssh proves who both sides are; the token comes through it, and the rest goes the same way as without.
fn token_by_ssh(address: &str) -> Result<String> {
    if !Uid::effective().is_root() {
        bail!("join needs root");
    }
    let host = address.trim_start_matches('[').split([']', ':']).next().unwrap_or(address);
    let host = if address.matches(':').count() > 1 && !address.starts_with('[') { address } else { host };
    let said = command::output(
        Command::new("ssh").args([
            "-o",
            "ConnectTimeout=10",
            "--",
            &format!("root@{host}"),
            "tandem",
            "invite",
            "--json",
        ]),
        "ssh",
    )?;
    let invitation: Invitation = serde_json::from_str(said.trim()).context("'tandem invite' over ssh")?;
    Ok(invitation.token)
}

/// Asks the primary to wait for this node, until it does.
fn pair(config: &Config, terms: &Terms) -> Result<()> {
    let client = Client::of_peer(config, ANSWER)?;
    let began = Instant::now();
    let mut said = String::new();
    loop {
        let why = match client.post::<Progress>("/joined", &Joined { at: terms.at })? {
            Progress::Paired { sync_state } if sync_state == "sync" => return Ok(()),
            Progress::Paired { sync_state } => format!("paired, sync_state '{sync_state}'"),
            Progress::Waiting { why } => why,
        };
        if why != said {
            say!("  waiting: {why}");
            said.clone_from(&why);
        }
        if began.elapsed() > PAIRED {
            bail!(
                "{} does not wait for this node after {} s: {why}; run 'tandem join' again",
                terms.primary,
                PAIRED.as_secs()
            );
        }
        std::thread::sleep(POLL);
    }
}

fn write(places: &Places, journal: &Journal) -> Result<()> {
    let text = serde_json::to_string_pretty(journal)?;
    files::write_durably(&places.joining(), 0o600, None, text.as_bytes())
        .with_context(|| format!("writing {}", places.joining().display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn welcome() -> Welcome {
        let terms = Terms {
            node: "n2".into(),
            primary: "n1".into(),
            address: [127, 0, 0, 1].into(),
            at: fsm::Point { epoch: 1, join: 1 },
            postgresql: "17.6".into(),
            system_id: 1,
            size_bytes: 1,
            now_ms: 0,
        };
        let cluster_yaml = fixtures::cluster_yaml(&spec::Ports::default());
        Welcome { cluster_yaml, secrets_yaml: "secrets".into(), terms }
    }

    #[test]
    fn a_run_that_broke_before_it_had_the_clusters_files_asks_for_a_new_token() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        // Each write in turn cannot be done, as if the run was killed before it.
        for in_the_way in [SECRETS_FILE, CLUSTER_FILE] {
            let folder = places.etc().join(in_the_way);
            std::fs::create_dir_all(&folder).unwrap();
            keep(&places, welcome()).err().unwrap();
            std::fs::remove_dir(&folder).unwrap();
            assert!(places.joining().exists(), "before {in_the_way}: the next run knows nothing of this one");
            assert!(resumed(&places, &Options::default()).unwrap().is_none());
            not_a_node_yet(&places, &Options::default()).unwrap();
        }
        keep(&places, welcome()).unwrap();
        let goes_on = resumed(&places, &Options::default()).expect_err("these secrets cannot be read");
        assert!(format!("{goes_on:#}").contains("secrets"), "{goes_on:#}");
        std::fs::remove_file(places.joining()).unwrap();
        let refused = not_a_node_yet(&places, &Options::default()).unwrap_err().to_string();
        assert!(refused.contains("here already"), "{refused}");
    }
}
