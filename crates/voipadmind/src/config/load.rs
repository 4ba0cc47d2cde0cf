use std::path::Path;

use journal::Limits;
use strictyaml::Error;

use super::{Config, Durability, Secret};

/// Reads, overlays the environment's secrets and checks the rules between keys.
///
/// `env` is [`std::env::var`] in the program and a table in tests.
///
/// # Errors
/// The first thing that is wrong, with file, line, key and cure.
pub fn load(path: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Config, Error> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::whole_file(
            &file,
            &format!("cannot be read ({e})"),
            "give the path of the config.yaml with --config",
        )
    })?;
    let mut config: Config = strictyaml::parse(&file, &text)?;
    overlay(&mut config, env);
    check(&file, &text, &config)?;
    Ok(config)
}

fn overlay(config: &mut Config, env: impl Fn(&str) -> Option<String>) {
    let slots = [
        ("VOIP_ADMIN_DATABASE_PASSWORD", &mut config.database.password),
        ("VOIP_ADMIN_REDIS_PASSWORD", &mut config.redis.password),
        ("VOIP_ADMIN_FS_PASSWORD", &mut config.fs.password),
        ("VOIP_ADMIN_ESL_PASSWORD", &mut config.freeswitch.esl_password),
    ];
    for (name, slot) in slots {
        if let Some(value) = env(name).filter(|v| !v.is_empty()) {
            *slot = Secret::new(value);
        }
    }
}

fn check(file: &str, text: &str, config: &Config) -> Result<(), Error> {
    let wrong = |key: &str, problem: &str, cure: &str| Err(Error::at_key(file, text, key, problem, cure));
    if !config.fs.password.is_empty() && config.fs.password.expose().len() < 16 {
        return wrong(
            "fs.password",
            "is shorter than 16 characters",
            "set it here or in VOIP_ADMIN_FS_PASSWORD; 'tandem render' writes a random one",
        );
    }
    if config.fs.user.is_empty() || config.fs.user.contains(':') {
        return wrong("fs.user", "is empty or holds ':' (RFC 7617)", "use letters and digits");
    }
    if config.database.host.to_vec().is_empty() || config.redis.host.to_vec().is_empty() {
        return wrong("database.host", "names no host", "write an address or a list of addresses");
    }
    if config.database.max_open_conns.get() <= config.cdr.workers.get() {
        return wrong(
            "database.max_open_conns",
            "must be larger than cdr.workers: each worker holds one connection, the API needs the rest",
            "raise max_open_conns or lower cdr.workers",
        );
    }
    if config.cdr.durability == Durability::Strict && config.database.host.to_vec().len() < 2 {
        return wrong(
            "cdr.durability",
            "is strict on a node without a peer: every CDR would be refused with 503",
            "use 'replicated', or list both nodes in database.host",
        );
    }
    if config.cdr.journal_max.0 < Limits::JOURNAL_BYTES_MIN {
        let (is, least) = (config.cdr.journal_max.0 >> 10, Limits::JOURNAL_BYTES_MIN >> 20);
        let problem = format!("{is}KiB cannot hold two segments of the journal");
        return wrong("cdr.journal_max", &problem, &format!("use {least}MiB or more"));
    }
    if let Some(peer) = &config.recordings.peer {
        if peer.password.expose().len() < 16 {
            let cure = "'tandem render' derives one from the cluster's key";
            return wrong("recordings.peer.password", "is shorter than 16 characters", cure);
        }
        if peer.name == config.node.name {
            return wrong("recordings.peer.name", "is this node's own name", "name the other node");
        }
        if !peer.url.starts_with("http://") || peer.url.parse::<http::Uri>().is_err() {
            return wrong("recordings.peer.url", "is no http:// URL", "write it as http://10.0.0.2:8080");
        }
    }
    if !config.cdr.queue_name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:-.".contains(&b)) {
        return wrong("cdr.queue_name", "may hold letters, digits and _ : - . only", "use cdr_queue");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const GOOD: &str = "\
server: {host: 127.0.0.1, port: 8080}
database:
  host: 127.0.0.1
  port: 5432
  database: voip_platform
  user: voip_admin
redis: {host: [127.0.0.1], port: 6379}
fs: {user: freeswitch, password: 0123456789abcdef}
";

    /// The seed's section 5.2, to the letter (its passwords apart), must be taken.
    const SEED: &str = "\
server:
  host: 0.0.0.0
  port: 8080
  read_timeout: 30s
  write_timeout: 30s

database:
  host: 192.168.1.100  # VIP
  port: 5432
  database: voip_platform
  user: voip_admin
  password: admin_password
  max_open_conns: 20
  max_idle_conns: 10
  conn_max_lifetime: 1h

redis:
  host: 192.168.1.100  # VIP
  port: 6379
  password: redis_password_2024
  db: 0
  pool_size: 10

cdr:
  queue_name: cdr_queue
  batch_size: 100
  batch_timeout: 5s
  workers: 4

cache:
  directory_ttl: 300s     # 5 minutes
  extension_ttl: 600s     # 10 minutes
  enable_local_cache: true

logging:
  level: info
  format: json
  output: /var/log/voip-admin/service.log
";

    fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Config, Error> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        load(file.path(), |name| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn takes_the_seeds_file_with_the_secret_from_the_environment() {
        let config = load_text(SEED, &[("VOIP_ADMIN_FS_PASSWORD", "fedcba9876543210")]).unwrap();
        assert_eq!(config.fs.password.expose(), "fedcba9876543210");
        assert!(load_text(SEED, &[]).unwrap().fs.password.is_empty(), "and without it, too");
        assert_eq!(config.cdr.batch_timeout.0.as_secs(), 5);
        assert_eq!(config.logging.output.to_str(), Some("/var/log/voip-admin/service.log"));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let printed = format!("{:?}", load_text(GOOD, &[]).unwrap());
        assert!(!printed.contains("0123456789abcdef"), "{printed}");
    }

    #[test]
    fn names_the_line_of_what_is_wrong() {
        let cases = [
            (
                GOOD.replace("  user: voip_admin", "  usr: voip_admin"),
                "usr: is not a known key; did you mean 'user'?",
            ),
            (GOOD.replace("port: 5432", "port: 0"), "port: "),
            (GOOD.replace("0123456789abcdef", "short"), "fs.password: is shorter"),
            (
                format!("{GOOD}cdr: {{durability: strict}}\n"),
                "cdr.durability: is strict on a node without a peer",
            ),
            (
                format!(
                    "{GOOD}recordings: {{peer: {{name: n1, url: 'http://10.0.0.2:1', allow: [], password: {}}}}}\n",
                    "x".repeat(16)
                ),
                "recordings.peer.name: is this node's own name",
            ),
            (
                format!("{GOOD}cdr: {{journal_max: 1MiB}}\n"),
                "cdr.journal_max: 1024KiB cannot hold two segments of the journal; use 32MiB or more",
            ),
            (format!("{GOOD}cdr: {{workers: 20}}\n"), "database.max_open_conns: must be larger"),
            (format!("{GOOD}metrics: {{allow: [10.0.0.0/99]}}\n"), "10.0.0.0/99"),
        ];
        for (text, expected) in cases {
            let message = load_text(&text, &[]).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(
            load(Path::new("/nonexistent.yaml"), |_| None)
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
    }
}
