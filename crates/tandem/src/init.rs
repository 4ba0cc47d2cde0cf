//! `tandem init --dev`: cluster.yaml and secrets.yaml, written once.

use std::path::Path;

use anyhow::{Context, Result, bail};
use spec::{CLUSTER_FILE, Cluster, Ports, SECRETS_FILE, Secrets, dev_cluster_yaml};
use uuid::Uuid;

use crate::dev::Place;
use host::files;
use host::say;

/// Writes both files below `dir`; existing ones are never touched.
pub fn run(dir: &Path, port_offset: u16) -> Result<()> {
    let place = Place::create(dir)?;
    let _claim = place.claim()?;
    if !write(&place, port_offset)? {
        bail!("{} has a {CLUSTER_FILE} already; edit it, or choose another folder with --dir", dir.display());
    }
    say!("wrote {} and {}", dir.join(CLUSTER_FILE).display(), dir.join(SECRETS_FILE).display());
    Ok(())
}

/// Writes what is missing; false when there was a cluster.yaml.
pub fn write(place: &Place, port_offset: u16) -> Result<bool> {
    let file = place.root.join(CLUSTER_FILE);
    let existing = files::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let text = match &existing {
        Some(text) => text.clone(),
        None => dev_cluster_yaml(Uuid::new_v4(), "tandem-dev", &Ports::dev(port_offset)),
    };
    let secrets_file = place.root.join(SECRETS_FILE);
    if !secrets_file.exists() {
        let cluster = Cluster::parse(&file.display().to_string(), &text)?;
        let secrets = Secrets::generate(cluster.demo.extensions.iter().map(|e| e.extension.as_str()))
            .context("no randomness from the operating system")?;
        files::write(&secrets_file, 0o600, None, secrets.to_yaml().as_bytes())
            .with_context(|| format!("writing {}", secrets_file.display()))?;
    }
    if existing.is_none() {
        // Last: a cluster.yaml means that both are there.
        files::write(&file, 0o644, None, text.as_bytes())
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(existing.is_none())
}
