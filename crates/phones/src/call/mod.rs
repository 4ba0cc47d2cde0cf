//! `tandem dev call`: phones register and call through the whole node, and the calls' records are read from the API.
//!
//! In: `.tandem/env` of a running node. Out: two calls, shown with their legs. The phones are SIPp's: nothing of ours
//! speaks SIP here, so what works for them works for a phone.
//!
//! Architecture invariant: no password in an argument list (everybody can read those), none in the output.

mod api;
mod record;
mod sipp;
mod stage;
mod table;

use anyhow::{Context as _, Result};

use crate::Env;
use api::{Api, Wanted};
use host::say;
use sipp::Sipp;
use stage::Stage;

/// The demo queue's extension.
const QUEUE: &str = "8001";
/// How long the two phones talk.
const DIRECT_TALK_MS: u32 = 2_000;
/// How long the caller stays in the queue: an agent has to ring and answer meanwhile.
const QUEUE_TALK_MS: u32 = 4_000;

/// What to show.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The API's own items instead of a table.
    pub json: bool,
}

/// The program, for those who play more phones than two.
///
/// # Errors
/// It is not installed; says how to.
pub(crate) fn sipp_program() -> Result<std::path::PathBuf> {
    Ok(Sipp::find()?.into_path())
}

/// Whether the node of `env` is up.
pub(crate) fn check_api(env: &Env) -> Result<()> {
    Api::new(&env.api, &env.api_key).check()
}

/// Makes the calls and shows their records on standard output; progress goes to standard error.
///
/// # Errors
/// SIPp is missing, the node does not run, a call failed (with its SIP code and where to look), or a record did not
/// appear in time.
pub fn run(env: &Env, options: Options) -> Result<()> {
    let sipp = Sipp::find()?;
    let api = Api::new(&env.api, &env.api_key);
    api.check()?;
    let stage = Stage::new(sipp, env)?;
    let callee = stage.second_phone().to_owned();
    let wanted = {
        let _registered = stage.register()?;
        let _answering = stage.answer()?;
        let direct = stage.call(&callee, DIRECT_TALK_MS)?;
        let queued = stage.call(QUEUE, QUEUE_TALK_MS)?;
        [Wanted::direct(direct), Wanted::queued(queued)]
    };
    eprintln!("reading the calls' records from {}/api/cdr", env.api);
    let calls = api.wait_for(&wanted, &stage.started)?;
    if options.json {
        let items = serde_json::json!({ "items": calls });
        say!("{}", serde_json::to_string_pretty(&items)?);
    } else {
        say!("{}", table::calls(&calls).context("a call's record is not as expected")?);
    }
    Ok(())
}
