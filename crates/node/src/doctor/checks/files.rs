//! Files: who may read the secrets, what was changed since apply, what waits in spool folders.

use super::super::facts::{Facts, FileState, FileStatus};
use super::{Line, Lines, NEEDS_ROOT};

/// Named one by one; the rest is counted.
const SHOWN_MAX: usize = 8;
/// Fewer come and go between two sweeps.
const BACKLOG_WARN: usize = 10;

pub fn secrets(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    match &facts.files {
        Ok(files) => {
            for FileStatus { path, state } in &files.exposed {
                let is = if let FileState::Mode { is, .. } = state { *is } else { 0 };
                lines.fail(
                    format!("{path} can be read by others (mode {is:04o})"),
                    format!("type: chmod 600 {path}; runbook: 'Secrets that others could read'"),
                );
            }
            if files.exposed.is_empty() {
                lines.ok("the files of secrets are root's alone");
            }
        }
        Err(_) if !facts.is_root => lines.skipped("not judged: only root sees them", NEEDS_ROOT),
        Err(why) => lines.fail(why.clone(), "runbook: 'Files that were changed by hand'"),
    }
    lines.list
}

pub fn applied(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let files = match &facts.files {
        Ok(files) => files,
        Err(_) if !facts.is_root => {
            lines.skipped("not judged: only root sees what apply wrote", NEEDS_ROOT);
            return lines.list;
        }
        Err(why) => {
            lines.fail(why.clone(), "type: tandem apply");
            return lines.list;
        }
    };
    if files.never_applied {
        lines.fail("'tandem apply' never ran here", "type: tandem apply --dry-run, then: tandem apply");
        return lines.list;
    }
    if files.unfinished {
        lines.fail(
            "the last 'tandem apply' did not come to its end",
            "type: tandem apply; it goes on where it stopped",
        );
    }
    let cure = "to have ours again: tandem apply (what stood there is kept); runbook: 'Files that were changed by hand'";
    for FileStatus { path, state } in files.differing.iter().take(SHOWN_MAX) {
        match state {
            FileState::Changed => lines.warn(format!("{path} was changed since apply"), cure),
            FileState::Gone => lines.fail(format!("{path} is gone"), cure),
            FileState::Mode { is, wanted } => {
                lines.warn(format!("{path} has mode {is:04o}, not {wanted:04o}"), cure);
            }
            FileState::Unreadable(why) => lines.warn(format!("{path}: {why}"), NEEDS_ROOT),
        }
    }
    if files.differing.len() > SHOWN_MAX {
        lines.warn(format!("and {} more", files.differing.len() - SHOWN_MAX), "type: tandem apply --dry-run");
    }
    if files.differing.is_empty() {
        lines.ok(format!("{} files as apply wrote them", files.written));
    }
    lines.list
}

pub fn backlog(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    for waiting in &facts.backlogs {
        let folder = waiting.folder.display();
        match &waiting.files {
            Ok(0) => {}
            Ok(count) if waiting.folder.ends_with("bad") => lines.warn(
                format!("{count} {} in {folder}", waiting.of),
                "runbook: 'Files in bad/'",
            ),
            Ok(count) if *count < BACKLOG_WARN => {
                lines.ok(format!("{count} {} in {folder}, to be imported within a minute", waiting.of));
            }
            Ok(count) => lines.warn(
                format!("{count} {} in {folder}", waiting.of),
                "voipadmind imports them when it runs: systemctl status voip-admin; runbook: 'CDRs wait in a spool folder'",
            ),
            Err(_) if !facts.is_root => lines.skipped(format!("{folder} not judged"), NEEDS_ROOT),
            Err(why) => lines.warn(format!("{folder}: {why}"), "type: tandem apply"),
        }
    }
    if let Some(pending) = facts.here().and_then(|here| here.voip_admin.journal_pending) {
        lines.ok(format!("{pending} CDRs in the journal wait for the database"));
    }
    if lines.list.is_empty() {
        lines.ok("nothing waits in a spool folder");
    }
    lines.list
}
