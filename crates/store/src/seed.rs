//! Demo and installation data: tenants, people, numbers, queues, menus, trunks, keys. Applying the same seed again changes
//! nothing; what it names and differs is set; what it does not name is left alone. But for the numbers: they are made together
//! with what they reach, and are the API's from then on, which may change and delete them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::bootstrap::{self, Bootstrap};
use crate::extensions::Credentials;
use crate::keys::NewApiKey;
use crate::{Error, Result};

/// What there shall be.
#[derive(Debug, Clone, Default)]
pub struct Seed {
    /// Tenants with all that is theirs.
    pub domains: Vec<SeedDomain>,
    /// API keys, found again by their prefix.
    pub api_keys: Vec<NewApiKey>,
}

/// A tenant.
#[derive(Debug, Clone, Default)]
pub struct SeedDomain {
    /// The SIP domain.
    pub domain: String,
    /// For people.
    pub tenant_name: Option<String>,
    /// Its people.
    pub users: Vec<SeedUser>,
    /// Recording policies by name.
    pub recording_policies: Vec<SeedRecordingPolicy>,
    /// Its queues with their members.
    pub queues: Vec<SeedQueue>,
    /// Its menus with their entries.
    pub ivrs: Vec<SeedIvr>,
    /// Its trunks.
    pub trunks: Vec<SeedTrunk>,
    /// Its mailboxes.
    pub voicemail_boxes: Vec<SeedVoicemailBox>,
    /// Its conferences' names.
    pub conferences: Vec<String>,
    /// Its numbers; they name what is listed above.
    pub extensions: Vec<SeedExtension>,
}

/// A person.
#[derive(Debug, Clone, Default)]
pub struct SeedUser {
    /// Unique in the domain.
    pub username: String,
    /// The person's name.
    pub full_name: Option<String>,
    /// Not checked.
    pub email: Option<String>,
    /// agent, supervisor or admin.
    pub role: String,
}

/// What is recorded.
#[derive(Debug, Clone, Default)]
pub struct SeedRecordingPolicy {
    /// Unique in the domain.
    pub name: String,
    /// Calls from outside.
    pub record_inbound: bool,
    /// Calls to trunks.
    pub record_outbound: bool,
    /// Calls between users and services.
    pub record_internal: bool,
    /// Calls to queues.
    pub record_queue: bool,
    /// Days until a recording is deleted.
    pub retention_days: i32,
}

/// A queue.
#[derive(Debug, Clone, Default)]
pub struct SeedQueue {
    /// Unique in the domain.
    pub name: String,
    /// mod_callcenter's name, or `longest-idle`.
    pub strategy: String,
    /// User names in order.
    pub members: Vec<String>,
}

/// A menu.
#[derive(Debug, Clone, Default)]
pub struct SeedIvr {
    /// Unique in the domain.
    pub name: String,
    /// A sound's id.
    pub greeting_sound: Option<String>,
    /// Seconds to wait for a digit.
    pub timeout_seconds: i32,
    /// Wrong digits before the caller is let go.
    pub max_failures: i32,
    /// Silences before the caller is let go.
    pub max_timeouts: i32,
    /// Digit, action (transfer, queue, voicemail, sub-menu) and its data.
    pub entries: Vec<(String, String, String)>,
}

/// A trunk.
#[derive(Debug, Clone, Default)]
pub struct SeedTrunk {
    /// Unique in the domain.
    pub name: String,
    /// Its host, if it has one yet.
    pub host: Option<String>,
    /// Its port.
    pub port: i32,
    /// What is dialled before numbers that go to it.
    pub prefix: Option<String>,
}

/// A mailbox.
#[derive(Debug, Clone, Default)]
pub struct SeedVoicemailBox {
    /// Unique in the domain.
    pub mailbox: String,
    /// Whose it is.
    pub username: Option<String>,
}

/// A number.
#[derive(Debug, Clone)]
pub struct SeedExtension {
    /// The number, user name or pattern.
    pub extension: String,
    /// What it reaches.
    pub target: SeedTarget,
    /// For people.
    pub description: Option<String>,
    /// Calls to this user must pass FreeSWITCH; all else does anyway.
    pub need_media: bool,
    /// A recording policy's name.
    pub recording_policy: Option<String>,
    /// The user's digest secret; set when it differs.
    pub credentials: Option<Credentials>,
}

/// What a number reaches, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeedTarget {
    /// A user name.
    User(String),
    /// A queue.
    Queue(String),
    /// A menu.
    Ivr(String),
    /// A mailbox.
    Voicemail(String),
    /// A trunk.
    TrunkOut(String),
    /// A conference.
    Conference(String),
}

