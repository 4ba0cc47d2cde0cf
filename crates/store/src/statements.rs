//! There is no compile-time check of SQL, so one test has PostgreSQL prepare every statement, as the role that sends it.

use std::path::Path;

use bytes::BytesMut;
use testkit::Postgres;
use tokio_postgres::Client;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::bootstrap::{Bootstrap, RolePasswords, bootstrap};
use crate::search::{Sql, Tenancy};
use crate::{
    accounting, audit, cdr_changes, cdr_read, cdr_write, directory, extensions, health, idempotency, keys,
    limbo, migrations, quarantine, queues, receipts, recordings, retention, search, seed, sessions, sweep,
    tenant, transaction, users,
};

const OF_VOIP_ADMIN: &[&str] = &[
    accounting::ADD_UP,
    accounting::REPORT,
    audit::LOG,
    cdr_changes::HORIZON,
    cdr_read::ANY_DOMAIN_ID,
    cdr_read::CHANGES,
    cdr_read::LEGS_OF_CALLS,
    cdr_read::NUMBERS_OF_USER,
    cdr_read::RECORDINGS_OF_LEGS,
    cdr_write::LEAVE_RECEIPTS,
    cdr_write::PREPARE_PARTITIONS,
    cdr_write::calls::KNOWN,
    cdr_write::calls::REKEY,
    cdr_write::dialogs::STORED,
    cdr_write::dialogs::UPSERT,
    cdr_write::insert::ENSURE_PARTITIONS,
    cdr_write::insert::INSERT,
    cdr_write::insert::MISSING_PARTITIONS,
    cdr_write::ledger::NOTE,
    cdr_write::locks::TAKE,
    cdr_write::locks::TRY,
    cdr_write::open::CLOSE,
    cdr_write::open::CLOSED,
    cdr_write::open::OPEN,
    cdr_write::open::SEEN,
    cdr_write::open::UNSEEN,
    cdr_write::quarantine::KEEP,
    cdr_write::recordings::INSERT,
    cdr_write::recordings::TELL,
    cdr_write::sessions::NOTE,
    cdr_write::summaries::LEGS,
    cdr_write::summaries::SETTLE,
    directory::DIRECTORY_USER,
    directory::DOMAIN_ID,
    extensions::CREATE,
    extensions::DELETE,
    extensions::DELETE_USER_OF_NOTHING,
    extensions::FORGET_CREDENTIALS,
    extensions::GET,
    extensions::LIST,
    extensions::LOCK,
    extensions::LOCK_USER_MADE_AT,
    extensions::MAKE_USER,
    extensions::STORE_CREDENTIALS,
    extensions::UPDATE,
    extensions::USER_BY_NAME,
    health::ROLE,
    health::STANDBYS,
    idempotency::CLAIM,
    idempotency::EARLIER,
    idempotency::KEEP,
    keys::API_KEY,
    keys::CREATE_API_KEY,
    keys::LOG_KEY,
    limbo::SERVER,
    migrations::SCHEMA_VERSION,
    quarantine::DISCARDED,
    quarantine::GET,
    quarantine::IMPORTED,
    quarantine::LIST,
    quarantine::LOG,
    quarantine::REASON,
    queues::APPOINT,
    queues::CREATE,
    queues::DELETE,
    queues::DISMISS,
    queues::GET,
    queues::GIVE_NUMBER,
    queues::LIST,
    queues::LOCK,
    queues::REACHED_BY,
    queues::UPDATE,
    receipts::TAKE_RECEIPTS,
    recordings::GET,
    recordings::HOLD,
    recordings::LIST,
    recordings::LIST_OF_CALL,
    recordings::LOCK,
    recordings::keep::CLAIM_EXPIRED,
    recordings::keep::COPIES_TO_CHECK,
    recordings::keep::COPIES_TO_DELETE,
    recordings::keep::COUNTS,
    recordings::keep::DELETE,
    recordings::keep::FILES_TO_DELETE,
    recordings::keep::MARK_COPIES,
    recordings::keep::MARK_DELETED,
    recordings::keep::MARK_FILES,
    recordings::keep::TO_CHECK,
    recordings::keep::TO_FINISH,
    retention::DELETE,
    retention::DROP_PARTITION,
    retention::LIST,
    retention::LOG,
    retention::PARTITIONS,
    retention::SET,
    retention::UNSET,
    sessions::ADD_UP,
    sessions::FORGET,
    sessions::FORGET_NAMES,
    sessions::HOURS,
    sessions::NAME_OWING,
    sessions::NAMES,
    sessions::OPEN,
    sessions::TELL_ENDED,
    sessions::TELL_LISTENING,
    sessions::TELL_UNHEARD,
    sweep::IDEMPOTENCY_KEYS,
    sweep::LEDGER,
    sweep::RECEIPTS,
    sweep::SIP_DIALOGS,
    tenant::BY_NAME,
    transaction::LEAVE_MARK,
    users::USERS,
];

const OF_VOIP_OWNER: &[&str] = seed::STATEMENTS;

