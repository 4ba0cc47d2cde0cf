//! The table of checks, in the order an installation goes.

mod arbiter;
mod files;
mod machine;
mod network;
mod platform;
mod versions;

use super::facts::Facts;
use super::{Level, Line};

pub struct Check {
    pub name: &'static str,
    pub run: fn(&Facts, &'static str) -> Vec<Line>,
}

const fn check(name: &'static str, run: fn(&Facts, &'static str) -> Vec<Line>) -> Check {
    Check { name, run }
}

pub const ALL: &[Check] = &[
    check("system", machine::system),
    check("cores", machine::cores),
    check("memory", machine::memory),
    check("disk-size", machine::disk_size),
    check("disk-space", platform::disk_space),
    check("clock", machine::clock),
    check("time-zone", machine::time_zone),
    check("host-name", machine::host_name),
    check("kernel", machine::kernel),
    check("versions", versions::engines),
    check("same-version", platform::same_version),
    check("media", versions::media),
    check("secrets", files::secrets),
    check("files", files::applied),
    check("services", platform::services),
    check("listeners", network::listeners),
    check("agent", platform::agent),
    check("role", platform::role),
    check("postgresql", platform::postgresql),
    check("replication", platform::replication),
    check("redis", platform::redis),
    check("vip", platform::vip),
    check("gateway", arbiter::gateway),
    check("arbiter", arbiter::arbiter),
    check("kamailio", platform::kamailio),
    check("freeswitch", platform::freeswitch),
    check("voip-admin", platform::voip_admin),
    check("backlog", files::backlog),
    check("records", platform::records),
];

/// Lines of one check.
struct Lines {
    check: &'static str,
    list: Vec<Line>,
}

impl Lines {
    fn new(check: &'static str) -> Self {
        Self { check, list: Vec::new() }
    }

    fn add(&mut self, level: Level, what: impl Into<String>, cure: Option<String>) {
        self.list.push(Line { check: self.check.to_owned(), level, what: what.into(), cure });
    }

    fn ok(&mut self, what: impl Into<String>) {
        self.add(Level::Ok, what, None);
    }

    fn skipped(&mut self, what: impl Into<String>, cure: &str) {
        self.add(Level::Skipped, what, (!cure.is_empty()).then(|| cure.to_owned()));
    }

    fn warn(&mut self, what: impl Into<String>, cure: impl Into<String>) {
        self.add(Level::Warn, what, Some(cure.into()));
    }

    fn fail(&mut self, what: impl Into<String>, cure: impl Into<String>) {
        self.add(Level::Fail, what, Some(cure.into()));
    }
}

const NEEDS_ROOT: &str = "type: sudo tandem doctor";

#[cfg(test)]
mod tests;
