//! Where a node's things are.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::unistd::Uid;
use render::Layout;
use spec::{CLUSTER_FILE, Cluster, SECRETS_FILE, Secrets};

use crate::media;

/// What the agent keeps: the role, its history, one-time tokens.
pub const STATE_DIR: &str = "/var/lib/tandem";
/// The agent's last sample, in [`Place::run`].
pub const AGENT_SNAPSHOT: &str = "status.json";

/// One node's files and what they say. Clones are cheap enough to make once a command.
#[derive(Clone)]
pub struct Place {
    pub cluster: Cluster,
    /// This node's name.
    pub node: String,
    /// Where cluster.yaml is.
    pub etc: PathBuf,
    /// [`STATE_DIR`] on a server.
    pub state: PathBuf,
    /// `/run/tandem` on a server.
    pub run: PathBuf,
    pub layout: Layout,
    /// None for who may not read them: what needs a password is then not asked.
    pub secrets: Option<Secrets>,
}

/// Why this machine is no node.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("cannot read {path}: {why}; this machine is no node yet: type 'tandem init' or 'tandem join'")]
    Unreadable { path: PathBuf, why: io::Error },
    #[error(
        "{path} names '{name}', which is not in cluster.yaml (its nodes: {known}); write one of them there"
    )]
    UnknownNode { path: PathBuf, name: String, known: String },
    #[error(transparent)]
    Cluster(#[from] spec::Error),
    #[error(transparent)]
    Secrets(#[from] spec::SecretsError),
}

impl Place {
    /// Reads `<etc>/cluster.yaml`, `<etc>/node` and, as root, `<etc>/secrets.yaml`.
    ///
    /// # Errors
    /// What is missing or wrong in them.
    pub fn load(etc: &Path) -> Result<Self, PlaceError> {
        let read = |name: &str| {
            let path = etc.join(name);
            fs::read_to_string(&path).map_err(|why| PlaceError::Unreadable { path, why })
        };
        let file = etc.join(CLUSTER_FILE);
        let cluster = Cluster::parse(&file.display().to_string(), &read(CLUSTER_FILE)?)?;
        let node = read("node")?.trim().to_owned();
        if cluster.node(&node).is_none() {
            let known = cluster.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(PlaceError::UnknownNode { path: etc.join("node"), name: node, known });
        }
        let secrets = match Uid::effective().is_root() {
            true => Some(Secrets::load(&etc.join(SECRETS_FILE), &cluster)?),
            false => None,
        };
        let layout = Layout::node(&cluster, &host::programs::found());
        let run = layout.paths.run.clone();
        Ok(Self { cluster, node, etc: etc.to_owned(), state: STATE_DIR.into(), run, layout, secrets })
    }

    /// This node's service address.
    pub fn address(&self) -> IpAddr {
        self.me().map_or(IpAddr::from([127, 0, 0, 1]), |node| node.address)
    }

    /// This node in cluster.yaml.
    pub fn me(&self) -> Option<&spec::Node> {
        self.cluster.node(&self.node)
    }

    /// The other node, in a pair.
    pub fn peer(&self) -> Option<&spec::Node> {
        self.cluster.peer_of(&self.node)
    }

    /// `freeswitch` or `double`.
    pub fn media_engine(&self) -> &'static str {
        match media::is_double(&self.etc, &self.layout) {
            true => "double",
            false => "freeswitch",
        }
    }

    /// PostgreSQL's major version, from the folder of its programs.
    pub fn postgresql_major(&self) -> String {
        let folder = self.layout.paths.postgresql_bin.parent().and_then(Path::file_name);
        folder.map_or_else(|| "17".into(), |name| name.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use spec::{Ports, dev_cluster_yaml};

    /// A place below `root` for tests: its ports are the cluster's to change.
    pub fn place_in(root: &Path) -> Place {
        let text = dev_cluster_yaml(uuid::Uuid::from_u128(7), "test", &Ports::dev(0));
        let cluster = Cluster::parse("cluster.yaml", &text).unwrap();
        let secrets =
            Secrets::generate(cluster.demo.extensions.iter().map(|e| e.extension.as_str())).unwrap();
        let layout = Layout::dev(&cluster, root, "nobody", &host::programs::found());
        let run = layout.paths.run.clone();
        let (node, etc, state) = ("n1".into(), root.to_owned(), root.to_owned());
        Place { cluster, node, etc, state, run, layout, secrets: Some(secrets) }
    }

    /// A place of n1 of a pair.
    pub fn pair_in(root: &Path) -> Place {
        let mut place = place_in(root);
        let address = |last: u8| IpAddr::from([198, 18, 77, last]);
        let node = |name: &str, last: u8| spec::Node {
            name: name.into(),
            address: address(last),
            peer_address: None,
            interface: None,
            peer_interface: None,
        };
        place.cluster.nodes = vec![node("n1", 11), node("n2", 12)];
        place.cluster.vip = Some(spec::Vip {
            address: address(100),
            prefix: 24,
            router_id: strictyaml::Limited::new(100),
            gateway: None,
        });
        place
    }

    #[test]
    fn a_machine_that_is_no_node_says_what_to_type() {
        let dir = tempfile::tempdir().unwrap();
        let error = anyhow::Error::from(Place::load(dir.path()).err().unwrap());
        let message = format!("{error:#}");
        assert!(message.contains("tandem init"), "{message}");
        assert_eq!(message.matches("No such file").count(), 1, "{message}");
        let text = dev_cluster_yaml(uuid::Uuid::from_u128(7), "test", &Ports::dev(0));
        fs::write(dir.path().join(CLUSTER_FILE), text).unwrap();
        fs::write(dir.path().join("node"), "n9\n").unwrap();
        let message = Place::load(dir.path()).err().unwrap().to_string();
        assert!(message.contains("'n9'") && message.contains("n1"), "{message}");
    }
}
