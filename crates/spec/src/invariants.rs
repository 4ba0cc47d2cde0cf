//! The rules between keys: each is one function, with what is wrong and how to mend it.

use std::collections::BTreeMap;

use crate::{Cluster, Durability, FIXED_PORTS, Shape, failover, network};

/// Two segments of voipadmind's journal: it takes no less (its own configuration says so too), and by then engines would run.
const JOURNAL_BYTES_MIN: u64 = 32 << 20;

/// A broken rule; [`Cluster::parse`] adds file and line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Dotted, as written in the file (`ports.sip`).
    pub key: String,
    pub problem: String,
    pub cure: String,
}

pub(crate) type Check = Result<(), Violation>;

pub(crate) fn broken(key: impl Into<String>, problem: impl Into<String>, cure: impl Into<String>) -> Check {
    Err(Violation { key: key.into(), problem: problem.into(), cure: cure.into() })
}

/// Checks every rule, in the order of the file.
pub(crate) fn check(c: &Cluster) -> Check {
    name("cluster.name", &c.cluster.name)?;
    network::check(c)?;
    failover::check(c)?;
    ports(c)?;
    paths(c)?;
    pools(c)?;
    cdr(c)?;
    demo(c)
}

/// Names reach file names, SQL and log lines: letters, digits and `-`.
fn name(key: &str, value: &str) -> Check {
    let fits = (1..=63).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !value.starts_with('-');
    if fits {
        return Ok(());
    }
    broken(key, format!("'{value}' is no name"), "use 1 to 63 letters, digits and '-'")
}

fn ports(c: &Cluster) -> Check {
    let mut seen = BTreeMap::new();
    for (key, port) in c.ports.named() {
        if port < 1024 {
            return broken(
                format!("ports.{key}"),
                format!("{port} is a privileged port"),
                "choose one from 1024 to 65535: the services do not run as root",
            );
        }
        if let Some(other) = seen.insert(port, key) {
            return broken(
                format!("ports.{key}"),
                format!("{port} is taken by ports.{other} already"),
                "give each its own port",
            );
        }
    }
    if c.shape != Shape::Dev {
        for (service, port) in FIXED_PORTS {
            if let Some(key) = seen.get(&port) {
                return broken(
                    format!("ports.{key}"),
                    format!("{port} is the port of {service}"),
                    "choose another",
                );
            }
        }
    }
    let rtp = c.ports.rtp_min..=c.ports.rtp_max;
    if rtp.start() < &1024
        || !rtp.start().is_multiple_of(2)
        || c.ports.rtp_max.saturating_sub(c.ports.rtp_min) < 99
    {
        return broken(
            "ports.rtp_min",
            format!("{} to {} is no range for RTP", rtp.start(), rtp.end()),
            "start at an even port from 1024, and leave at least 100 ports",
        );
    }
    match c.ports.named().into_iter().find(|(_, port)| rtp.contains(port)) {
        Some((key, port)) => broken(
            format!("ports.{key}"),
            format!("{port} lies in the RTP range {} to {}", rtp.start(), rtp.end()),
            "move it out of ports.rtp_min to ports.rtp_max",
        ),
        None => Ok(()),
    }
}

fn paths(c: &Cluster) -> Check {
    let p = &c.paths;
    let named = [
        ("freeswitch_prefix", &p.freeswitch_prefix),
        ("freeswitch_mod", &p.freeswitch_mod),
        ("kamailio_mod", &p.kamailio_mod),
        ("postgresql_bin", &p.postgresql_bin),
        ("storage", &p.storage),
    ];
    for (key, path) in named {
        if let Some(path) = path.as_ref().filter(|p| !p.is_absolute()) {
            return broken(
                format!("paths.{key}"),
                format!("'{}' is relative", path.display()),
                "write the whole path, from '/'",
            );
        }
    }
    Ok(())
}

fn pools(c: &Cluster) -> Check {
    let (connections, workers) = (c.server.database_max_open_conns.get(), c.cdr.workers.get());
    if connections > workers {
        return Ok(());
    }
    broken(
        "server.database_max_open_conns",
        format!("{connections} connections for {workers} workers (cdr.workers) leave none for the API"),
        "raise it above cdr.workers",
    )
}

