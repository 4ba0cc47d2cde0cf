//! `tandem cdr` against an API that answers as voipadmind does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

/// Answers one request; what was asked: the first line and the key's.
fn api(status: &'static str, body: &'static str) -> (String, JoinHandle<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines: Vec<String> = BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            .unwrap();
        let key = lines.iter().find(|line| line.to_ascii_lowercase().starts_with("authorization:"));
        (lines[0].clone(), key.cloned().unwrap_or_default())
    });
    (url, asked)
}

fn tandem(url: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.arg("cdr").args(args).env("TANDEM_API", url).env("TANDEM_API_KEY", "tdm_key").output().unwrap()
}

#[test]
fn documents_are_listed_and_cannot_speak_to_the_terminal() {
    let body =
        r#"{"items":[{"id":7,"state":"held","reason":"half a document\u001b[2J","node":"n1"}],"next":null}"#;
    let (url, asked) = api("200 OK", body);
    let shown = tandem(&url, &["quarantine", "list"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success() && text.contains("half a document") && !text.contains('\u{1b}'), "{text}");
    let (line, key) = asked.join().unwrap();
    assert_eq!(line, "GET /api/cdr/quarantine?limit=500&state=held HTTP/1.1");
    assert!(key.ends_with("Bearer tdm_key"), "{key}");
}

#[test]
fn what_the_api_refuses_is_told_and_fails() {
    let (url, asked) = api("422 Unprocessable Entity", r#"{"detail":"it names no uuid"}"#);
    let refused = tandem(&url, &["quarantine", "replay", "7"]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && told.contains("it names no uuid"), "{told}");
    assert_eq!(asked.join().unwrap().0, "POST /api/cdr/quarantine/7/replay HTTP/1.1");

    let (url, asked) = api("204 No Content", "");
    assert!(tandem(&url, &["quarantine", "discard", "7"]).status.success());
    assert_eq!(asked.join().unwrap().0, "POST /api/cdr/quarantine/7/discard HTTP/1.1");
}
