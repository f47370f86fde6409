//! What the lab tells its daemons is what the daemon's own parser understands, field by field.

use std::fs;

use routelet::cluster::ManifestDirectory;
use routelet::lab::manifests::{self, Manifest};
use routelet::lab::plan::Plan;
use routelet::lab::topology::Topology;
use routelet::prefix::Family;

fn read(what: &str, files: &[Manifest]) -> usize {
    let directory = std::env::temp_dir().join(crate::rig::name(what));
    fs::create_dir_all(&directory).unwrap();
    for file in files {
        fs::write(directory.join(file.name), &file.text).unwrap();
    }
    let reading = ManifestDirectory::new(&directory).read().unwrap();
    fs::remove_dir_all(&directory).unwrap();
    assert!(reading.warnings.is_empty(), "{what}: {:?}", reading.warnings);
    let objects = reading.objects;
    objects.nodes.len() + objects.configurations.len() + objects.peers.len()
}

#[test]
fn in_every_family() {
    for families in [&Family::ALL[..1], &Family::ALL[1..], &Family::ALL[..]] {
        let families = families.iter().copied().collect();
        let plan = Plan::new(&Topology::built_in().unwrap(), Some(&families)).unwrap();
        let peers = families.len();
        // Three nodes and a configuration; a session with the router for each family.
        assert_eq!(read("cluster", &manifests::of_cluster(&plan)), 4 + peers);
        let router = manifests::of_router(&plan.routers[0], &plan, Some("behind"));
        assert_eq!(read("router", &router), 2 + 3 * peers);
    }
}
