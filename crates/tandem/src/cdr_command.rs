//! `tandem cdr`: what a node's API knows of calls' records, for a person at a terminal.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use host::say;
use serde_json::Value;

use crate::render_command;

/// A request: a replay of many documents waits for the standby each time.
const REQUEST: Duration = Duration::from_secs(30);
/// Documents listed at once.
const LISTED_MAX: u32 = 500;
/// Documents given again by one request: each waits for the standby, and all must be done before [`REQUEST`].
const REPLAYED_MAX: u32 = 100;
/// Requests of one `replay --all`.
const REPLAYS_MAX: u32 = 100_000;
/// An answer: the largest, a document of a MiB as JSON.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// A reason in a list.
const REASON_CHARS_MAX: usize = 80;

#[derive(Args)]
pub struct CdrArgs {
    #[command(flatten)]
    door: Door,
    #[command(subcommand)]
    command: Command,
}

/// Which API, and with whose key.
#[derive(Args)]
struct Door {
    /// A node's API; by default this node's own.
    #[arg(long, env = "TANDEM_API", global = true, value_name = "URL")]
    api: Option<String>,
    /// A platform's key. Never an argument: those are everybody's to read.
    #[arg(
        long = "key-from-environment",
        env = "TANDEM_API_KEY",
        hide = true,
        hide_env_values = true,
        global = true
    )]
    key: Option<String>,
    /// Where this node's cluster.yaml and secrets.yaml are, for the API and key that are not given.
    #[arg(long, default_value = "/etc/tandem", global = true, value_name = "FOLDER")]
    dir: PathBuf,
    /// The API's own JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Documents that could not be understood, kept whole.
    Quarantine {
        #[command(subcommand)]
        command: Quarantine,
    },
    /// The tables of calls' records, one a month in UTC.
    Partitions,
    /// What became of every document and session, by node and hour, and which sessions have no record.
    Accounting {
        /// RFC 3339; by default a day before now.
        #[arg(long)]
        from: Option<String>,
        /// RFC 3339; by default now.
        #[arg(long)]
        to: Option<String>,
    },
}

