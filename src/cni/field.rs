//! Reading a JSON document field by field, so that every error names the field by its full path.
//!
//! A derive on the whole document would say only at which column something is wrong, and fail for
//! DEL on a field that DEL has no use for.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Error;

/// An object in a document, and where it lies.
#[derive(Debug, Clone)]
pub struct Section<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    /// The document itself.
    pub fn root(fields: &'a Map<String, Value>) -> Section<'a> {
        Section { path: String::new(), fields }
    }

    /// Full path of a field, such as `ipam.ranges[0][1].subnet`.
    pub fn path(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// The value as it stands; `null` counts as absent.
    ///
    /// A field that is not there under its name is one whose name differs by case alone. So Go reads
    /// documents, the reference plugins with it, and containerd writes `HostPort` for `hostPort`.
    pub fn value(&self, field: &str) -> Option<&'a Value> {
        let alike = |(name, value): &(&String, &Value)| name.eq_ignore_ascii_case(field) && !value.is_null();
        let exact = self.fields.get(field).filter(|value| !value.is_null());
        exact.or_else(|| self.fields.iter().find(alike).map(|(_, value)| value))
    }

    /// A value of a JSON type.
    ///
    /// # Errors
    /// The value is of another type.
    pub fn optional<T: DeserializeOwned>(&self, field: &str) -> Result<Option<T>, Error> {
        let decode = |value: &Value| T::deserialize(value).map_err(|e| Error::invalid(self.path(field), e));
        self.value(field).map(decode).transpose()
    }

    /// A switch that is off when absent.
    ///
    /// # Errors
    /// The value is neither `true` nor `false`.
    pub fn flag(&self, field: &str) -> Result<bool, Error> {
        Ok(self.optional(field)?.unwrap_or(false))
    }

    /// A string; an empty one counts as absent, as it does in the reference plugins.
    ///
    /// # Errors
    /// The value is not a string.
    pub fn text(&self, field: &str) -> Result<Option<String>, Error> {
        Ok(self.optional::<String>(field)?.filter(|text| !text.is_empty()))
    }

    /// A string in an object of this one; absent if that is.
    ///
    /// # Errors
    /// The one is not an object, or the other not a string.
    pub fn text_within(&self, section: &str, field: &str) -> Result<Option<String>, Error> {
        Ok(self.section(section)?.map(|section| section.text(field)).transpose()?.flatten())
    }

    /// A string that stands for something else.
    ///
    /// # Errors
    /// The value is not a string, or does not parse.
    pub fn parsed<T: FromStr<Err: Display>>(&self, field: &str) -> Result<Option<T>, Error> {
        let parse = |text: String| {
            text.parse().map_err(|e: T::Err| {
                let why = e.to_string();
                // Some errors quote what they are about, some do not.
                let why = if why.contains(&text) { why } else { format!("{text:?}: {why}") };
                Error::invalid(self.path(field), why)
            })
        };
        self.text(field)?.map(parse).transpose()
    }

    /// An object.
    ///
    /// # Errors
    /// The value is not an object.
    pub fn section(&self, field: &str) -> Result<Option<Section<'a>>, Error> {
        self.value(field).map(|value| object(self.path(field), value)).transpose()
    }

    /// The objects of a list; none when absent.
    ///
    /// # Errors
    /// The value is not a list of objects.
    pub fn sections(&self, field: &str) -> Result<Vec<Section<'a>>, Error> {
        let path = self.path(field);
        self.value(field).map_or(Ok(Vec::new()), |value| objects(&path, value))
    }

    /// The objects of a list of lists; none when absent.
    ///
    /// # Errors
    /// The value is not a list of lists of objects.
    pub fn nested_sections(&self, field: &str) -> Result<Vec<Vec<Section<'a>>>, Error> {
        let path = self.path(field);
        let Some(value) = self.value(field) else { return Ok(Vec::new()) };
        let inner = |(i, value)| objects(&format!("{path}[{i}]"), value);
        list(&path, value)?.iter().enumerate().map(inner).collect()
    }
}

fn list<'a>(path: &str, value: &'a Value) -> Result<&'a Vec<Value>, Error> {
    value.as_array().ok_or_else(|| Error::invalid(path, format!("{value} is not a list")))
}

fn objects<'a>(path: &str, value: &'a Value) -> Result<Vec<Section<'a>>, Error> {
    list(path, value)?.iter().enumerate().map(|(i, value)| object(format!("{path}[{i}]"), value)).collect()
}

fn object(path: String, value: &Value) -> Result<Section<'_>, Error> {
    match value.as_object() {
        Some(fields) => Ok(Section { path, fields }),
        None => Err(Error::invalid(path, format!("{value} is not an object"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_in_another_case_counts_where_there_is_no_better() {
        let document =
            json!({"HostPort": 80, "hostIP": "::1", "HOSTIP": "::2", "protocol": null, "Protocol": "tcp"});
        let section = Section::root(document.as_object().unwrap());
        assert_eq!(section.optional::<u16>("hostPort").unwrap(), Some(80));
        assert_eq!(section.text("hostIP").unwrap().unwrap(), "::1");
        assert_eq!(section.text("protocol").unwrap().unwrap(), "tcp");
        assert_eq!(section.text("containerPort").unwrap(), None);
    }
}
