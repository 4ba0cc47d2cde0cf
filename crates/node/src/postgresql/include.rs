//! The two configuration files the agent owns: what the role decides, and who is let in. Written from a decision of the
//! table, and read back as what the table calls it.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fsm::{Include, Names, Point, Standby};
use host::files::{self, Owner};
use spec::Node;

use crate::config::Config;

/// Settings that `postgresql.auto.conf` may not decide: a base copy carries the other server's.
pub const OWNED: [&str; 3] = ["synchronous_standby_names", "primary_conninfo", "primary_slot_name"];

/// Where it is: `postgresql.conf` includes `conf.d`.
pub fn path(config: &Config) -> PathBuf {
    config.layout.paths.postgresql_etc.join("conf.d/tandem.conf")
}

/// Who may connect now: `hba_file`. One of the two files that render writes, copied, because the setting itself cannot be
/// changed while the server runs.
pub fn hba_path(config: &Config) -> PathBuf {
    config.layout.paths.postgresql_etc.join(render::HBA_NOW)
}

/// The file that is copied there.
pub fn hba_source(config: &Config, clients: bool) -> PathBuf {
    config.layout.paths.postgresql_etc.join(if clients { "pg_hba.conf" } else { "pg_hba_closed.conf" })
}

/// Whether clients may connect, as far as the files say.
pub fn clients_let_in(config: &Config) -> bool {
    let read = |path: PathBuf| files::read(&path).ok().flatten();
    let now = read(hba_path(config));
    now.is_some() && now == read(hba_source(config, true))
}

/// The file's text.
pub fn text(config: &Config, include: &Include) -> String {
    let mut text = "# Written by tandem's agent: this node's role. Every change here is undone.\n".to_owned();
    for (setting, value) in settings(config, include) {
        let _ = writeln!(text, "{setting} = '{value}'");
    }
    text
}

/// The owned settings, as a server that has read the file runs with them.
pub fn settings(config: &Config, include: &Include) -> [(&'static str, String); 3] {
    let peer = config.peer().map_or("", |peer| peer.name.as_str());
    // Quoted once more in the file: the value, and in it a name that may hold '-'.
    let names = match include.names {
        Names::Empty | Names::Other => String::new(),
        Names::Barrier => format!("\"{}\"", fsm::BARRIER),
        Names::Peer(at) => format!("\"{}\"", Standby { node: peer, at }),
    };
    let source = match (include.upstream, config.peer()) {
        (Some(at), Some(peer)) => {
            let name = Standby { node: &config.name, at };
            let to = peer_server(config, peer);
            let password = &config.secrets.db_replicator;
            format!("{to} user=replicator password={password} application_name={name}")
        }
        _ => String::new(),
    };
    let slot = if source.is_empty() { String::new() } else { fsm::slot(&config.name) };
    let [first, second, third] = OWNED;
    [(first, names), (second, source), (third, slot)]
}

/// How the other node's server is reached, for libpq: by the link, else by the service network. A network that dies in the middle
/// is noticed in seconds, whoever waits for whom.
pub fn peer_server(config: &Config, peer: &Node) -> String {
    let hosts = peer_hosts(peer).iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let port = config.cluster.ports.postgresql;
    format!(
        "host={hosts} port={port} connect_timeout=2 keepalives_idle=2 keepalives_interval=1 keepalives_count=3 \
         tcp_user_timeout=3000"
    )
}

/// The other node's addresses, the link's first.
pub fn peer_hosts(peer: &Node) -> Vec<IpAddr> {
    let mut hosts = vec![peer.peer_side(), peer.address];
    hosts.dedup();
    hosts
}

/// What `synchronous_standby_names` means, as the server says it.
pub fn names(config: &Config, value: &str) -> Names {
    let peer = config.peer().map_or("", |peer| peer.name.as_str());
    match value.trim().trim_matches('"') {
        "" => Names::Empty,
        fsm::BARRIER => Names::Barrier,
        name => join_of(name, peer).map_or(Names::Other, Names::Peer),
    }
}

/// In which join `primary_conninfo` follows the peer. One that is not ours is no join: it is written over.
pub fn upstream(config: &Config, conninfo: &str) -> Option<Point> {
    let name = conninfo.split_ascii_whitespace().find_map(|word| word.strip_prefix("application_name="));
    match name {
        None if conninfo.trim().is_empty() => None,
        None => Some(Point::default()),
        Some(name) => Some(join_of(name, &config.name).unwrap_or_default()),
    }
}

/// `<node>_e<epoch>_j<join>`.
pub fn join_of(name: &str, node: &str) -> Option<Point> {
    let (epoch, join) = name.strip_prefix(node)?.strip_prefix("_e")?.split_once("_j")?;
    Some(Point { epoch: epoch.parse().ok()?, join: join.parse().ok()? })
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

    fn solo() -> Include {
        Include { names: Names::Empty, upstream: None, clients: true }
    }

    #[test]
    fn a_solo_primary_waits_for_nobody_and_a_paired_one_for_one_join() {
        let config = fixtures::config("n1");
        let says = text(&config, &solo());
        assert!(says.contains("synchronous_standby_names = ''\nprimary_conninfo = ''\n"), "{says}");
        let at = Point { epoch: 1, join: 1 };
        for (wanted, value) in [(Names::Peer(at), "\"n2_e1_j1\""), (Names::Barrier, "\"tandem_barrier\"")] {
            let says = text(&config, &Include { names: wanted, ..solo() });
            assert!(says.contains(&format!("synchronous_standby_names = '{value}'\n")), "{says}");
            assert_eq!(names(&config, value), wanted);
        }
        assert_eq!((names(&config, ""), names(&config, "*")), (Names::Empty, Names::Other));
    }

    #[test]
    fn a_standby_streams_under_its_join_s_name_over_the_peer_link() {
        let config = fixtures::config("n2");
        let at = Point { epoch: 2, join: 5 };
        let include = Include { names: Names::Empty, upstream: Some(at), clients: false };
        let says = text(&config, &include);
        assert!(says.contains("synchronous_standby_names = ''"), "{says}");
        assert!(
            says.contains("host=198.18.78.11,198.18.77.11 ") && says.contains(" application_name=n2_e2_j5'"),
            "{says}"
        );
        assert!(says.contains("primary_slot_name = 'tandem_n2'"), "{says}");
        let [_, (_, conninfo), _] = settings(&config, &include);
        assert_eq!((upstream(&config, &conninfo), upstream(&config, "")), (Some(at), None));
        assert_eq!(upstream(&config, "host=elsewhere"), Some(Point::default()));
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
