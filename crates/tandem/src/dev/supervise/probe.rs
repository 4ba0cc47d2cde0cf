//! Is an engine ready? Each probe is the least its clients would do.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::super::plan::Probe;

const EVERY: Duration = Duration::from_millis(100);
/// Of one try.
const TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 4096;

/// Returns when the engine is ready; the caller bounds it.
pub async fn until_ready(probe: &Probe) {
    while !timeout(TIMEOUT, is_ready(probe)).await.unwrap_or(false) {
        sleep(EVERY).await;
    }
}

async fn is_ready(probe: &Probe) -> bool {
    match probe {
        Probe::Postgresql { pg_isready, socket, port } => postgresql(pg_isready, socket, *port).await,
        Probe::Redis { port, password } => {
            let ask = format!("AUTH {password}\r\nPING\r\nQUIT\r\n");
            exchange(*port, &ask).await.is_some_and(|answer| answer.contains("+PONG"))
        }
        Probe::Http { port, path } => {
            let ask = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            exchange(*port, &ask).await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200 "))
        }
        Probe::Sip { port } => {
            let code = node::observe::sip_options((Ipv4Addr::LOCALHOST, *port).into()).await;
            code.is_ok_and(|code| code == 200)
        }
    }
}

async fn postgresql(pg_isready: &Path, socket: &Path, port: u16) -> bool {
    let mut command = Command::new(pg_isready);
    // Names a database that is there: the default, the user's own, would be a FATAL line in the log.
    command.args(["-q", "-d", "postgres", "-p", &port.to_string(), "-h"]).arg(socket);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.status().await.is_ok_and(|status| status.success())
}

/// Sends a question and reads the answer until the other side closes.
async fn exchange(port: u16, ask: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    stream.write_all(ask.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX as u64).read_to_end(&mut answer).await.ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_there_is_not_ready() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(!is_ready(&Probe::Redis { port: free, password: "x".into() }).await);
        assert!(!is_ready(&Probe::Http { port: free, path: "/health".into() }).await);
        assert!(!is_ready(&Probe::Sip { port: free }).await);
    }
}
