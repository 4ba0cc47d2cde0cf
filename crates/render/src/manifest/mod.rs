//! Which files a node has. A template stands in `templates/` under the very path its output has, and is listed in its
//! engine's file here with its mode, its owner and what its change asks for.

mod freeswitch;
mod kamailio;
mod media_double;
mod postgresql;
mod redis;
mod system;
mod voip_admin;

use std::path::PathBuf;

use spec::{Cluster, Shape};

use crate::{Layout, Owner, Then};

/// A file to render.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    /// Below `templates/`, and below a dev node's output folder.
    pub path: &'static str,
    pub source: &'static str,
    pub mode: u32,
    pub when: When,
    pub of: Of,
    /// What a change asks for on a server.
    pub then: &'static [Do],
}

/// Which service a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Root,
    Postgresql,
    Redis,
    Kamailio,
    Freeswitch,
    VoipAdmin,
    MediaDouble,
}

/// A [`Then`] that a constant can hold; `@V` stands for PostgreSQL's major version.
#[derive(Debug, Clone, Copy)]
pub enum Do {
    DaemonReload,
    Run(&'static [&'static str]),
    /// `sysctl -p` of this very file.
    Sysctl,
    Enable(&'static str),
    Restart(&'static str),
    Reload(&'static str),
}

impl Template {
    const fn of(self, of: Of) -> Self {
        Self { of, ..self }
    }

    const fn then(self, then: &'static [Do]) -> Self {
        Self { then, ..self }
    }

    /// Where it belongs on this machine.
    pub fn target(&self, layout: &Layout) -> PathBuf {
        let paths = &layout.paths;
        let (top, rest) = self.path.split_once('/').unwrap_or(("", self.path));
        let rest = with_version(rest, layout);
        match top {
            "postgresql" => paths.postgresql_etc.join(rest),
            "redis" => paths.redis_etc.join(rest),
            "kamailio" => paths.kamailio_etc.join(rest),
            "freeswitch" => paths.freeswitch_etc.join(rest),
            "voip-admin" => paths.voip_admin_etc.join(rest),
            "media-double" => paths.media_double_etc.join(rest),
            // `root/`: the path from `/`.
            _ => PathBuf::from("/").join(rest),
        }
    }

    pub(crate) fn owner(&self, layout: &Layout) -> Owner {
        let users = &layout.users;
        let user = match self.of {
            Of::Root => "root",
            Of::Postgresql => &users.postgresql,
            Of::Redis => &users.redis,
            Of::Kamailio => &users.kamailio,
            Of::Freeswitch => &users.freeswitch,
            Of::VoipAdmin => &users.voip_admin,
            Of::MediaDouble => &users.media_double,
        };
        Owner { user: user.into(), group: user.into() }
    }

    pub(crate) fn actions(&self, layout: &Layout) -> Vec<Then> {
        let unit = |name: &str| with_version(name, layout);
        let then = |action: &Do| match action {
            Do::DaemonReload => Then::DaemonReload,
            Do::Run(words) => Then::Run(words.iter().map(|w| (*w).to_owned()).collect()),
            Do::Sysctl => Then::Sysctl(self.target(layout).display().to_string()),
            Do::Enable(name) => Then::Enable(unit(name)),
            Do::Restart(name) => Then::Restart(unit(name)),
            Do::Reload(name) => Then::Reload(unit(name)),
        };
        self.then.iter().map(then).collect()
    }
}

/// `postgresql@V-main` as Debian calls it on this machine.
fn with_version(text: &str, layout: &Layout) -> String {
    text.replace("@V-main", &format!("@{}-main", layout.postgresql_version()))
}

/// The shapes that have a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    DevOnly,
    /// On Debian systems: servers and the lab's.
    NodeAndLab,
    /// There, where there are two nodes and an address that moves.
    Pair,
    /// Never on a server: the media double is a test program.
    DevAndLab,
    /// Included by other templates, never written.
    Partial,
}

impl When {
    pub(crate) fn applies(self, cluster: &Cluster) -> bool {
        let shape = cluster.shape;
        match self {
            Self::Always => true,
            Self::DevOnly => shape == Shape::Dev,
            Self::NodeAndLab => shape != Shape::Dev,
            Self::Pair => shape != Shape::Dev && cluster.nodes.len() == 2 && cluster.vip.is_some(),
            Self::DevAndLab => shape != Shape::Node,
            Self::Partial => false,
        }
    }
}

/// `template!("redis/redis.conf", 0o600)`, or with a third argument the [`When`] it is not [`When::Always`].
macro_rules! template {
    ($path:literal, $mode:literal) => {
        $crate::manifest::template!($path, $mode, Always)
    };
    ($path:literal, $mode:literal, $when:ident) => {
        $crate::manifest::Template {
            path: $path,
            source: include_str!(concat!("../../templates/", $path)),
            mode: $mode,
            when: $crate::manifest::When::$when,
            of: $crate::manifest::Of::Root,
            then: &[],
        }
    };
}
pub(crate) use template;

/// Every template, engine by engine, the system's first, then in the order the engines start.
pub fn templates() -> impl Iterator<Item = &'static Template> {
    [
        system::FILES,
        postgresql::FILES,
        redis::FILES,
        voip_admin::FILES,
        freeswitch::FILES,
        media_double::FILES,
        kamailio::FILES,
    ]
    .into_iter()
    .flatten()
}
