//! Messages between the two agents: HMAC-SHA256 by the cluster's key over everything that matters, fresh, and once.
//!
//! The peer link is trusted for nothing: who can send there but has no key is refused, and a recorded message is dead
//! after its first use or after half a minute.

use std::collections::HashMap;
use std::sync::Mutex;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A message older or newer than this is refused; the nonces of that time are remembered.
pub const FRESH_MS: i64 = 30_000;
/// Nonces remembered: more than a peer sends in twice [`FRESH_MS`] by far.
const NONCES_MAX: usize = 8_192;
const NONCE_CHARS_MAX: usize = 64;

pub const NODE_HEADER: &str = "x-tandem-node";
pub const TIME_HEADER: &str = "x-tandem-time";
pub const NONCE_HEADER: &str = "x-tandem-nonce";
pub const SIGNATURE_HEADER: &str = "x-tandem-signature";

type Keyed = Hmac<Sha256>;

/// The shared key.
#[derive(Clone)]
pub struct Key(Keyed);

/// What a request says of itself.
#[derive(Debug, Clone)]
pub struct Signed<'a> {
    pub node: &'a str,
    /// Whom it is for: a message to one node is none to another.
    pub to: &'a str,
    /// Milliseconds since 1970, of the sender's clock.
    pub time_ms: i64,
    pub nonce: &'a str,
    pub method: &'a str,
    /// With its query.
    pub path: &'a str,
    pub body: &'a [u8],
}

/// Why a message is refused; told to the sender, who may be anybody, so without detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("not signed with this cluster's key")]
    Forged,
    #[error("its time is more than 30 s off this node's clock; check 'timedatectl' on both nodes")]
    Stale,
    #[error("it was sent before this node's agent started; send it again")]
    Before,
    #[error("this message was received before")]
    Replayed,
}

impl Key {
    /// From `cluster_key` of secrets.yaml. The agents' messages have a key of their own, derived from it.
    pub fn of(cluster_key: &str) -> Self {
        let derived = mac(cluster_key.as_bytes(), &[b"tandem agents v1"]);
        Self(keyed(&derived))
    }

    /// A request's signature, hexadecimal.
    pub fn sign(&self, message: &Signed<'_>) -> String {
        let time = message.time_ms.to_string();
        let body = Sha256::digest(message.body);
        hex::encode(self.mac(&[
            b"request",
            message.node.as_bytes(),
            message.to.as_bytes(),
            time.as_bytes(),
            message.nonce.as_bytes(),
            message.method.as_bytes(),
            message.path.as_bytes(),
            &body,
        ]))
    }

    /// The signature of the answer to the request with `nonce`.
    pub fn sign_answer(&self, nonce: &str, status: u16, body: &[u8]) -> String {
        let body = Sha256::digest(body);
        hex::encode(self.mac(&[b"answer", nonce.as_bytes(), status.to_string().as_bytes(), &body]))
    }

    /// A heartbeat's seal: its sender and receiver are in it.
    pub fn seal_beat(&self, beat: &[u8]) -> [u8; 32] {
        self.mac(&[b"beat", beat])
    }

    /// Whether the seal is of this cluster's key.
    pub fn is_beat(&self, beat: &[u8], seal: &[u8]) -> bool {
        self.seal_beat(beat).as_slice().ct_eq(seal).into()
    }

    /// Whether an answer is the peer's to this very request.
    pub fn is_answer(&self, nonce: &str, status: u16, body: &[u8], signature: &str) -> bool {
        same(&self.sign_answer(nonce, status, body), signature)
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        finish(self.0.clone(), parts)
    }
}

/// HMAC-SHA256 of the parts, each with its length: no two lists of parts look alike.
pub fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    finish(keyed(key), parts)
}

fn keyed(key: &[u8]) -> Keyed {
    // HMAC takes keys of any length; the error type is of other MACs.
    Keyed::new_from_slice(key).unwrap_or_else(|_| Keyed::new(&Default::default()))
}

