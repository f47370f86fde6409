//! Which plugin a call is for: one binary answers as each plugin that a node needs.
//!
//! A runtime executes the file that `type` names, and a plugin the one that `ipam.type` names. So the
//! name of the file decides, whether it is a copy or a link:
//!
//! | name | plugin |
//! |---|---|
//! | `bridge` | [`Program::Bridge`]: attaches pods |
//! | `host-local` | [`Program::HostLocal`]: gives addresses, for others to configure |
//! | `loopback` | [`Program::Loopback`]: brings `lo` up |
//! | `portmap` | [`Program::Portmap`]: forwards ports of the node |
//! | any other, as `routelet` and `routelet-cni` | the one that `type` says; [`Program::HostLocal`] if it is the name in `ipam.type` and not the one in `type`; else [`Program::Bridge`] |
//!
//! To add a plugin, give it a name here and its verbs a place in [`Program::verbs`].

use serde_json::Value;

use super::conf::Network;
use super::environment::{Attachment, Command, Environment};
use super::{Code, Error, add, check, del, gc, host_local, loopback, portmap, status, version};

/// A plugin that this binary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Attaches pods to a bridge.
    Bridge,
    /// Gives addresses to what another plugin attaches.
    HostLocal,
    /// Brings the loopback interface up.
    Loopback,
    /// Forwards ports of the node to pods.
    Portmap,
}

/// What a plugin does at each verb. VERSION is the same for all.
pub struct Verbs {
    /// ADD, with the result for stdout.
    pub add: fn(&Attachment, &Network) -> Result<Value, Error>,
    /// DEL.
    pub del: fn(&Attachment, &Network) -> Result<(), Error>,
    /// CHECK.
    pub check: fn(&Attachment, &Network) -> Result<(), Error>,
    /// STATUS.
    pub status: fn(&Network) -> Result<(), Error>,
    /// GC.
    pub gc: fn(&Network) -> Result<(), Error>,
}

impl Program {
    /// The plugin of a name.
    fn named(name: &str) -> Option<Program> {
        match name {
            "bridge" => Some(Program::Bridge),
            "host-local" => Some(Program::HostLocal),
            "loopback" => Some(Program::Loopback),
            "portmap" => Some(Program::Portmap),
            _ => None,
        }
    }

    /// The plugin that is meant by the name of the file that was executed and a configuration.
    ///
    /// # Errors
    /// `type` or `ipam.type` is not a string.
    pub fn of(called_as: &str, network: &Network) -> Result<Program, Error> {
        if let Some(program) = Program::named(called_as) {
            return Ok(program);
        }
        let root = network.root();
        let kind = root.text("type")?;
        let delegate = root.text_within("ipam", "type")?;
        if delegate.as_deref() == Some(called_as) && kind.as_deref() != Some(called_as) {
            return Ok(Program::HostLocal);
        }
        Ok(kind.as_deref().and_then(Program::named).unwrap_or(Program::Bridge))
    }

    /// What it does at each verb.
    pub fn verbs(self) -> Verbs {
        match self {
            Program::Bridge => Verbs {
                add: add::add,
                del: del::del,
                check: check::check,
                status: status::status,
                gc: gc::gc,
            },
            Program::HostLocal => Verbs {
                add: host_local::add,
                del: host_local::del,
                check: host_local::check,
                status: host_local::status,
                gc: host_local::gc,
            },
            Program::Loopback => Verbs {
                add: loopback::add,
                del: loopback::del,
                check: loopback::check,
                status: |_| Ok(()),
                gc: |_| Ok(()),
            },
            Program::Portmap => Verbs {
                add: portmap::add,
                del: portmap::del,
                check: portmap::check,
                status: portmap::status,
                gc: portmap::gc,
            },
        }
    }

    /// Carries out a verb, if the version of the configuration has it.
    ///
    /// # Errors
    /// The version does not have the verb, variables are absent or wrong, or the verb failed.
    pub fn call(self, environment: &Environment, network: &Network) -> Result<Option<Value>, Error> {
        let command = environment.command;
        if network.version < command.since() {
            let why =
                format!("it came with {}, the configuration is of {}", command.since(), network.version);
            return Err(Error::new(Code::IncompatibleVersion, format!("no {command} here"), why));
        }
        let verbs = self.verbs();
        match command {
            Command::Add => (verbs.add)(&environment.attachment()?, network).map(Some),
            Command::Del => (verbs.del)(&environment.attachment()?, network).map(|()| None),
            Command::Check => (verbs.check)(&environment.attachment()?, network).map(|()| None),
            Command::Status => (verbs.status)(network).map(|()| None),
            Command::Gc => (verbs.gc)(network).map(|()| None),
            Command::Version => Ok(Some(version::version(network.text()))),
        }
    }
}
