//! A statement put together of constants, its values beside it.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};

/// A value of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Texts(Vec<String>),
    Int(i32),
    Big(i64),
    Time(Timestamp),
    Times(Vec<Timestamp>),
}

impl Value {
    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Text(value) => (value, Type::TEXT),
            Self::Texts(value) => (value, Type::TEXT_ARRAY),
            Self::Int(value) => (value, Type::INT4),
            Self::Big(value) => (value, Type::INT8),
            Self::Time(value) => (value, Type::TIMESTAMPTZ),
            Self::Times(value) => (value, Type::TIMESTAMPTZ_ARRAY),
        }
    }
}

/// A statement in the making.
///
/// Architecture invariant: text is `&'static str`, so that nothing a client sent can become part of it.
#[derive(Debug, Default)]
pub(crate) struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    pub(crate) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// The value's number, as `$1`.
    pub(crate) fn value(&mut self, value: Value) -> &mut Self {
        self.values.push(value);
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
        self
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn params(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values.iter().map(Value::typed).collect()
    }
}
