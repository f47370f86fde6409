//! A `v1 Secret`, whose values no log or error shows.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1 as k8s;

use super::{Problems, metadata_name};

/// The values of a Secret by key.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(BTreeMap<String, Vec<u8>>);

impl Secret {
    /// The value under a key.
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// The keys there are.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Name and contents of a Secret object. As in Kubernetes, `stringData` wins over `data`.
    pub(super) fn read(secret: k8s::Secret, problems: &mut Problems) -> (String, Secret) {
        let name = metadata_name(&secret.metadata, problems);
        let mut values: BTreeMap<String, Vec<u8>> =
            secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        for (key, text) in secret.string_data.unwrap_or_default() {
            values.insert(key, text.into_bytes());
        }
        (name, Secret(values))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
