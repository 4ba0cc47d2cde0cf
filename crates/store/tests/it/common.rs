//! A bootstrapped PostgreSQL with two tenants, for one test.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use model::call::Story;
use model::{Direction, Leg, LegDirection, LegSource};
use store::bootstrap::{Bootstrap, RolePasswords, bootstrap};
use store::extensions::Credentials;
use store::seed::{
    Seed, SeedDomain, SeedExtension, SeedIvr, SeedQueue, SeedRecordingPolicy, SeedTarget, SeedTrunk, SeedUser,
};
use store::{Content, Item, Store, StoreConfig};
use testkit::{Postgres, PostgresOptions};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

pub const A: &str = "a.example";
pub const B: &str = "b.example";

pub struct Fixture {
    pub store: Store,
    pub options: Bootstrap,
    pub postgres: Postgres,
}

/// A server whose time zone is far from UTC and not a whole hour off: every border of a month must be UTC's all the same.
pub fn server() -> Result<Postgres, testkit::Error> {
    Postgres::start_with(far_from_utc())
}

fn far_from_utc() -> PostgresOptions {
    let settings = vec![("timezone".to_owned(), "Pacific/Chatham".to_owned())];
    PostgresOptions { settings, ..PostgresOptions::default() }
}

impl Fixture {
    pub async fn start() -> Result<Self, testkit::Error> {
        Self::start_with(far_from_utc()).await
    }

    pub async fn start_with(settings: PostgresOptions) -> Result<Self, testkit::Error> {
        let postgres = Postgres::start_with(settings)?;
        let options = options(&postgres);
        bootstrap(&options).await.unwrap();
        Ok(Self { store: Store::connect(config(&postgres)).unwrap(), options, postgres })
    }

    /// With both tenants of [`two_tenants`].
    pub async fn seeded() -> Result<Self, testkit::Error> {
        let fixture = Self::start().await?;
        store::seed::seed(&fixture.options, &two_tenants()).await.unwrap();
        Ok(fixture)
    }

    /// A connection of its own, as superuser.
    pub async fn superuser(&self) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.postgres.socket_dir()).port(self.postgres.port()).user("postgres");
        connect(config.dbname("voip_platform")).await.unwrap()
    }

    /// A connection of its own, as one of the roles that log in.
    pub async fn role(&self, role: &str) -> Client {
        self.try_role(role, &format!("{role}_password")).await.unwrap()
    }

    pub async fn try_role(&self, role: &str, password: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.postgres.port()).user(role).password(password);
        connect(config.dbname("voip_platform")).await
    }

    pub async fn domain_id(&self, domain: &str) -> i32 {
        self.store.domain_id(domain).await.unwrap().unwrap()
    }
}

