//! Is an engine ready? Each probe is the least its clients would do.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
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
        Probe::Sip { port } => sip(*port).await.unwrap_or(false),
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

/// An OPTIONS to the server itself (RFC 3261, 11). Its 200 proves that requests are processed.
async fn sip(port: u16) -> std::io::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect((Ipv4Addr::LOCALHOST, port)).await?;
    let from = socket.local_addr()?;
    let unique = uuid::Uuid::new_v4().simple();
    let options = format!(
        "OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};rport;branch=z9hG4bK{unique}\r\n\
         Max-Forwards: 5\r\n\
         From: <sip:tandem@{from}>;tag={unique}\r\n\
         To: <sip:127.0.0.1:{port}>\r\n\
         Call-ID: {unique}@127.0.0.1\r\n\
         CSeq: 1 OPTIONS\r\n\
         Contact: <sip:tandem@{from}>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    socket.send(options.as_bytes()).await?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    let length = socket.recv(&mut answer).await?;
    Ok(answer.get(..length).is_some_and(|a| a.starts_with(b"SIP/2.0 200 ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asks_as_a_client_would() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = server.local_addr().unwrap().port();
        let probe = Probe::Sip { port };
        let answering = async {
            let mut request = [0; ANSWER_BYTES_MAX];
            let (length, client) = server.recv_from(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            server.send_to(b"SIP/2.0 200 OK\r\n\r\n", client).await.unwrap();
            request
        };
        let (request, ()) = tokio::join!(answering, until_ready(&probe));
        assert!(request.starts_with("OPTIONS sip:127.0.0.1:") && request.ends_with("\r\n\r\n"), "{request}");
    }

    #[tokio::test]
    async fn nobody_there_is_not_ready() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(!is_ready(&Probe::Redis { port: free, password: "x".into() }).await);
        assert!(!is_ready(&Probe::Http { port: free, path: "/health".into() }).await);
        assert!(!is_ready(&Probe::Sip { port: free }).await);
    }
}
