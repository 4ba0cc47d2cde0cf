//! Where things are on one machine: the part of the input that is neither the operator's nor secret.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use spec::{Cluster, Shape};

use crate::Machine;

/// Paths and service users of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub paths: Paths,
    pub users: Users,
    pub machine: Machine,
    /// Which network interface has which address.
    pub interfaces: BTreeMap<IpAddr, String>,
}

/// Absolute paths, one a purpose, so that no template joins a shape's folders by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paths {
    /// PostgreSQL's folder of configuration, and so on for each engine.
    pub postgresql_etc: PathBuf,
    pub redis_etc: PathBuf,
    pub kamailio_etc: PathBuf,
    pub freeswitch_etc: PathBuf,
    pub voip_admin_etc: PathBuf,
    pub media_double_etc: PathBuf,

    pub postgresql_data: PathBuf,
    /// Folder of the unix socket.
    pub postgresql_socket: PathBuf,
    pub redis_data: PathBuf,
    /// FreeSWITCH's own databases.
    pub freeswitch_db: PathBuf,
    /// voipadmind's journal of CDRs.
    pub journal: PathBuf,

    /// Pid files, sockets and other things of one boot.
    pub run: PathBuf,
    /// Kamailio's ctl socket and such.
    pub kamailio_run: PathBuf,
    /// The engines' own logs.
    pub log: PathBuf,
    /// FreeSWITCH's `err-log-dir`: CDRs it could not post.
    pub cdr_spool: PathBuf,
    /// Events Kamailio could not post.
    pub kamailio_spool: PathBuf,
    /// Recordings, voicemail and other large trees.
    pub storage: PathBuf,
    /// Short-lived files, on tmpfs where there is one.
    pub tmp: PathBuf,

    /// FreeSWITCH's installation, its modules and its sounds.
    pub freeswitch_prefix: PathBuf,
    pub freeswitch_mod: PathBuf,
    pub freeswitch_sounds: PathBuf,
    /// Kamailio's modules.
    pub kamailio_mod: PathBuf,
    /// PostgreSQL's server programs.
    pub postgresql_bin: PathBuf,
}

/// The operating system users the services run as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Users {
    /// Also the name of the database superuser, who is known by the unix socket alone.
    pub postgresql: String,
    pub redis: String,
    pub kamailio: String,
    pub freeswitch: String,
    pub voip_admin: String,
    pub media_double: String,
}

/// What was found on the machine; `cluster.yaml`'s `paths:` wins over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub freeswitch_prefix: PathBuf,
    pub freeswitch_mod: PathBuf,
    pub kamailio_mod: PathBuf,
    pub postgresql_bin: PathBuf,
    pub machine: Machine,
    pub interfaces: BTreeMap<IpAddr, String>,
}

impl Default for Found {
    /// Debian's places on amd64, PostgreSQL 17.
    fn default() -> Self {
        Self {
            freeswitch_prefix: "/usr".into(),
            freeswitch_mod: "/usr/lib/freeswitch/mod".into(),
            kamailio_mod: "/usr/lib/x86_64-linux-gnu/kamailio/modules".into(),
            postgresql_bin: "/usr/lib/postgresql/17/bin".into(),
            machine: Machine::default(),
            interfaces: BTreeMap::new(),
        }
    }
}

impl Layout {
    /// The layout of this cluster's shape; `root` is the dev node's state folder and unused elsewhere.
    pub fn of(cluster: &Cluster, root: &Path, user: &str, found: &Found) -> Self {
        match cluster.shape {
            Shape::Dev => Self::dev(cluster, root, user, found),
            Shape::Lab | Shape::Node => Self::node(cluster, found),
        }
    }

