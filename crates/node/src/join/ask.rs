//! The first message of a node that has nothing but a token.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::wire::{Request, TOKEN_SIGNATURE, Welcome};
use crate::agent::auth;
use crate::agent::client::{self, http};
use crate::agent::tokens::Token;

const ANSWER: Duration = Duration::from_secs(30);
/// A primary's clock this far off is told: certificates, logs and signed messages go by it.
pub const SKEW_MS: i64 = 5_000;

/// `http://host:port` of what an operator types: `198.18.77.11`, `n1:7400`, `[fd00::1]:7400`.
pub fn base(address: &str, port: u16) -> String {
    let has_port = match address.rsplit_once(':') {
        // An IPv6 address has a port only after its brackets.
        Some((host, port)) => port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')),
        None => false,
    };
    match (has_port, address.contains(':') && !address.starts_with('[')) {
        (true, _) => format!("http://{address}"),
        (false, true) => format!("http://[{address}]:{port}"),
        (false, false) => format!("http://{address}:{port}"),
    }
}

/// Asks the primary's agent at `base` to be taken in.
///
/// # Errors
/// Nobody answers, the token is refused, or the primary says why not.
pub fn with_token(base: &str, token: &str, node: Option<&str>, postgresql: &str) -> Result<Welcome> {
    let token = Token::parse(token)?;
    let request = Request {
        token: token.id.clone(),
        nonce: auth::nonce()?,
        node: node.map(str::to_owned),
        host: hostname(),
        postgresql: postgresql.to_owned(),
    };
    let body = serde_json::to_vec(&request)?;
    let signature = token.sign(&body);
    let response = http(ANSWER)
        .post(format!("{base}/join"))
        .header(TOKEN_SIGNATURE, &signature)
        .send(&body[..])
        .with_context(|| {
            format!(
                "no agent answers at {base}; is 'tandem-agent' running on the first node, and its port open?"
            )
        })?;
    let answer = client::read(response)?;
    if answer.status != 200 {
        bail!("{}", client::reason(&answer));
    }
    let welcome = token.unseal(&signature, &answer.body)?;
    serde_json::from_slice(&welcome).context("the primary's answer is of another version of Tandem")
}

/// How far the primary's clock is from ours, if that is worth a word.
pub fn skew_warning(now_ms: i64, theirs_ms: i64) -> Option<String> {
    let off = theirs_ms - now_ms;
    (off.abs() > SKEW_MS).then(|| {
        format!(
            "the primary's clock is {:.1} s {} of this one's: set both by NTP (apt install chrony)",
            off.abs() as f64 / 1000.0,
            if off > 0 { "ahead" } else { "behind" }
        )
    })
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_people_write_it() {
        for (typed, url) in [
            ("198.18.77.11", "http://198.18.77.11:7400"),
            ("198.18.77.11:7401", "http://198.18.77.11:7401"),
            ("n1.example.net", "http://n1.example.net:7400"),
            ("fd00::1", "http://[fd00::1]:7400"),
            ("[fd00::1]:99", "http://[fd00::1]:99"),
        ] {
            assert_eq!(base(typed, 7400), url);
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told() {
        assert_eq!(skew_warning(1_000, 5_900), None);
        assert!(skew_warning(10_000, 3_000).unwrap().contains("7.0 s behind"));
    }
}
