//! Where a node keeps what is Tandem's own. Below `/` on a server, below a folder in tests.

use std::path::{Path, PathBuf};

/// The root all absolute paths are seen from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    root: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self { root: "/".into() }
    }
}

impl Places {
    /// A node below `root`, for tests and for comparing.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The place of an absolute path.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The folder of `cluster.yaml`, `secrets.yaml` and `node`.
    pub fn etc(&self) -> PathBuf {
        self.at("/etc/tandem")
    }

    /// One line: which of cluster.yaml's nodes this is.
    pub fn node_name(&self) -> PathBuf {
        self.etc().join("node")
    }

    /// What outlives a reboot.
    pub fn lib(&self) -> PathBuf {
        self.at("/var/lib/tandem")
    }

    /// The role state (failover.md, "State").
    pub fn state(&self) -> PathBuf {
        self.lib().join("state.json")
    }

    /// Room kept for the state on a full disk.
    pub fn reserve(&self) -> PathBuf {
        self.lib().join("reserve")
    }

    /// What apply wrote, and what of a broken run is still to do.
    pub fn applied(&self) -> PathBuf {
        self.lib().join("applied.json")
    }

    /// What apply replaced, a folder a run.
    pub fn replaced(&self) -> PathBuf {
        self.lib().join("replaced")
    }

    /// One-time tokens of joins.
    pub fn tokens(&self) -> PathBuf {
        self.lib().join("tokens.json")
    }

    /// Is there while this standby's engines are to stay down.
    pub fn maintenance(&self) -> PathBuf {
        self.lib().join("maintenance")
    }

    /// A join that is under way.
    pub fn joining(&self) -> PathBuf {
        self.lib().join("join.json")
    }

    /// What lasts one boot.
    pub fn run(&self) -> PathBuf {
        self.at("/run/tandem")
    }

    /// 1 where keepalived may hold the virtual address; 0 or absent: it may not.
    pub fn role(&self) -> PathBuf {
        self.run().join("role")
    }

    /// How new the epoch is in which this node may hold it.
    pub fn rank(&self) -> PathBuf {
        self.run().join("rank")
    }

    /// The agent's control socket.
    pub fn control(&self) -> PathBuf {
        self.run().join("agent.sock")
    }

    /// The agent's snapshot of this node.
    pub fn status(&self) -> PathBuf {
        self.run().join("status.json")
    }
}
