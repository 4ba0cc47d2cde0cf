//! One-time tokens: who holds one may join within a quarter of an hour, once.
//!
//! A token is `tdj_<id><secret>`. The secret never crosses the network, and is not kept here: from it both sides derive
//! a key that signs the request and another that seals the answer, which holds the cluster's secrets.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use host::files;
use serde::{Deserialize, Serialize};

use super::auth::{mac, same};

/// How long a token can be used.
pub const LIFE_S: i64 = 15 * 60;
/// Tokens kept, used and expired ones included, so that a second use is told as such.
const TOKENS_MAX: usize = 32;
const PREFIX: &str = "tdj_";
const ID_CHARS: usize = 8;
const SECRET_CHARS: usize = 64;
const NONCE_BYTES: usize = 12;

/// A token as the joining node holds it.
pub struct Token {
    pub id: String,
    key: Key,
}

/// Derived from the token's secret.
#[derive(Clone)]
struct Key([u8; 32]);

/// A token as the inviting node keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    id: String,
    /// Derived: opens this one join, is no use for another.
    key: String,
    /// Seconds since 1970.
    expires_s: i64,
    /// By whom and when it was used.
    used: Option<String>,
}

/// Why a token does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("this token is not one of this node's; make one here with 'tandem invite'")]
    Unknown,
    #[error("this token was used already ({0}); make another with 'tandem invite'")]
    Used(String),
    #[error("this token has expired (they live 15 minutes); make another with 'tandem invite'")]
    Expired,
}

/// An opened token: seals the answer.
pub struct Opened {
    id: String,
    key: Key,
}

/// Makes a token, keeps what checks it, and returns its text.
///
/// # Errors
/// No randomness, or the file cannot be written.
pub fn make(file: &Path, now_s: i64) -> Result<String> {
    let mut random = [0u8; (ID_CHARS + SECRET_CHARS) / 2];
    getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
    let text = format!("{PREFIX}{}", hex::encode(random));
    let token = Token::parse(&text)?;
    let _lock = lock(file)?;
    let mut all = read(file)?;
    all.push(Kept { id: token.id, key: hex::encode(token.key.0), expires_s: now_s + LIFE_S, used: None });
    let start = all.len().saturating_sub(TOKENS_MAX);
    write(file, &all[start..])?;
    Ok(text)
}

/// Checks a request's signature; the token stays usable until [`consume`].
///
/// # Errors
/// [`Refused`] as the inner value.
pub fn open(
    file: &Path,
    id: &str,
    body: &[u8],
    signature: &str,
    now_s: i64,
) -> Result<Result<Opened, Refused>> {
    let kept = read(file)?.into_iter().find(|kept| same(&kept.id, id));
    let Some(kept) = kept else { return Ok(Err(Refused::Unknown)) };
    let mut bytes = [0u8; 32];
    hex::decode_to_slice(&kept.key, &mut bytes).context("tokens.json is damaged; remove it")?;
    let key = Key(bytes);
    // The signature first: only who holds the token learns more of it.
    if !same(&key.sign(body), signature) {
        return Ok(Err(Refused::Unknown));
    }
    if let Some(used) = kept.used {
        return Ok(Err(Refused::Used(used)));
    }
    if now_s > kept.expires_s {
        return Ok(Err(Refused::Expired));
    }
    Ok(Ok(Opened { id: kept.id, key }))
}

/// Marks the token used, durably, before anything is told that it opens. Of two at once one is refused.
///
/// # Errors
/// The file cannot be written; [`Refused`] as the inner value.
pub fn consume(file: &Path, opened: &Opened, by: &str) -> Result<Result<(), Refused>> {
    let _lock = lock(file)?;
    let mut all = read(file)?;
    let Some(kept) = all.iter_mut().find(|kept| kept.id == opened.id) else {
        return Ok(Err(Refused::Unknown));
    };
    if let Some(used) = &kept.used {
        return Ok(Err(Refused::Used(used.clone())));
    }
    kept.used = Some(by.to_owned());
    write(file, &all).map(Ok)
}

/// `tandem invite` and the agent change the file: one at a time, until it is dropped. The lock is a file of its own,
/// because the tokens' file is replaced by each change.
fn lock(file: &Path) -> Result<File> {
    let path = file.with_extension("lock");
    if let Some(folder) = path.parent() {
        files::folder(folder, 0o700, None)?;
    }
    let mut options = File::options();
    let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
    let lock = lock.with_context(|| format!("opening {}", path.display()))?;
    lock.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(lock)
}

