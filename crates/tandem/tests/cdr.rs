//! `tandem cdr` against an API that answers as voipadmind does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

/// Answers one request; what was asked: the first line and the key's.
fn api(status: &'static str, body: &'static str) -> (String, JoinHandle<(String, String)>) {
    let (url, asked) = api_of(vec![(status, body)]);
    (url, thread::spawn(move || asked.join().unwrap().remove(0)))
}

/// Answers so many requests.
fn api_of(answers: Vec<(&'static str, &'static str)>) -> (String, JoinHandle<Vec<(String, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |(status, body): (&str, &str)| {
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
    };
    (url, thread::spawn(move || answers.into_iter().map(answer).collect()))
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

#[test]
fn what_is_wrong_is_told_with_its_field() {
    let (url, asked) =
        api("400 Bad Request", r#"{"detail":"is a time such as 2026-11-27T00:00:00Z","field":"from"}"#);
    let refused = tandem(&url, &["accounting", "--from", "bogus"]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && told.contains("from: is a time such as"), "{told}");
    assert_eq!(asked.join().unwrap().0, "GET /api/cdr/accounting?from=bogus HTTP/1.1");
}

#[test]
fn a_list_that_goes_on_says_how_to_see_more() {
    let body = r#"{"items":[{"id":9,"state":"discarded","node":"n1"}],"next":"9"}"#;
    let (url, asked) = api("200 OK", body);
    let shown = tandem(&url, &["quarantine", "list", "--state", "discarded", "--after", "12"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("tandem cdr quarantine list --state discarded --after 9"), "{text}");
    let line = asked.join().unwrap().0;
    assert_eq!(line, "GET /api/cdr/quarantine?limit=500&state=discarded&after=12 HTTP/1.1");
}

#[test]
fn all_are_replayed_page_by_page_and_added_up() {
    let (url, asked) = api_of(vec![
        ("200 OK", r#"{"imported":60,"rows":58,"held":40,"next":"412"}"#),
        ("200 OK", r#"{"imported":0,"rows":0,"held":3,"next":null}"#),
    ]);
    let done = tandem(&url, &["quarantine", "replay", "--all"]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(text, "imported 60, rows that are new 58, still held 43\n");
    let lines: Vec<String> = asked.join().unwrap().into_iter().map(|(line, _)| line).collect();
    assert_eq!(
        lines,
        [
            "POST /api/cdr/quarantine/replay?limit=100 HTTP/1.1",
            "POST /api/cdr/quarantine/replay?limit=100&after=412 HTTP/1.1"
        ]
    );
}

#[test]
fn accounting_shows_every_count() {
    let body = r#"{"items":[{"hour":"2026-11-27T10:00:00Z","node":"n1","sessions_ended":11,"exempt":12,"legs":13,"events":14,
        "stored":15,"duplicates":16,"quarantined":17,"held":18,"pending":19,"missing":20,"unheard":21}],
        "sessions_without_record":[]}"#;
    let (url, asked) = api("200 OK", body);
    let shown = tandem(&url, &["accounting"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let (names, values) = (&words[0][2..], &words[1][2..]);
    let names_of_counts = [
        "sessions_ended",
        "exempt",
        "legs",
        "events",
        "stored",
        "duplicates",
        "quarantined",
        "held",
        "pending",
        "missing",
        "unheard",
    ];
    assert_eq!(names, names_of_counts, "{text}");
    assert_eq!(values, ["11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21"], "{text}");
    asked.join().unwrap();
}
