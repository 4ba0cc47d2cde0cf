//! The node's services: which, and in which order they start.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use host::say;

use crate::config::Config;
use crate::media;
use crate::observe::{self, Place, Snapshot};
use crate::places::Places;
use crate::services::Services;

pub const AGENT: &str = "tandem-agent.service";
pub const KEEPALIVED: &str = "keepalived.service";
/// Until everything answers after it was started.
const ANSWERS: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_secs(1);

/// After the agent and PostgreSQL: data first, phones last, the address at the very end.
pub fn engines(config: &Config, places: &Places) -> Vec<String> {
    let media = match media::is_double(&places.etc(), &config.layout) {
        true => "tandem-media-double.service",
        false => "freeswitch.service",
    };
    let mut units = vec!["redis-server.service", "voip-admin.service", media, "kamailio.service"];
    if config.cluster.vip.is_some() {
        units.push(KEEPALIVED);
    }
    units.into_iter().map(str::to_owned).collect()
}

/// Every unit whose ports are this node's own.
pub fn all(config: &Config, places: &Places) -> Vec<String> {
    let mut units = engines(config, places);
    units.extend([AGENT.to_owned(), config.postgresql_unit()]);
    units
}

/// Stops what Debian started with its example configuration, the last first.
pub fn stop(config: &Config, places: &Places, services: &dyn Services) -> Result<()> {
    for unit in engines(config, places).iter().rev().filter(|unit| services.is_active(unit)) {
        services.stop(unit)?;
    }
    Ok(())
}

/// The units that are not as they should be.
pub fn missing(units: &[String], services: &dyn Services) -> Vec<String> {
    let wrong = |unit: &&String| !services.is_enabled(unit) || !services.is_active(unit);
    units.iter().filter(wrong).cloned().collect()
}

/// Enables and starts them, in their order.
pub fn start(units: &[String], services: &dyn Services) -> Result<()> {
    for unit in units {
        if !services.exists(unit) {
            bail!("there is no unit {unit} on this machine: the package it comes with is not installed");
        }
        if !services.is_enabled(unit) {
            services.enable(unit)?;
        }
        if !services.is_active(unit) {
            say!("  start {unit}");
            services.start(unit)?;
        }
    }
    Ok(())
}

/// Waits until the node's parts answer; says which does not.
pub fn wait(etc: &Path, services: &dyn Services) -> Result<()> {
    let place = Place::load(etc)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    loop {
        let silent = silent(&runtime.block_on(observe::sample(&place)));
        let Some((what, unit, why)) = silent else { return Ok(()) };
        if began.elapsed() > ANSWERS {
            bail!("{what} does not answer: {why}\n{unit} says:\n{}", services.last_words(&unit));
        }
        std::thread::sleep(POLL);
    }
}

/// The first part that does not answer: its name, its unit, why.
fn silent(seen: &Snapshot) -> Option<(String, String, String)> {
    let unit = |name: &str| {
        let service = seen.services.iter().find(|s| s.name == name);
        service.map_or_else(|| format!("{name}.service"), |s| s.unit.clone())
    };
    let part = |name: &str, answers: bool, problem: &Option<String>| {
        let why = problem.clone().unwrap_or_else(|| "no answer yet".into());
        (!answers).then(|| (name.to_owned(), unit(name), why))
    };
    part("postgresql", seen.postgresql.running, &seen.postgresql.problem)
        .or_else(|| part("redis", seen.redis.running, &seen.redis.problem))
        .or_else(|| part("voip-admin", seen.voip_admin.answers, &seen.voip_admin.problem))
        .or_else(|| part(media_name(seen), seen.media.sip.answers, &seen.media.sip.problem))
        .or_else(|| part("kamailio", seen.kamailio.answers, &seen.kamailio.problem))
}

fn media_name(seen: &Snapshot) -> &'static str {
    if seen.media.engine == "double" { "media-double" } else { "freeswitch" }
}
