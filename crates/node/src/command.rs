//! Other programs: run as who they are for, with what they say kept for the error.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};

/// Shown of what a failed program said.
const SAID_CHARS_MAX: usize = 2000;

/// A program that is to run as `user`; as ourselves where we are not root (tests).
pub fn as_user(program: &Path, user: &User) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if Uid::effective().is_root() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// Runs it to its end.
///
/// # Errors
/// It could not run, or failed: with the end of what it said.
pub fn run(command: &mut Command, what: &str) -> Result<()> {
    output(command, what).map(drop)
}

/// Runs it to its end; what it said on standard output.
///
/// # Errors
/// As [`run`].
pub fn output(command: &mut Command, what: &str) -> Result<String> {
    let output = command.output().with_context(|| format!("running {what}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = if complained.trim().is_empty() { said } else { complained };
    bail!("{what} failed ({}): {}", output.status, tail(words.trim()))
}

/// The user of that name.
pub fn user(name: &str, package: &str) -> Result<User> {
    User::from_name(name)
        .with_context(|| format!("looking for the user '{name}'"))?
        .with_context(|| format!("there is no user '{name}'; install the package {package}"))
}

fn tail(text: &str) -> &str {
    let start = text.char_indices().rev().nth(SAID_CHARS_MAX).map_or(0, |(at, _)| at);
    &text[start..]
}
