//! The programs under test: `routelet` and `routelet-cni`, beside the lab's own executable.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::output::Output;

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The directory of all three.
    pub directory: PathBuf,
}

impl Binaries {
    /// The daemon and the commands.
    pub fn daemon(&self) -> PathBuf {
        self.directory.join("routelet")
    }

    /// The CNI plugin.
    pub fn plugin(&self) -> PathBuf {
        self.directory.join("routelet-cni")
    }

    /// Finds the programs. Under `cargo run`, which builds the lab alone, has cargo build them first.
    ///
    /// # Errors
    /// They cannot be built, or are not there; the error says how to build them.
    pub fn ready(out: &Output) -> anyhow::Result<Binaries> {
        let myself = std::env::current_exe().context("finding the lab's own executable")?;
        let directory = myself.parent().context("the lab's executable has no directory")?.to_owned();
        if directory.starts_with("/run") {
            bail!(
                "{} lies below /run, which the lab covers with its own: move the programs",
                directory.display()
            );
        }
        build(&directory, out)?;
        let binaries = Binaries { directory };
        for path in [binaries.daemon(), binaries.plugin()] {
            if !path.is_file() {
                bail!(
                    "{} is missing: build all programs with `cargo build --bins` (with --release if the lab was), \
                     or copy them beside the lab",
                    path.display()
                );
            }
        }
        Ok(binaries)
    }
}

/// Runs `cargo build --bins` as the cargo that runs us was told, if one does.
fn build(directory: &Path, out: &Output) -> anyhow::Result<()> {
    let ours = std::env::var("CARGO_PKG_NAME").is_ok_and(|name| name == env!("CARGO_PKG_NAME"));
    let (Some(cargo), Some(manifest), true) =
        (std::env::var_os("CARGO"), std::env::var_os("CARGO_MANIFEST_DIR"), ours)
    else {
        return Ok(());
    };
    out.step("building routelet and routelet-cni (cargo build --bins)");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--bins", "--quiet", "--manifest-path"])
        .arg(Path::new(&manifest).join("Cargo.toml"));
    // cargo names the directory after the profile, except that `dev` is called `debug`.
    match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some("release") => drop(command.arg("--release")),
        Some(profile) => drop(command.args(["--profile", profile])),
    }
    let status = command.stdout(Stdio::null()).status().context("running cargo")?;
    if !status.success() {
        bail!("cargo could not build the programs; what it says stands above");
    }
    Ok(())
}
