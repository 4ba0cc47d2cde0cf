//! The one configuration file the agent owns: what the role decides, written from the state and from nothing else.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fsm::{Mode, Role, Standby, State};
use host::files::{self, Owner};

use crate::config::Config;

/// Settings that `postgresql.auto.conf` may not decide: a base copy carries the other server's.
pub const OWNED: [&str; 3] = ["synchronous_standby_names", "primary_conninfo", "primary_slot_name"];

/// Where it is: `postgresql.conf` includes `conf.d`.
pub fn path(config: &Config) -> PathBuf {
    config.layout.paths.postgresql_etc.join("conf.d/tandem.conf")
}

/// What stands in `synchronous_standby_names`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Nobody is waited for.
    None,
    /// This one name is waited for.
    One(String),
}

impl Names {
    /// What the state says.
    pub fn of(config: &Config, state: &State) -> Self {
        match (state.role, state.mode, config.peer()) {
            (Role::Primary, Mode::Paired, Some(peer)) => {
                Self::One(Standby { node: &peer.name, at: state.at() }.to_string())
            }
            _ => Self::None,
        }
    }
}

/// The file's text.
pub fn text(config: &Config, state: &State, names: &Names) -> String {
    let mut text = format!(
        "# Written by tandem's agent from {}: this node's role. Every change here is undone.\n\
         # {}, epoch {}, join {}\n",
        "/var/lib/tandem/state.json",
        state.role.as_str(),
        state.epoch,
        state.join
    );
    for (setting, value) in settings(config, state, names) {
        let _ = writeln!(text, "{setting} = '{value}'");
    }
    text
}

/// The owned settings, as a server that has read the file runs with them.
pub fn settings(config: &Config, state: &State, names: &Names) -> [(&'static str, String); 3] {
    let names = match names {
        Names::None => String::new(),
        // Quoted once more in the file: the value, and in it a name that may hold '-'.
        Names::One(name) => format!("\"{name}\""),
    };
    let source = match (state.role, config.peer()) {
        (Role::Standby, Some(peer)) => {
            let name = Standby { node: &config.name, at: state.at() };
            format!(
                "host={} port={} user=replicator password={} application_name={name} connect_timeout=5 \
                 keepalives_idle=2 keepalives_interval=1 keepalives_count=3 tcp_user_timeout=5000",
                peer.peer_side(),
                config.cluster.ports.postgresql,
                config.secrets.db_replicator,
            )
        }
        _ => String::new(),
    };
    let slot = if source.is_empty() { String::new() } else { fsm::slot(&config.name) };
    let [first, second, third] = OWNED;
    [(first, names), (second, source), (third, slot)]
}

/// Writes it where it differs; true when it did. It holds a password: for the server's user alone.
pub fn write(path: &Path, text: &str, owner: Owner) -> Result<bool> {
    if files::read(path).is_ok_and(|old| old.as_deref() == Some(text)) {
        return Ok(false);
    }
    let folder = path.parent().unwrap_or(path);
    if !folder.is_dir() {
        files::folder(folder, 0o755, owner).with_context(|| format!("making {}", folder.display()))?;
    }
    files::write_durably(path, 0o600, owner, text.as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(true)
}

/// Takes the owned settings out of a *stopped* server's `postgresql.auto.conf`, which would win over ours.
pub fn clean_auto_conf(data: &Path, owner: Owner) -> Result<()> {
    let path = data.join("postgresql.auto.conf");
    let Some(text) = files::read(&path).with_context(|| format!("reading {}", path.display()))? else {
        return Ok(());
    };
    let owned = |line: &&str| {
        let key = line.split(['=', ' ', '\t']).next().unwrap_or_default();
        OWNED.iter().any(|name| key.eq_ignore_ascii_case(name))
    };
    let kept: Vec<&str> = text.lines().filter(|line| !owned(&line.trim_start())).collect();
    if kept.len() == text.lines().count() {
        return Ok(());
    }
    let mut clean = kept.join("\n");
    clean.push('\n');
    files::write_durably(&path, 0o600, owner, clean.as_bytes())
        .with_context(|| format!("writing {}", path.display()))
}

/// Whether the data is a standby's.
pub fn has_standby_signal(data: &Path) -> bool {
    fs::symlink_metadata(data.join("standby.signal")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use fsm::Point;

    #[test]
    fn a_solo_primary_waits_for_nobody_and_a_paired_one_for_one_join() {
        let config = fixtures::config("n1");
        let solo = State::first_primary(config.cluster.cluster.id, "n1");
        let says = text(&config, &solo, &Names::of(&config, &solo));
        assert!(says.contains("synchronous_standby_names = ''\nprimary_conninfo = ''\n"), "{says}");
        let paired = solo.paired(solo.next_join());
        let says = text(&config, &paired, &Names::of(&config, &paired));
        assert!(says.contains("synchronous_standby_names = '\"n2_e1_j1\"'\n"), "{says}");
    }

    #[test]
    fn a_standby_streams_under_its_join_s_name_over_the_peer_link() {
        let config = fixtures::config("n2");
        let at = Point { epoch: 2, join: 5 };
        let standby = State::joined_standby(config.cluster.cluster.id, "n2", "n1", at);
        let says = text(&config, &standby, &Names::of(&config, &standby));
        assert!(says.contains("synchronous_standby_names = ''"), "{says}");
        assert!(
            says.contains("host=198.18.78.11 ") && says.contains(" application_name=n2_e2_j5 "),
            "{says}"
        );
        assert!(says.contains("primary_slot_name = 'tandem_n2'"), "{says}");
    }

    #[test]
    fn a_base_copy_s_settings_do_not_outlive_the_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postgresql.auto.conf");
        fs::write(
            &path,
            "# kept\nsynchronous_standby_names = 'x'\n Primary_Conninfo='y'\nwork_mem = '5MB'\n",
        )
        .unwrap();
        clean_auto_conf(dir.path(), None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "# kept\nwork_mem = '5MB'\n");
    }
}
