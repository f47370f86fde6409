//! What people see: the commands of `routelet`, as tables and as JSON.
//!
//! One file a command, each with its `Args` and a `run`. To add one: write `src/cli/NAME.rs` after
//! the pattern of `status.rs`, add a line to [`Command`] and one to [`Command::run`], and a golden
//! test to `tests.rs`.
//!
//! Commands that look at a running daemon ask its [`api`] and hold nothing themselves;
//! `ask.rs` is what they have in common. `-o json` prints the messages of
//! `proto/routelet/v1alpha1/routelet.proto` in the form its head describes, lists as one array.
//! Everything goes to the writer that is passed in, never to `println!`, which panics when the
//! reader has gone.

mod ask;
mod cleanup;
mod crds;
mod drain;
mod fib;
mod human;
mod peer_table;
mod peers;
mod routes;
mod status;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;

use ask::{Ask, Format};
use table::Table;

use crate::{api, kernel};

/// What a person can ask for, besides running the daemon.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List peers and their sessions, or show one in full
    Peers(peers::Args),
    /// List destinations with every path to each
    Routes(routes::Args),
    /// List the routes meant for the kernel and how they stand with it
    Fib(fib::Args),
    /// Show the whole node in a few lines
    Status(status::Args),
    /// Take this node out of the network without losing a packet
    Drain(drain::Args),
    /// Take a drain back
    Undrain(drain::UndrainArgs),
    /// Remove what a daemon that is gone has left on this machine
    Cleanup(cleanup::Args),
    /// Print the CustomResourceDefinitions of our kinds, as YAML
    Crds(crds::Args),
}

impl Command {
    /// Does what was asked and writes the answer to `out`.
    ///
    /// # Errors
    /// What was asked for cannot be had; the error is a sentence for a person.
    pub async fn run(self, out: &mut impl Write) -> Result<(), Error> {
        match self {
            Command::Peers(args) => peers::run(args, out).await,
            Command::Routes(args) => routes::run(args, out).await,
            Command::Fib(args) => fib::run(args, out).await,
            Command::Status(args) => status::run(args, out).await,
            Command::Drain(args) => drain::run(args, out).await,
            Command::Undrain(args) => drain::undrain(args, out).await,
            Command::Cleanup(args) => cleanup::run(args, out).await,
            Command::Crds(args) => crds::run(args, out),
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon did not answer as it should.
    #[error("{0}{hint}", hint = hint(.0))]
    Api(#[from] api::Error),
    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Write(#[from] io::Error),
    /// There is no such peer.
    #[error("no peer is called {name:?}; {known}")]
    NoSuchPeer {
        /// The name that was asked for.
        name: String,
        /// The names there are, as a sentence.
        known: String,
    },
    /// Nothing leads to the destination that was asked for.
    #[error("{0}")]
    NoRoute(String),
    /// An audit has found differences, which the answer lists.
    #[error("the kernel differs from what is desired in {0} place{s}", s = if *.0 == 1 { "" } else { "s" })]
    Differences(usize),
    /// Somebody else has ended a drain that was waited for.
    #[error("the drain has been taken back meanwhile")]
    DrainTakenBack,
    /// The daemon is alive, and would put back what a cleanup removes.
    #[error("a routelet daemon answers on {}: stop it first, or name another with --api-socket", .0.display())]
    DaemonAlive(PathBuf),
    /// The kernel could not be asked.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// The definitions of our kinds could not be written as YAML.
    #[error("cannot write YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    /// Some of what was to be removed is still there.
    #[error("not removed: {}", .0.join("; "))]
    LeftBehind(Vec<String>),
}

impl Error {
    /// Whether the reader of the answer has simply gone, as `head` does: nothing to complain about.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Error::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn hint(error: &api::Error) -> &'static str {
    match error {
        api::Error::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            "; the socket is root's"
        }
        api::Error::Unreachable { .. } => "; is it running? (--api-socket, ROUTELET_API_SOCKET)",
        _ => "",
    }
}
