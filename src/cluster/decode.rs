//! Trees to typed objects, strictly: a field that the type does not have is an error, and every error
//! knows its path and line.
//!
//! The types of `k8s-openapi` skip unknown fields in silence, as the API's machinery needs them to.
//! In a manifest a `podCIDRS` is a typing error that nobody would ever find. Serde tells a
//! deserializer which fields a struct has, so the check is made here, for their types and for ours.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::document::{Key, Tree, Value};

/// Why a tree is not the object it should be.
#[derive(Debug)]
pub(super) struct Error(Vec<Fault>);

/// One thing wrong with a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Path of the field; empty for the whole.
    pub(super) field: String,
    /// Line in the document, from 1.
    pub(super) line: Option<u32>,
    pub(super) text: String,
    /// It is a field that the type does not have.
    pub(super) unknown: bool,
}

/// Reads a tree as a `T`, leaving out the top-level keys `but`.
pub(super) fn decode<'de, T: Deserialize<'de>>(tree: &'de Tree, but: &[&str]) -> Result<T, Vec<Fault>> {
    T::deserialize(Reader { tree, but }).map_err(|Error(faults)| faults)
}

/// Reads a tree as a `T` likewise, but for the fields that it does not have: they are cut from the tree, and returned.
pub(super) fn decode_known<T: DeserializeOwned>(
    tree: &mut Tree,
    but: &[&str],
) -> (Result<T, Vec<Fault>>, Vec<Fault>) {
    let mut unknown = vec![];
    loop {
        let faults = match decode(tree, but) {
            Ok(decoded) => return (Ok(decoded), unknown),
            Err(faults) => faults,
        };
        let (cut, faults): (Vec<Fault>, Vec<Fault>) =
            faults.into_iter().partition(|fault| fault.unknown && tree.remove(&fault.field));
        if cut.is_empty() {
            return (Err(faults), unknown);
        }
        // Decoding goes further the next time: a round for each struct that has such fields.
        unknown.extend(cut);
    }
}

impl Error {
    /// Seen from outside: what was wrong at `inner` is wrong at `outer.inner`.
    fn within(mut self, outer: &str, line: u32) -> Self {
        for fault in &mut self.0 {
            let separator = if fault.field.is_empty() || fault.field.starts_with('[') { "" } else { "." };
            fault.field = format!("{outer}{separator}{}", fault.field);
            fault.line.get_or_insert(line);
        }
        self
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error(vec![Fault { field: String::new(), line: None, text: message.to_string(), unknown: false }])
    }

    /// Says what kind of value was found, but not the value: it may be a password without quotes.
    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a number",
            Unexpected::Float(_) => "a fraction",
            Unexpected::Str(_) => "a text",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a mapping",
            _ => "nothing",
        };
        Error::custom(format!("expected {expected}, found {found}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Error(vec![Fault { field: field.into(), line: None, text: "required".into(), unknown: false }])
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let known = expected.join(", ");
        Error(vec![Fault {
            field: field.into(),
            line: None,
            text: format!("unknown field; known here are {known}"),
            unknown: true,
        }])
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "{}: {}", fault.field, fault.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// A deserializer over a tree.
struct Reader<'de, 'a> {
    tree: &'de Tree,
    but: &'a [&'a str],
}

fn reader(tree: &Tree) -> Reader<'_, 'static> {
    Reader { tree, but: &[] }
}

impl<'de> Reader<'de, '_> {
    fn mapping<V: Visitor<'de>>(&self, entries: &'de [(Key, Tree)], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entries { rest: entries.iter(), but: self.but, value: None })
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.tree.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_borrowed_str(value),
            Value::Sequence(items) => visitor.visit_seq(Items { rest: items.iter().enumerate() }),
            Value::Mapping(entries) => self.mapping(entries, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tree.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Value::Mapping(entries) = &self.tree.value else { return self.deserialize_any(visitor) };
        let unknown: Vec<Fault> = entries
            .iter()
            .filter(|(key, _)| !fields.contains(&key.name.as_str()) && !self.but.contains(&key.name.as_str()))
            .flat_map(|(key, _)| <Error as de::Error>::unknown_field(&key.name, fields).at(key.line).0)
            .collect();
        if unknown.is_empty() { self.mapping(entries, visitor) } else { Err(Error(unknown)) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.tree.value {
            Value::Text(text) => {
                let text: StrDeserializer<'_, Error> = text.as_str().into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            _ => Err(de::Error::custom(format!("expected one of {}", variants.join(", ")))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl Error {
    fn at(mut self, line: u32) -> Self {
        for fault in &mut self.0 {
            fault.line.get_or_insert(line);
        }
        self
    }
}

/// The items of a sequence that are still to be read.
struct Items<'de> {
    rest: std::iter::Enumerate<std::slice::Iter<'de, Tree>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((index, item)) = self.rest.next() else { return Ok(None) };
        let value = seed.deserialize(reader(item));
        value.map(Some).map_err(|error| error.within(&format!("[{index}]"), item.line))
    }
}

/// The entries of a mapping that are still to be read.
struct Entries<'de, 'a> {
    rest: std::slice::Iter<'de, (Key, Tree)>,
    but: &'a [&'a str],
    value: Option<&'de (Key, Tree)>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let but = self.but;
        self.value = self.rest.find(|(key, _)| !but.contains(&key.name.as_str()));
        let Some((key, _)) = self.value else { return Ok(None) };
        let name: StrDeserializer<'_, Error> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|error| error.at(key.line))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some((key, tree)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(reader(tree)).map_err(|error| error.within(&key.name, key.line))
    }
}