impl SeedTarget {
    fn kind_and_name(&self) -> (&'static str, &str) {
        match self {
            Self::User(name) => ("user", name),
            Self::Queue(name) => ("queue", name),
            Self::Ivr(name) => ("ivr", name),
            Self::Voicemail(name) => ("voicemail", name),
            Self::TrunkOut(name) => ("trunk_out", name),
            Self::Conference(name) => ("conference", name),
        }
    }
}

/// Applies a seed as superuser, all of it or nothing. Returns how many rows were made or changed.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Conflict`] for data the schema refuses; [`Error::NotFound`] for a name that is not listed.
pub async fn seed(options: &Bootstrap, seed: &Seed) -> Result<u64> {
    let mut client = bootstrap::open(options, &options.database).await?;
    let transaction = client.transaction().await?;
    // As the owner, who may read the secrets it compares. One seed at a time.
    transaction
        .batch_execute("SET LOCAL ROLE voip_owner; SELECT pg_advisory_xact_lock(x'564F4950'::int, 2)")
        .await?;
    let mut sower = Sower { client: transaction.client(), changed: 0 };
    for domain in &seed.domains {
        sower.domain(domain).await?;
    }
    for key in &seed.api_keys {
        sower.api_key(key).await?;
    }
    let changed = sower.changed;
    transaction.commit().await?;
    Ok(changed)
}

struct Sower<'a> {
    client: &'a Client,
    changed: u64,
}

impl Sower<'_> {
    async fn put(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<()> {
        self.changed += self.client.execute(sql, params).await?;
        Ok(())
    }

    async fn domain(&mut self, seed: &SeedDomain) -> Result<()> {
        self.put(DOMAIN, &[&seed.domain, &seed.tenant_name]).await?;
        let id: i32 = self.client.query_one(DOMAIN_ID, &[&seed.domain]).await?.try_get(0)?;
        let found = self.client.query(TARGETS, &[&id]).await?;
        let found = found
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<BTreeSet<(String, String)>>>()?;
        for user in &seed.users {
            self.put(USER, &[&id, &user.username, &user.full_name, &user.email, &user.role]).await?;
        }
        for policy in &seed.recording_policies {
            let SeedRecordingPolicy { name, record_inbound, record_outbound, record_internal, .. } = policy;
            self.put(
                POLICY,
                &[
                    &id,
                    name,
                    record_inbound,
                    record_outbound,
                    record_internal,
                    &policy.record_queue,
                    &policy.retention_days,
                ],
            )
            .await?;
        }
        for queue in &seed.queues {
            self.put(QUEUE, &[&id, &queue.name, &queue.strategy]).await?;
            self.put(QUEUE_MEMBERS, &[&id, &queue.name, &queue.members]).await?;
        }
        for ivr in &seed.ivrs {
            let SeedIvr { name, greeting_sound, timeout_seconds, max_failures, max_timeouts, .. } = ivr;
            self.put(IVR, &[&id, name, greeting_sound, timeout_seconds, max_failures, max_timeouts]).await?;
            let entries: Vec<Value> = ivr
                .entries
                .iter()
                .map(|(digit, action, data)| json!({"digit": digit, "action": action, "data": data}))
                .collect();
            self.put(IVR_ENTRIES, &[&id, &ivr.name, &Value::Array(entries)]).await?;
        }
        for trunk in &seed.trunks {
            self.put(TRUNK, &[&id, &trunk.name, &trunk.host, &trunk.port, &trunk.prefix]).await?;
        }
        for voicemail in &seed.voicemail_boxes {
            self.put(VOICEMAIL_BOX, &[&id, &voicemail.mailbox, &voicemail.username]).await?;
        }
        for conference in &seed.conferences {
            self.put(CONFERENCE, &[&id, conference]).await?;
        }
        for extension in &seed.extensions {
            let (kind, name) = extension.target.kind_and_name();
            if !found.contains(&(kind.to_owned(), name.to_owned())) {
                self.extension(id, extension).await?;
            }
        }
        Ok(())
    }

    async fn extension(&mut self, domain_id: i32, seed: &SeedExtension) -> Result<()> {
        let (kind, name) = seed.target.kind_and_name();
        let SeedExtension { extension, description, need_media, recording_policy, .. } = seed;
        // A name that is not there leaves the reference null, which the table refuses with the field.
        self.put(
            EXTENSION,
            &[&domain_id, extension, &kind, &name, description, need_media, recording_policy],
        )
        .await?;
        if let Some(Credentials { ha1, ha1b, ha1_sha256 }) = &seed.credentials {
            self.put(CREDENTIALS, &[&domain_id, extension, ha1, ha1b, ha1_sha256]).await?;
        }
        Ok(())
    }

    async fn api_key(&mut self, key: &NewApiKey) -> Result<()> {
        let domain_id: Option<i32> = match &key.domain {
            None => None,
            Some(domain) => {
                let row = self.client.query_opt(DOMAIN_ID, &[domain]).await?.ok_or(Error::NotFound)?;
                Some(row.try_get(0)?)
            }
        };
        let hash: &[u8] = &key.hash;
        let scopes = crate::audit::shown(&key.scopes)?;
        let expires: Option<Timestamp> = key.expires_at;
        self.put(API_KEY, &[&key.name, &key.prefix, &hash, &scopes, &domain_id, &expires]).await
    }
}

