//! `applied.json`: what apply wrote on this node, and what of a run that broke is still to do.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use host::files;
use render::Then;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::places::Places;

const VERSION: u32 = 1;

/// The record. Rewritten as a whole, durably, before and after every step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    pub version: u32,
    pub cluster: Uuid,
    pub node: String,
    /// Every file apply wrote, or was about to write when it broke, by absolute path.
    pub files: BTreeMap<String, Written>,
    /// What changed files still ask for.
    pub pending: Vec<Then>,
    /// What the database was bootstrapped from last.
    pub bootstrapped: Option<String>,
    /// cluster.yaml and secrets.yaml as the agent read them.
    pub agent_reads: Option<String>,
    /// The last run came to its end.
    pub complete: bool,
}

/// A file as apply wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    pub sha256: String,
    /// What apply had written before: a run that broke may have left it.
    pub previous: Option<String>,
    pub mode: u32,
    /// `user:group`.
    pub owner: String,
    /// Asked for when it changes, and when it goes.
    pub then: Vec<Then>,
    /// Below `replaced/`: what stood here before apply came.
    pub original: Option<String>,
}

impl Applied {
    /// Nothing is written yet.
    pub fn new(cluster: Uuid, node: &str) -> Self {
        Self {
            version: VERSION,
            cluster,
            node: node.into(),
            files: BTreeMap::new(),
            pending: Vec::new(),
            bootstrapped: None,
            agent_reads: None,
            complete: false,
        }
    }

    /// Reads it; a new one where there is none.
    ///
    /// # Errors
    /// It is damaged, or of another cluster or node.
    pub fn load(places: &Places, cluster: Uuid, node: &str) -> Result<Self> {
        let path = places.applied();
        let Some(text) = files::read(&path).with_context(|| format!("reading {}", path.display()))? else {
            return Ok(Self::new(cluster, node));
        };
        let applied: Self = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is damaged or of a newer Tandem; moved away, apply takes the files for foreign",
                path.display()
            )
        })?;
        if applied.cluster != cluster || applied.node != node {
            bail!(
                "this machine is {} of the cluster {} already ({}); 'tandem apply --undo' takes that away",
                applied.node,
                applied.cluster,
                path.display()
            );
        }
        Ok(applied)
    }

    /// Writes it durably.
    pub fn save(&self, places: &Places) -> Result<()> {
        files::folder(&places.lib(), 0o700, None)
            .with_context(|| format!("making {}", places.lib().display()))?;
        let path = places.applied();
        files::write_durably(&path, 0o600, None, serde_json::to_string_pretty(self)?.as_bytes())
            .with_context(|| format!("writing {}", path.display()))
    }
}
