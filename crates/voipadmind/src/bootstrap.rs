//! `voipadmind bootstrap`: an empty PostgreSQL becomes the platform's database.
//!
//! In: `bootstrap.yaml` (the roles' passwords) and the `seed.yaml` it names. Out: roles, schema, the first tenant.
//! Run as the database's superuser over its Unix socket; running it again changes only what changed in the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use model::text;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::bootstrap::{Bootstrap, RolePasswords};
use store::keys::NewApiKey;
use store::seed::{Seed, SeedDomain, SeedExtension, SeedIvr, SeedQueue, SeedTarget, SeedTrunk, SeedUser};

use crate::config::Secret;
use crate::http::caller::KEY_PREFIX_CHARS;
use crate::provisioning::extensions::digests;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BootstrapFile {
    socket_dir: PathBuf,
    port: u16,
    superuser: String,
    database: String,
    roles: Roles,
    seed: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Roles {
    kamailio: Secret,
    voip_admin: Secret,
    replicator: Secret,
    exporter: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedFile {
    domains: Vec<Domain>,
    api_keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Domain {
    domain: String,
    tenant_name: Option<String>,
    #[serde(default)]
    users: Vec<User>,
    #[serde(default)]
    extensions: Vec<Phone>,
    #[serde(default)]
    queues: Vec<Queue>,
    #[serde(default)]
    ivrs: Vec<Ivr>,
    #[serde(default)]
    trunks: Vec<Trunk>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    username: String,
    full_name: Option<String>,
    role: String,
}

/// A user's extension; the other kinds come with what they reach.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Phone {
    extension: String,
    r#type: PhoneType,
    user: String,
    password: Secret,
    #[serde(default)]
    need_media: bool,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum PhoneType {
    User,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Queue {
    name: String,
    extension: String,
    strategy: String,
    agents: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ivr {
    name: String,
    extension: String,
    timeout_seconds: i32,
    max_failures: i32,
    max_timeouts: i32,
    entries: Vec<IvrEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IvrEntry {
    digit: String,
    action: String,
    target: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trunk {
    name: String,
    pattern: String,
    prefix: Option<String>,
    host: Option<String>,
    port: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    name: String,
    key: Secret,
    scopes: BTreeMap<String, String>,
    /// None for a platform's key.
    domain: Option<String>,
}

/// Runs the whole bootstrap and says what it did.
///
/// # Errors
/// A wrong file, a server that does not answer, or data the schema refuses.
pub fn run(path: &Path) -> anyhow::Result<()> {
    let file: BootstrapFile = read(path)?;
    let options = Bootstrap {
        socket_dir: file.socket_dir,
        port: file.port,
        superuser: file.superuser,
        superuser_password: None,
        database: file.database,
        passwords: RolePasswords {
            kamailio: file.roles.kamailio.expose().to_owned(),
            voip_admin: file.roles.voip_admin.expose().to_owned(),
            replicator: file.roles.replicator.expose().to_owned(),
            exporter: file.roles.exporter.expose().to_owned(),
        },
    };
    let seed = file.seed.as_deref().map(|path| read(path).and_then(into_seed)).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let done = store::bootstrap::bootstrap(&options).await.context("making the database")?;
        println!(
            "database {}: {}, {} migrations applied",
            options.database,
            if done.database_created { "created" } else { "there already" },
            done.migrations_applied
        );
        if let Some(seed) = seed {
            let rows = store::seed::seed(&options, &seed).await.context("seeding the database")?;
            println!("seed: {rows} rows made or changed");
        }
        Ok(())
    })
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {file}"))?;
    Ok(strictyaml::parse(&file, &text)?)
}

fn into_seed(file: SeedFile) -> anyhow::Result<Seed> {
    let domains = file.domains.into_iter().map(into_domain).collect::<anyhow::Result<_>>()?;
    let api_keys = file.api_keys.into_iter().map(into_key).collect::<anyhow::Result<_>>()?;
    Ok(Seed { domains, api_keys })
}

fn into_domain(given: Domain) -> anyhow::Result<SeedDomain> {
    let domain = text::domain_name("domain", &given.domain)?;
    let number = |extension, target| SeedExtension {
        extension,
        target,
        description: None,
        need_media: false,
        recording_policy: None,
        credentials: None,
    };
    let phones = given.extensions.into_iter().map(|phone| {
        let PhoneType::User = phone.r#type;
        SeedExtension {
            description: phone.description,
            need_media: phone.need_media,
            credentials: Some(digests(&phone.extension, &domain, phone.password.expose())),
            ..number(phone.extension, SeedTarget::User(phone.user))
        }
    });
    let mut extensions: Vec<SeedExtension> = phones.collect();
    let reached = (given.queues.iter().map(|q| (q.extension.clone(), SeedTarget::Queue(q.name.clone()))))
        .chain(given.ivrs.iter().map(|i| (i.extension.clone(), SeedTarget::Ivr(i.name.clone()))))
        .chain(given.trunks.iter().map(|t| (t.pattern.clone(), SeedTarget::TrunkOut(t.name.clone()))));
    extensions.extend(reached.map(|(extension, target)| number(extension, target)));
    Ok(SeedDomain {
        tenant_name: given.tenant_name,
        users: given.users.into_iter().map(into_user).collect(),
        queues: given.queues.into_iter().map(into_queue).collect(),
        ivrs: given.ivrs.into_iter().map(into_ivr).collect(),
        trunks: given.trunks.into_iter().map(into_trunk).collect(),
        extensions,
        domain,
        ..SeedDomain::default()
    })
}

fn into_user(user: User) -> SeedUser {
    SeedUser { username: user.username, full_name: user.full_name, email: None, role: user.role }
}

fn into_queue(queue: Queue) -> SeedQueue {
    SeedQueue { name: queue.name, strategy: queue.strategy, members: queue.agents }
}

fn into_ivr(ivr: Ivr) -> SeedIvr {
    SeedIvr {
        name: ivr.name,
        greeting_sound: None,
        timeout_seconds: ivr.timeout_seconds,
        max_failures: ivr.max_failures,
        max_timeouts: ivr.max_timeouts,
        entries: ivr.entries.into_iter().map(|e| (e.digit, e.action, e.target)).collect(),
    }
}

fn into_trunk(trunk: Trunk) -> SeedTrunk {
    SeedTrunk { name: trunk.name, host: trunk.host, port: trunk.port, prefix: trunk.prefix }
}

fn into_key(given: Key) -> anyhow::Result<NewApiKey> {
    let clear = given.key.expose();
    let prefix = clear.get(..KEY_PREFIX_CHARS).filter(|_| clear.len() >= 40);
    let prefix = prefix.with_context(|| {
        format!("api_keys: the key of '{}' has fewer than 40 characters: 'tandem init' makes one", given.name)
    })?;
    Ok(NewApiKey {
        name: given.name,
        prefix: prefix.to_owned(),
        hash: Sha256::digest(clear.as_bytes()).into(),
        scopes: given.scopes,
        domain: given.domain,
        expires_at: None,
    })
}
