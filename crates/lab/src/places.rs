//! Where a lab keeps what.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{LabName, Release};

/// Images of systems, shared by all labs; the only thing that outlives one.
pub const CACHE: &str = "/var/cache/tandem-lab";
/// One folder a lab.
pub const STATE: &str = "/var/lib/tandem-lab";

/// A lab's own folder, readable by root only: it holds secrets.
#[derive(Debug, Clone)]
pub struct Places {
    pub top: PathBuf,
}

impl Places {
    pub fn of(lab: &LabName) -> Self {
        Self { top: Path::new(STATE).join(lab.as_str()) }
    }

    /// Of what is not there, with what is.
    pub fn none(&self) -> String {
        let labs = fs::read_dir(STATE).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
        let mut labs: Vec<_> = labs.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        labs.sort();
        let name = self.top.file_name().unwrap_or_default().to_string_lossy();
        let others = match labs.is_empty() {
            true => String::new(),
            false => format!(", only {} (--lab NAME, in make LAB=NAME)", labs.join(", ")),
        };
        format!("there is no lab '{name}'{others}")
    }

    pub fn state(&self) -> PathBuf {
        self.top.join("state.json")
    }

    /// What [`phones::Env`] says of this lab.
    pub fn env(&self) -> PathBuf {
        self.top.join("env")
    }

    pub fn node(&self, node: &str) -> NodePlaces {
        NodePlaces { top: self.top.join(node) }
    }

    pub fn log(&self, what: &str) -> PathBuf {
        self.top.join(format!("{what}.log"))
    }
}

/// What makes one node's file system.
#[derive(Debug, Clone)]
pub struct NodePlaces {
    pub top: PathBuf,
}

impl NodePlaces {
    /// The node's `/`.
    pub fn root(&self) -> PathBuf {
        self.top.join("root")
    }

    /// What differs from the image.
    pub fn upper(&self) -> PathBuf {
        self.top.join("upper")
    }

    /// Overlayfs' own.
    pub fn work(&self) -> PathBuf {
        self.top.join("work")
    }

    /// The node's `/var`.
    pub fn var_image(&self) -> PathBuf {
        self.top.join("var.img")
    }

    /// What its console shows.
    pub fn console(&self) -> PathBuf {
        self.top.join("console.log")
    }
}

/// A release's images.
pub fn cache(release: Release) -> PathBuf {
    Path::new(CACHE).join(release.as_str())
}