// Each upsert has a WHERE that lets an equal row alone, so that a second run writes nothing and tells nobody.
const DOMAIN: &str = "INSERT INTO voip.domains AS t (domain, tenant_name) VALUES ($1, $2)
    ON CONFLICT (domain) DO UPDATE SET tenant_name = EXCLUDED.tenant_name
    WHERE t.tenant_name IS DISTINCT FROM EXCLUDED.tenant_name";
const DOMAIN_ID: &str = "SELECT id FROM voip.domains WHERE domain = $1::text";
/// What numbers reach.
const TARGETS: &str = "SELECT 'user', username FROM voip.users WHERE domain_id = $1
    UNION ALL SELECT 'queue', name FROM voip.queues WHERE domain_id = $1
    UNION ALL SELECT 'ivr', name FROM voip.ivr_menus WHERE domain_id = $1
    UNION ALL SELECT 'voicemail', mailbox FROM voip.voicemail_boxes WHERE domain_id = $1
    UNION ALL SELECT 'trunk_out', name FROM voip.trunks WHERE domain_id = $1
    UNION ALL SELECT 'conference', name FROM voip.conferences WHERE domain_id = $1";
const USER: &str = "INSERT INTO voip.users AS t (domain_id, username, full_name, email, role) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (domain_id, username) DO UPDATE
        SET (full_name, email, role) = (EXCLUDED.full_name, EXCLUDED.email, EXCLUDED.role)
    WHERE (t.full_name, t.email, t.role) IS DISTINCT FROM (EXCLUDED.full_name, EXCLUDED.email, EXCLUDED.role)";
const POLICY: &str = "INSERT INTO voip.recording_policies AS t
        (domain_id, name, record_inbound, record_outbound, record_internal, record_queue, retention_days)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (domain_id, name) DO UPDATE
        SET (record_inbound, record_outbound, record_internal, record_queue, retention_days) = (EXCLUDED.record_inbound,
             EXCLUDED.record_outbound, EXCLUDED.record_internal, EXCLUDED.record_queue, EXCLUDED.retention_days)
    WHERE (t.record_inbound, t.record_outbound, t.record_internal, t.record_queue, t.retention_days) IS DISTINCT FROM
          (EXCLUDED.record_inbound, EXCLUDED.record_outbound, EXCLUDED.record_internal, EXCLUDED.record_queue,
           EXCLUDED.retention_days)";
const QUEUE: &str = "INSERT INTO voip.queues AS t (domain_id, name, strategy) VALUES ($1, $2, $3)
    ON CONFLICT (domain_id, name) DO UPDATE SET strategy = EXCLUDED.strategy
    WHERE t.strategy IS DISTINCT FROM EXCLUDED.strategy";
const QUEUE_MEMBERS: &str = "INSERT INTO voip.queue_members AS t (domain_id, queue_id, user_id, position)
    SELECT q.domain_id, q.id, u.id, n.position
      FROM unnest($3::text[]) WITH ORDINALITY AS n (username, position)
      JOIN voip.queues q ON q.domain_id = $1 AND q.name = $2
      JOIN voip.users u ON u.domain_id = $1 AND u.username = n.username
    ON CONFLICT (queue_id, user_id) DO UPDATE SET position = EXCLUDED.position
    WHERE t.position IS DISTINCT FROM EXCLUDED.position";
const IVR: &str = "INSERT INTO voip.ivr_menus AS t
        (domain_id, name, greeting_sound, timeout_seconds, max_failures, max_timeouts) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (domain_id, name) DO UPDATE
        SET (greeting_sound, timeout_seconds, max_failures, max_timeouts) = (EXCLUDED.greeting_sound,
             EXCLUDED.timeout_seconds, EXCLUDED.max_failures, EXCLUDED.max_timeouts)
    WHERE (t.greeting_sound, t.timeout_seconds, t.max_failures, t.max_timeouts) IS DISTINCT FROM
          (EXCLUDED.greeting_sound, EXCLUDED.timeout_seconds, EXCLUDED.max_failures, EXCLUDED.max_timeouts)";
