//! A page of a list, made ours object by object while it is parsed: only its text is ever whole in memory.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::kind::Kind;
use super::seen::Seen;

/// A page.
pub(super) struct Page {
    pub(super) metadata: ListMeta,
    pub(super) objects: Vec<Seen>,
}

impl Page {
    pub(super) fn read(kind: Kind, json: &[u8]) -> Result<Page, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let page = deserializer.deserialize_map(PageVisitor(kind))?;
        deserializer.end()?;
        Ok(page)
    }
}

struct PageVisitor(Kind);

impl<'de> Visitor<'de> for PageVisitor {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Page, A::Error> {
        let mut page = Page { metadata: ListMeta::default(), objects: vec![] };
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "metadata" => page.metadata = entries.next_value()?,
                "items" => page.objects = entries.next_value_seed(Items(self.0))?,
                _ => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(page)
    }
}

struct Items(Kind);

impl<'de> DeserializeSeed<'de> for Items {
    type Value = Vec<Seen>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Seen>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Vec<Seen>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    /// As Go writes an empty list.
    fn visit_unit<E>(self) -> Result<Vec<Seen>, E> {
        Ok(vec![])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Seen>, A::Error> {
        let mut objects = vec![];
        while let Some(item) = items.next_element::<Value>()? {
            objects.extend(Seen::read(self.0, item));
        }
        Ok(objects)
    }
}
