//! Names: of a lab, of its hosts, of a Debian release.

use std::fmt;
use std::str::FromStr;

/// Longest name of a lab: it becomes part of names of namespaces, cgroups and machines.
const LAB_CHARS_MAX: usize = 12;

/// A lab's name: letters and digits, so that it can stand in every name made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabName(String);

impl LabName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Network namespace of a host; also the machine and cgroup name of a node.
    pub fn of_host(&self, host: &str) -> String {
        format!("{}{host}", self.prefix())
    }

    /// What every namespace of this lab starts with, and none of another's: a lab's name has no dash.
    pub fn prefix(&self) -> String {
        format!("tdm-{}-", self.0)
    }
}

impl FromStr for LabName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if text.is_empty() || text.len() > LAB_CHARS_MAX || !plain {
            return Err(format!(
                "a lab's name is 1 to {LAB_CHARS_MAX} small letters and digits, as in 'lab2'; {text:?} is not"
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Debian release a lab can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Release {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Release {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Whether this machine is of the release: programs built here run there.
    pub fn is_this_machine(self) -> bool {
        let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        text.lines().any(|line| line == format!("VERSION_CODENAME={}", self.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_another_labs_is_refused() {
        for bad in ["", "Lab", "a-b", "a b", "../x", "abcdefghijklm"] {
            assert!(bad.parse::<LabName>().is_err(), "{bad}");
        }
        let (one, two): (LabName, LabName) = ("lab".parse().unwrap(), "lab2".parse().unwrap());
        assert_eq!(one.of_host("n1"), "tdm-lab-n1");
        assert!(!two.of_host("n1").starts_with(&one.prefix()));
    }
}
