//! What has to happen after a file changed: said by render, done and remembered by whoever writes the files.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing to do, in the order in which things are done: the derived order is that order.
///
/// Units are systemd's full names. *Reload* and *Restart* mean the unit if it runs (`try-restart`): what does not run is
/// started by whoever starts it, and PostgreSQL by the agent alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DaemonReload => f.write_str("reload systemd"),
            Self::Run(words) => write!(f, "run {}", words.join(" ")),
            Self::Sysctl(file) => write!(f, "kernel settings of {file}"),
            Self::Enable(unit) => write!(f, "enable {unit}"),
            Self::Restart(unit) => write!(f, "restart {unit}"),
            Self::Reload(unit) => write!(f, "reload {unit}"),
        }
    }
}

/// Each once and in order; a unit that is restarted is not reloaded too.
pub fn in_order(mut all: Vec<Then>) -> Vec<Then> {
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
