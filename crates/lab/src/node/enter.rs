//! Running something inside a node, as its root: by nsenter, since there is no machined to ask.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::boot;
use crate::process::Process;
use crate::{LabName, run as programs};

/// A command to be completed with what to run.
pub fn command(init: &Process) -> Command {
    let mut command = programs::command("nsenter");
    command.args(["--target", &init.pid.to_string()]);
    command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--"]);
    command.env("HOME", "/root").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Runs it and gives back what it printed.
///
/// # Errors
/// The node is off, or it failed; with its last words.
pub fn run(lab: &LabName, node: &str, words: &[&str]) -> Result<String> {
    let mut command = command(&of(lab, node)?);
    programs::checked(command.args(words)).with_context(|| format!("on {node}"))
}

/// Runs it with something on its standard input, its words in a log of the lab's.
///
/// # Errors
/// As [`run`]; names the log.
pub fn run_quietly(lab: &LabName, node: &str, words: &[&str], input: &str) -> Result<String> {
    let mut command = command(&of(lab, node)?);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("running {} on {node}", words.join(" ")))?;
    // It may end without reading.
    let _unread = child.stdin.take().context("no input")?.write_all(input.as_bytes());
    let output = child.wait_with_output().context("waiting")?;
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if !output.status.success() {
        bail!("on {node}: {} failed ({}):\n{}", words.join(" "), output.status, text.trim());
    }
    Ok(text)
}

/// Writes a file in the node.
pub fn write_file(lab: &LabName, node: &str, path: &str, mode: &str, text: &str) -> Result<()> {
    let script = r#"umask 077; mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1""#;
    run_quietly(lab, node, &["sh", "-ec", script, "sh", path, mode], text).map(drop)
}

/// Its init, or that it is off.
fn of(lab: &LabName, node: &str) -> Result<Process> {
    let off = || format!("{node} is off; 'tandem lab start {node}' gives it power");
    boot::init(lab, node).with_context(off)
}
