//! Reading JSON that may not have the shape it should: the members we know are taken, everything else is skipped, and a
//! member of the wrong type reads as absent. Text is borrowed from the input where it holds no escapes, so that reading a
//! CDR of 30 KB costs microseconds.
//!
//! [`members!`] declares a struct whose fields are JSON members; each field's type says how its value is read, by [`Member`].

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text, a number or a boolean, as text: FreeSWITCH writes numbers as strings, others may not. `None` for anything else.
pub(crate) type Text<'a> = Option<Cow<'a, str>>;

/// How the value of a member is taken from the object that holds it.
pub(crate) trait Member<'de> {
    /// Reads the next value of `map`. Where a key is repeated, what was read first stays.
    fn take<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error>;
}

/// An object of which some members are wanted.
pub(crate) trait Members<'de>: Default {
    /// Takes the value that follows `key`, wanted or not.
    fn member<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;

    /// Whether a list keeps this element.
    fn is_wanted(&self) -> bool {
        true
    }
}

/// Declares structs of JSON members: `field: Type = "key"`. `wanted` names a method that says whether a list keeps one.
macro_rules! members {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident<'a> $(wanted $wanted:ident)? {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $kind:ty = $key:literal),* $(,)?
    })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Default)]
        $vis struct $name<'a> {
            $($(#[$field_meta])* $field_vis $field: $kind,)*
        }

        impl<'a> $crate::json::Members<'a> for $name<'a> {
            fn member<A: serde::de::MapAccess<'a>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                let tag = $crate::json::tag(key);
                $(if tag == const { $crate::json::tag($key) } && key == $key {
                    return $crate::json::Member::take(&mut self.$field, map);
                })*
                map.next_value::<serde::de::IgnoredAny>().map(drop)
            }
            $(fn is_wanted(&self) -> bool {
                self.$wanted()
            })?
        }

        impl<'a> $crate::json::Member<'a> for $name<'a> {
            fn take<A: serde::de::MapAccess<'a>>(&mut self, map: &mut A) -> Result<(), A::Error> {
                map.next_value_seed($crate::json::Fill(self))
            }
        }
    )+};
}
pub(crate) use members;

/// Four bytes that tell most keys apart. A CDR has 200 variables and 40 of them matter: comparing each with each as text would
/// take longer than all the rest of reading.
pub(crate) const fn tag(key: &str) -> u32 {
    let bytes = key.as_bytes();
    let length = bytes.len();
    if length == 0 {
        return 0;
    }
    u32::from_le_bytes([length as u8, bytes[0], bytes[length / 2], bytes[length - 1]])
}

/// Reads a whole document. Anything but an object, and what follows it, is an error.
pub(crate) fn read<'de, T: Members<'de>>(json: &'de str) -> Result<T, serde_json::Error> {
    let mut document = T::default();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Fill(&mut document).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(document)
}

/// Fills `T` from an object; a list or a scalar in its place leaves it as it is.
pub(crate) struct Fill<'s, T>(pub(crate) &'s mut T);

impl<'de, T: Members<'de>> DeserializeSeed<'de> for Fill<'_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The rest of a visitor for which every scalar is nothing.
macro_rules! scalars_are_nothing {
    () => {
        scalars_are_nothing!(visit_str: &str, visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
    ($($visit:ident: $kind:ty),+) => {$(
        fn $visit<E>(self, _: $kind) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    )+};
}

impl<'de, T: Members<'de>> Visitor<'de> for Fill<'_, T> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            self.0.member(&key, &mut map)?;
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        skip_list(seq)
    }
    scalars_are_nothing!();
}

/// At most this many elements of a list are kept, of those that are wanted: the first ones and the very last.
pub(crate) const LIST_MAX_ELEMENTS: usize = 32;

/// A list of objects, or a single object in its place. A repeated key adds to it.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Members<'de>> List<T> {
    fn push(&mut self, element: T) {
        if !element.is_wanted() {
            return;
        }
        if self.0.len() == LIST_MAX_ELEMENTS {
            self.0.pop();
        }
        self.0.push(element);
    }
}

impl<'de, T: Members<'de>> Member<'de> for List<T> {
    fn take<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        map.next_value_seed(Extend(self))
    }
}

struct Extend<'s, T>(&'s mut List<T>);

impl<'de, T: Members<'de>> DeserializeSeed<'de> for Extend<'_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Members<'de>> Visitor<'de> for Extend<'_, T> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of JSON objects")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let mut element = T::default();
            match seq.next_element_seed(Fill(&mut element))? {
                Some(()) => self.0.push(element),
                None => return Ok(()),
            }
        }
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let mut element = T::default();
        Fill(&mut element).deserialize(MapAccessDeserializer::new(map))?;
        self.0.push(element);
        Ok(())
    }
    scalars_are_nothing!();
}

impl<'de> Member<'de> for Text<'de> {
    fn take<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let Scalar(text) = map.next_value()?;
        if self.is_none() {
            *self = text;
        }
        Ok(())
    }
}

struct Scalar<'a>(Text<'a>);

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadScalar).map(Scalar)
    }
}

/// A member's name: always a text.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ReadScalar).map(|key| Key(key.unwrap_or_default()))
    }
}

struct ReadScalar;

impl<'de> Visitor<'de> for ReadScalar {
    type Value = Text<'de>;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Some(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Text<'de>, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Text<'de>, E> {
        Ok(Some(Cow::Borrowed(if value { "true" } else { "false" })))
    }
    fn visit_unit<E>(self) -> Result<Text<'de>, E> {
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Text<'de>, A::Error> {
        skip_list(seq).map(|()| None)
    }
}

fn skip_list<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}