#[derive(Subcommand)]
enum Quarantine {
    /// The newest 500, and how to see the next.
    List {
        #[arg(long, value_enum, default_value_t = State::Held)]
        state: State,
        /// Only what is older than this id.
        #[arg(long, value_name = "ID")]
        after: Option<i64>,
    },
    /// One document, as it came.
    Show { id: i64 },
    /// Give a document again, held or discarded: after an upgrade that understands it.
    Replay {
        #[arg(required_unless_present = "all")]
        id: Option<i64>,
        /// Every one that is held.
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// Put a document away; its bytes stay in the database.
    Discard { id: i64 },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Held,
    Imported,
    Discarded,
    All,
}

/// Asks the API.
///
/// # Errors
/// No API, no key, or what the API says.
pub fn run(args: CdrArgs) -> Result<()> {
    let json = args.door.json;
    let api = Api::new(args.door)?;
    match args.command {
        Command::Quarantine { command } => quarantine(&api, json, command),
        Command::Partitions => {
            let partitions = api.json("GET", "/api/cdr/partitions")?;
            if json {
                return print(&partitions);
            }
            table(&partitions["items"], &["name", "from_time", "to_time", "rows_estimate", "bytes"])
        }
        Command::Accounting { from, to } => accounting(&api, json, from, to),
    }
}

fn accounting(api: &Api, json: bool, from: Option<String>, to: Option<String>) -> Result<()> {
    const COLUMNS: [&str; 13] = [
        "hour",
        "node",
        "sessions_ended",
        "exempt",
        "legs",
        "events",
        "stored",
        "duplicates",
        "quarantined",
        "held",
        "pending",
        "missing",
        "unheard",
    ];
    let range = [("from", from), ("to", to)];
    // A '+' of an offset would be read as a blank.
    let given = |(name, time): (&str, Option<String>)| Some(format!("{name}={}", time?.replace('+', "%2B")));
    let range: Vec<String> = range.into_iter().filter_map(given).collect();
    let answer = api.json("GET", &format!("/api/cdr/accounting?{}", range.join("&")))?;
    if json {
        return print(&answer);
    }
    table(&answer["items"], &COLUMNS)?;
    let without = &answer["sessions_without_record"];
    if without.as_array().is_some_and(|sessions| !sessions.is_empty()) {
        say!("\nWithout a record (where 'owed' is false, nobody heard the end, and it may owe none):");
        table(without, &["hour", "node", "leg_uuid", "session_id", "core_uuid", "owed"])?;
    }
    Ok(())
}

fn quarantine(api: &Api, json: bool, command: Quarantine) -> Result<()> {
    const PATH: &str = "/api/cdr/quarantine";
    match command {
        Quarantine::List { state, after } => {
            let state = state.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default();
            let from = after.map(|id| format!("&after={id}")).unwrap_or_default();
            let page = api.json("GET", &format!("{PATH}?limit={LISTED_MAX}&state={state}{from}"))?;
            if json {
                return print(&page);
            }
            table(
                &page["items"],
                &["id", "state", "received_at", "node", "source", "uuid", "times", "bytes", "reason"],
            )?;
            if let Some(next) = page["next"].as_str() {
                let next = harmless(next);
                say!("\nThere are more: tandem cdr quarantine list --state {state} --after {next}");
            }
            Ok(())
        }
        Quarantine::Show { id } if json => print(&api.json("GET", &format!("{PATH}/{id}"))?),
        Quarantine::Show { id } => {
            std::io::stdout().write_all(&api.ask("GET", &format!("{PATH}/{id}/body"))?)?;
            Ok(())
        }
        Quarantine::Replay { id: Some(id), .. } => {
            replayed(json, &api.json("POST", &format!("{PATH}/{id}/replay"))?)
        }
        Quarantine::Replay { id: None, .. } => replayed(json, &replay_all(api, PATH)?),
        Quarantine::Discard { id } => api.ask("POST", &format!("{PATH}/{id}/discard")).map(drop),
    }
}

/// Every held document once, from the newest to the oldest.
fn replay_all(api: &Api, path: &str) -> Result<Value> {
    const COUNTS: [&str; 3] = ["imported", "rows", "held"];
    let mut done = [0; COUNTS.len()];
    let mut after = String::new();
    for _ in 0..REPLAYS_MAX {
        let page = api.json("POST", &format!("{path}/replay?limit={REPLAYED_MAX}{after}"));
        let page = page.with_context(|| format!("{} documents were imported before this", done[0]))?;
        for (sum, count) in done.iter_mut().zip(COUNTS) {
            *sum += page[count].as_u64().with_context(|| format!("the API answers without '{count}'"))?;
        }
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    Ok(COUNTS.into_iter().zip(done).map(|(count, sum)| (count.to_owned(), Value::from(sum))).collect())
}

fn replayed(json: bool, done: &Value) -> Result<()> {
    if json {
        return print(done);
    }
    say!("imported {}, rows that are new {}, still held {}", done["imported"], done["rows"], done["held"]);
    Ok(())
}

fn print(answer: &Value) -> Result<()> {
    say!("{}", serde_json::to_string_pretty(answer)?);
    Ok(())
}

/// A list of an answer, one a line.
fn table(items: &Value, columns: &[&str]) -> Result<()> {
    let items = items.as_array().context("the API answers without 'items'")?;
    if items.is_empty() {
        say!("none");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns);
    for item in items {
        table.add_row(columns.iter().map(|column| cell(&item[*column])));
    }
    say!("{table}");
    Ok(())
}

/// A document's reason may hold anything: a terminal must not obey it.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    harmless(&text).chars().take(REASON_CHARS_MAX).collect()
}

fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

struct Api {
    base: String,
    key: String,
    agent: ureq::Agent,
}

impl Api {
    fn new(door: Door) -> Result<Self> {
        let (base, key) = match (door.api, door.key) {
            (Some(base), Some(key)) => (base, key),
            (base, key) => {
                let (cluster, secrets) = render_command::load(&door.dir).context(
                    "without TANDEM_API and TANDEM_API_KEY (type: set -a; . .tandem/env; set +a) this node's own files are asked",
                )?;
                let own = format!("http://127.0.0.1:{}", cluster.ports.api);
                (base.unwrap_or(own), key.unwrap_or(secrets.api_key))
            }
        };
        let config = ureq::Agent::config_builder().timeout_global(Some(REQUEST)).http_status_as_error(false);
        Ok(Self { base: base.trim_end_matches('/').to_owned(), key, agent: config.build().new_agent() })
    }

    fn ask(&self, method: &str, path: &str) -> Result<Vec<u8>> {
        let url = format!("{}{path}", self.base);
        let authorization = format!("Bearer {}", self.key);
        let answer = match method {
            "GET" => self.agent.get(&url).header("Authorization", authorization).call(),
            _ => self.agent.post(&url).header("Authorization", authorization).send_empty(),
        };
        let mut answer = answer.with_context(|| format!("asking {url}"))?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.with_context(|| format!("reading the answer of {url}"))?;
        if !answer.status().is_success() {
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            let detail = harmless(problem["detail"].as_str().unwrap_or("no more was said"));
            match problem["field"].as_str().map(harmless) {
                Some(field) => bail!("the API says {}: {field}: {detail}", answer.status()),
                None => bail!("the API says {}: {detail}", answer.status()),
            }
        }
        Ok(body)
    }

    fn json(&self, method: &str, path: &str) -> Result<Value> {
        serde_json::from_slice(&self.ask(method, path)?)
            .with_context(|| format!("{path} is not answered in JSON"))
    }
}
