//! `secrets.yaml`: random passwords and keys, readable by their owner alone.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Cluster, Error};

/// 24 characters of 62 are 142 bits.
pub const PASSWORD_CHARS: usize = 24;
/// 32 random bytes need 43 characters of base 62.
const KEY_CHARS: usize = 43;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Every secret of a cluster. All are `[A-Za-z0-9]`, the API key with the prefix `tdm_`, so that no shell, URL or
/// configuration syntax needs them quoted.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    pub db_kamailio: String,
    pub db_voip_admin: String,
    pub db_replicator: String,
    pub db_exporter: String,
    pub redis: String,
    /// Basic auth of FreeSWITCH and Kamailio towards voipadmind.
    pub fs_http_user: String,
    pub fs_http_password: String,
    /// FreeSWITCH's event socket.
    pub esl: String,
    /// A platform administrator's key, seeded into the database as a hash.
    pub api_key: String,
    /// Shared by the nodes: seals trunk secrets and signs the agents' messages.
    pub cluster_key: String,
    /// Shared by the nodes: signs what Kamailio writes into Record-Route, so that either node knows its dialogs.
    pub sip_dialog: String,
    /// Of `failover.etcd.user`, where etcd asks for one.
    #[serde(default)]
    pub etcd_password: Option<String>,
    /// Extension → SIP password.
    pub phones: BTreeMap<String, String>,
}

/// Why the secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("cannot read {path}: {source}; write it with 'tandem init'")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} can be read by others (mode {mode:04o}); type: chmod 600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error(transparent)]
    Wrong(#[from] Error),
}

impl std::fmt::Debug for Secrets {
    /// Never the values: a Debug print is a log line sooner or later.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Fresh random secrets for a cluster with these phones.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate<'a>(phones: impl IntoIterator<Item = &'a str>) -> io::Result<Self> {
        let password = || random(PASSWORD_CHARS);
        Ok(Self {
            db_kamailio: password()?,
            db_voip_admin: password()?,
            db_replicator: password()?,
            db_exporter: password()?,
            redis: password()?,
            fs_http_user: "freeswitch".into(),
            fs_http_password: password()?,
            esl: password()?,
            api_key: format!("tdm_{}", random(KEY_CHARS)?),
            cluster_key: random(KEY_CHARS)?,
            sip_dialog: password()?,
            etcd_password: None,
            phones: phones.into_iter().map(|p| Ok((p.to_owned(), password()?))).collect::<io::Result<_>>()?,
        })
    }

    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`SecretsError::Exposed`] when group or others may read it: it is refused, not mended, since whoever could read
    /// it may have.
    pub fn load(path: &Path, cluster: &Cluster) -> Result<Self, SecretsError> {
        let unreadable = |source| SecretsError::Unreadable { path: path.into(), source };
        let mode = std::fs::metadata(path).map_err(unreadable)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretsError::Exposed { path: path.into(), mode });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Ok(Self::parse(&path.display().to_string(), &text, cluster)?)
    }

    /// Reads the text of the file; `file` names it in errors, which never hold a secret.
    ///
    /// # Errors
    /// A key missing or unknown, a secret too short or with other characters, a phone without a password.
    pub fn parse(file: &str, text: &str, cluster: &Cluster) -> Result<Self, Error> {
        let secrets: Self = strictyaml::parse(file, text)?;
        for (key, value) in secrets.named() {
            let plain = value.strip_prefix("tdm_").unwrap_or(value);
            let least = if key == "fs_http_user" { 1 } else { PASSWORD_CHARS };
            if plain.len() < least || plain.len() > 128 || !plain.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(Error::at_key(
                    file,
                    text,
                    &key,
                    &format!("is not {least} to 128 letters and digits"),
                    "make one with: tr -dc A-Za-z0-9 </dev/urandom | head -c 24",
                ));
            }
        }
        if cluster.failover.etcd.as_ref().is_some_and(|e| e.user.is_some()) && secrets.etcd_password.is_none()
        {
            return Err(Error::at_key(
                file,
                text,
                "etcd_password",
                "is missing, and cluster.yaml names failover.etcd.user",
                "add the password of that user, or remove 'user:'",
            ));
        }
        match cluster.demo.extensions.iter().find(|e| !secrets.phones.contains_key(&e.extension)) {
            Some(e) => Err(Error::at_key(
                file,
                text,
                "phones",
                &format!("the extension {} has no password", e.extension),
                "add it, as: \"EXTENSION\": PASSWORD",
            )),
            None => Ok(secrets),
        }
    }

    /// The file, to be written with mode 0600.
    pub fn to_yaml(&self) -> String {
        let mut text = String::from(
            "# Secrets of this cluster. Mode 0600, never in version control; tandem refuses it when others may read it.\n\
             # All are letters and digits. After a change: render again and restart what uses it.\n",
        );
        for (key, value) in self.named() {
            match key.strip_prefix("phones.") {
                None => text.push_str(&format!("{key}: {value}\n")),
                Some(_) if text.contains("\nphones:") => {}
                Some(_) => text.push_str("phones:\n"),
            }
            if let Some(phone) = key.strip_prefix("phones.") {
                text.push_str(&format!("  \"{phone}\": {value}\n"));
            }
        }
        if self.phones.is_empty() {
            text.push_str("phones: {}\n");
        }
        text
    }

    fn named(&self) -> Vec<(String, &str)> {
        let fixed = [
            ("db_kamailio", &self.db_kamailio),
            ("db_voip_admin", &self.db_voip_admin),
            ("db_replicator", &self.db_replicator),
            ("db_exporter", &self.db_exporter),
            ("redis", &self.redis),
            ("fs_http_user", &self.fs_http_user),
            ("fs_http_password", &self.fs_http_password),
            ("esl", &self.esl),
            ("api_key", &self.api_key),
            ("cluster_key", &self.cluster_key),
            ("sip_dialog", &self.sip_dialog),
        ];
        let phones =
            self.phones.iter().map(|(phone, password)| (format!("phones.{phone}"), password.as_str()));
        let etcd = self.etcd_password.as_ref().map(|p| ("etcd_password".to_owned(), p.as_str()));
        let fixed = fixed.into_iter().map(|(key, value)| (key.to_owned(), value.as_str()));
        fixed.chain(etcd).chain(phones).collect()
    }
}