#[tokio::test]
async fn every_statement_prepares() {
    let (_postgres, client) = testkit::or_skip!(platform().await);
    for (role, statements) in [("voip_admin", OF_VOIP_ADMIN), ("voip_owner", OF_VOIP_OWNER)] {
        client.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
        for sql in statements {
            // Preparing checks names and types, EXPLAIN the role's rights; it runs nothing.
            let explained = async {
                let statement = client.prepare(&format!("EXPLAIN {sql}")).await?;
                let nulls = vec![&Null as &(dyn ToSql + Sync); statement.params().len()];
                client.query(&statement, &nulls).await
            };
            explained.await.unwrap_or_else(|error| panic!("{role}: {error:?}\n{sql}"));
        }
    }
}

/// The same for statements that are put together of constants: each runs, on no rows.
#[tokio::test]
async fn every_search_runs() {
    let (_postgres, client) = testkit::or_skip!(platform().await);
    client.batch_execute("SET ROLE voip_admin; SET voip.tenant = '*'").await.unwrap();
    for sql in search::statements() {
        let run = client.query_typed(sql.text(), &sql.params()).await;
        run.unwrap_or_else(|error| panic!("{error:?}\n{}", sql.text()));
    }
}

/// A page in the depth must not read what lies above it: its plan walks one index, of the months that can hold it.
#[tokio::test]
async fn a_deep_page_walks_an_index_and_prunes() {
    let (_postgres, client) = testkit::or_skip!(platform().await);
    client.batch_execute(FIFTY_THOUSAND_CALLS).await.unwrap();
    client.batch_execute("SET ROLE voip_admin; SET voip.tenant = '*'; SET timezone = 'UTC'").await.unwrap();
    let after = "2026-02-10T00:00:00Z".parse().unwrap();
    for tenancy in [Tenancy::Everybody, Tenancy::Id(1)] {
        for list in search::pages_after(&tenancy, after) {
            let plan = explain(&client, &list).await;
            assert!(plan.contains("Index Scan using cdr_2026_02_"), "{plan}");
            for foreign in ["Seq Scan", "cdr_2026_03", "top-N"] {
                assert!(!plan.contains(foreign), "{foreign}: {plan}");
            }
        }
    }
}

/// As `search` has it planned: with its values.
async fn explain(client: &Client, sql: &Sql) -> String {
    let explain = format!("EXPLAIN (ANALYZE, TIMING OFF) {}", sql.text());
    let rows = client.query_typed(&explain, &sql.params()).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

const FIFTY_THOUSAND_CALLS: &str =
    "SELECT voip.ensure_cdr_partition('2026-01-15 00:00+00'::timestamptz + n * interval '1 month') FROM generate_series(0, 11) n;
     INSERT INTO voip.cdr (leg_uuid, start_time, call_uuid, head, source, provisional, domain_id, direction, leg_direction,
            duration, billsec, recorded, node)
     SELECT 'l' || n, '2026-01-01 00:00+00'::timestamptz + n * interval '10 minutes', 'l' || n, n % 2 = 0, 'freeswitch', false,
            1 + n % 3, 'internal', 'inbound', 1, 1, false, 'n1' FROM generate_series(1, 50000) n;
     ANALYZE voip.cdr";

/// A bootstrapped server and its superuser's connection.
async fn platform() -> Result<(Postgres, Client), testkit::Error> {
    let postgres = Postgres::start()?;
    let options = Bootstrap {
        socket_dir: postgres.socket_dir().to_owned(),
        port: postgres.port(),
        superuser: "postgres".to_owned(),
        superuser_password: None,
        database: "voip_platform".to_owned(),
        passwords: RolePasswords {
            kamailio: "k".to_owned(),
            voip_admin: "v".to_owned(),
            replicator: "r".to_owned(),
            exporter: "e".to_owned(),
        },
    };
    bootstrap(&options).await.unwrap();
    let client = crate::bootstrap::open(&options, &options.database).await.unwrap();
    Ok((postgres, client))
}

/// NULL of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A constant that is not in the lists above is not checked: every file's count of SQL constants is told here.
#[test]
fn no_statement_is_forgotten() {
    fn constants(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| {
                if path.is_dir() {
                    return constants(&path);
                }
                let text = std::fs::read_to_string(path).unwrap();
                text.lines()
                    .filter(|line| {
                        line.trim_start()
                            .trim_start_matches("pub")
                            .trim_start_matches("(crate)")
                            .trim_start()
                            .starts_with("const ")
                            && line.contains(": &str =")
                    })
                    .count()
            })
            .sum()
    }
    let here = constants(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert_eq!(here, OF_VOIP_ADMIN.len() + OF_VOIP_OWNER.len() + NOT_STATEMENTS.len());
}

/// Texts that are no parameterised statement: names, and what only `bootstrap` runs.
const NOT_STATEMENTS: &[&str] = &[
    FIFTY_THOUSAND_CALLS,
    cdr_read::COLUMNS,
    crate::bootstrap::DATABASE,
    crate::bootstrap::RIGHTS,
    migrations::HISTORY_TABLE,
];
