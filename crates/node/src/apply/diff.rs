//! The changes for people: a unified diff without secrets.

use std::fmt::Write as _;

use similar::TextDiff;
use spec::Secrets;

use super::plan::{Change, Kind};

const MASK: &str = "********";
/// Of each file.
const DIFF_LINES_MAX: usize = 80;
/// Shorter words are no secrets, and would mask half a file.
const SECRET_CHARS_MIN: usize = 12;

/// Every secret's value, to be masked.
pub struct Mask(Vec<String>);

impl Mask {
    pub fn of(secrets: &Secrets) -> Self {
        let mut values = Vec::new();
        if let Ok(value) = serde_json::to_value(secrets) {
            collect(&value, &mut values);
        }
        values.retain(|v| v.len() >= SECRET_CHARS_MIN);
        // The longest first: one may hold another.
        values.sort_by_key(|v| std::cmp::Reverse(v.len()));
        Self(values)
    }

    pub fn over(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
    }
}

fn collect(value: &serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => into.push(text.clone()),
        serde_json::Value::Object(map) => map.values().for_each(|v| collect(v, into)),
        serde_json::Value::Array(all) => all.iter().for_each(|v| collect(v, into)),
        _ => {}
    }
}

/// New files by name, the others line by line.
pub fn text(changes: &[Change], mask: &Mask) -> String {
    let mut text = String::new();
    for change in changes {
        let target = &change.target;
        match (change.kind, &change.wanted) {
            (Kind::Create, Some(file)) => {
                let lines = file.contents.lines().count();
                let _ = writeln!(
                    text,
                    "new      {target} ({lines} lines, {:04o} {}:{})",
                    file.mode, file.user, file.group
                );
            }
            (Kind::Permissions, Some(file)) => {
                let _ = writeln!(text, "mode     {target} ({:04o} {}:{})", file.mode, file.user, file.group);
            }
            (_, wanted) if change.is_secret => {
                let word = if wanted.is_none() { "remove  " } else { "replace " };
                let _ = writeln!(text, "{word} {target} (its owner's alone: not shown)");
            }
            (_, wanted) => {
                let before = change.before.as_deref().unwrap_or_default();
                let after = wanted.as_ref().map_or("", |file| file.contents.as_str());
                let (before, after) = (mask_secret_lines(before, mask), mask.over(after));
                let (from, to) = (
                    format!("a{target}"),
                    wanted.as_ref().map_or("/dev/null".into(), |_| format!("b{target}")),
                );
                let word = if change.kind == Kind::Remove { "remove  " } else { "replace " };
                let _ = writeln!(text, "{word} {target}");
                let lines = TextDiff::from_lines(&before, &after);
                write_short(&mut text, &lines.unified_diff().header(&from, &to).to_string());
            }
        }
    }
    text
}

/// A file that is replaced as a whole is not shown as a whole.
fn write_short(text: &mut String, diff: &str) {
    for line in diff.lines().take(DIFF_LINES_MAX) {
        let _ = writeln!(text, "{line}");
    }
    let more = diff.lines().count().saturating_sub(DIFF_LINES_MAX);
    if more > 0 {
        let _ = writeln!(text, "… and {more} lines more; the old file is kept");
    }
}

/// What stood there may hold secrets that are not this cluster's any more: lines that name one lose their value.
fn mask_secret_lines(text: &str, mask: &Mask) -> String {
    const WORDS: [&str; 6] = ["password", "passwd", "secret", "requirepass", "masterauth", "auth_pass"];
    let masked = mask.over(text);
    let hide = |line: &str| {
        let lower = line.to_ascii_lowercase();
        let is_comment = lower.trim_start().starts_with('#');
        let named = WORDS.iter().filter_map(|word| lower.find(word).map(|at| at + word.len())).min();
        match named {
            Some(at) if !is_comment && line.is_char_boundary(at) && !line.contains(MASK) => {
                format!("{} {MASK}", &line[..at])
            }
            _ => line.to_owned(),
        }
    };
    let mut out = masked.lines().map(hide).collect::<Vec<_>>().join("\n");
    if masked.ends_with('\n') {
        out.push('\n');
    }
    out
}
