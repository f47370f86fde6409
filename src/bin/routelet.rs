//! The daemon and every command a person types: argument parsing and one call.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;
use routelet::cli;
use routelet::daemon::{self, Options};

/// A BGP pod network for Kubernetes: every node is a router.
#[derive(Debug, Parser)]
#[command(name = "routelet", version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Run the daemon on this node
    Run(Options),
    #[command(flatten)]
    Command(cli::Command),
}

/// 0, or 1 for failure; clap has already left with 2 when the arguments make no sense.
fn main() -> ExitCode {
    match perform(Arguments::parse().action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is gone too, nobody is left to tell.
            let _ = writeln!(io::stderr(), "routelet: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

fn perform(action: Action) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match action {
        Action::Run(options) => runtime.block_on(daemon::run(options)),
        Action::Command(command) => {
            let mut out = BufWriter::new(io::stdout().lock());
            let done = runtime.block_on(async {
                command.run(&mut out).await?;
                out.flush().map_err(cli::Error::from)
            });
            match done {
                Err(error) if error.is_closed_pipe() => Ok(()),
                done => Ok(done?),
            }
        }
    }
}

/// The error and its causes. Errors of the library end with their cause's text already; contexts
/// added on the way do not.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