const IVR_ENTRIES: &str =
    "INSERT INTO voip.ivr_entries AS t (domain_id, ivr_id, digit, action, action_data, order_num)
    SELECT i.domain_id, i.id, n.entry ->> 'digit', n.entry ->> 'action', n.entry ->> 'data', n.position
      FROM jsonb_array_elements($3::jsonb) WITH ORDINALITY AS n (entry, position)
      JOIN voip.ivr_menus i ON i.domain_id = $1 AND i.name = $2
    ON CONFLICT (ivr_id, digit) DO UPDATE
        SET (action, action_data, order_num) = (EXCLUDED.action, EXCLUDED.action_data, EXCLUDED.order_num)
    WHERE (t.action, t.action_data, t.order_num)
          IS DISTINCT FROM (EXCLUDED.action, EXCLUDED.action_data, EXCLUDED.order_num)";
const TRUNK: &str = "INSERT INTO voip.trunks AS t (domain_id, name, host, port, prefix) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (domain_id, name) DO UPDATE SET (host, port, prefix) = (EXCLUDED.host, EXCLUDED.port, EXCLUDED.prefix)
    WHERE (t.host, t.port, t.prefix) IS DISTINCT FROM (EXCLUDED.host, EXCLUDED.port, EXCLUDED.prefix)";
const VOICEMAIL_BOX: &str = "INSERT INTO voip.voicemail_boxes AS t (domain_id, mailbox, user_id)
    VALUES ($1, $2, (SELECT u.id FROM voip.users u WHERE u.domain_id = $1 AND u.username = $3))
    ON CONFLICT (domain_id, mailbox) DO UPDATE SET user_id = EXCLUDED.user_id
    WHERE t.user_id IS DISTINCT FROM EXCLUDED.user_id";
const CONFERENCE: &str = "INSERT INTO voip.conferences (domain_id, name) VALUES ($1, $2)
    ON CONFLICT (domain_id, name) DO NOTHING";
const EXTENSION: &str = "INSERT INTO voip.extensions (domain_id, extension, type, user_id, queue_id, ivr_id,
        voicemail_box_id, trunk_id, conference_id, description, need_media, recording_policy_id)
    SELECT n.domain_id, $2, n.type,
        (SELECT id FROM voip.users r WHERE r.domain_id = n.domain_id AND r.username = n.name AND n.type = 'user'),
        (SELECT id FROM voip.queues r WHERE r.domain_id = n.domain_id AND r.name = n.name AND n.type = 'queue'),
        (SELECT id FROM voip.ivr_menus r WHERE r.domain_id = n.domain_id AND r.name = n.name AND n.type = 'ivr'),
        (SELECT id FROM voip.voicemail_boxes r
          WHERE r.domain_id = n.domain_id AND r.mailbox = n.name AND n.type = 'voicemail'),
        (SELECT id FROM voip.trunks r WHERE r.domain_id = n.domain_id AND r.name = n.name AND n.type = 'trunk_out'),
        (SELECT id FROM voip.conferences r WHERE r.domain_id = n.domain_id AND r.name = n.name AND n.type = 'conference'),
        $5, $6 OR n.type <> 'user',
        (SELECT id FROM voip.recording_policies r WHERE r.domain_id = n.domain_id AND r.name = $7)
      FROM (SELECT $1::int4 AS domain_id, $3::text AS type, $4::text AS name) AS n
    ON CONFLICT (domain_id, extension) DO NOTHING";
const CREDENTIALS: &str = "INSERT INTO voip.sip_credentials (extension_id, domain_id, ha1, ha1b, ha1_sha256)
    SELECT e.id, e.domain_id, $3, $4, $5 FROM voip.extensions e WHERE e.domain_id = $1 AND e.extension = $2
    ON CONFLICT (extension_id) DO NOTHING";
const API_KEY: &str =
    "INSERT INTO voip.api_keys AS t (key_name, prefix, key_hash, scopes, domain_id, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (prefix) DO UPDATE
        SET (key_name, key_hash, scopes, domain_id, expires_at) =
            (EXCLUDED.key_name, EXCLUDED.key_hash, EXCLUDED.scopes, EXCLUDED.domain_id, EXCLUDED.expires_at)
    WHERE (t.key_name, t.key_hash, t.scopes, t.domain_id, t.expires_at) IS DISTINCT FROM
          (EXCLUDED.key_name, EXCLUDED.key_hash, EXCLUDED.scopes, EXCLUDED.domain_id, EXCLUDED.expires_at)";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    DOMAIN,
    DOMAIN_ID,
    TARGETS,
    USER,
    POLICY,
    QUEUE,
    QUEUE_MEMBERS,
    IVR,
    IVR_ENTRIES,
    TRUNK,
    VOICEMAIL_BOX,
    CONFERENCE,
    EXTENSION,
    CREDENTIALS,
    API_KEY,
];
