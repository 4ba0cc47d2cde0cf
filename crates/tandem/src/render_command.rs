//! `tandem render`: every file of a node, below a folder.

use std::path::Path;

use anyhow::{Context, Result};
use render::{Layout, RenderedFile};
use spec::{CLUSTER_FILE, Cluster, SECRETS_FILE, Secrets, Shape};

use host::programs;

use crate::dev::Place;
use host::files::{self, Owner};
use host::say;

/// Renders `node` of the cluster in `dir` below `out`.
pub fn run(dir: &Path, node: &str, out: &Path) -> Result<()> {
    let (cluster, secrets) = load(dir)?;
    let layout = match cluster.shape {
        Shape::Dev => {
            let place = Place::existing(dir)?;
            Layout::dev(&cluster, &place.root, &place.user.name, &programs::found())
        }
        Shape::Lab | Shape::Node => Layout::node(&cluster, &programs::found()),
    };
    let rendered = render::render(&cluster, &secrets, node, &layout)?;
    match cluster.shape {
        Shape::Dev => write(&rendered, out, None)?,
        Shape::Lab | Shape::Node => write_by_target(&rendered, out)?,
    }
    say!("wrote {} files below {}", rendered.len(), out.display());
    Ok(())
}

/// Reads both files of a cluster.
pub fn load(dir: &Path) -> Result<(Cluster, Secrets)> {
    let file = dir.join(CLUSTER_FILE);
    let text = files::read(&file)
        .with_context(|| format!("reading {}", file.display()))?
        .with_context(|| format!("there is no {}; write one with 'tandem init'", file.display()))?;
    let cluster = Cluster::parse(&file.display().to_string(), &text)?;
    let secrets = Secrets::load(&dir.join(SECRETS_FILE), &cluster)?;
    Ok((cluster, secrets))
}

/// Writes a server's files below `out` as they belong below `/`, so that the two can be compared; as whoever asked, since
/// their owners may not exist here.
fn write_by_target(rendered: &[RenderedFile], out: &Path) -> Result<()> {
    for file in rendered {
        let path = out.join(file.target.strip_prefix("/").unwrap_or(&file.target));
        write_one(&path, file, None)?;
    }
    Ok(())
}

/// Writes a dev node's files, each with its mode; `owner` is who the services run as.
pub fn write(rendered: &[RenderedFile], out: &Path, owner: Owner) -> Result<()> {
    for file in rendered {
        write_one(&out.join(file.path), file, owner)?;
    }
    Ok(())
}

fn write_one(path: &Path, file: &RenderedFile, owner: Owner) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    files::write(path, file.mode, owner, file.contents.as_bytes())
        .with_context(|| format!("writing {}", path.display()))
}
