//! The programs that can play a router, and what each needs: files, processes, and what to wait for
//! in between.
//!
//! Pure but for the search for installed programs: a [`Setup`] describes, [`super::up`] does. All
//! of them play the same part: eBGP with every node on the segment, accept pod CIDRs and nothing
//! else, announce the networks behind.

pub mod bird;
pub mod frr;
pub mod gobgp;
pub mod routelet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::plan::{Plan, Router};
use crate::prefix::{Family, Prefix};

/// A program that can play a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Program {
    /// FRRouting: `zebra` and `bgpd`.
    Frr,
    /// BIRD 2.
    Bird,
    /// GoBGP, which keeps no kernel routes: the lab carries its best paths into the kernel.
    Gobgp,
    /// Routelet itself.
    Routelet,
}

impl Program {
    /// The executables it consists of, and the Debian package that has them.
    fn parts(self) -> (&'static [&'static str], &'static str) {
        match self {
            Program::Frr => (&["zebra", "bgpd"], "frr"),
            Program::Bird => (&["bird"], "bird2"),
            Program::Gobgp => (&["gobgpd", "gobgp"], "gobgpd"),
            Program::Routelet => (&[], "routelet"),
        }
    }

    /// As a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Program::Frr => "FRR",
            Program::Bird => "BIRD",
            Program::Gobgp => "GoBGP",
            Program::Routelet => "routelet",
        }
    }

    /// The word for it on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Program::Frr => "frr",
            Program::Bird => "bird",
            Program::Gobgp => "gobgp",
            Program::Routelet => "routelet",
        }
    }

    /// Looks for the program's executables.
    ///
    /// # Errors
    /// One is not installed.
    pub fn find(self, directories: &[PathBuf]) -> Result<Executables, Error> {
        let (parts, package) = self.parts();
        let mut found = BTreeMap::new();
        for part in parts {
            let paths = directories.iter().map(|directory| directory.join(part));
            // Debian's other routing suites bring a `bgpd` too; FRR's lies in a directory of its own.
            let mut paths =
                paths.filter(|path| self != Program::Frr || path.to_string_lossy().contains("/frr/"));
            let path = paths.find(|path| path.is_file());
            found.insert(*part, path.ok_or(Error::NotInstalled { program: self, part, package })?);
        }
        Ok(Executables(found))
    }
}

/// Where executables may lie: `PATH`, the administrator's directories, FRR's own.
pub fn directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fixed =
        ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/frr", "/usr/libexec/frr", "/usr/local/lib/frr"];
    std::env::split_paths(&path).chain(fixed.map(PathBuf::from)).collect()
}

/// A program's executables by name.
#[derive(Debug, Clone, Default)]
pub struct Executables(BTreeMap<&'static str, PathBuf>);

impl Executables {
    /// The path of one; its bare name if it was never looked for.
    fn path(&self, part: &'static str) -> String {
        self.0.get(part).map_or_else(|| part.to_owned(), |path| path.display().to_string())
    }
}

/// Why a program cannot play a router.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error(
        "{name} cannot play the ToR: `{part}` is not installed. On Debian `apt-get install {package}` brings it; \
         or choose another with --tor (routelet is always there)",
        name = program.name()
    )]
    NotInstalled {
        /// The program.
        program: Program,
        /// The executable that was looked for in vain.
        part: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Routelet announces what is on a bridge of its own, and this is not.
    #[error(
        "routelet cannot play {router}: what it announces ({networks}) must be the network of one bridge there \
         (`ip link add NAME type bridge`, `ip addr add … dev NAME`)"
    )]
    NotBridged {
        /// The router.
        router: String,
        /// What it is to announce.
        networks: String,
    },
}

/// The program that plays a router: the one asked for, else the one its image stands for where that
/// is installed, else Routelet.
///
/// # Errors
/// The one asked for is not installed.
pub fn choose(router: &Router, asked: Option<Program>) -> Result<(Program, Executables), Error> {
    let directories = directories();
    match asked {
        Some(program) => Ok((program, program.find(&directories)?)),
        None => Ok(match router.native.find(&directories) {
            Ok(found) => (router.native, found),
            Err(_) => (Program::Routelet, Executables::default()),
        }),
    }
}

/// What makes a namespace a router.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setup {
    /// Directories to make, and the system user that is to own each where it exists.
    pub directories: Vec<(PathBuf, Option<&'static str>)>,
    /// Files to write.
    pub files: Vec<(PathBuf, String)>,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// One step of starting a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Start a process that stays.
    Start(Vec<String>),
    /// Run a command to its end.
    Run(Vec<String>),
    /// Wait for a file, such as a socket.
    AwaitFile(PathBuf),
    /// Wait until a TCP port is listened on.
    AwaitPort(u16),
    /// Start a GoBGP monitor and carry what it says into the kernel.
    Carry(Vec<String>),
}

/// What to do so that `program` plays `router`. `given` are the configuration files that the
/// topology itself brings; these are not written.
///
/// # Errors
/// The program cannot play this router.
pub fn setup(
    program: Program,
    executables: &Executables,
    router: &Router,
    plan: &Plan,
    given: &[&Path],
) -> Result<Setup, Error> {
    let mut setup = match program {
        Program::Frr => frr::setup(executables, router, plan),
        Program::Bird => bird::setup(executables, router, plan),
        Program::Gobgp => gobgp::setup(executables, router, plan),
        Program::Routelet => routelet::setup(router, plan)?,
    };
    setup.files.retain(|(path, _)| !given.contains(&path.as_path()));
    Ok(setup)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The prefixes of one family.
fn of_family(prefixes: &[Prefix], family: Family) -> impl Iterator<Item = Prefix> {
    prefixes.iter().copied().filter(move |prefix| prefix.family() == family)
}

#[cfg(test)]
mod tests {
    use super::super::topology::Topology;
    use super::*;

    #[test]
    fn a_missing_program_says_which_part_and_what_to_do() {
        let error = Program::Frr.find(&[PathBuf::from("/nonexistent/frr/")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "FRR cannot play the ToR: `zebra` is not installed. On Debian `apt-get install frr` brings it; \
             or choose another with --tor (routelet is always there)"
        );
        assert!(Program::Routelet.find(&[]).is_ok());
    }

    #[test]
    fn a_configuration_that_the_topology_brings_is_not_written() {
        let plan = Plan::new(&Topology::built_in().unwrap(), None).unwrap();
        let files = |given: &[&Path]| {
            setup(Program::Frr, &Executables::default(), &plan.routers[0], &plan, given).unwrap().files.len()
        };
        assert_eq!(files(&[]) - files(&[Path::new(frr::CONFIG)]), 1);
    }
}
