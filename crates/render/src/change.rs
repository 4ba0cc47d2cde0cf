//! What has to happen after a file changed: said by render, done by whoever writes the files.

/// One thing to do, in the order in which things are done: the derived order is that order.
///
/// Units are systemd's full names. *Reload* and *Restart* mean the unit if it runs (`try-restart`): what does not run is
/// started by whoever starts it, and PostgreSQL by the agent alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Then {
    /// `systemctl daemon-reload`, before any unit is asked for anything.
    DaemonReload,
    /// A program and its arguments, for what has no unit (`systemd-tmpfiles --create FILE`).
    Run(Vec<String>),
    /// `sysctl -p FILE`: settings the kernel refuses in a container are reported, not fatal.
    Sysctl(String),
    /// `systemctl enable`, and start now: units this file brings that nobody else starts.
    Enable(String),
    Restart(String),
    Reload(String),
}

/// Everything these changed files ask for, each once and in order; a unit that is restarted is not reloaded too.
pub fn after<'a>(changed: impl IntoIterator<Item = &'a crate::RenderedFile>) -> Vec<Then> {
    let mut all: Vec<Then> = changed.into_iter().flat_map(|file| file.then.iter().cloned()).collect();
    all.sort();
    all.dedup();
    let restarted: Vec<String> = all
        .iter()
        .filter_map(|t| if let Then::Restart(unit) = t { Some(unit.clone()) } else { None })
        .collect();
    all.retain(|then| !matches!(then, Then::Reload(unit) if restarted.contains(unit)));
    all
}

/// Whom a file belongs to, by name: the numbers differ between machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub user: String,
    pub group: String,
}
