//! voipadmind as far as Kamailio sees it: POST /fs/kamailio.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

const EVENT_TIMEOUT: Duration = Duration::from_secs(10);

/// One POST as it came.
#[derive(Clone, Debug)]
pub struct Post {
    pub head: String,
    pub body: String,
}

#[derive(Clone, Default)]
struct Shared {
    posts: Arc<Mutex<Vec<Post>>>,
    /// The status every POST gets; 0: none, the connection stays open without a word.
    status: Arc<Mutex<u16>>,
}

pub struct Events {
    shared: Shared,
    port: u16,
}

impl Events {
    pub fn listen(port: u16) -> Self {
        let events = Self::closed(port);
        events.open();
        events
    }

    /// Nobody listens yet.
    pub fn closed(port: u16) -> Self {
        let shared = Shared::default();
        *shared.status.lock().unwrap() = 200;
        Self { shared, port }
    }

    pub fn open(&self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
    }

    pub fn answer_with(&self, status: u16) {
        *self.shared.status.lock().unwrap() = status;
    }

    pub fn posts(&self) -> Vec<Post> {
        self.shared.posts.lock().unwrap().clone()
    }

    pub fn all(&self) -> Vec<Value> {
        let read = |post: &Post| serde_json::from_str(&post.body).unwrap_or_else(|e| panic!("{e}: {post:?}"));
        self.posts().iter().map(read).collect()
    }

    /// The one event of that kind, waited for.
    pub fn one(&self, kind: &str) -> Value {
        let deadline = Instant::now() + EVENT_TIMEOUT;
        loop {
            let found: Vec<_> = self.all().into_iter().filter(|e| e["event"] == kind).collect();
            assert!(found.len() <= 1, "more than one '{kind}': {found:#?}");
            if let Some(event) = found.into_iter().next() {
                return event;
            }
            assert!(Instant::now() < deadline, "no '{kind}' among {:#?}", self.all());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The kinds of all events, after a time in which any late one would have come.
    pub fn kinds(&self) -> Vec<String> {
        std::thread::sleep(crate::sip::QUIET);
        self.all().iter().map(|e| e["event"].as_str().unwrap().to_owned()).collect()
    }
}

fn serve(stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head
            .lines()
            .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let status = *shared.status.lock().unwrap();
        if status == 200 {
            let body = String::from_utf8(body).unwrap();
            shared.posts.lock().unwrap().push(Post { head, body });
        }
        if status != 0 {
            let _ = write!(reader.get_mut(), "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        }
    }
}