impl Opened {
    /// Seals the answer to the request with that signature.
    ///
    /// # Errors
    /// No randomness.
    pub fn seal(&self, request_signature: &str, answer: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
        let payload = Payload { msg: answer, aad: request_signature.as_bytes() };
        let sealed = self
            .key
            .cipher()
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| anyhow::anyhow!("sealing the answer failed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }
}

impl Token {
    /// Reads a token's text.
    ///
    /// # Errors
    /// It is none: without showing it.
    pub fn parse(text: &str) -> Result<Self> {
        let plain = text.trim().strip_prefix(PREFIX).unwrap_or_default();
        if plain.len() != ID_CHARS + SECRET_CHARS || !plain.bytes().all(|b| b.is_ascii_hexdigit()) {
            bail!(
                "this is no join token (they begin with '{PREFIX}' and have {} characters); 'tandem invite' on the \
                 first node prints one",
                PREFIX.len() + ID_CHARS + SECRET_CHARS
            );
        }
        let (id, secret) = plain.split_at(ID_CHARS);
        Ok(Self { id: id.into(), key: Key(mac(secret.as_bytes(), &[b"tandem join v1"])) })
    }

    /// Signs a request's body.
    pub fn sign(&self, body: &[u8]) -> String {
        self.key.sign(body)
    }

    /// Opens the answer to the request with that signature.
    ///
    /// # Errors
    /// It was not sealed by who made the token, or not for this request.
    pub fn unseal(&self, request_signature: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).context("the answer is too short")?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().context("the answer is too short")?;
        let payload = Payload { msg: sealed, aad: request_signature.as_bytes() };
        self.key
            .cipher()
            .decrypt(&Nonce::from(nonce), payload)
            .map_err(|_| anyhow::anyhow!("the answer is not from the node that made this token"))
    }
}

impl Key {
    fn sign(&self, body: &[u8]) -> String {
        hex::encode(mac(&self.0, &[b"request", body]))
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&mac(&self.0, &[b"answer"]).into())
    }
}

fn read(file: &Path) -> Result<Vec<Kept>> {
    let Some(text) = files::read(file).with_context(|| format!("reading {}", file.display()))? else {
        return Ok(Vec::new());
    };
    serde_json::from_str(&text).with_context(|| format!("{} is damaged; remove it", file.display()))
}

fn write(file: &Path, all: &[Kept]) -> Result<()> {
    let text = serde_json::to_string_pretty(all)?;
    files::write_durably(file, 0o600, None, text.as_bytes())
        .with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    #[test]
    fn a_token_opens_once_and_its_answer_is_for_its_holder_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens.json");
        let text = make(&file, NOW).unwrap();
        let kept = std::fs::read_to_string(&file).unwrap();
        assert!(!kept.contains(&text[PREFIX.len() + ID_CHARS..]), "the secret is kept");
        let token = Token::parse(&format!(" {text}\n")).unwrap();
        let signature = token.sign(b"{}");

        let opened = open(&file, &token.id, b"{}", &signature, NOW + 60).unwrap().ok().unwrap();
        let sealed = opened.seal(&signature, b"secrets").unwrap();
        assert!(!sealed.windows(7).any(|w| w == b"secrets"));
        assert_eq!(token.unseal(&signature, &sealed).unwrap(), b"secrets");
        assert!(token.unseal("another request", &sealed).is_err());
        let stranger = Token::parse(&make(&file, NOW).unwrap()).unwrap();
        assert!(stranger.unseal(&signature, &sealed).is_err());

        consume(&file, &opened, "n2 at noon").unwrap().unwrap();
        let second = consume(&file, &opened, "a thief").unwrap();
        assert_eq!(second, Err(Refused::Used("n2 at noon".into())), "opened at the same time");
        let again = open(&file, &token.id, b"{}", &signature, NOW + 61).unwrap().err();
        assert_eq!(again, Some(Refused::Used("n2 at noon".into())));
    }

    #[test]
    fn tokens_made_and_used_at_once_are_all_kept_and_used_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens.json");
        let token = Token::parse(&make(&file, NOW).unwrap()).unwrap();
        let signature = token.sign(b"{}");
        let (file, token, signature) = (&file, &token, &signature);
        let used = std::thread::scope(|scope| {
            let uses: Vec<_> = (0..8)
                .map(|who| {
                    scope.spawn(move || {
                        make(file, NOW).unwrap();
                        let opened = open(file, &token.id, b"{}", signature, NOW).unwrap().ok();
                        let opened =
                            opened.unwrap_or(Opened { id: token.id.clone(), key: token.key.clone() });
                        consume(file, &opened, &who.to_string()).unwrap().is_ok()
                    })
                })
                .collect();
            uses.into_iter().map(|used| used.join().unwrap()).filter(|used| *used).count()
        });
        assert_eq!((used, read(file).unwrap().len()), (1, 9));
    }

    #[test]
    fn wrong_changed_and_old_tokens_do_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens.json");
        let token = Token::parse(&make(&file, NOW).unwrap()).unwrap();
        let signature = token.sign(b"{}");
        let tried = |id: &str, body: &[u8], signature: &str, now| {
            open(&file, id, body, signature, now).unwrap().err()
        };
        assert_eq!(tried("00000000", b"{}", &signature, NOW), Some(Refused::Unknown));
        assert_eq!(tried(&token.id, b"{ }", &signature, NOW), Some(Refused::Unknown));
        assert_eq!(tried(&token.id, b"{}", "", NOW), Some(Refused::Unknown));
        assert_eq!(tried(&token.id, b"{}", &signature, NOW + LIFE_S + 1), Some(Refused::Expired));
        assert_eq!(tried(&token.id, b"{}", &signature, NOW + LIFE_S), None);
        for text in ["", "tdj_", "tdj_zz", "hunter2"] {
            let message = Token::parse(text).err().unwrap().to_string();
            assert!(message.contains("tandem invite") && !message.contains("hunter2"), "{message}");
        }
    }
}
