//! CSV as RFC 4180 has it, with nothing in it that a spreadsheet would run.

use serde_json::Value;

/// One line, ended.
pub fn line(cells: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut line = String::new();
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            line.push(',');
        }
        let cell = cell.as_ref();
        if cell.contains([',', '"', '\r', '\n']) {
            line.push('"');
            line.push_str(&cell.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(cell);
        }
    }
    line.push_str("\r\n");
    line
}

/// A value's cell.
///
/// A caller chooses his name: one that begins with `=`, `+`, `-`, `@`, a tab or a carriage return is a formula to a
/// spreadsheet (OWASP, CSV injection), and gets a `'` before it. A number with its `+` is left as it is.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if is_formula(text) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_formula(text: &str) -> bool {
    let number = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    match text.strip_prefix('+') {
        Some(rest) => !number(rest),
        None => text.starts_with(['=', '-', '@', '\t', '\r']),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_runs_and_everything_comes_back() {
        for (value, shown) in [
            (json!("Alice"), "Alice"),
            (json!(null), ""),
            (json!(-7), "-7"),
            (json!(true), "true"),
            (json!("=HYPERLINK(\"http://x\")"), "'=HYPERLINK(\"http://x\")"),
            (json!("@x"), "'@x"),
            (json!("-1+1"), "'-1+1"),
            (json!("\tx"), "'\tx"),
            (json!("+1+1"), "'+1+1"),
            (json!("+4989123"), "+4989123"),
        ] {
            assert_eq!(cell(&value), shown);
        }
        assert_eq!(line(["a", "b,c", "d\"e", "f\ng", ""].into_iter()), "a,\"b,c\",\"d\"\"e\",\"f\ng\",\r\n");
    }
}
