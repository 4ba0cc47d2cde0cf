//! What FreeSWITCH asks and posts over HTTP, answered by a few lines of the test: a directory, a CDR inbox.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};
use serde_json::Value;

/// How FreeSWITCH rings a phone: the text of `fsxml::DIAL_STRING`, which the two halves may not share in code.
const DIAL_STRING: &str = "{sip_invite_domain=${dialed_domain},presence_id=${dialed_user}@${dialed_domain},\
                           sip_h_X-VP-Leg=b}sofia/kamailio/${dialed_user}@${dialed_domain};fs_path=sip:${vp_edge}";
const CDR_TIMEOUT: Duration = Duration::from_secs(20);

/// A posted leg.
#[derive(Clone)]
pub struct Cdr {
    /// Of the query string.
    pub uuid: String,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Cdr {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A channel variable, as it is in the document.
    pub fn variable(&self, name: &str) -> String {
        self.json()["variables"][name].as_str().unwrap_or_default().to_owned()
    }
}

pub struct Voipadmind {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    authorization: String,
    /// Of users: (user, domain) → HA1.
    ha1: BTreeMap<(String, String), String>,
    asked: Mutex<Vec<BTreeMap<String, String>>>,
    cdrs: Mutex<Vec<Cdr>>,
    refuse_cdrs: AtomicBool,
}

pub fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

impl Voipadmind {
    pub fn start(user: &str, password: &str, phones: &[(&str, &str, &str)]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let ha1 = phones
            .iter()
            .map(|(user, domain, password)| {
                (((*user).to_owned(), (*domain).to_owned()), md5_hex(&format!("{user}:{domain}:{password}")))
            })
            .collect();
        let shared = Arc::new(Shared {
            authorization: format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))),
            ha1,
            asked: Mutex::default(),
            cdrs: Mutex::default(),
            refuse_cdrs: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&for_thread);
                std::thread::spawn(move || serve(&shared, stream.unwrap()));
            }
        });
        Self { port, shared }
    }

    /// Answers every CDR with 503 from now on.
    pub fn refuse_cdrs(&self) {
        self.shared.refuse_cdrs.store(true, Ordering::SeqCst);
    }

    /// Directory requests so far, decoded.
    pub fn asked(&self) -> Vec<BTreeMap<String, String>> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Waits for this many CDRs, in the order they came.
    pub fn cdrs(&self, count: usize) -> Vec<Cdr> {
        let deadline = Instant::now() + CDR_TIMEOUT;
        loop {
            let cdrs = self.shared.cdrs.lock().unwrap().clone();
            if cdrs.len() >= count {
                return cdrs;
            }
            assert!(Instant::now() < deadline, "{} of {count} CDRs were posted", cdrs.len());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut request_line = String::new();
    reader.read_line(&mut request_line).ok()?;
    let target = request_line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;

    let (status, answer) = if headers.get("authorization") != Some(&shared.authorization) {
        ("401 Unauthorized", String::new())
    } else if target == "/fs/xml/directory" {
        ("200 OK", directory(shared, &String::from_utf8(body).unwrap()))
    } else if let Some(uuid) = target.strip_prefix("/fs/cdr?uuid=") {
        if shared.refuse_cdrs.load(Ordering::SeqCst) {
            ("503 Service Unavailable", String::new())
        } else {
            let content_type = headers.get("content-type").cloned().unwrap_or_default();
            shared.cdrs.lock().unwrap().push(Cdr { uuid: uuid.to_owned(), content_type, body });
            ("200 OK", String::new())
        }
    } else {
        ("404 Not Found", String::new())
    };
    write!(
        reader.get_mut(),
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    )
    .ok()
}

fn directory(shared: &Shared, form: &str) -> String {
    let asked: BTreeMap<String, String> = form
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(k, v)| (k.to_owned(), decoded(v)))
        .collect();
    let user = asked.get("user").cloned().unwrap_or_default();
    let domain = asked.get("domain").cloned().unwrap_or_default();
    shared.asked.lock().unwrap().push(asked);
    match shared.ha1.get(&(user.clone(), domain.clone())) {
        Some(ha1) => format!(
            r#"<document type="freeswitch/xml"><section name="directory"><domain name="{domain}"><users><user id="{user}">
            <params><param name="a1-hash" value="{ha1}"/><param name="dial-string" value="{DIAL_STRING}"/></params>
            <variables><variable name="vp_domain" value="{domain}"/><variable name="domain_name" value="{domain}"/>
            <variable name="effective_caller_id_number" value="{user}"/></variables>
            </user></users></domain></section></document>"#
        ),
        None => {
            r#"<document type="freeswitch/xml"><section name="result"><result status="not found"/></section></document>"#
                .to_owned()
        }
    }
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(b) = rest.next() {
        if b == b'%' {
            let hex: Vec<u8> = rest.by_ref().take(2).collect();
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            bytes.push(b);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
