//! What a command of a node starts from: `cluster.yaml`, `secrets.yaml`, which node this is, and where its engines are.

use std::path::Path;

use anyhow::{Context, Result, bail};
use host::{files, programs};
use render::Layout;
use spec::{CLUSTER_FILE, Cluster, Node, SECRETS_FILE, Secrets, Shape};

use crate::places::Places;

/// Everything that is configured of this node.
#[derive(Debug, Clone)]
pub struct Config {
    pub cluster: Cluster,
    pub secrets: Secrets,
    /// This node's name.
    pub name: String,
    pub layout: Layout,
}

impl Config {
    /// Reads the three files below `/etc/tandem` (or `dir`); `name` wins over the file `node`.
    ///
    /// # Errors
    /// A file missing or wrong, a name that cluster.yaml does not list, a cluster of the shape dev.
    pub fn load(places: &Places, dir: &Path, name: Option<&str>) -> Result<Self> {
        let file = dir.join(CLUSTER_FILE);
        let text = files::read(&file).with_context(|| format!("reading {}", file.display()))?.with_context(
            || {
                format!(
                    "there is no {}; write it with 'tandem init --node … --dir {}', or join an existing \
                         cluster with 'tandem join ADDRESS'",
                    file.display(),
                    dir.display()
                )
            },
        )?;
        let cluster = Cluster::parse(&file.display().to_string(), &text)?;
        let secrets = Secrets::load(&dir.join(SECRETS_FILE), &cluster)?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => read_name(places, &cluster)?,
        };
        Self::of(cluster, secrets, name)
    }

    /// Checks that the node is one of the cluster's, and finds its engines.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn of(cluster: Cluster, secrets: Secrets, name: String) -> Result<Self> {
        if cluster.shape == Shape::Dev {
            bail!("this cluster.yaml is a dev node's (shape: dev), which runs with 'tandem dev up'");
        }
        if cluster.node(&name).is_none() {
            bail!("cluster.yaml lists no node '{name}'; it lists {}", names(&cluster));
        }
        let layout = Layout::node(&cluster, &programs::found());
        Ok(Self { cluster, secrets, name, layout })
    }

    /// This node.
    pub fn node(&self) -> Result<&Node> {
        self.cluster.node(&self.name).context("cluster.yaml does not list this node")
    }

    /// The other node of a pair.
    pub fn peer(&self) -> Option<&Node> {
        self.cluster.peer_of(&self.name)
    }

    /// PostgreSQL's major version, as its folders are named.
    pub fn postgresql_major(&self) -> String {
        let bin = &self.layout.paths.postgresql_bin;
        bin.parent().and_then(Path::file_name).map_or_else(String::new, |v| v.to_string_lossy().into_owned())
    }

    /// The unit of this node's database.
    pub fn postgresql_unit(&self) -> String {
        format!("postgresql@{}-main.service", self.postgresql_major())
    }
}

fn read_name(places: &Places, cluster: &Cluster) -> Result<String> {
    let file = places.node_name();
    let text = files::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let name = text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    name.with_context(|| {
        format!(
            "{} does not say which node this is; name it once: tandem apply --node {}",
            file.display(),
            cluster.nodes.first().map_or("NAME", |n| n.name.as_str())
        )
    })
}

fn names(cluster: &Cluster) -> String {
    cluster.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ")
}
