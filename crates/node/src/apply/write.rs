//! The changes made, one by one. Killed between any two steps, the next run finds what is left to do.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use host::{files, say};

use render::{Then, in_order};

use super::journal::Applied;
use super::plan::{Change, Kind, Owners, Wanted, enabled, sha256};
use crate::places::Places;
use crate::services::Services;

/// Runs whose replaced files are kept, besides what stood there before apply ever came.
const REPLACED_RUNS_MAX: usize = 50;

/// Called between any two steps; a test ends the run there.
pub type Between<'a> = &'a mut dyn FnMut() -> Result<()>;

/// Everything a run writes with.
pub struct Writer<'a> {
    pub places: &'a Places,
    pub services: &'a dyn Services,
    /// Names this run's folder of replaced files: `20260102T030405Z`.
    pub stamp: &'a str,
    pub between: Between<'a>,
}

impl Writer<'_> {
    /// Writes, removes, and does what follows.
    ///
    /// # Errors
    /// The first step that fails; the journal holds what is left.
    pub fn write(&mut self, applied: &mut Applied, wanted: &[Wanted], changes: &[Change]) -> Result<()> {
        self.intend(applied, wanted, changes)?;
        let mut owners = Owners::default();
        for change in changes {
            (self.between)()?;
            self.keep(change).with_context(|| format!("keeping {}", change.target))?;
            (self.between)()?;
            self.stop(change)?;
            (self.between)()?;
            self.make(change, &mut owners)
                .with_context(|| format!("{} {}", change.kind.as_str(), change.target))?;
        }
        (self.between)()?;
        while let Some(next) = applied.pending.first().cloned() {
            let starts = match &next {
                Then::Enable(unit) if !self.services.is_active(unit) => Some(unit),
                _ => None,
            };
            if self.concerns(&next) {
                say!("  {next}");
                self.follow(&next)?;
            }
            (self.between)()?;
            applied.pending.remove(0);
            // What has just started has read its files.
            applied.pending.retain(|then| match then {
                Then::Restart(unit) | Then::Reload(unit) => starts != Some(unit),
                _ => true,
            });
            applied.save(self.places)?;
            (self.between)()?;
        }
        applied.files.retain(|target, _| wanted.iter().any(|file| &file.target == target));
        applied.save(self.places)?;
        self.forget_old(applied)
    }

    /// What is going to be done is on the disk before the first file changes.
    fn intend(&mut self, applied: &mut Applied, wanted: &[Wanted], changes: &[Change]) -> Result<()> {
        let mut pending = std::mem::take(&mut applied.pending);
        // What a run that broke left for a unit that is wanted no more is nobody's to do: it may never have been written.
        let kept: BTreeSet<&str> = wanted.iter().flat_map(|file| enabled(&file.then)).collect();
        let dropped: BTreeSet<&str> = applied
            .files
            .values()
            .flat_map(|file| enabled(&file.then))
            .filter(|u| !kept.contains(u))
            .collect();
        pending.retain(|then| match then {
            Then::Enable(unit) | Then::Restart(unit) | Then::Reload(unit) => !dropped.contains(unit.as_str()),
            _ => true,
        });
        pending.extend(changes.iter().flat_map(|change| change.then.iter().cloned()));
        applied.pending = in_order(pending);
        let complete = std::mem::replace(&mut applied.complete, false);
        for file in wanted {
            let mut next = file.written();
            let before = applied.files.get(&file.target);
            if let Some(before) = before {
                let same = before.sha256 == next.sha256;
                next.previous = if same { before.previous.clone() } else { Some(before.sha256.clone()) };
                next.original =
                    before.original.clone().filter(|name| self.places.replaced().join(name).exists());
            }
            let there = changes.iter().find(|c| c.target == file.target).and_then(|c| c.before.as_deref());
            let there = there.map(|text| sha256(text.as_bytes()));
            let is_foreign =
                there.is_some_and(|sha| sha != next.sha256 && next.previous.as_ref() != Some(&sha));
            // What stood here before apply ever came is what `--undo` brings back; an edit of our file is not that.
            let may_be_first = before.is_none() || !complete;
            if next.original.is_none() && is_foreign && may_be_first {
                next.original = Some(format!("{}/{}", self.stamp, file.target.trim_start_matches('/')));
            }
            applied.files.insert(file.target.clone(), next);
        }
        applied.save(self.places)
    }

    fn kept_path(&self, target: &str) -> PathBuf {
        self.places.replaced().join(self.stamp).join(target.trim_start_matches('/'))
    }

    /// A copy of what is there, with its owner and mode, before it goes.
    fn keep(&self, change: &Change) -> Result<()> {
        let path = self.places.at(&change.target);
        if change.kind == Kind::Create || !path.exists() {
            return Ok(());
        }
        let kept = self.kept_path(&change.target);
        files::folder(&self.places.replaced(), 0o700, None)?;
        fs::create_dir_all(kept.parent().unwrap_or(&kept))?;
        let there = fs::metadata(&path)?;
        files::write_durably(
            &kept,
            there.mode() & 0o7777,
            Some((there.uid(), there.gid())),
            &fs::read(&path)?,
        )?;
        Ok(())
    }

    /// While the file is there, systemd knows how.
    fn stop(&self, change: &Change) -> Result<()> {
        for unit in &change.stops {
            say!("  stop {unit}");
            take_away(unit, self.services)?;
        }
        Ok(())
    }

    fn make(&self, change: &Change, owners: &mut Owners) -> Result<()> {
        let path = self.places.at(&change.target);
        let Some(wanted) = &change.wanted else {
            fs::remove_file(&path)?;
            return Ok(files::sync_folder(path.parent().unwrap_or(Path::new("/")))?);
        };
        let (user, group) = owners.of(&wanted.user, &wanted.group)?;
        if change.kind == Kind::Permissions {
            lchown(&path, Some(user), Some(group))?;
            return Ok(fs::set_permissions(
                &path,
                std::os::unix::fs::PermissionsExt::from_mode(wanted.mode),
            )?);
        }
        make_folders(path.parent().unwrap_or(&path), wanted, (user, group))?;
        files::write_durably(&path, wanted.mode, Some((user, group)), wanted.contents.as_bytes())?;
        Ok(())
    }

    /// What does not run is neither restarted nor reloaded: it reads its files when it starts.
    fn concerns(&self, consequence: &Then) -> bool {
        match consequence {
            Then::Restart(unit) | Then::Reload(unit) => self.services.is_active(unit),
            _ => true,
        }
    }

    fn follow(&self, consequence: &Then) -> Result<()> {
        let services = self.services;
        match consequence {
            Then::DaemonReload => services.daemon_reload(),
            Then::Run(words) => {
                let (program, arguments) = words.split_first().context("an empty command")?;
                crate::command::run(Command::new(program).args(arguments), &words.join(" "))
            }
            Then::Sysctl(file) => {
                // A container may not set all of them: said, not fatal.
                if let Err(error) =
                    crate::command::run(Command::new("sysctl").args(["-q", "-p", file]), "sysctl")
                {
                    say!("  note: not every kernel setting could be set here: {error:#}");
                }
                Ok(())
            }
            Then::Enable(unit) => {
                services.enable(unit)?;
                services.start(unit)
            }
            Then::Restart(unit) => services.restart(unit),
            Then::Reload(unit) => services.reload(unit),
        }
    }

    /// Old runs' folders go, but for what `--undo` would bring back.
    fn forget_old(&self, applied: &Applied) -> Result<()> {
        let Ok(read) = fs::read_dir(self.places.replaced()) else { return Ok(()) };
        let mut runs: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
        runs.sort();
        let needed = |run: &Path| {
            let name = run.file_name().unwrap_or_default().to_string_lossy().into_owned() + "/";
            applied.files.values().any(|w| w.original.as_deref().is_some_and(|o| o.starts_with(&name)))
        };
        let surplus = runs.len().saturating_sub(REPLACED_RUNS_MAX);
        for run in runs.iter().filter(|run| !needed(run)).take(surplus) {
            fs::remove_dir_all(run).with_context(|| format!("removing {}", run.display()))?;
        }
        Ok(())
    }
}

/// Stops and disables a unit, if there is such a one.
pub fn take_away(unit: &str, services: &dyn Services) -> Result<()> {
    if !services.exists(unit) {
        return Ok(());
    }
    services.stop(unit)?;
    services.disable(unit)
}

/// Folders that are missing belong to whom the file does, if it is a service's; others may look in.
fn make_folders(folder: &Path, wanted: &Wanted, owner: (u32, u32)) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folders(above, wanted, owner)?;
    }
    let of_service = !wanted.target.starts_with("/etc/systemd") && wanted.user != "root";
    files::folder(folder, 0o755, of_service.then_some(owner))
        .with_context(|| format!("making {}", folder.display()))
}
