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
    IncompatibleVersion,
    /// A field of the configuration asks for what this plugin does not do.
    UnsupportedField,
    /// An environment variable is absent or wrong.
    InvalidEnvironment,
    /// A file could not be read or written.
    Io,
    /// The configuration, or a file, is not what it should be.
    Decode,
    /// A field of the configuration has a wrong value.
    InvalidConfiguration,
    /// Something is missing that will come.
    TryAgainLater,
    /// STATUS: an ADD would fail.
    NotAvailable,
    /// STATUS: an ADD would fail, and pods that are there may not be reached.
    Limited,
    /// Every address is taken, or the one asked for.
    NoAddress,
    /// The bridge cannot be used as it is.
    Bridge,
    /// The pod has an interface of that name, or this attachment exists.
    Exists,
    /// The kernel refused.
    Kernel,
    /// CHECK: the pod is not as its ADD left it.
    Changed,
    /// A plugin that gives addresses failed and did not say how.
    Delegate,
    /// What another plugin said, in its own number.
    Foreign(u32),
    /// The plugin itself is at fault.
    Panic,
}

impl Code {
    /// The number for the runtime.
    pub fn number(self) -> u32 {
        match self {
            Code::IncompatibleVersion => 1,
            Code::UnsupportedField => 2,
            Code::InvalidEnvironment => 4,
            Code::Io => 5,
            Code::Decode => 6,
            Code::InvalidConfiguration => 7,
            Code::TryAgainLater => 11,
            Code::NotAvailable => 50,
            Code::Limited => 51,
            Code::NoAddress => 100,
            Code::Bridge => 101,
            Code::Exists => 102,
            Code::Kernel => 103,
            Code::Changed => 104,
            Code::Delegate => 105,
            Code::Foreign(number) => number,
            Code::Panic => 199,
        }
    }
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
            "code": self.code.number(),
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
            ipam::Error::Exhausted { .. }
            | ipam::Error::Requested { .. }
            | ipam::Error::Taken { .. }
            | ipam::Error::Owner { .. } => (Code::NoAddress, "no address for the pod"),
            ipam::Error::Locked { .. } => (Code::TryAgainLater, "the address store is in use"),
        };
        Error::new(code, message, error)
    }
}

impl From<kernel::Error> for Error {
    fn from(error: kernel::Error) -> Error {
        match error {
            kernel::Error::HostPortTaken { .. } => {
                Error::new(Code::Exists, error.to_string(), "DEL that container first, or map another port")
            }
            kernel::Error::NotABridge { .. } => Error::new(Code::Bridge, error.to_string(), ""),
            error => Error::new(Code::Kernel, "the kernel refused", error),
        }
    }
}
