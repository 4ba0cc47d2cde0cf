//! `tandem apply --undo`: what apply wrote goes, what it replaced comes back. Data stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use host::{files, say};
use std::os::unix::fs::MetadataExt;

use super::journal::Applied;
use super::plan::{enabled, read, sha256};
use super::write::take_away;
use crate::places::Places;
use crate::services::Services;

/// Takes the files back. One that was changed by hand since is kept beside, under `replaced/`.
///
/// # Errors
/// A file cannot be taken back; the rest was.
pub fn undo(places: &Places, services: &dyn Services, quiet: bool) -> Result<()> {
    let path = places.applied();
    let Some(text) = files::read(&path)? else {
        if !quiet {
            say!("nothing was applied here");
        }
        return Ok(());
    };
    let mut applied: Applied = serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged: nothing is taken back", path.display()))?;
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ-undo").to_string();
    let mut failed = stop(&applied, services).err();
    for (target, written) in std::mem::take(&mut applied.files) {
        match take_back(places, &stamp, &target, &written) {
            Ok(words) if !quiet => say!("{words} {target}"),
            Ok(_) => {}
            Err(error) => {
                let error = error.context(format!("taking back {target}"));
                eprintln!("tandem: {error:#}");
                applied.files.insert(target, written);
                failed = Some(error);
            }
        }
    }
    services.daemon_reload()?;
    if let Some(error) = failed {
        applied.save(places)?;
        return Err(error);
    }
    let agents = agent_files(places);
    for file in agents.iter().chain(&[places.applied(), places.node_name()]) {
        let _ = fs::remove_file(file);
    }
    Ok(())
}

/// What the files enabled ends while systemd still knows how: the packet filter's rules and the traffic control go with
/// their units, not with their files.
fn stop(applied: &Applied, services: &dyn Services) -> Result<()> {
    let units: BTreeSet<&str> = applied.files.values().flat_map(|written| enabled(&written.then)).collect();
    let mut outcome = Ok(());
    for unit in units {
        if let Err(error) = take_away(unit, services) {
            eprintln!("tandem: {error:#}");
            outcome = Err(error);
        }
    }
    outcome
}

/// What the agent wrote into the engines' folders: roles of a node that is none any more.
fn agent_files(places: &Places) -> Vec<PathBuf> {
    let versions = fs::read_dir(places.at("/etc/postgresql")).into_iter().flatten().flatten();
    let includes = versions.flat_map(|version| {
        let main = version.path().join("main");
        [main.join("conf.d/tandem.conf"), main.join(render::HBA_NOW)]
    });
    includes.chain([places.at("/etc/redis/tandem.conf")]).collect()
}

fn take_back(
    places: &Places,
    stamp: &str,
    target: &str,
    written: &super::journal::Written,
) -> Result<&'static str> {
    let path = places.at(target);
    if let Some(now) = read(&path)? {
        if sha256(&now) != written.sha256 {
            let kept = places.replaced().join(stamp).join(target.trim_start_matches('/'));
            fs::create_dir_all(kept.parent().unwrap_or(&kept))?;
            let there = fs::metadata(&path)?;
            files::write(&kept, there.mode() & 0o7777, Some((there.uid(), there.gid())), &now)?;
        }
        fs::remove_file(&path)?;
    }
    let original = written.original.as_ref().map(|name| places.replaced().join(name));
    let Some(original) = original.filter(|file| file.exists()) else { return Ok("removed ") };
    let there = fs::metadata(&original)?;
    files::write_durably(
        &path,
        there.mode() & 0o7777,
        Some((there.uid(), there.gid())),
        &fs::read(&original)?,
    )?;
    Ok("restored")
}
