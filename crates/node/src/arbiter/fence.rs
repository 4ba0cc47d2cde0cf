//! The fence command: whoever would go on alone has the other node powered off first.

use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use spec::{FENCE_ADDRESS, FENCE_NODE};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::{Error, Result};

/// Kept of what the program says, for the error.
const SAID_BYTES_MAX: u64 = 4 << 10;
const SAID_CHARS_MAX: usize = 300;
/// What it left running may hold its output open.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Runs the command for the node to be powered off. `Ok` only on exit status 0 within `timeout`: the node is off.
///
/// No shell: each word is one argument, whatever it holds. At the limit the program is killed with all it started in its
/// process group, and so it is when this future is dropped.
///
/// # Errors
/// [`Error::Unfenced`]: it is not there, failed, or took too long. The node may be off nevertheless; nobody said so.
pub async fn fence(command: &[String], timeout: Duration, node: &str, address: IpAddr) -> Result<()> {
    let words: Vec<String> = command.iter().map(|word| replace(word, node, &address.to_string())).collect();
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::Unfenced { program: String::new(), why: "no command is configured".into() });
    };
    let unfenced = |why: String| Error::Unfenced { program: program.clone(), why };
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| unfenced(e.to_string()))?;
    let group = Group(child.id());
    let words = tokio::spawn(last_words(child.stderr.take()));
    let ended = tokio::time::timeout(timeout, child.wait()).await;
    if ended.is_ok() {
        // Its number is free again, and may soon be another's.
        std::mem::forget(group);
    }
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let said = tokio::time::timeout(LAST_WORDS, words).await.ok().and_then(std::result::Result::ok);
            Err(unfenced(format!("{status} {}", said.unwrap_or_default()).trim_end().to_owned()))
        }
        Ok(Err(error)) => Err(unfenced(error.to_string())),
        Err(_) => Err(unfenced(format!("it was not done in {} ms and was killed", timeout.as_millis()))),
    }
}

/// In one pass: a name that looks like a placeholder is not replaced again.
fn replace(word: &str, node: &str, address: &str) -> String {
    let mut parts = word.split(FENCE_NODE).map(|part| part.replace(FENCE_ADDRESS, address));
    let mut replaced = parts.next().unwrap_or_default();
    for part in parts {
        replaced.push_str(node);
        replaced.push_str(&part);
    }
    replaced
}

/// The program with what it started; killed when this is dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()) {
            // Nothing of the group may be left, and then there is nothing to kill.
            let _gone = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Its last line; what is beyond the limit is read and thrown away, since a full pipe would stop the program.
async fn last_words(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut said = Vec::new();
    let _unread = (&mut pipe).take(SAID_BYTES_MAX).read_to_end(&mut said).await;
    let _unread = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    let said = String::from_utf8_lossy(&said);
    said.lines().last().unwrap_or_default().chars().take(SAID_CHARS_MAX).collect()
}