fn finish(mut keyed: Keyed, parts: &[&[u8]]) -> [u8; 32] {
    for part in parts {
        keyed.update(&(part.len() as u64).to_be_bytes());
        keyed.update(part);
    }
    keyed.finalize().into_bytes().into()
}

/// Equal, in a time that does not tell where they differ.
pub fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// The receiving side: the key, and the nonces seen.
pub struct Door {
    key: Key,
    /// Milliseconds since 1970: what was sent before may have been received before this memory began.
    since_ms: i64,
    seen: Mutex<HashMap<String, i64>>,
}

impl Door {
    /// A door that remembers from `since_ms` on.
    pub fn new(key: Key, since_ms: i64) -> Self {
        Self { key, since_ms, seen: Mutex::default() }
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Admits a message once.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn admit(&self, message: &Signed<'_>, signature: &str, now_ms: i64) -> Result<(), Refused> {
        if message.nonce.len() > NONCE_CHARS_MAX || !same(&self.key.sign(message), signature) {
            return Err(Refused::Forged);
        }
        if (now_ms - message.time_ms).abs() > FRESH_MS {
            return Err(Refused::Stale);
        }
        if message.time_ms < self.since_ms {
            return Err(Refused::Before);
        }
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.len() >= NONCES_MAX {
            seen.retain(|_, time| (now_ms - *time).abs() <= FRESH_MS);
        }
        // Still full: only a key holder can do that. To forget would let a replay in.
        if seen.len() >= NONCES_MAX || seen.insert(message.nonce.to_owned(), message.time_ms).is_some() {
            return Err(Refused::Replayed);
        }
        Ok(())
    }
}

/// A new nonce: 128 random bits, hexadecimal.
///
/// # Errors
/// The operating system gives no randomness.
pub fn nonce() -> std::io::Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn message() -> Signed<'static> {
        Signed { node: "n2", to: "n1", time_ms: NOW, nonce: "a1", method: "GET", path: "/status", body: b"" }
    }

    #[test]
    fn a_signed_message_is_admitted_once_and_while_it_is_fresh() {
        let key = Key::of("secret");
        let door = Door::new(key.clone(), NOW - FRESH_MS);
        let message = message();
        let signature = key.sign(&message);
        assert_eq!(door.admit(&message, &signature, NOW + FRESH_MS + 1), Err(Refused::Stale));
        assert_eq!(door.admit(&message, &signature, NOW + 5), Ok(()));
        assert_eq!(door.admit(&message, &signature, NOW + 6), Err(Refused::Replayed));
        // A restart forgets the nonces, and with them everything that was sent before it.
        let restarted = Door::new(key.clone(), NOW + 1);
        assert_eq!(restarted.admit(&message, &signature, NOW + 7), Err(Refused::Before));
    }

    #[test]
    fn no_part_of_a_message_can_be_changed() {
        let key = Key::of("secret");
        let door = Door::new(key.clone(), NOW - FRESH_MS);
        let good = message();
        let signature = key.sign(&good);
        for changed in [
            Signed { node: "n1", ..good.clone() },
            Signed { to: "n2", ..good.clone() },
            Signed { time_ms: NOW + 1, ..good.clone() },
            Signed { nonce: "a2", ..good.clone() },
            Signed { method: "POST", ..good.clone() },
            Signed { path: "/joined", ..good.clone() },
            Signed { body: b"x", ..good.clone() },
        ] {
            assert_eq!(door.admit(&changed, &signature, NOW), Err(Refused::Forged), "{changed:?}");
        }
        assert_eq!(door.admit(&good, &Key::of("other").sign(&good), NOW), Err(Refused::Forged));
    }

    #[test]
    fn an_answer_belongs_to_its_request() {
        let key = Key::of("secret");
        let signature = key.sign_answer("a1", 200, b"ok");
        assert!(key.is_answer("a1", 200, b"ok", &signature));
        assert!(!key.is_answer("a2", 200, b"ok", &signature));
        assert!(!key.is_answer("a1", 403, b"ok", &signature));
        assert!(!key.is_answer("a1", 200, b"no", &signature));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(mac(b"k", &[b"ab", b"c"]), mac(b"k", &[b"a", b"bc"]));
    }
}