fn cdr(c: &Cluster) -> Check {
    let queue = &c.cdr.queue_name;
    if !(1..=64).contains(&queue.len()) || !queue.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return broken(
            "cdr.queue_name",
            format!("'{queue}' is no stream name"),
            "use 1 to 64 letters, digits and '_'",
        );
    }
    if c.cdr.durability == Durability::Strict && c.nodes.len() < 2 {
        return broken(
            "cdr.durability",
            "is strict on a single node: every CDR would be refused",
            "write 'replicated', or add the second node",
        );
    }
    if c.cdr.journal_max.0 < JOURNAL_BYTES_MIN {
        return broken(
            "cdr.journal_max",
            format!("{}KiB cannot hold two segments of the journal", c.cdr.journal_max.0 >> 10),
            format!("use {}MiB or more", JOURNAL_BYTES_MIN >> 20),
        );
    }
    Ok(())
}

fn demo(c: &Cluster) -> Check {
    let d = &c.demo;
    domain_name("demo.domain", &d.domain)?;
    plain_text("demo.tenant_name", &d.tenant_name)?;
    let mut numbers = BTreeMap::new();
    let phones = d.extensions.iter().map(|e| ("demo.extensions", e.extension.as_str()));
    let others = [("demo.queue", d.queue.extension.as_str()), ("demo.ivr", d.ivr.extension.as_str())];
    for (key, number) in phones.chain(others) {
        digits(key, number)?;
        if numbers.insert(number, key).is_some() {
            return broken(key, format!("the extension {number} is given twice"), "give each its own number");
        }
    }
    for extension in &d.extensions {
        plain_text("demo.extensions.full_name", &extension.full_name)?;
    }
    reference("demo.queue.name", &d.queue.name)?;
    reference("demo.ivr.name", &d.ivr.name)?;
    reference("demo.trunk.name", &d.trunk.name)?;
    if let Some(agent) = d.queue.agents.iter().find(|a| d.extensions.iter().all(|e| e.extension != **a)) {
        return broken(
            "demo.queue.agents",
            format!("{agent} is none of demo.extensions"),
            "list extensions that exist",
        );
    }
    if d.queue.agents.is_empty() {
        return broken(
            "demo.queue.agents",
            "a queue without agents answers nobody",
            "list at least one extension",
        );
    }
    for entry in &d.ivr.entries {
        let key = "demo.ivr.entries";
        if entry.digit.len() != 1 || !entry.digit.bytes().all(|b| b"0123456789*#".contains(&b)) {
            return broken(key, format!("'{}' is no key of a phone", entry.digit), "use one of 0-9, * and #");
        }
        if !numbers.contains_key(entry.target.as_str()) {
            return broken(key, format!("there is no extension {}", entry.target), "name one that exists");
        }
    }
    trunk(c)
}

fn trunk(c: &Cluster) -> Check {
    let t = &c.demo.trunk;
    let pattern = !t.pattern.is_empty()
        && t.pattern.len() <= 50
        && t.pattern.bytes().all(|b| b.is_ascii_digit() || b"XNZ.+*#".contains(&b));
    if !pattern {
        return broken(
            "demo.trunk.pattern",
            format!("'{}' is no number pattern", t.pattern),
            "use digits, X (a digit), N (2-9), Z (1-9) and '.' (one or more)",
        );
    }
    if !t.prefix.bytes().all(|b| b.is_ascii_digit()) {
        return broken("demo.trunk.prefix", format!("'{}' is no prefix", t.prefix), "use digits only");
    }
    if t.host.parse::<std::net::IpAddr>().is_err() {
        domain_name("demo.trunk.host", &t.host)?;
    }
    if t.port == 0 {
        return broken("demo.trunk.port", "0 is no port", "use 5060 or what your provider says");
    }
    Ok(())
}

fn digits(key: &str, number: &str) -> Check {
    if (1..=15).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(());
    }
    broken(key, format!("'{number}' is no extension"), "use 1 to 15 digits, in quotes")
}

