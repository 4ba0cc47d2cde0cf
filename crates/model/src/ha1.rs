//! HA1, the only form of a SIP password that is stored: hex of H(user ":" realm ":" password).

use md5::{Digest, Md5};
use sha2::Sha256;

/// HA1 for `algorithm=MD5` (RFC 2617 section 3.2.2.2, RFC 7616 section 3.4.2): 32 lower case hex digits.
pub fn md5(user: &str, realm: &str, password: &str) -> String {
    digest::<Md5>(user, realm, password)
}

/// HA1 for `algorithm=SHA-256` (RFC 7616): 64 lower case hex digits.
pub fn sha256(user: &str, realm: &str, password: &str) -> String {
    digest::<Sha256>(user, realm, password)
}

fn digest<D: Digest>(user: &str, realm: &str, password: &str) -> String {
    let mut hash = D::new();
    for part in [user, ":", realm, ":", password] {
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 2617 section 3.5.
    #[test]
    fn md5_of_rfc_2617() {
        assert_eq!(md5("Mufasa", "testrealm@host.com", "Circle Of Life"), "939e7578ed9e3c518a452acee763bce9");
    }

    /// The example of RFC 7616 section 3.9.1; the RFC prints only the response, so the whole chain is checked.
    #[test]
    fn sha256_of_rfc_7616() {
        let hash = |text: String| hex::encode(Sha256::digest(text.as_bytes()));
        let ha1 = sha256("Mufasa", "http-auth@example.org", "Circle of Life");
        let ha2 = hash("GET:/dir/index.html".to_owned());
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        assert_eq!(
            hash(format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}")),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }
}
