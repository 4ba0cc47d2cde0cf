//! voipadmind's /fs endpoints, small enough to lie on purpose.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub target: String,
    /// Header lines, lower case.
    pub headers: String,
    pub body: String,
}

#[derive(Default)]
struct State {
    unknown: HashSet<String>,
    lookups: Vec<Request>,
    cdr_status: u16,
}

/// Answers look-ups, takes CDRs.
pub struct Voipadmind {
    /// `http://127.0.0.1:port`
    pub base: String,
    cdrs: mpsc::UnboundedReceiver<Request>,
    state: Arc<Mutex<State>>,
}

impl Voipadmind {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(State { cdr_status: 200, ..State::default() }));
        let (sender, cdrs) = mpsc::unbounded_channel();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone(), sender.clone()));
            }
        });
        Self { base, cdrs, state }
    }

    /// From now on the directory does not know `user`.
    pub fn forget(&self, user: &str) {
        self.state.lock().expect("lock").unknown.insert(user.to_owned());
    }

    /// From now on CDRs are answered with `status`.
    pub fn answer_cdrs_with(&self, status: u16) {
        self.state.lock().expect("lock").cdr_status = status;
    }

    /// Look-ups so far.
    pub fn lookups(&self) -> Vec<Request> {
        self.state.lock().expect("lock").lookups.clone()
    }

    /// The next POST to /fs/cdr.
    pub async fn request(&mut self) -> Request {
        tokio::time::timeout(Duration::from_secs(5), self.cdrs.recv())
            .await
            .expect("a CDR in time")
            .expect("open")
    }

    /// The next CDR, as JSON.
    pub async fn cdr(&mut self) -> Value {
        let request = self.request().await;
        let document: Value = serde_json::from_str(&request.body).expect("a JSON document");
        let uuid = document["variables"]["uuid"].as_str().expect("a uuid");
        assert_eq!(request.target, format!("/fs/cdr?uuid={uuid}"));
        document
    }

    /// The next `count` CDRs as (caller's legs, called legs).
    pub async fn legs(&mut self, count: usize) -> (Vec<Value>, Vec<Value>) {
        let mut legs = Vec::new();
        for _ in 0..count {
            legs.push(self.cdr().await["variables"].take());
        }
        legs.into_iter().partition(|leg| leg["direction"] == "inbound")
    }

    /// That there is no further CDR.
    pub fn assert_no_more_cdrs(&mut self) {
        assert!(self.cdrs.try_recv().is_err(), "a CDR too many");
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, cdrs: mpsc::UnboundedSender<Request>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let (status, body) = answer(&request, &state);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.expect("written");
        if request.target.starts_with("/fs/cdr") {
            let _ = cdrs.send(request);
        }
    }
}

fn answer(request: &Request, state: &Mutex<State>) -> (u16, String) {
    let mut state = state.lock().expect("lock");
    if !request.headers.contains("authorization: basic znm6c2vjcmv0") {
        return (401, String::new());
    }
    if request.target.starts_with("/fs/cdr") {
        return (state.cdr_status, String::new());
    }
    state.lookups.push(request.clone());
    let field = |name: &str| {
        let found = request.body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    };
    let (user, domain) = (field("user"), field("domain"));
    if state.unknown.contains(&user) {
        return (
            200,
            r#"<document><section name="result"><result status="not found"/></section></document>"#.into(),
        );
    }
    (
        200,
        format!(
            r#"<document><section><domain name="{domain}"><user id="{user}"/></domain></section></document>"#
        ),
    )
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let (mut target, mut headers, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if target.is_empty() {
            target = line.split(' ').nth(1)?.to_owned();
            continue;
        }
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
        headers.push_str(&line);
        headers.push('\n');
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { target, headers, body: String::from_utf8(body).ok()? })
}
