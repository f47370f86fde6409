//! What the runtime says in environment variables (CNI specification, section 2, "Parameters").

use std::fmt;

use super::version::Version;
use super::{Code, Error};
use crate::ipam::Owner;

/// Longest container id taken: it becomes part of a file name, which has 255 octets at most.
const CONTAINER_ID_MOST: usize = 200;

/// Longest interface name the kernel takes (`IFNAMSIZ` less the final zero).
const INTERFACE_MOST: usize = 15;

/// The key of `CNI_ARGS` that makes unknown keys welcome.
const IGNORE_UNKNOWN: &str = "IgnoreUnknown";

/// The keys of `CNI_ARGS` that mean something here or to plugins that give addresses.
const KNOWN: [&str; 5] = [IGNORE_UNKNOWN, "IP", "MAC", "GATEWAY", "SUBNET"];

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the specification's own verbs; the map in the room's doc has them")]
pub enum Command {
    Add,
    Del,
    Check,
    Status,
    Gc,
    Version,
}

impl Command {
    const ALL: [Command; 6] =
        [Command::Add, Command::Del, Command::Check, Command::Status, Command::Gc, Command::Version];

    /// The verb as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Command::Add => "ADD",
            Command::Del => "DEL",
            Command::Check => "CHECK",
            Command::Status => "STATUS",
            Command::Gc => "GC",
            Command::Version => "VERSION",
        }
    }

    /// The version of the specification that brought the verb.
    pub fn since(self) -> Version {
        match self {
            Command::Add | Command::Del | Command::Version => Version::V0_1_0,
            Command::Check => Version::V0_4_0,
            Command::Status | Command::Gc => Version::V1_1_0,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The variables as they came, looked at only as far as the verb needs them.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The verb.
    pub command: Command,
    container_id: String,
    netns: String,
    interface: String,
    args: String,
    /// Directories in which other plugins are looked for, with colons between them.
    pub plugin_path: String,
}

/// What ADD, DEL and CHECK are about: one interface of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Container and interface.
    pub owner: Owner,
    /// Path of the container's network namespace. Only DEL goes without.
    pub netns: Option<String>,
    /// The pairs of `CNI_ARGS`.
    pub args: Vec<(String, String)>,
}

impl Environment {
    /// Reads the variables; one that is empty counts as absent.
    ///
    /// # Errors
    /// There is no `CNI_COMMAND`, or it is none of the verbs.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Environment, Error> {
        let value = |name: &str| variable(name).unwrap_or_default();
        let text = value("CNI_COMMAND");
        let command = Command::ALL.into_iter().find(|c| c.as_str() == text).ok_or_else(|| {
            let verbs = Command::ALL.map(Command::as_str).join(", ");
            wrong(format!("CNI_COMMAND is {text:?}, not one of {verbs}"))
        })?;
        Ok(Environment {
            command,
            container_id: value("CNI_CONTAINERID"),
            netns: value("CNI_NETNS"),
            interface: value("CNI_IFNAME"),
            args: value("CNI_ARGS"),
            plugin_path: value("CNI_PATH"),
        })
    }

    /// The attachment the variables name.
    ///
    /// # Errors
    /// Variables are absent or wrong. The error names them all.
    pub fn attachment(&self) -> Result<Attachment, Error> {
        let mut faults = Vec::new();
        faults.extend(container_id_fault(&self.container_id));
        faults.extend(interface_fault(&self.interface));
        if self.netns.is_empty() && self.command != Command::Del {
            faults.push("CNI_NETNS is absent".to_owned());
        }
        let args = parse_args(&self.args).unwrap_or_else(|fault| {
            // A DEL has no use for them, and must not be held up by them.
            faults.extend(Some(fault).filter(|_| self.command != Command::Del));
            Vec::new()
        });
        if !faults.is_empty() {
            return Err(wrong(faults.join("; ")));
        }
        Ok(Attachment {
            owner: Owner { container_id: self.container_id.clone(), interface: self.interface.clone() },
            netns: Some(self.netns.clone()).filter(|path| !path.is_empty()),
            args,
        })
    }
}

/// Variables are not as they should be.
pub fn wrong(why: impl fmt::Display) -> Error {
    Error::new(Code::InvalidEnvironment, "environment variables are absent or wrong", why)
}

fn container_id_fault(id: &str) -> Option<String> {
    if id.is_empty() {
        Some("CNI_CONTAINERID is absent".to_owned())
    } else if let Some(fault) = identifier_fault(id) {
        Some(format!("CNI_CONTAINERID {fault}"))
    } else if id.len() > CONTAINER_ID_MOST {
        Some(format!("CNI_CONTAINERID has {} octets, at most {CONTAINER_ID_MOST} are taken", id.len()))
    } else {
        None
    }
}

/// What the specification does not allow in the name of a network or the id of a container.
pub fn identifier_fault(text: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let is_allowed = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed);
    let rule = "must be of letters, digits, '_', '.', '-' and start with a letter or digit";
    (!is_allowed).then(|| format!("{text:?} {rule}"))
}

/// What the kernel would not take as a name (`dev_valid_name` in net/core/dev.c).
fn interface_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("CNI_IFNAME is absent".to_owned())
    } else if name.len() > INTERFACE_MOST {
        Some(format!("CNI_IFNAME {name:?} has {} octets, at most {INTERFACE_MOST} are allowed", name.len()))
    } else if name == "." || name == ".." || name.contains(|c: char| "/:".contains(c) || c.is_whitespace()) {
        Some(format!("CNI_IFNAME {name:?} cannot be an interface name"))
    } else {
        None
    }
}

/// Splits `K=V;K=V`. Unknown keys are an error unless `IgnoreUnknown` says otherwise, as in the
/// reference plugins; every runtime says it.
fn parse_args(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text
        .split(';')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(format!("CNI_ARGS: {pair:?} is not of the form KEY=VALUE")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut tolerant = false;
    for (_, value) in pairs.iter().filter(|(key, _)| key == IGNORE_UNKNOWN) {
        tolerant = parse_switch(value)
            .ok_or_else(|| format!("CNI_ARGS: {IGNORE_UNKNOWN} is {value:?}, neither true nor false"))?;
    }
    match pairs.iter().find(|(key, _)| !KNOWN.contains(&key.as_str())) {
        Some((key, _)) if !tolerant => {
            let known = KNOWN.join(", ");
            Err(format!("CNI_ARGS: {key:?} is not one of {known}; {IGNORE_UNKNOWN}=1 would let it pass"))
        }
        _ => Ok(pairs),
    }
}

/// The spellings that Go's `strconv.ParseBool` takes, and what the reference takes beyond it.
fn parse_switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}
