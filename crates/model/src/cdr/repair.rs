//! Making JSON of what FreeSWITCH's encoding left of it.
//!
//! With `encode=true` and `encode-values=true`, FreeSWITCH's defaults, decoding once also decodes the values: `%0A` becomes a raw line
//! break inside a string, `%22` a bare quote. The structure around the strings is sound, so a quote ends a string only where what
//! follows it can follow a string there..
//!
//! A caller can choose a name that looks like structure: `seal` finds him out.

use serde::de::IgnoredAny;

/// Deepest nesting of lists and objects. Real documents have 7.
const DEPTH_MAX: usize = 32;
/// Longest name of a member that is looked for behind a quote, in bytes.
const KEY_MAX_BYTES: usize = 128;
/// Most blanks skipped where structure is looked for behind a quote.
const BLANKS_MAX: usize = 32;

/// The text with strings ending where the structure says, and with everything escaped that may not stand in one. That
/// the structure is sound is left to the parser that reads it next.
///
/// # Errors
/// Why it cannot be done, as the end of a sentence.
pub(super) fn repair(text: &str) -> Result<String, String> {
    let json = String::with_capacity(text.len() + text.len() / 16);
    let mut repair = Repair { text, at: 0, json, open: Vec::new(), before: b' ' };
    while let Some(byte) = repair.byte(0) {
        repair.token(byte)?;
    }
    Ok(repair.json)
}

struct Repair<'a> {
    text: &'a str,
    /// How far it has been read, in bytes.
    at: usize,
    json: String,
    open: Vec<Container<'a>>,
    /// The last byte of structure.
    before: u8,
}

struct Container<'a> {
    object: bool,
    /// The member being read.
    key: &'a str,
}

impl<'a> Repair<'a> {
    fn token(&mut self, byte: u8) -> Result<(), String> {
        match byte {
            b'{' | b'[' => {
                if self.open.len() == DEPTH_MAX {
                    return Err(format!("it is nested deeper than {DEPTH_MAX}"));
                }
                self.open.push(Container { object: byte == b'{', key: "" });
            }
            b'}' | b']' => drop(self.open.pop()),
            b',' | b':' => {}
            b'"' if self.in_object() && matches!(self.before, b'{' | b',') => return self.key(),
            b'"' => return self.string(),
            _ if byte.is_ascii_whitespace() => {
                self.at += 1;
                return Ok(());
            }
            _ => return self.literal(),
        }
        self.before = byte;
        self.json.push(char::from(byte));
        self.at += 1;
        Ok(())
    }

    fn key(&mut self) -> Result<(), String> {
        let Some(end) = self.key_end(self.at) else {
            return Err(format!("at byte {} a member's name is not one", self.at));
        };
        let key = &self.text[self.at + 1..end];
        if let Some(container) = self.open.last_mut() {
            container.key = key;
        }
        self.json.push_str(&self.text[self.at..=end]);
        self.before = b'"';
        self.at = end + 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        self.json.push('"');
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(plain) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') else {
                return Err("it ends in the middle of a string".to_owned());
            };
            self.json.push_str(&rest[..plain]);
            self.at += plain;
            match rest.as_bytes()[plain] {
                b'"' if self.ends_string(self.at) => break,
                b'"' => self.json.push_str("\\\""),
                b'\\' => {
                    self.escape();
                    continue;
                }
                control => self.json.push_str(&format!("\\u{control:04x}")),
            }
            self.at += 1;
        }
        self.json.push('"');
        self.before = b'"';
        self.at += 1;
        Ok(())
    }

    /// A backslash: JSON's own, or one that `%5C` was.
    fn escape(&mut self) {
        let pair = |at: usize| self.text.get(at..at + 6).filter(|hex| hex.starts_with("\\u")).and_then(unit);
        let length = match self.byte(1) {
            Some(b'"') if self.among_variables() && self.ends_string(self.at + 1) => 1,
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => match (pair(self.at), pair(self.at + 6)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
                (Some(0xd800..=0xdfff), _) => {
                    // Half a pair, which is no character.
                    self.json.push(char::REPLACEMENT_CHARACTER);
                    self.at += 6;
                    return;
                }
                (Some(_), _) => 6,
                (None, _) => 1,
            },
            _ => 1,
        };
        if length == 1 {
            self.json.push('\\');
        }
        self.json.push_str(&self.text[self.at..self.at + length]);
        self.at += length;
    }

    /// A number or a word; what JSON does not know (`nan`) becomes null.
    fn literal(&mut self) -> Result<(), String> {
        let rest = &self.text[self.at..];
        let structural =
            |c: char| c.is_ascii_whitespace() || matches!(c, '{' | '}' | '[' | ']' | ',' | ':' | '"');
        let literal = &rest[..rest.find(structural).unwrap_or(rest.len())];
        let known = serde_json::from_str::<IgnoredAny>(literal).is_ok();
        self.json.push_str(if known { literal } else { "null" });
        self.before = b'0';
        self.at += literal.len();
        Ok(())
    }

    /// Whether the quote at this place ends a value: whether what follows it belongs to the structure.
    fn ends_string(&self, quote: usize) -> bool {
        let next = self.past_blanks(quote + 1);
        match self.at_place(next) {
            None => true,
            Some(b'}') => self.in_object() && self.continues(next + 1),
            Some(b']') => !self.in_object() && self.continues(next + 1),
            Some(b',') => !self.in_object() || self.key_end(self.past_blanks(next + 1)).is_some(),
            _ => false,
        }
    }

    /// Whether the text from here on can follow the end of a list or object.
    fn continues(&self, place: usize) -> bool {
        let next = self.past_blanks(place);
        match self.at_place(next) {
            None | Some(b'}' | b']') => true,
            Some(b',') => {
                let element = self.past_blanks(next + 1);
                matches!(self.at_place(element), Some(b'{' | b'[')) || self.key_end(element).is_some()
            }
            _ => false,
        }
    }

    /// The closing quote of a member's name whose opening quote stands here: a plain word, and a colon behind it.
    fn key_end(&self, quote: usize) -> Option<usize> {
        let rest = self.text.as_bytes().get(quote..)?.strip_prefix(b"\"")?;
        let length = rest.iter().take(KEY_MAX_BYTES + 1).position(|&b| b == b'"')?;
        let plain =
            rest[..length].iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b',' | b'{' | b'}'));
        let end = quote + 1 + length;
        (plain && self.at_place(self.past_blanks(end + 1)) == Some(b':')).then_some(end)
    }

    /// Whether this is where values are encoded, and so where a backslash can be bare.
    fn among_variables(&self) -> bool {
        self.open.len() == 2 && self.open[0].key == "variables"
    }

    fn in_object(&self) -> bool {
        self.open.last().is_some_and(|container| container.object)
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.at_place(self.at + ahead)
    }

    fn at_place(&self, place: usize) -> Option<u8> {
        self.text.as_bytes().get(place).copied()
    }

    fn past_blanks(&self, place: usize) -> usize {
        let blanks = self.text.as_bytes().iter().skip(place).take(BLANKS_MAX);
        place + blanks.take_while(|b| b.is_ascii_whitespace()).count()
    }
}

/// The UTF-16 unit of `\uXXXX`.
fn unit(escape: &str) -> Option<u32> {
    let hex = &escape[2..];
    if hex.bytes().all(|b| b.is_ascii_hexdigit()) { u32::from_str_radix(hex, 16).ok() } else { None }
}