/// Uniform over the alphabet: bytes from 248 (4 × 62) up are drawn again.
fn random(chars: usize) -> io::Result<String> {
    let mut text = String::with_capacity(chars);
    while text.len() < chars {
        let mut bytes = [0u8; 64];
        getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
        let fair = bytes.iter().filter(|b| **b < 248).map(|b| char::from(ALPHABET[usize::from(*b) % 62]));
        text.extend(fair.take(chars - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ports, dev_cluster_yaml};
    use std::os::unix::fs::PermissionsExt;

    fn dev() -> (Cluster, Secrets) {
        let cluster = Cluster::parse("c", &dev_cluster_yaml(uuid::Uuid::nil(), "t", &Ports::dev(0))).unwrap();
        let secrets =
            Secrets::generate(cluster.demo.extensions.iter().map(|e| e.extension.as_str())).unwrap();
        (cluster, secrets)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (cluster, secrets) = dev();
        let again = Secrets::parse("s", &secrets.to_yaml(), &cluster).unwrap();
        assert!(again == secrets);
        assert_eq!(secrets.phones.len(), 10);
        assert_eq!(secrets.api_key.len(), 4 + KEY_CHARS);
        assert!(dev().1 != secrets, "two clusters share secrets");
        assert_eq!(format!("{secrets:?}"), "Secrets(…)");
    }

    #[test]
    fn a_file_others_may_read_is_refused_with_the_words_to_type() {
        let (cluster, secrets) = dev();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.yaml");
        std::fs::write(&path, secrets.to_yaml()).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let message = Secrets::load(&path, &cluster).unwrap_err().to_string();
            assert!(message.contains("chmod 600"), "{message}");
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(Secrets::load(&path, &cluster).unwrap() == secrets);
    }

    #[test]
    fn weak_or_missing_secrets_are_refused_without_being_shown() {
        let (cluster, secrets) = dev();
        let weak = secrets.to_yaml().replace(&secrets.redis, "hunter2");
        let message = Secrets::parse("s.yaml", &weak, &cluster).unwrap_err().to_string();
        assert!(message.contains(": redis: ") && !message.contains("hunter2"), "{message}");
        let mut with_etcd = cluster.clone();
        let endpoints = Vec::new();
        with_etcd.failover.etcd =
            Some(crate::Etcd { endpoints, prefix: crate::Etcd::default_prefix(), user: Some("t".into()) });
        let message = Secrets::parse("s", &secrets.to_yaml(), &with_etcd).unwrap_err().to_string();
        assert!(message.contains("etcd_password"), "{message}");
        let given = Secrets { etcd_password: Some(secrets.redis.clone()), ..secrets.clone() };
        assert!(Secrets::parse("s", &given.to_yaml(), &with_etcd).unwrap() == given);
        let missing = secrets.to_yaml().replace("\"1007\"", "\"2007\"");
        assert!(
            Secrets::parse("s", &missing, &cluster).unwrap_err().to_string().contains("1007 has no password")
        );
    }
}
