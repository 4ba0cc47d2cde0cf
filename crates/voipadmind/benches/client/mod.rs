//! What the benchmarks share: one HTTP exchange after another on one connection, and medians.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use base64::Engine as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One request and its whole answer, by Content-Length.
pub async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::with_capacity(4096);
    loop {
        let read = stream.read_buf(&mut answer).await.unwrap();
        assert!(read > 0, "connection closed");
        if let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
            let length: usize =
                text.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
            if answer.len() >= head + 4 + length {
                return answer;
            }
        }
    }
}

/// A POST with an engine's credentials.
pub fn post(path: &str, content_type: &str, credentials: &str, body: &[u8]) -> Vec<u8> {
    let credentials = base64::engine::general_purpose::STANDARD.encode(credentials);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {credentials}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Serves on a free port of this process, as voipadmind does.
pub async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let never = std::future::pending();
    tokio::spawn(voipadmind::http::server::serve(listener, Duration::from_secs(30), router, never));
    address
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
