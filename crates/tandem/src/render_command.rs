//! `tandem render`: every file of a node, below a folder.

use std::path::Path;

use anyhow::{Context, Result};
use render::{Layout, RenderedFile};
use spec::{CLUSTER_FILE, Cluster, SECRETS_FILE, Secrets};

use host::programs;

use crate::dev::Place;
use host::files::{self, Owner};
use host::say;

/// Renders `node` of the cluster in `dir` below `out`.
pub fn run(dir: &Path, node: &str, out: &Path) -> Result<()> {
    let place = Place::existing(dir)?;
    let (cluster, secrets) = load(&place)?;
    let layout = Layout::of(&cluster, &place.root, &place.user.name, &programs::found());
    let rendered = render::render(&cluster, &secrets, node, &layout)?;
    write(&rendered, out, None)?;
    say!("wrote {} files below {}", rendered.len(), out.display());
    Ok(())
}

/// Reads both files of a cluster.
pub fn load(place: &Place) -> Result<(Cluster, Secrets)> {
    let file = place.root.join(CLUSTER_FILE);
    let text = files::read(&file)
        .with_context(|| format!("reading {}", file.display()))?
        .with_context(|| format!("there is no {}; write one with 'tandem init --dev'", file.display()))?;
    let cluster = Cluster::parse(&file.display().to_string(), &text)?;
    let secrets = Secrets::load(&place.root.join(SECRETS_FILE), &cluster)?;
    Ok((cluster, secrets))
}

/// Writes the files, each with its mode; `owner` is who the services run as.
pub fn write(rendered: &[RenderedFile], out: &Path, owner: Owner) -> Result<()> {
    for file in rendered {
        let path = out.join(file.path);
        let folder = path.parent().unwrap_or(out);
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        files::write(&path, file.mode, owner, file.contents.as_bytes())
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
