//! What appears in each node: the files that a topology binds, or those that the lab writes in
//! their place.
//!
//! The built-in topology binds files that stand beside it in the repository and not beside a
//! program; the lab writes them itself, in the family that was asked for. A topology file's own
//! binds are used as they stand, unless `--family` or `--tor` ask for something they cannot say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::plan::{Member, Plan};
use super::sandbox::Mount;
use super::stage;
use super::topology::{Bind, Error, Topology};
use super::tor::{Executables, Program};

/// Where a node's daemon finds its manifests unless its `cmd` says otherwise.
const MANIFESTS: &str = "/etc/routelet";

/// The arguments of a node's daemon.
pub fn daemon_arguments(name: &str, cmd: Option<&str>) -> Vec<String> {
    match cmd {
        Some(cmd) => cmd.split_whitespace().map(str::to_owned).collect(),
        None => ["run", "--node-name", name, "--manifests", MANIFESTS].map(str::to_owned).to_vec(),
    }
}

/// Where a daemon that is started so looks for manifests.
fn manifests_directory(arguments: &[String]) -> PathBuf {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--manifests" {
            return PathBuf::from(words.next().map_or(MANIFESTS, String::as_str));
        }
        if let Some(directory) = word.strip_prefix("--manifests=") {
            return PathBuf::from(directory);
        }
    }
    PathBuf::from(MANIFESTS)
}

/// What appears where.
#[derive(Debug)]
pub struct Resolved {
    /// The mounts of each member.
    pub mounts: BTreeMap<String, Vec<Mount>>,
    /// What the topology binds in vain, one sentence each.
    pub in_vain: Vec<String>,
}

/// Decides what is mounted in each member.
///
/// # Errors
/// The source of a bind does not exist.
pub fn resolve(
    topology: &Topology,
    plan: &Plan,
    players: &BTreeMap<String, (Program, Executables)>,
    family_asked: bool,
) -> Result<Resolved, Error> {
    let mut mounts = BTreeMap::new();
    let mut in_vain = Vec::new();
    for member in plan.members.values() {
        let own = plan
            .nodes
            .iter()
            .any(|node| node.name == member.name)
            .then(|| manifests_directory(&daemon_arguments(&member.name, member.node.cmd.as_deref())));
        let router = plan.routers.iter().find(|router| router.name == member.name);
        let other_program = router.is_some_and(|router| {
            players.get(&router.name).is_some_and(|(program, _)| *program != router.native)
        });
        let mut placed = Vec::new();
        for bind in &member.node.binds {
            let written_by_lab = own.as_ref() == Some(&bind.target) || router.is_some();
            let Some(directory) = &topology.directory else { continue };
            if written_by_lab && (family_asked || other_program) {
                let reason = if family_asked { "--family" } else { "another program" };
                let Bind { source, .. } = bind;
                in_vain.push(format!(
                    "topology.nodes.{}.binds: {source} (for {reason} the lab writes its own)",
                    member.name
                ));
                continue;
            }
            placed.push(mount(topology, member, bind, directory)?);
        }
        if let Some(target) = own.filter(|own| placed.iter().all(|mount| mount.target != *own)) {
            placed.push(Mount { source: stage::manifests(), target, read_only: false });
        }
        mounts.insert(member.name.clone(), placed);
    }
    Ok(Resolved { mounts, in_vain })
}

fn mount(topology: &Topology, member: &Member, bind: &Bind, directory: &Path) -> Result<Mount, Error> {
    let wrong = |reason: String| Error::Field {
        file: topology.origin.clone(),
        field: format!("topology.nodes.{}.binds", member.name),
        reason,
    };
    let source = directory.join(&bind.source);
    if source.starts_with("/run") {
        return Err(wrong(format!(
            "{} lies below /run, which the lab covers with its own",
            source.display()
        )));
    }
    let source = source.canonicalize().map_err(|error| wrong(format!("{}: {error}", source.display())))?;
    Ok(Mount { source, target: bind.target.clone(), read_only: bind.read_only })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/containerlab/three-node.clab.yml"))
    }

    fn resolved(
        topology: &Topology,
        program: Program,
        family_asked: bool,
    ) -> (Vec<String>, Vec<String>, usize) {
        let plan = Plan::new(topology, None).unwrap();
        let players = BTreeMap::from([("tor".to_owned(), (program, Executables::default()))]);
        let Resolved { mounts, in_vain } = resolve(topology, &plan, &players, family_asked).unwrap();
        let shown = |name: &str| -> Vec<String> {
            mounts[name].iter().map(|m| format!("{} → {}", m.source.display(), m.target.display())).collect()
        };
        (shown("node1"), shown("tor"), in_vain.len())
    }

    #[test]
    fn the_lab_writes_what_the_built_in_topology_binds() {
        let (node, tor, in_vain) = resolved(&Topology::built_in().unwrap(), Program::Frr, false);
        assert_eq!(node, ["/run/lab/manifests → /etc/routelet"]);
        assert_eq!((tor.len(), in_vain), (0, 0));
    }

    #[test]
    fn a_file_brings_its_own() {
        let topology = Topology::read(topology()).unwrap();
        let (node, tor, in_vain) = resolved(&topology, Program::Frr, false);
        assert!(node[0].ends_with("/containerlab/manifests → /etc/routelet"), "{node:?}");
        assert_eq!((tor.len(), in_vain), (2, 0));
    }

    #[test]
    fn what_is_asked_for_on_the_command_line_comes_first() {
        let topology = Topology::read(topology()).unwrap();
        let (node, tor, in_vain) = resolved(&topology, Program::Bird, false);
        assert!(node[0].ends_with("/containerlab/manifests → /etc/routelet"), "{node:?}");
        assert_eq!((tor.len(), in_vain), (0, 2));
        let (node, tor, in_vain) = resolved(&topology, Program::Frr, true);
        assert_eq!(node, ["/run/lab/manifests → /etc/routelet"]);
        assert_eq!((tor.len(), in_vain), (0, 5));
    }

    #[test]
    fn a_bind_without_a_source_is_an_error() {
        let text = "name: t\ntopology: {nodes: {h: {binds: ['nothing:/x']}}}";
        let topology = Topology::parse(text, "t.yml", Some(PathBuf::from("/nonexistent"))).unwrap();
        let plan = Plan::new(&topology, None).unwrap();
        let error = resolve(&topology, &plan, &BTreeMap::new(), false).unwrap_err().to_string();
        assert!(
            error.starts_with("t.yml: topology.nodes.h.binds: /nonexistent/nothing: No such file"),
            "{error}"
        );
    }

    #[test]
    fn the_daemon_says_where_its_manifests_are() {
        let directory = |cmd| manifests_directory(&daemon_arguments("n", cmd));
        assert_eq!(directory(None), Path::new("/etc/routelet"));
        assert_eq!(directory(Some("run --manifests /m --node-name n")), Path::new("/m"));
        assert_eq!(directory(Some("run --manifests=/m")), Path::new("/m"));
    }
}
