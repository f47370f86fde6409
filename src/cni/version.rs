//! VERSION, and the versions of the specification that are spoken here.

use std::fmt;

use serde_json::{Value, json};

/// A version of the CNI specification, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the number it is named after")]
pub enum Version {
    V0_1_0,
    V0_2_0,
    V0_3_0,
    V0_3_1,
    V0_4_0,
    V1_0_0,
    V1_1_0,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Version; 7] = [
        Version::V0_1_0,
        Version::V0_2_0,
        Version::V0_3_0,
        Version::V0_3_1,
        Version::V0_4_0,
        Version::V1_0_0,
        Version::V1_1_0,
    ];

    /// What is spoken to a runtime that did not say, or said what is not understood.
    pub const NEWEST: Version = Version::V1_1_0;

    /// The version as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V0_1_0 => "0.1.0",
            Version::V0_2_0 => "0.2.0",
            Version::V0_3_0 => "0.3.0",
            Version::V0_3_1 => "0.3.1",
            Version::V0_4_0 => "0.4.0",
            Version::V1_0_0 => "1.0.0",
            Version::V1_1_0 => "1.1.0",
        }
    }

    /// The version that is written so.
    pub fn parse(text: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// The version of a configuration that may be malformed otherwise.
    pub fn of(configuration: &[u8]) -> Option<Version> {
        let document: Value = serde_json::from_slice(configuration).ok()?;
        Version::parse(document.get("cniVersion")?.as_str()?)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Answers VERSION. The configuration matters only for the version of the answer, which is the one of the
/// question, be it known here or not: a runtime asks in order to learn what it may configure.
pub fn version(configuration: &[u8]) -> Value {
    let document: Option<Value> = serde_json::from_slice(configuration).ok();
    let asked = document.as_ref().and_then(|document| document.get("cniVersion")?.as_str());
    json!({
        "cniVersion": asked.unwrap_or(Version::NEWEST.as_str()),
        "supportedVersions": Version::ALL.map(Version::as_str),
    })
}
