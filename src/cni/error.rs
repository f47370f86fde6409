//! Errors as a runtime reads them: a code, a message, details (CNI specification, section 5,
//! "Error").

use std::fmt;

use serde_json::{Value, json};

use super::version::Version;
use crate::{ipam, kernel};

/// What went wrong, in the specification's numbers. From 100 on they are our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The configuration's version is not supported, or does not have the verb.
    IncompatibleVersion = 1,
    /// A field of the configuration asks for what this plugin does not do.
    UnsupportedField = 2,
    /// An environment variable is absent or wrong.
    InvalidEnvironment = 4,
    /// A file could not be read or written.
    Io = 5,
    /// The configuration, or a file, is not what it should be.
    Decode = 6,
    /// A field of the configuration has a wrong value.
    InvalidConfiguration = 7,
    /// Something is missing that will come.
    TryAgainLater = 11,
    /// STATUS: an ADD would fail.
    NotAvailable = 50,
    /// Every address is taken, or the one asked for.
    NoAddress = 100,
    /// The bridge cannot be used as it is.
    Bridge = 101,
    /// The pod has an interface of that name, or this attachment exists.
    Exists = 102,
    /// The kernel refused.
    Kernel = 103,
    /// CHECK: the pod is not as its ADD left it.
    Changed = 104,
    /// The plugin itself is at fault.
    Panic = 199,
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    /// What kind of failure, for the runtime.
    pub code: Code,
    /// What failed, for a person.
    pub message: String,
    /// Why, and what else there is to know. May be empty.
    pub details: String,
}

impl Error {
    /// An error of this kind.
    pub fn new(code: Code, message: impl Into<String>, details: impl fmt::Display) -> Error {
        Error { code, message: message.into(), details: details.to_string() }
    }

    /// A field of the configuration has a wrong value.
    pub fn invalid(field: impl fmt::Display, why: impl fmt::Display) -> Error {
        Error::new(Code::InvalidConfiguration, format!("network configuration: {field} is wrong"), why)
    }

    /// The same error, with what else went wrong while cleaning up after it.
    #[must_use]
    pub fn also(mut self, others: &[Error]) -> Error {
        for other in others {
            self.details.push_str(&format!("; also: {other}"));
        }
        self
    }

    /// The first of several failures, with the others in its details.
    ///
    /// # Errors
    /// There was at least one failure.
    pub fn first_of(failures: Vec<Error>) -> Result<(), Error> {
        let mut failures = failures.into_iter();
        match failures.next() {
            None => Ok(()),
            Some(first) => Err(first.also(failures.as_slice())),
        }
    }

    /// The error as JSON for stdout.
    pub fn document(&self, version: Version) -> Value {
        json!({
            "cniVersion": version.to_string(),
            "code": self.code as u32,
            "msg": self.message,
            "details": self.details,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.details.is_empty() { Ok(()) } else { write!(f, ": {}", self.details) }
    }
}

impl From<ipam::Error> for Error {
    fn from(error: ipam::Error) -> Error {
        let (code, message) = match error {
            ipam::Error::Io { .. } => (Code::Io, "the address store is not usable"),
            ipam::Error::NodeFile { .. } => (Code::Decode, "the node file is not usable"),
            ipam::Error::Range { .. } => (Code::InvalidConfiguration, "network configuration: ipam is wrong"),
            ipam::Error::Duplicate { .. } => {
                (Code::Exists, "the container is attached already; DEL it first")
            }
            ipam::Error::Exhausted { .. } | ipam::Error::Requested { .. } => {
                (Code::NoAddress, "no address for the pod")
            }
        };
        Error::new(code, message, error)
    }
}

impl From<kernel::Error> for Error {
    fn from(error: kernel::Error) -> Error {
        match error {
            kernel::Error::NotABridge { .. } => Error::new(Code::Bridge, error.to_string(), ""),
            error => Error::new(Code::Kernel, "the kernel refused", error),
        }
    }
}
