//! How documents come in: posted by many threads at once, in any order and in every form of FreeSWITCH's, tried again as it
//! does, sometimes after an acknowledgement too, and left in the spool when all tries failed or by chance.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;

use crate::calls::{Document, Source};
use crate::support::Engine;
use crate::support::random::Random;

const TRIES_MAX: usize = 4;
const PAUSE_US: usize = 20_000;
/// A file this old is taken at once: nobody may be writing to it any more.
const SPOOLED_AGO: Duration = Duration::from_secs(60);

/// One round's documents on their way.
pub struct Posting {
    pub engine: Engine,
    pub freeswitch_spool: PathBuf,
    pub kamailio_spool: PathBuf,
    pub waiting: Mutex<Vec<Document>>,
    /// Documents taken in hand.
    pub taken: AtomicUsize,
    pub told: Mutex<Told>,
}

/// What became of the documents.
#[derive(Default)]
pub struct Told {
    pub counts: Counts,
    /// Of each document, try by try.
    pub words: BTreeMap<String, String>,
}

/// A document counts as often as it was given.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub acknowledged: usize,
    pub spooled: usize,
    /// Neither: refused, or the connection broke.
    pub refused: usize,
    /// Of the acknowledged and the spooled, those of FreeSWITCH.
    pub legs: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.spooled += other.spooled;
        self.refused += other.refused;
        self.legs += other.legs;
    }
}

impl Posting {
    /// Until none is left.
    pub fn run(&self, mut random: Random) {
        while let Some(document) = self.take(&mut random) {
            std::thread::sleep(Duration::from_micros(random.below(PAUSE_US) as u64));
            let tries = random.below(TRIES_MAX + 1);
            let mut acknowledged = false;
            for _ in 0..tries {
                acknowledged |= self.post(&document, &mut random);
                // Its answer may be lost on the way: FreeSWITCH posts what was kept already.
                if acknowledged && !random.once_in(4) {
                    break;
                }
                std::thread::sleep(Duration::from_micros(random.below(PAUSE_US) as u64));
            }
            if !acknowledged {
                self.spool(&document, &mut random);
            }
        }
    }

    fn take(&self, random: &mut Random) -> Option<Document> {
        let mut waiting = self.waiting.lock().unwrap();
        let any = (!waiting.is_empty()).then(|| random.below(waiting.len()))?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(waiting.swap_remove(any))
    }

    /// Whether it was acknowledged.
    fn post(&self, document: &Document, random: &mut Random) -> bool {
        let (path, content_type, body) = request(document, random);
        let answer = self.engine.post(&path, content_type, body.as_bytes());
        let word = answer.map_or("broken".to_owned(), |answer| answer.status.to_string());
        self.tell(document, &word);
        word == "200"
    }

    /// As FreeSWITCH leaves a document in its err-log-dir, and Kamailio an event.
    fn spool(&self, document: &Document, random: &mut Random) {
        let plain = format!("{}\n", document.text);
        let (file, text) = match document.source {
            Source::Kamailio => (self.kamailio_spool.join(format!("{}.json", document.uuid)), plain),
            Source::Freeswitch => {
                let encoded = random.once_in(2).then(|| percent_encoded(&document.text));
                let file = self.freeswitch_spool.join(format!("{}.cdr.json", document.uuid));
                (file, encoded.unwrap_or(plain))
            }
        };
        std::fs::write(&file, text).unwrap();
        // It may be taken already.
        if let Ok(written) = std::fs::File::options().write(true).open(&file) {
            written.set_modified(SystemTime::now() - SPOOLED_AGO).unwrap();
        }
        self.tell(document, "spooled");
    }

    fn tell(&self, document: &Document, word: &str) {
        let mut told = self.told.lock().unwrap();
        let words = told.words.entry(document.uuid.clone()).or_default();
        *words += " ";
        *words += word;
        match word {
            "200" => told.counts.acknowledged += 1,
            "spooled" => told.counts.spooled += 1,
            _ => {
                told.counts.refused += 1;
                return;
            }
        }
        told.counts.legs += usize::from(document.source == Source::Freeswitch);
    }
}

/// Path, content type and body, as the engine's module would post it with one of its settings.
fn request(document: &Document, random: &mut Random) -> (String, &'static str, String) {
    let text = document.text.clone();
    if document.source == Source::Kamailio {
        return ("/fs/kamailio".to_owned(), "application/json", text);
    }
    let path = format!("/fs/cdr?uuid={}", document.uuid);
    let (content_type, body) = match random.below(4) {
        0 => ("application/x-www-form-urlencoded", format!("cdr={}", percent_encoded(&text))),
        1 => {
            let base64 = base64::engine::general_purpose::STANDARD.encode(&text);
            ("application/x-www-form-base64-encoded", format!("cdr={base64}"))
        }
        // With disable-100-continue it says so, and posts JSON.
        2 => ("application/x-www-form-urlencoded", text),
        _ => ("application/json", text),
    };
    (path, content_type, body)
}

/// As switch_url_encode does: what is encoded already stays.
fn percent_encoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut out = String::with_capacity(2 * bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        let keeps = byte.is_ascii_alphanumeric()
            || b"-_.,~*'()!".contains(byte)
            || *byte == b'%' && hex(at + 1) && hex(at + 2);
        match keeps {
            true => out.push(char::from(*byte)),
            false => out += &format!("%{byte:02X}"),
        }
    }
    out
}
