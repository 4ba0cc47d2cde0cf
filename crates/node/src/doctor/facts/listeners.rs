//! Who listens where, by `ss` of iproute2.

use super::ANSWER_MAX;
use crate::observe::output;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `udp` or `tcp`.
    pub protocol: String,
    /// Without the port; `*` and `0.0.0.0` are all addresses.
    pub address: String,
    pub port: u16,
    /// The process's name, cut to 15 characters by the kernel; none for who is not root.
    pub program: Option<String>,
}

pub async fn ask() -> Result<Vec<Listener>, String> {
    let said = output("ss", &["-H", "-l", "-n", "-t", "-u", "-p"], ANSWER_MAX).await;
    Ok(said.map_err(|e| e.to_string())?.lines().filter_map(read).collect())
}

/// `udp UNCONN 0 0 127.0.0.1:5060 0.0.0.0:* users:(("kamailio",pid=21630,fd=4))`
fn read(line: &str) -> Option<Listener> {
    let mut words = line.split_ascii_whitespace();
    let protocol = words.next()?.to_owned();
    let local = words.nth(3)?;
    let (address, port) = local.rsplit_once(':')?;
    let program = line.split_once("users:((\"").and_then(|(_, rest)| rest.split_once('"'));
    Some(Listener {
        protocol,
        address: address.trim_matches(['[', ']']).split('%').next()?.to_owned(),
        port: port.parse().ok()?,
        program: program.map(|(name, _)| name.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read() {
        let read = |line| read(line).map(|l| (l.protocol, l.address, l.port, l.program));
        let some = |protocol: &str, address: &str, port, program: Option<&str>| {
            Some((protocol.to_owned(), address.to_owned(), port, program.map(str::to_owned)))
        };
        assert_eq!(
            read(
                "udp UNCONN 0 0 127.0.0.1:9060 0.0.0.0:* users:((\"kamailio\",pid=2,fd=4),(\"kamailio\",pid=3,fd=4))"
            ),
            some("udp", "127.0.0.1", 9060, Some("kamailio"))
        );
        assert_eq!(
            read("tcp   LISTEN 0      128      0.0.0.0:2024  0.0.0.0:*   "),
            some("tcp", "0.0.0.0", 2024, None)
        );
        assert_eq!(
            read("tcp LISTEN 0 511 [::1]:6379 [::]:* users:((\"redis-server\",pid=9,fd=7))"),
            some("tcp", "::1", 6379, Some("redis-server"))
        );
        assert_eq!(read("udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*"), some("udp", "127.0.0.53", 53, None));
        assert_eq!(read("Netid State"), None);
    }
}