async fn connect(config: &tokio_postgres::Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

pub fn options(postgres: &Postgres) -> Bootstrap {
    Bootstrap {
        socket_dir: postgres.socket_dir().to_owned(),
        port: postgres.port(),
        superuser: postgres.superuser().to_owned(),
        superuser_password: None,
        database: "voip_platform".to_owned(),
        passwords: RolePasswords {
            kamailio: "kamailio_password".to_owned(),
            voip_admin: "voip_admin_password".to_owned(),
            replicator: "replicator_password".to_owned(),
            exporter: "exporter_password".to_owned(),
        },
    }
}

pub fn config(postgres: &Postgres) -> StoreConfig {
    // Generous: the machine that runs the tests has other things to do.
    let patience = Duration::from_secs(60);
    StoreConfig {
        connect_timeout: patience,
        acquire_timeout: patience,
        statement_timeout: patience,
        commit_timeout: patience,
        ..StoreConfig::new("127.0.0.1", postgres.port(), "voip_platform", "voip_admin", "voip_admin_password")
    }
}

pub fn two_tenants() -> Seed {
    Seed { domains: vec![tenant(A), tenant(B)], api_keys: Vec::new() }
}

fn tenant(domain: &str) -> SeedDomain {
    let users = ["1001", "1002", "1003"];
    let mut extensions: Vec<SeedExtension> =
        users.iter().map(|user| extension(user, SeedTarget::User((*user).to_owned()), domain)).collect();
    extensions.extend([
        extension("8001", SeedTarget::Queue("Support_L1".to_owned()), domain),
        extension("9001", SeedTarget::Ivr("Main_Menu".to_owned()), domain),
        extension("0XXXXXXXXX", SeedTarget::TrunkOut("pstn".to_owned()), domain),
        extension("7000", SeedTarget::Conference("standup".to_owned()), domain),
    ]);
    SeedDomain {
        domain: domain.to_owned(),
        tenant_name: Some(format!("Tenant of {domain}")),
        users: users
            .iter()
            .map(|user| SeedUser {
                username: (*user).to_owned(),
                full_name: Some(format!("User {user}")),
                role: "agent".to_owned(),
                ..SeedUser::default()
            })
            .collect(),
        recording_policies: vec![SeedRecordingPolicy {
            name: "Default Queue Recording".to_owned(),
            record_queue: true,
            retention_days: 90,
            ..SeedRecordingPolicy::default()
        }],
        queues: vec![SeedQueue {
            name: "Support_L1".to_owned(),
            strategy: "ring-all".to_owned(),
            members: vec!["1001".to_owned(), "1002".to_owned()],
        }],
        ivrs: vec![SeedIvr {
            name: "Main_Menu".to_owned(),
            timeout_seconds: 5,
            max_failures: 3,
            max_timeouts: 3,
            entries: vec![("1".to_owned(), "transfer".to_owned(), "1001".to_owned())],
            ..SeedIvr::default()
        }],
        trunks: vec![SeedTrunk { name: "pstn".to_owned(), port: 5060, ..SeedTrunk::default() }],
        conferences: vec!["standup".to_owned()],
        extensions,
        ..SeedDomain::default()
    }
}

pub fn extension(number: &str, target: SeedTarget, domain: &str) -> SeedExtension {
    let credentials = matches!(target, SeedTarget::User(_)).then(|| credentials(number, domain, "secret"));
    SeedExtension {
        extension: number.to_owned(),
        target,
        description: None,
        need_media: false,
        recording_policy: None,
        credentials,
    }
}

pub fn credentials(user: &str, realm: &str, password: &str) -> Credentials {
    Credentials {
        ha1: model::ha1::md5(user, realm, password),
        ha1b: Some(model::ha1::md5(&format!("{user}@{realm}"), realm, password)),
        ha1_sha256: Some(model::ha1::sha256(user, realm, password)),
    }
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn leg(uuid: &str, parent: Option<&str>, start: &str) -> Leg {
    let start_time = at(start);
    Leg {
        leg_uuid: uuid.to_owned(),
        parent_uuid: parent.map(str::to_owned),
        bleg_uuid: None,
        source: LegSource::Freeswitch,
        provisional: false,
        vp_call: None,
        domain: Some(A.to_owned()),
        direction: Direction::Internal,
        leg_direction: LegDirection::Inbound,
        caller_id_number: Some("1001".to_owned()),
        caller_id_name: Some("Alice".to_owned()),
        destination_number: Some("1002".to_owned()),
        context: Some("tandem".to_owned()),
        start_time,
        answer_time: Some(start_time),
        end_time: Some(start_time),
        duration: 7,
        billsec: 5,
        hangup_cause: Some("NORMAL_CLEARING".to_owned()),
        hangup_cause_q850: Some(16),
        queue: None,
        agent: None,
        trunk: None,
        sip_call_id: Some(format!("{uuid}@sip")),
        core_uuid: Some("core".to_owned()),
        session_id: None,
        recorded: false,
        recording: None,
        story: Story::default(),
    }
}

pub const JOURNAL: Uuid = Uuid::from_u128(0x6a6f_7572_6e61_6c00);

pub fn item(seq: u64, content: Content) -> Item {
    Item {
        journal_id: JOURNAL,
        seq,
        node: "n1".to_owned(),
        received: at("2026-11-22T12:00:00Z"),
        body: Bytes::from(format!("body {seq}")),
        content,
    }
}

pub fn leg_item(seq: u64, leg: Leg) -> Item {
    item(seq, Content::Leg(Box::new(leg)))
}

/// A small generator with a seed, so that a failure comes again (splitmix64).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
