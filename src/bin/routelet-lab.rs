//! A containerlab topology in network namespaces on one machine: argument parsing and one call.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use routelet::lab::{self, UpOptions, hold, up, visit};

/// Bring a containerlab topology up in network namespaces: real daemons, real routers, no Docker.
///
/// Without a command, the built-in three-node cluster comes up and stays until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "routelet-lab", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    up: UpOptions,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Bring a lab up
    Up {
        /// Topology file in containerlab's format [default: the built-in three-node cluster]
        file: Option<PathBuf>,
        #[command(flatten)]
        options: UpOptions,
    },
    /// Run a command on a node of a lab that is up
    Exec {
        /// Name of the lab, if more than one is up
        #[arg(long)]
        name: Option<String>,
        /// Name of the node
        node: String,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Take a lab down
    Down {
        /// Name of the lab, if more than one is up
        #[arg(long)]
        name: Option<String>,
    },
    #[command(name = lab::HOLD, hide = true)]
    Hold {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    #[command(name = lab::MAKE_NETNS, hide = true)]
    MakeNetns { path: PathBuf },
}

/// 0 if all is well, 1 if a check failed or something could not be done; clap has already left with
/// 2 when the arguments make no sense.
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.action {
        None => up::run(&arguments.up, None).map(verdict),
        Some(Action::Up { file, options }) => up::run(&options, file.as_deref()).map(verdict),
        Some(Action::Exec { name, node, command }) => visit::exec(name.as_deref(), &node, &command),
        Some(Action::Down { name }) => visit::down(name.as_deref()).map(|()| ExitCode::SUCCESS),
        Some(Action::Hold { arguments }) => Ok(hold::run(&arguments)),
        Some(Action::MakeNetns { path }) => visit::make_netns(&path).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        // If stderr is gone too, nobody is left to tell.
        let _ = writeln!(std::io::stderr(), "routelet-lab: {error:#}");
        ExitCode::FAILURE
    })
}

fn verdict(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
