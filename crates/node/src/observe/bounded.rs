//! Questions with an end: a program's output, a TCP exchange.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use super::ANSWER_MAX;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 256 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("{0}")]
    Refused(String),
}

impl From<std::io::Error> for AskError {
    fn from(error: std::io::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Runs `question` for [`ANSWER_MAX`] at most.
pub async fn within<T, E: Into<AskError>>(
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, AskError> {
    timeout(ANSWER_MAX, question).await.map_err(|_| AskError::Silent(ANSWER_MAX))?.map_err(Into::into)
}

/// What a program says on standard output; killed at the limit, and its failure is an error with its last words.
///
/// # Errors
/// [`AskError::Refused`] when it is not there or fails, [`AskError::Silent`] at the limit.
pub async fn output(program: &str, args: &[&str], limit: Duration) -> Result<String, AskError> {
    let asked = async {
        let mut command = Command::new(program);
        command.args(args).env("LC_ALL", "C").env("TZ", "UTC").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| AskError::Refused(format!("{program}: {e}")))?;
        let (mut said, mut errors) = (Vec::new(), Vec::new());
        let out = child.stdout.take().map(|pipe| pipe.take(ANSWER_BYTES_MAX));
        let err = child.stderr.take().map(|pipe| pipe.take(ANSWER_BYTES_MAX));
        let (Some(mut out), Some(mut err)) = (out, err) else { return Ok(String::new()) };
        tokio::try_join!(out.read_to_end(&mut said), err.read_to_end(&mut errors))?;
        let status = child.wait().await?;
        if !status.success() {
            let errors = String::from_utf8_lossy(&errors);
            let last = errors.lines().last().unwrap_or_default();
            return Err(AskError::Refused(format!("{program}: {status} {last}").trim_end().to_owned()));
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    };
    timeout(limit, asked).await.map_err(|_| AskError::Silent(limit))?
}

/// Sends `ask` and reads until the other side closes; the caller bounds it.
pub async fn exchange(address: SocketAddr, ask: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(ask).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_hangs_is_left_behind() {
        let error = output("sleep", &["60"], Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, AskError::Silent(_)), "{error}");
    }

    #[tokio::test]
    async fn a_failure_is_said_with_its_last_words() {
        let error =
            output("sh", &["-c", "echo first >&2; echo last >&2; exit 3"], ANSWER_MAX).await.unwrap_err();
        assert!(error.to_string().contains("exit status: 3 last"), "{error}");
        let absent = output("no-such-program", &[], ANSWER_MAX).await.unwrap_err();
        assert!(absent.to_string().starts_with("no-such-program: "), "{absent}");
        assert_eq!(output("echo", &["yes"], ANSWER_MAX).await.unwrap(), "yes\n");
    }
}