    /// Everything below `root`, everything as `user`.
    pub fn dev(cluster: &Cluster, root: &Path, user: &str, found: &Found) -> Self {
        let etc = root.join("etc");
        let paths = Paths {
            postgresql_etc: etc.join("postgresql"),
            redis_etc: etc.join("redis"),
            kamailio_etc: etc.join("kamailio"),
            freeswitch_etc: etc.join("freeswitch"),
            voip_admin_etc: etc.join("voip-admin"),
            media_double_etc: etc.join("media-double"),
            postgresql_data: root.join("data/postgresql"),
            postgresql_socket: root.join("run/postgresql"),
            redis_data: root.join("data/redis"),
            freeswitch_db: root.join("data/freeswitch"),
            journal: root.join("data/journal"),
            run: root.join("run"),
            kamailio_run: root.join("run/kamailio"),
            log: root.join("log"),
            cdr_spool: root.join("spool/cdr"),
            kamailio_spool: root.join("spool/kamailio"),
            storage: root.join("storage"),
            tmp: root.join("tmp"),
            freeswitch_prefix: PathBuf::new(),
            freeswitch_mod: PathBuf::new(),
            freeswitch_sounds: PathBuf::new(),
            kamailio_mod: PathBuf::new(),
            postgresql_bin: PathBuf::new(),
        };
        let users = Users {
            postgresql: user.into(),
            redis: user.into(),
            kamailio: user.into(),
            freeswitch: user.into(),
            voip_admin: user.into(),
            media_double: user.into(),
        };
        Self::with(paths, users, cluster, found)
    }

    /// A Debian server: each engine in its package's places.
    pub fn node(cluster: &Cluster, found: &Found) -> Self {
        let version = version_of(cluster.paths.postgresql_bin.as_ref().unwrap_or(&found.postgresql_bin));
        let paths = Paths {
            postgresql_etc: Path::new("/etc/postgresql").join(version).join("main"),
            redis_etc: "/etc/redis".into(),
            kamailio_etc: "/etc/kamailio".into(),
            freeswitch_etc: "/etc/freeswitch".into(),
            voip_admin_etc: "/etc/voip-admin".into(),
            media_double_etc: "/etc/media-double".into(),
            postgresql_data: Path::new("/var/lib/postgresql").join(version).join("main"),
            postgresql_socket: "/run/postgresql".into(),
            redis_data: "/var/lib/redis".into(),
            freeswitch_db: "/var/lib/freeswitch/db".into(),
            journal: "/var/lib/voip-admin/journal".into(),
            run: "/run/tandem".into(),
            kamailio_run: "/run/kamailio".into(),
            log: "/var/log".into(),
            cdr_spool: "/var/spool/freeswitch/cdr".into(),
            kamailio_spool: "/var/spool/kamailio".into(),
            storage: "/storage".into(),
            tmp: "/run/freeswitch".into(),
            freeswitch_prefix: PathBuf::new(),
            freeswitch_mod: PathBuf::new(),
            freeswitch_sounds: PathBuf::new(),
            kamailio_mod: PathBuf::new(),
            postgresql_bin: PathBuf::new(),
        };
        let users = Users {
            postgresql: "postgres".into(),
            redis: "redis".into(),
            kamailio: "kamailio".into(),
            freeswitch: "freeswitch".into(),
            voip_admin: "voip-admin".into(),
            media_double: "freeswitch".into(),
        };
        Self::with(paths, users, cluster, found)
    }

    fn with(paths: Paths, users: Users, cluster: &Cluster, found: &Found) -> Self {
        Self {
            paths: with_programs(paths, cluster, found),
            users,
            machine: found.machine.share_of(cluster),
            interfaces: found.interfaces.clone(),
        }
    }

    /// PostgreSQL's major version, as Debian's folders have it.
    pub fn postgresql_version(&self) -> &str {
        version_of(&self.paths.postgresql_bin)
    }
}

/// `15` of `/usr/lib/postgresql/15/bin`.
fn version_of(postgresql_bin: &Path) -> &str {
    postgresql_bin.parent().and_then(Path::file_name).and_then(|v| v.to_str()).unwrap_or("17")
}

fn with_programs(mut paths: Paths, cluster: &Cluster, found: &Found) -> Paths {
    let written = &cluster.paths;
    let choose = |written: &Option<PathBuf>, found: &PathBuf| written.as_ref().unwrap_or(found).clone();
    paths.freeswitch_prefix = choose(&written.freeswitch_prefix, &found.freeswitch_prefix);
    paths.freeswitch_mod = choose(&written.freeswitch_mod, &found.freeswitch_mod);
    paths.freeswitch_sounds = paths.freeswitch_prefix.join("share/freeswitch/sounds");
    paths.kamailio_mod = choose(&written.kamailio_mod, &found.kamailio_mod);
    paths.postgresql_bin = choose(&written.postgresql_bin, &found.postgresql_bin);
    if let Some(storage) = &written.storage {
        paths.storage.clone_from(storage);
    }
    paths
}
