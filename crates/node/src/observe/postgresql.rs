//! PostgreSQL, asked over its unix socket: as superuser, whose connections are reserved, so that a full server answers
//! too; where root is not known as that (`pg_ident.conf`), as the exporter's role, which may read every statistic.
//!
//! The connection is kept between samples, because a new one costs a process and 4096 rounds of SCRAM. A question that
//! was not answered in time takes its connection with it: the answer would come when the next question is asked.

use std::error::Error as _;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::bounded::within;
use super::{ANSWER_MAX, AskError, Place, Postgresql};

const QUESTION: &str = include_str!("postgresql.sql");
const EXPORTER: &str = "exporter";
/// Is there on every server, before ours is.
const DATABASE: &str = "postgres";

/// Remembers the connection.
#[derive(Default)]
pub struct Asked {
    client: Option<Client>,
}

impl Asked {
    pub async fn ask(&mut self, place: &Place) -> Postgresql {
        let Some(secrets) = &place.secrets else {
            return Postgresql {
                problem: Some("not asked: its password is root's".into()),
                ..Postgresql::default()
            };
        };
        match within(self.question(place, &secrets.db_exporter)).await {
            Ok(found) => found,
            Err(error) => {
                self.client = None;
                Postgresql { problem: Some(error.to_string()), ..Postgresql::default() }
            }
        }
    }

    async fn question(&mut self, place: &Place, password: &str) -> Result<Postgresql, AskError> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => connect(place, password).await?,
        };
        let client = self.client.insert(client);
        let row = client.query_one(QUESTION, &[]).await.map_err(|e| said(&e))?;
        let text: String = row.try_get(0).map_err(|e| said(&e))?;
        serde_json::from_str(&text)
            .map_err(|e| AskError::Refused(format!("its answer is not understood: {e}")))
    }
}

async fn connect(place: &Place, password: &str) -> Result<Client, AskError> {
    let unknown = [SqlState::INVALID_AUTHORIZATION_SPECIFICATION, SqlState::INVALID_PASSWORD];
    match open(place, &place.layout.users.postgresql, None).await {
        Err(error) if error.code().is_some_and(|code| unknown.contains(code)) => {
            open(place, EXPORTER, Some(password)).await.map_err(|e| said(&e))
        }
        other => other.map_err(|e| said(&e)),
    }
}

async fn open(place: &Place, user: &str, password: Option<&str>) -> Result<Client, tokio_postgres::Error> {
    let mut config = Config::new();
    if let Some(password) = password {
        config.password(password);
    }
    config
        .host_path(&place.layout.paths.postgresql_socket)
        .port(place.cluster.ports.postgresql)
        .user(user)
        .dbname(DATABASE)
        .application_name("tandem status")
        .connect_timeout(ANSWER_MAX)
        // The server's own end of a question that nobody waits for any more.
        .options("-c statement_timeout=2s -c lock_timeout=1s -c jit=off");
    let (client, connection) = config.connect(NoTls).await?;
    // Ends with its client, or with the server.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

/// The server's own words, which `tokio_postgres` keeps one level down.
fn said(error: &tokio_postgres::Error) -> AskError {
    if let Some(server) = error.as_db_error() {
        return AskError::Refused(server.message().to_owned());
    }
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    AskError::Refused(format!("{error}{cause}"))
}
