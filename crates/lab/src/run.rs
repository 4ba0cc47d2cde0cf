//! Running the machine's programs: what they say is told when they fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Folders of programs; Debian keeps system programs out of a user's PATH.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// How much of a failed program's words is shown.
const WORDS_BYTES_MAX: usize = 4096;

/// `program` by its full path.
pub fn find(program: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// A command with a plain environment, so that nothing of the caller's (locale, proxies, secrets) reaches a node.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
    command.env_clear().env("PATH", FOLDERS.join(":")).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// Runs `program` and gives back what it printed.
///
/// # Errors
/// It cannot be started or fails; with its last words.
pub fn output<'a>(program: &str, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
    let mut command = command(program);
    command.args(arguments);
    checked(&mut command)
}

/// Runs a prepared command and gives back what it printed.
///
/// # Errors
/// As [`output`].
pub fn checked(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} failed ({}): {}", shown(command), output.status, last_words(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as a person would type it; a helper script is too long to show. Never called on one with a secret: secrets
/// go by files and standard input.
fn shown(command: &Command) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy());
    let words = words.map(|word| if word.contains('\n') { "'…'".into() } else { word });
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

fn last_words(output: &Output) -> String {
    let words = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    String::from_utf8_lossy(&words[words.len().saturating_sub(WORDS_BYTES_MAX)..]).trim().to_owned()
}
