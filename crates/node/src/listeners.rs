//! Who listens where, as `ss` of iproute2 tells it.

/// Listening TCP and UDP sockets with their processes, a line each.
pub const SS: [&str; 6] = ["-H", "-l", "-n", "-t", "-u", "-p"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `udp` or `tcp`.
    pub protocol: String,
    /// Without the port; `*` and `0.0.0.0` are all addresses.
    pub address: String,
    pub port: u16,
    /// The first process's name, cut to 15 characters by the kernel; none for who is not root.
    pub program: Option<String>,
    pub pid: Option<u32>,
}

/// The sockets in what `ss` with [`SS`] says.
pub fn read(said: &str) -> Vec<Listener> {
    said.lines().filter_map(listener).collect()
}

/// `udp UNCONN 0 0 127.0.0.1:5060 0.0.0.0:* users:(("kamailio",pid=21630,fd=4))`
fn listener(line: &str) -> Option<Listener> {
    let mut words = line.split_ascii_whitespace();
    let protocol = words.next()?.to_owned();
    let (address, port) = words.nth(3)?.rsplit_once(':')?;
    let process = line.split_once("users:((\"").and_then(|(_, rest)| rest.split_once('"'));
    let pid = |rest: &str| {
        let digits = rest.split_once("pid=")?.1;
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some(Listener {
        protocol,
        address: address.trim_matches(['[', ']']).split('%').next()?.to_owned(),
        port: port.parse().ok()?,
        program: process.map(|(name, _)| name.to_owned()),
        pid: process.and_then(|(_, rest)| pid(rest)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read() {
        let text = "udp UNCONN 0 0 127.0.0.1:9060 0.0.0.0:* users:((\"kamailio\",pid=2,fd=4),(\"kamailio\",pid=3,fd=4))\n\
             tcp   LISTEN 0      128      0.0.0.0:2024  0.0.0.0:*   \n\
             tcp LISTEN 0 511 [::1]:6379 [::]:* users:((\"redis-server\",pid=9,fd=7))\n\
             udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*\n\
             Netid State\n";
        let found = read(text);
        let found: Vec<_> = found
            .iter()
            .map(|l| (l.protocol.as_str(), l.address.as_str(), l.port, l.program.as_deref(), l.pid))
            .collect();
        assert_eq!(
            found,
            [
                ("udp", "127.0.0.1", 9060, Some("kamailio"), Some(2)),
                ("tcp", "0.0.0.0", 2024, None, None),
                ("tcp", "::1", 6379, Some("redis-server"), Some(9)),
                ("udp", "127.0.0.53", 53, None, None),
            ]
        );
    }
}
