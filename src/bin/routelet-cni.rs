//! The CNI plugin: the environment and stdin in, one JSON document out.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use routelet::cni::{self, Reply, answer, install};

fn main() -> ExitCode {
    let variable = |name: &str| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    if variable("CNI_COMMAND").is_none_or(|command| command.is_empty()) {
        let arguments: Vec<OsString> = env::args_os().skip(1).collect();
        return match arguments.split_first() {
            Some((word, rest)) if word == "install" => install(rest),
            _ => explain(),
        };
    }
    std::panic::set_hook(Box::new(|panic| {
        // Nowhere to complain to if stdout is closed.
        let _ = say(&cni::panicked(panic));
        #[allow(clippy::disallowed_methods, reason = "there is nothing to return to")]
        std::process::exit(1);
    }));
    // Runtimes execute a plugin by its path; the name of the file says which one is meant.
    let called_as = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let called_as = called_as.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let Reply { document, success } = answer(&called_as, variable, io::stdin().lock());
    let written = match document {
        Some(document) => say(&document),
        None => Ok(()),
    };
    if success && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// In one write, so that a reader never sees half a document.
fn say(document: &serde_json::Value) -> io::Result<()> {
    io::stdout().lock().write_all(format!("{document}\n").as_bytes())
}

/// `install DIR [NAME…]`: for containers, which have nothing else to copy a file with.
fn install(arguments: &[OsString]) -> ExitCode {
    let done = match arguments.split_first() {
        Some((folder, names)) => install::install(Path::new(folder), names),
        None => Err(io::Error::other("install needs a directory, such as /opt/cni/bin")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere to complain to if stderr is closed.
            let _ = writeln!(io::stderr().lock(), "routelet-cni: {error}");
            ExitCode::FAILURE
        }
    }
}

/// For a person who has called the plugin by hand.
fn explain() -> ExitCode {
    let text = concat!(
        "routelet-cni ",
        env!("CARGO_PKG_VERSION"),
        ": a CNI plugin (versions 0.1.0 to 1.1.0), called by container runtimes.\n",
        "\n",
        "It takes its orders from the environment and a network configuration on stdin:\n",
        "\n",
        "  echo '{\"cniVersion\":\"1.0.0\",\"name\":\"pod-network\",\"type\":\"routelet-cni\",\"bridge\":\"cni0\",\n",
        "         \"isDefaultGateway\":true,\"ipam\":{\"type\":\"host-local\",\"subnet\":\"10.244.0.0/16\"}}' |\n",
        "    CNI_COMMAND=ADD CNI_CONTAINERID=ID CNI_NETNS=/run/netns/NAME CNI_IFNAME=eth0 routelet-cni\n",
        "\n",
        "CNI_COMMAND is ADD, DEL, CHECK, STATUS, GC or VERSION. `routelet-cni install /opt/cni/bin`\n",
        "installs it; names that follow become links to it where there is nothing of that name: loopback, say.\n",
    );
    // Nowhere to complain to if stderr is closed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    ExitCode::FAILURE
}
