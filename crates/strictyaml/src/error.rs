use std::fmt;

use serde_saphyr::Error as Yaml;

/// What is wrong with a file, where, and how to mend it.
///
/// Shown as `FILE:LINE: KEY: problem; cure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub file: String,
    /// 1-based; 0 when the problem has no line of its own.
    pub line: u64,
    pub key: String,
    pub problem: String,
    pub cure: String,
}

impl Error {
    /// A problem of the file as a whole.
    pub fn whole_file(file: &str, problem: &str, cure: &str) -> Self {
        Self { file: file.into(), line: 0, key: String::new(), problem: problem.into(), cure: cure.into() }
    }

    /// A problem of one key found after parsing (a rule between two keys); `key` may be dotted (`cdr.workers`).
    pub fn at_key(file: &str, text: &str, key: &str, problem: &str, cure: &str) -> Self {
        Self {
            file: file.into(),
            line: line_of(text, key, problem),
            key: key.into(),
            problem: problem.into(),
            cure: cure.into(),
        }
    }

    pub(crate) fn from_yaml(file: &str, text: &str, error: &Yaml) -> Self {
        let bare = error.without_snippet();
        let line = error.location().map_or(0, |l| l.line());
        let (key, problem, cure) = match bare {
            Yaml::SerdeUnknownField { field, expected, .. } => {
                (field.clone(), "is not a known key".to_owned(), nearest(field, expected))
            }
            Yaml::SerdeUnknownVariant { variant, expected, .. } => (
                key_on(text, line),
                format!("'{variant}' is not a known value"),
                format!("use one of: {}", expected.join(", ")),
            ),
            Yaml::SerdeMissingField { field, .. } => {
                ((*field).to_owned(), "is missing".to_owned(), format!("add '{field}:' to this section"))
            }
            other => (key_on(text, line), first_line(&other.to_string()), "mend the value".to_owned()),
        };
        Self { file: file.into(), line, key, problem, cure }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}; {}", self.problem, self.cure)
    }
}

impl std::error::Error for Error {}

/// "did you mean …" when a known key is near enough to be a slip, else the list.
fn nearest(field: &str, expected: &[&str]) -> String {
    let best = expected.iter().map(|e| (strsim::damerau_levenshtein(field, e), e)).min();
    match best {
        Some((distance, name)) if distance <= 1 + field.len() / 3 => format!("did you mean '{name}'?"),
        _ if expected.is_empty() => "remove it".to_owned(),
        _ => format!("known here: {}", expected.join(", ")),
    }
}

/// The key written on a line, for errors whose location is the value.
fn key_on(text: &str, line: u64) -> String {
    let index = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    let found = text.lines().nth(index).and_then(|l| l.trim_start().trim_start_matches("- ").split_once(':'));
    found.map(|(k, _)| k.trim().to_owned()).filter(|k| k.len() <= 64).unwrap_or_default()
}

/// The line of a dotted key; 0 when it is not written in the file. In a list a key is on several lines: the last whose value
/// the problem names (what "stands there already" does so above), else the first.
fn line_of(text: &str, dotted: &str, problem: &str) -> u64 {
    let mut section: Vec<Written> = written(text).collect();
    let mut parts = dotted.split('.').peekable();
    while let Some(part) = parts.next() {
        let Some(indent) = section.first().map(|line| line.indent) else { break };
        let is_part = |line: &Written| line.indent == indent && line.key == part;
        if parts.peek().is_none() {
            let of_key: Vec<_> = section.iter().filter(|line| is_part(line)).collect();
            let named = of_key.iter().rev().find(|line| line.is_named_in(problem));
            return named.or(of_key.first()).map_or(0, |line| line.number);
        }
        let Some(at) = section.iter().position(is_part) else { break };
        section = section.split_off(at + 1).into_iter().take_while(|line| line.indent > indent).collect();
    }
    0
}

/// A line with a key.
struct Written<'a> {
    number: u64,
    /// Of the key, so that a list's first keys and their others have the same.
    indent: usize,
    key: &'a str,
    value: &'a str,
}

impl Written<'_> {
    fn is_named_in(&self, problem: &str) -> bool {
        let between = |c: char| c.is_whitespace() || "'\"(),;/".contains(c);
        !self.value.is_empty() && problem.split(between).any(|word| word == self.value)
    }
}

fn written(text: &str) -> impl Iterator<Item = Written<'_>> {
    (1u64..).zip(text.lines()).filter_map(|(number, line)| {
        let content = line.trim_start_matches([' ', '-']);
        let (key, value) = content.split_once(':').filter(|_| !content.starts_with('#'))?;
        let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        Some(Written { number, indent: line.len() - content.len(), key: key.trim_end(), value })
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::{Limited, parse};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only the errors are looked at")]
    struct Sample {
        workers: Limited<1, 64>,
        #[serde(default)]
        mode: Option<Mode>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Strict,
    }

    fn message(text: &str) -> String {
        parse::<Sample>("c.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn names_file_line_key_and_cure() {
        assert_eq!(
            message("workers: 4\nworker: 5\n"),
            "c.yaml:2: worker: is not a known key; did you mean 'workers'?"
        );
        assert_eq!(
            message("workers: 4\nzebra_stripes: 5\n"),
            "c.yaml:2: zebra_stripes: is not a known key; known here: workers, mode"
        );
        assert_eq!(
            message("mode: lax\nworkers: 4\n"),
            "c.yaml:1: mode: 'lax' is not a known value; use one of: strict"
        );
        assert!(message("mode: strict\n").contains("workers: is missing; add 'workers:'"));
        let out_of_range = message("# comment\nworkers: 99\n");
        assert!(out_of_range.starts_with("c.yaml:2: workers:"), "{out_of_range}");
        assert!(out_of_range.contains("between 1 and 64"), "{out_of_range}");
        assert!(message("workers: many\n").starts_with("c.yaml:1: workers:"));
        assert_eq!(parse::<Sample>("c", "workers: 4\nmode: strict").unwrap().workers.get(), 4);
        assert!(matches!(parse::<Sample>("c", "workers: 4\nmode: strict").unwrap().mode, Some(Mode::Strict)));
    }

    #[test]
    fn finds_the_line_of_a_dotted_key() {
        let text = "server:\n  port: 1\ndatabase:\n  pool: {port: 3}\n  port: 2\n";
        assert_eq!(super::line_of(text, "database.port", ""), 5);
        assert_eq!(super::line_of(text, "server.pool", ""), 0);
        assert_eq!(super::line_of(text, "redis.port", ""), 0);
    }

    #[test]
    fn finds_the_line_of_the_list_s_item_that_is_wrong() {
        let text = "# name: it\nnodes:\n  - name: n1\n    address: 10.0.0.1\n\n  - name: 'n_2' # second\n    address: 10.0.0.1\n\
                    queue:\n  name: n_2\n";
        let line = |key, problem| super::line_of(text, key, problem);
        assert_eq!(line("nodes.name", "'n_2' is no host name"), 6);
        assert_eq!(line("nodes.name", "something is wrong"), 3);
        assert_eq!(line("nodes.address", "10.0.0.1 stands under nodes.address already"), 7);
        assert_eq!(line("nodes.address", "10.0.0.11/24 is not"), 4);
    }
}
