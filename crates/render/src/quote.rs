//! One quoting filter a target syntax, and the rule that a value without one must be a plain word.
//!
//! | filter | gives | for |
//! |---|---|---|
//! | `pgconf` | `'…'` | postgresql.conf, pg_hba.conf is plain words |
//! | `redisconf` | `"…"` | redis.conf |
//! | `kamcfg` | `"…"` | kamailio.cfg |
//! | `xml` | text or attribute, without quotes | FreeSWITCH |
//! | `yaml` | `"…"` | voipadmind |
//! | `shell` | `'…'` | sh |
//! | `systemd` | `"…"` | unit files |
//!
//! All refuse control characters: none of these files has a use for one.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State};

pub(crate) fn install(environment: &mut Environment<'_>) {
    environment.add_filter("pgconf", |v: String| quoted(&v, pgconf));
    environment.add_filter("redisconf", |v: String| quoted(&v, redisconf));
    environment.add_filter("kamcfg", |v: String| quoted(&v, kamcfg));
    environment.add_filter("xml", |v: String| quoted(&v, xml));
    environment.add_filter("yaml", |v: String| quoted(&v, yaml));
    environment.add_filter("shell", |v: String| quoted(&v, shell));
    environment.add_filter("systemd", |v: String| quoted(&v, systemd));
    // The way round all of them.
    environment.remove_filter("safe");
    environment.set_formatter(plain_or_quoted);
}

/// Writes numbers, booleans, quoted values and plain words; refuses the rest.
fn plain_or_quoted(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Number => write!(out, "{value}").map_err(Error::from),
        // Python's True is nobody's syntax here.
        ValueKind::Bool => write!(out, "{}", value.is_true()).map_err(Error::from),
        ValueKind::String if value.is_safe() || value.as_str().is_some_and(is_plain) => {
            write!(out, "{value}").map_err(Error::from)
        }
        ValueKind::String => Err(refused(&format!("the value {value:?} needs this syntax's quoting filter"))),
        kind => Err(refused(&format!("a value of kind '{kind}' cannot be written"))),
    }
}

/// Means the same in every syntax here.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./:@,+-".contains(&b))
}

fn quoted(value: &str, quote: fn(&str) -> Result<String, Error>) -> Result<Value, Error> {
    if value.chars().any(char::is_control) {
        return Err(refused("a value holds a control character"));
    }
    quote(value).map(Value::from_safe_string)
}

fn refused(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.to_owned())
}

/// Backslashes are escapes inside quotes; a quote is doubled (guc-file.l).
fn pgconf(value: &str) -> Result<String, Error> {
    Ok(format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''")))
}

/// sdssplitargs: C-like escapes inside double quotes.
fn redisconf(value: &str) -> Result<String, Error> {
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// cfg.lex knows `\\` and `\"` inside double quotes. `$` would start a pseudo-variable in many parameters and `#!`
/// could end up read by the preprocessor: refused, nothing of ours holds them.
fn kamcfg(value: &str) -> Result<String, Error> {
    if value.contains('$') || value.contains("#!") {
        return Err(refused("a value for kamailio.cfg holds '$' or '#!'"));
    }
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// FreeSWITCH's preprocessor works line by line before the XML is parsed: it expands `$${…}`, swallows lines with
/// `X-PRE-PROCESS` and drops lines with `<?`. Escaping stops only the last, so the others are refused; so is `${`, which
/// is expanded per call.
fn xml(value: &str) -> Result<String, Error> {
    if value.contains("${") || value.to_ascii_lowercase().contains("x-pre-process") {
        return Err(refused("a value for FreeSWITCH holds '${' or 'X-PRE-PROCESS'"));
    }
    let mut text = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&apos;"),
            other => text.push(other),
        }
    }
    Ok(text)
}

/// A double-quoted scalar; `\` and `"` are the only printable characters it escapes (YAML 1.2, 7.3.1).
fn yaml(value: &str) -> Result<String, Error> {
    redisconf(value)
}

fn shell(value: &str) -> Result<String, Error> {
    Ok(format!("'{}'", value.replace('\'', r"'\''")))
}

/// systemd.syntax(7): `%` is a specifier; ExecStart also expands `$`.
fn systemd(value: &str) -> Result<String, Error> {
    Ok(redisconf(value)?.replace('%', "%%").replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn written(template: &str, v: impl Into<Value>) -> Result<String, Error> {
        let mut environment = Environment::new();
        install(&mut environment);
        environment.render_str(template, context! { v => v.into() })
    }

    #[test]
    fn each_syntax_has_its_own_quotes() {
        let hard = r#"a b's "c" \d & <e> 50%"#;
        for (filter, expected) in [
            ("pgconf", r#"'a b''s "c" \\d & <e> 50%'"#),
            ("redisconf", r#""a b's \"c\" \\d & <e> 50%""#),
            ("kamcfg", r#""a b's \"c\" \\d & <e> 50%""#),
            ("yaml", r#""a b's \"c\" \\d & <e> 50%""#),
            ("shell", r#"'a b'\''s "c" \d & <e> 50%'"#),
            ("systemd", r#""a b's \"c\" \\d & <e> 50%%""#),
            ("xml", r#"a b&apos;s &quot;c&quot; \d &amp; &lt;e&gt; 50%"#),
        ] {
            assert_eq!(written(&format!("{{{{ v|{filter} }}}}"), hard).unwrap(), expected, "{filter}");
        }
    }

    #[test]
    fn a_forgotten_filter_is_an_error() {
        for hard in ["a b", "", "a'", "a\"", "a;b", "a#b", "$x", "a\nb", "<a>", "é"] {
            assert!(written("{{ v }}", hard).is_err(), "{hard:?} was written as it is");
        }
        for (plain, text) in
            [(Value::from("10.0.0.1/32"), "10.0.0.1/32"), (5060.into(), "5060"), (true.into(), "true")]
        {
            assert_eq!(written("{{ v }}", plain).unwrap(), text);
        }
        assert!(written("{{ v }}", Value::from(())).is_err(), "none was written");
        assert!(written("{{ [v] }}", "a").is_err(), "a list was written");
    }

    #[test]
    fn what_no_quoting_can_protect_is_refused() {
        for filter in ["pgconf", "redisconf", "kamcfg", "yaml", "shell", "systemd", "xml"] {
            assert!(written(&format!("{{{{ v|{filter} }}}}"), "a\nb").is_err(), "{filter}");
        }
        for bad in ["$${password}", "${hostname}", "x-Pre-Process"] {
            assert!(written("{{ v|xml }}", bad).is_err(), "{bad}");
        }
        assert!(written("{{ v|kamcfg }}", "$ru").is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_shell_reads_back_what_was_quoted(value in "[ -~äß]{0,40}") {
            let script = written("printf %s {{ v|shell }}", value.as_str()).unwrap();
            let out = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            proptest::prop_assert_eq!(String::from_utf8(out.stdout).unwrap(), value);
        }

        #[test]
        fn yaml_reads_back_what_was_quoted(value in "[ -~äß]{0,40}") {
            let text = written("v: {{ v|yaml }}", value.as_str()).unwrap();
            let read: std::collections::BTreeMap<String, String> = strictyaml::parse("t", &text).unwrap();
            proptest::prop_assert_eq!(&read["v"], &value);
        }
    }
}