/// What Kamailio passes in X-VP-Ref and FreeSWITCH takes as application data.
fn reference(key: &str, value: &str) -> Check {
    if (1..=64).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    {
        return Ok(());
    }
    broken(key, format!("'{value}' is no name"), "use 1 to 64 letters, digits, '_', '.' and '-'")
}

/// Text FreeSWITCH will read: its preprocessor runs before XML parsing, and escaping does not stop it.
fn plain_text(key: &str, value: &str) -> Check {
    let lower = value.to_ascii_lowercase();
    let harmful =
        value.contains("${") || lower.contains("x-pre-process") || value.chars().any(char::is_control);
    if harmful || value.is_empty() || value.len() > 255 {
        return broken(
            key,
            "is empty, too long, or holds '${', 'X-PRE-PROCESS' or a control character",
            "use 1 to 255 characters of plain text",
        );
    }
    Ok(())
}

/// RFC 1123 labels, at least two, so that a realm is never mistaken for a host name of the local network.
fn domain_name(key: &str, domain: &str) -> Check {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label) {
        return Ok(());
    }
    broken(key, format!("'{domain}' is no domain name"), "write it in small letters, such as pbx.example.org")
}

#[cfg(test)]
mod tests {
    use crate::{Cluster, Ports, dev_cluster_yaml};
    use uuid::Uuid;

    fn problem(from: &str, to: &str) -> String {
        let text = dev_cluster_yaml(Uuid::nil(), "t", &Ports::dev(0));
        assert!(text.contains(from), "the sample holds no {from:?}");
        Cluster::parse("cluster.yaml", &text.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn each_rule_names_key_problem_and_cure() {
        for (from, to, key, says) in [
            ("sip: 5060", "sip: 506", "ports.sip", "privileged"),
            ("sip: 5060", "sip: 70000", "sip", "between 1024 and 65535"),
            ("sip: 5060", "sip: 8080", "ports.api", "taken by ports.sip"),
            ("sip: 5060", "sip: 20500", "ports.sip", "RTP range"),
            ("rtp_min: 20000", "rtp_min: 20001", "ports.rtp_min", "even port"),
            ("address: 127.0.0.1", "address: 0.0.0.0", "nodes.address", "no address of one node"),
            ("domain: default.local", "domain: Default.local", "demo.domain", "small letters"),
            ("domain: default.local", "domain: local", "demo.domain", "domain name"),
            ("127.0.0.1/32", "127.0.0.1/33", "sip.trusted_sources", "no network"),
            ("queue_name: cdr_queue", "queue_name: 'a b'", "cdr.queue_name", "no stream name"),
            ("durability: replicated", "durability: strict", "cdr.durability", "single node"),
            ("journal_max: 4GiB", "journal_max: 1MiB", "cdr.journal_max", "1024KiB cannot hold two segments"),
            ("workers: 4", "workers: 20", "server.database_max_open_conns", "leave none"),
            ("full_name: Phone 1001", "full_name: '${x}'", "demo.extensions.full_name", "plain text"),
            ("agents: [\"1002\"", "agents: [\"1999\"", "demo.queue.agents", "1999 is none of"),
            ("agents: [\"1002\", \"1003\"]", "agents: []", "demo.queue.agents", "without agents"),
            ("pattern: 0XXXXXXXXX", "pattern: 0XXY", "demo.trunk.pattern", "no number pattern"),
            ("shape: dev", "shape: dev\nvip: {address: 10.0.0.1, prefix: 24}", "vip", "nothing to move"),
            ("paths: {}", "paths: {storage: here}", "paths.storage", "relative"),
        ] {
            let message = problem(from, to);
            assert!(message.starts_with("cluster.yaml:"), "{message}");
            assert!(message.contains(&format!(": {key}: ")) && message.contains(says), "{key}: {message}");
            assert!(message.contains("; "), "no cure in: {message}");
        }
    }

    #[test]
    fn misspelt_keys_are_answered_with_the_nearest() {
        let message = problem("esl: 8021", "els: 8021");
        assert!(message.contains("els: is not a known key; did you mean 'esl'?"), "{message}");
    }
}
