//! `.tandem/env`: shell assignments for people and tests. Its keys are a contract (design, section 7).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use spec::{Cluster, Secrets};

use host::files;

/// How to reach the dev node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Env {
    /// `http://127.0.0.1:8080`: paths start with `/api`.
    pub api: String,
    /// A platform administrator's.
    pub api_key: String,
    /// Scheme, host and port of `/fs/...`.
    pub fs_url: String,
    pub fs_user: String,
    pub fs_password: String,
    /// Host and port phones register at.
    pub sip: String,
    pub domain: String,
    /// Extension and password, in order.
    pub phones: Vec<(String, String)>,
    /// DSN of voip_admin.
    pub pg: String,
    pub redis: String,
    /// `freeswitch`, or `double` for the media double.
    pub media: String,
    /// FreeSWITCH's err-log-dir.
    pub spool: PathBuf,
    /// Of a lab only.
    pub lab: Option<Lab>,
}

/// What a lab's env file has more than a dev node's. Every address works from the clients' network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lab {
    pub vip: String,
    pub n1: String,
    pub n2: String,
    /// Name of the namespace the phones are in, such as `tdm-lab-clients`.
    pub client_netns: String,
}

impl Lab {
    /// Name and network namespace of each node; the lab names the namespaces of its hosts alike.
    pub fn nodes(&self) -> impl Iterator<Item = (String, String)> {
        let lab = self.client_netns.rsplit_once('-').map_or("", |(lab, _)| lab).to_owned();
        ["n1", "n2"].into_iter().map(move |node| (node.to_owned(), format!("{lab}-{node}")))
    }
}

impl Env {
    /// Of a dev node, whose every port is on loopback.
    pub fn of(cluster: &Cluster, secrets: &Secrets, media: &str, spool: &Path) -> Self {
        let ports = &cluster.ports;
        let http = format!("http://127.0.0.1:{}", ports.api);
        Self {
            api: http.clone(),
            api_key: secrets.api_key.clone(),
            fs_url: http,
            fs_user: secrets.fs_http_user.clone(),
            fs_password: secrets.fs_http_password.clone(),
            sip: format!("127.0.0.1:{}", ports.sip),
            domain: cluster.demo.domain.clone(),
            phones: secrets.phones.clone().into_iter().collect(),
            pg: format!(
                // Row-level security shows nothing to a session that names no tenant; `*` is the platform.
                "postgresql://voip_admin:{}@127.0.0.1:{}/voip_platform?options=-c%20voip.tenant%3D%2A",
                secrets.db_voip_admin, ports.postgresql
            ),
            // redis-cli wants a user name in the URL.
            redis: format!("redis://default:{}@127.0.0.1:{}/0", secrets.redis, ports.redis),
            media: media.into(),
            spool: spool.into(),
            lab: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let yaml = spec::dev_cluster_yaml(uuid::Uuid::nil(), "t", &spec::Ports::dev(0));
        let cluster = Cluster::parse("c", &yaml).unwrap();
        let secrets =
            Secrets::generate(cluster.demo.extensions.iter().map(|e| e.extension.as_str())).unwrap();
        Self::of(&cluster, &secrets, "double", Path::new("/tmp"))
    }

    /// Reads the file of a node that was started.
    pub fn read(file: &Path) -> Result<Self> {
        let text =
            files::read(file).with_context(|| format!("reading {}", file.display()))?.with_context(|| {
                format!(
                    "there is no {}; start one with 'make up' (two nodes) or 'make dev' (one)",
                    file.display()
                )
            })?;
        Self::parse(&text)
            .with_context(|| format!("{} is damaged; 'make up' or 'make dev' writes it anew", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let values: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key, value.trim_matches('\'')))
            .collect();
        let get =
            |key: &str| values.get(key).map(|v| (*v).to_owned()).with_context(|| format!("{key} is missing"));
        let phones = get("TANDEM_PHONES")?;
        Ok(Self {
            api: get("TANDEM_API")?,
            api_key: get("TANDEM_API_KEY")?,
            fs_url: get("TANDEM_FS_URL")?,
            fs_user: get("TANDEM_FS_USER")?,
            fs_password: get("TANDEM_FS_PASSWORD")?,
            sip: get("TANDEM_SIP")?,
            domain: get("TANDEM_DOMAIN")?,
            phones: phones
                .split(',')
                .map(|p| {
                    p.split_once(':').map(|(e, w)| (e.into(), w.into())).context("TANDEM_PHONES is wrong")
                })
                .collect::<Result<_>>()?,
            pg: get("TANDEM_PG")?,
            redis: get("TANDEM_REDIS")?,
            media: get("TANDEM_MEDIA")?,
            spool: get("TANDEM_SPOOL")?.into(),
            lab: match values.get("TANDEM_CLIENT_NETNS") {
                None => None,
                Some(client_netns) => Some(Lab {
                    vip: get("TANDEM_VIP")?,
                    n1: get("TANDEM_N1")?,
                    n2: get("TANDEM_N2")?,
                    client_netns: (*client_netns).to_owned(),
                }),
            },
        })
    }

    /// The file, for mode 0600.
    pub fn to_shell(&self) -> String {
        let phones: Vec<String> = self.phones.iter().map(|(e, w)| format!("{e}:{w}")).collect();
        let dev = [
            ("TANDEM_API", self.api.as_str()),
            ("TANDEM_API_KEY", &self.api_key),
            ("TANDEM_FS_URL", &self.fs_url),
            ("TANDEM_FS_USER", &self.fs_user),
            ("TANDEM_FS_PASSWORD", &self.fs_password),
            ("TANDEM_SIP", &self.sip),
            ("TANDEM_DOMAIN", &self.domain),
            ("TANDEM_PHONES", &phones.join(",")),
            ("TANDEM_PG", &self.pg),
            ("TANDEM_REDIS", &self.redis),
            ("TANDEM_MEDIA", &self.media),
            ("TANDEM_SPOOL", &self.spool.to_string_lossy()),
        ];
        let lab = self.lab.iter().flat_map(|lab| {
            [
                ("TANDEM_VIP", lab.vip.as_str()),
                ("TANDEM_N1", &lab.n1),
                ("TANDEM_N2", &lab.n2),
                ("TANDEM_CLIENT_NETNS", &lab.client_netns),
            ]
        });
        dev.into_iter().chain(lab).map(|(key, value)| format!("{key}={}\n", shell(value))).collect()
    }
}

/// As it is where a shell reads it so; only the folder's name can need quotes.
pub fn shell(value: &str) -> String {
    if value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./:@,+-".contains(&b)) {
        return value.to_owned();
    }
    format!("'{value}'")
}

