//! Our own packages, as `scripts/package` makes them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run;

/// The packages a lab installs.
#[derive(Debug, Clone)]
pub struct Debs {
    pub tandem: PathBuf,
    pub media_double: Option<PathBuf>,
}

const TANDEM: &str = "tandem";
const MEDIA_DOUBLE: &str = "tandem-media-double";

impl Debs {
    /// The newest of each in a folder.
    ///
    /// # Errors
    /// There is none; says how to make it.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let tandem = newest(folder, TANDEM).with_context(|| {
            format!("there is no {TANDEM}_*.deb in {}; make it with 'make deb'", folder.display())
        })?;
        Ok(Self { tandem, media_double: newest(folder, MEDIA_DOUBLE) })
    }

    /// What the packages depend on, but each other: relations as in a Depends line.
    pub fn relations(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for deb in std::iter::once(&self.tandem).chain(&self.media_double) {
            let path = deb.to_string_lossy();
            for field in ["Pre-Depends", "Depends"] {
                let line = run::output("dpkg-deb", ["--field", &path, field])?;
                let relations = line.split(',').map(str::trim).filter(|r| !r.is_empty());
                all.extend(relations.filter(|r| !is_ours(r)).map(str::to_owned));
            }
        }
        all.sort();
        all.dedup();
        Ok(all)
    }
}

fn is_ours(relation: &str) -> bool {
    let name = relation.split([' ', '(']).next().unwrap_or(relation);
    name == TANDEM || name == MEDIA_DOUBLE
}

/// `<package>_<version>_<architecture>.deb`.
fn newest(folder: &Path, package: &str) -> Option<PathBuf> {
    let start = format!("{package}_");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&start) && name.ends_with(".deb")
        })
        .collect();
    found.sort_by_key(|path| path.metadata().and_then(|m| m.modified()).ok());
    found.pop()
}
