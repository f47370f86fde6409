//! The CNI plugin: one verb a file.
//!
//! Owns the protocol between a container runtime and the plugin (the CNI specification, versions
//! 0.1.0 to 1.1.0): the environment ([`environment`]), the network configuration ([`conf`]), results
//! ([`result`]) and errors ([`error`]); and what attaching a pod means: a bridge, a veth pair, an
//! address, routes. The addresses come from `ipam`, the links are made by `kernel`. No daemon takes
//! part: what the plugin has to know of the node it reads from the node file.
//!
//! | verb | file | since |
//! |---|---|---|
//! | ADD | [`add`] | 0.1.0 |
//! | DEL | [`del`] | 0.1.0 |
//! | CHECK | [`check`] | 0.4.0 |
//! | STATUS | [`status`] | 1.1.0 |
//! | GC | [`gc`] | 1.1.0 |
//! | VERSION | [`version`] | 0.2.0 |
//!
//! These are the verbs of the plugin that attaches pods. The same binary is others, by other names
//! ([`program`]): [`host_local`], [`loopback`], [`portmap`].
//!
//! A runtime calls plugins in any order and any number at once, kills them, and forgets to call
//! them. What holds nevertheless: the host end of a pod's veth pair has a name that follows from the
//! attachment alone ([`veth`]), and its addresses are found by the attachment (`ipam`); so a DEL
//! needs neither a namespace nor the result of the ADD to undo what an ADD did, however far it came.
//!
//! Whatever undoes an attachment, be it DEL, GC or an ADD that failed, does so in one order: the link, what is
//! done to the pod's packets ([`masquerade`]), the addresses; and an address is kept if either of the former
//! could not be removed, for the next pod would share it.

use std::io::Read;

use serde_json::Value;

pub mod add;
pub mod addressing;
pub mod bridge;
pub mod check;
pub mod conf;
pub mod conflist;
pub mod convert;
pub mod del;
pub mod delegate;
pub mod duplicates;
pub mod environment;
pub mod error;
pub mod field;
pub mod gc;
pub mod host_local;
pub mod host_side;
pub mod install;
pub mod lease;
pub mod life;
pub mod log;
pub mod loopback;
pub mod masquerade;
pub mod options;
pub mod plan;
pub mod pod;
pub mod portmap;
pub mod program;
pub mod result;
pub mod routed;
pub mod status;
pub mod version;
pub mod veth;
pub mod vlan;

pub use error::{Code, Error};

use conf::Network;
use environment::{Command, Environment};
use program::Program;
use version::Version;

/// What goes back to the runtime: a document for stdout, and whether to exit with 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The one JSON document for stdout. Some verbs succeed without one.
    pub document: Option<Value>,
    /// Exit with 0 if true, with 1 otherwise.
    pub success: bool,
}

/// Carries out what the environment and the configuration on `stdin` ask for, as the plugin of the
/// name that the binary was called by.
pub fn answer(called_as: &str, variable: impl Fn(&str) -> Option<String>, mut stdin: impl Read) -> Reply {
    let log = log::Log::begin();
    let mut input = Vec::with_capacity(4096);
    let read = stdin.read_to_end(&mut input);
    let outcome = Environment::read(&variable).and_then(|environment| match read {
        // VERSION is asked before anything is configured, by some runtimes with nothing on stdin.
        _ if environment.command == Command::Version => Ok(Some(version::version(&input))),
        Ok(_) => {
            let mut network = Network::parse(&input)?;
            network.plugin_path.clone_from(&environment.plugin_path);
            Program::of(called_as, &network)?.call(&environment, &network)
        }
        Err(source) => Err(Error::new(Code::Io, "cannot read the configuration from stdin", source)),
    });
    log.end(&variable, &input, outcome.as_ref().err().map(|e| (e.code.number(), e.to_string())));
    match outcome {
        Ok(document) => Reply { document, success: true },
        Err(error) => {
            let version = Version::of(&input).unwrap_or(Version::NEWEST);
            Reply { document: Some(error.document(version)), success: false }
        }
    }
}

/// What to print when the plugin itself is at fault: like every other failure one document, for a
/// runtime shows nobody what stands on stderr. The DEL that follows undoes what had been done.
pub fn panicked(what: impl std::fmt::Display) -> Value {
    let message = "a fault in routelet-cni: please report it";
    Error::new(Code::Panic, message, what).document(Version::NEWEST)
}

#[cfg(test)]
mod tests;