#[cfg(test)]
mod tests {
    use spec::{Ports, dev_cluster_yaml};

    use super::*;

    #[test]
    fn is_read_back_and_understood_by_a_shell() {
        let cluster =
            Cluster::parse("c", &dev_cluster_yaml(uuid::Uuid::nil(), "t", &Ports::dev(1000))).unwrap();
        let secrets =
            Secrets::generate(cluster.demo.extensions.iter().map(|e| e.extension.as_str())).unwrap();
        let env = Env::of(&cluster, &secrets, "double", Path::new("/tmp/a b/spool"));
        assert_eq!(Env::parse(&env.to_shell()).unwrap(), env);
        let [vip, n1, n2] = ["198.18.77.100", "198.18.77.11", "198.18.77.12"].map(str::to_owned);
        let lab = Lab { vip, n1, n2, client_netns: "tdm-my-lab-clients".into() };
        assert_eq!(lab.nodes().nth(1), Some(("n2".into(), "tdm-my-lab-n2".into())));
        let of_lab = Env { lab: Some(lab), ..env.clone() };
        assert_eq!(Env::parse(&of_lab.to_shell()).unwrap(), of_lab);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("env");
        std::fs::write(&file, env.to_shell()).unwrap();
        let script =
            format!(". {}; printf '%s %s %s' $TANDEM_API $TANDEM_SIP \"$TANDEM_SPOOL\"", file.display());
        let out = std::process::Command::new("sh").arg("-euc").arg(script).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert_eq!(text, "http://127.0.0.1:9080 127.0.0.1:6060 /tmp/a b/spool");
        assert_eq!(env.phones.len(), 10);
        assert_eq!(env.phones[0].0, "1001");
    }
}
