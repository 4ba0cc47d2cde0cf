//! Placeholder until the call runner lands.

use anyhow::{Result, bail};

use crate::dev::Env;

pub fn run(env: &Env) -> Result<()> {
    bail!("no calls can be made yet to {}", env.sip)
}
