//! Other programs: run as who they are for, with what they say kept for the error.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};

/// Shown of what a failed program said.
const SAID_CHARS_MAX: usize = 2000;
/// Read of what a bounded program says.
const READ_BYTES_MAX: u64 = 1 << 20;
const POLL: Duration = Duration::from_millis(50);

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

/// Runs it to its end or to `limit`, then it is killed; what it said on standard output.
///
/// # Errors
/// As [`run`], and that it took too long.
pub fn output_within(command: &mut Command, what: &str, limit: Duration) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("running {what}"))?;
    let (said, complained) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("waiting for {what}"))? {
            break Some(status);
        }
        if began.elapsed() > limit {
            child.kill().with_context(|| format!("killing {what}"))?;
            child.wait().with_context(|| format!("waiting for {what}"))?;
            break None;
        }
        std::thread::sleep(POLL);
    };
    let Some(status) = status else {
        bail!("{what} was not done in {} s and was killed", limit.as_secs());
    };
    let said = said.join().unwrap_or_default();
    if status.success() {
        return Ok(said);
    }
    let complained = complained.join().unwrap_or_default();
    let words = if complained.trim().is_empty() { said } else { complained };
    bail!("{what} failed ({status}): {}", tail(words.trim()))
}

/// Read as it comes: a full pipe would stop the program.
fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(READ_BYTES_MAX).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_never_ends_is_ended() {
        let limit = Duration::from_millis(200);
        let began = Instant::now();
        let told = output_within(Command::new("sleep").arg("60"), "sleeping", limit).unwrap_err();
        assert!(told.to_string().contains("sleeping was not done"), "{told}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_bounded_program_says_all_it_has_to_say() {
        let limit = Duration::from_secs(60);
        let run = |script: &str| output_within(Command::new("sh").args(["-c", script]), "a script", limit);
        assert_eq!(run("head -c 200000 /dev/zero").unwrap().len(), 200_000);
        let told = run("echo out; echo why >&2; exit 3").unwrap_err().to_string();
        assert!(told.contains("exit status: 3") && told.ends_with("why"), "{told}");
    }
}
