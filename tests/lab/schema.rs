//! Every topology in `containerlab/` is one by containerlab's own schema (clab.schema.json, its
//! licence beside it).

use std::fs;
use std::path::Path;

use serde_json::Value;

#[test]
fn every_topology_validates() {
    let schema: Value = serde_json::from_str(include_str!("clab.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("containerlab");
    let mut seen = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().ends_with(".clab.yml") {
            continue;
        }
        let topology: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(&topology).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        binds_exist(&topology, path.parent().unwrap());
        seen += 1;
    }
    assert!(seen > 0);
    // That the schema is not one that everything passes.
    assert!(
        !validator
            .is_valid(&serde_json::json!({"name": "t", "topology": {"nodes": {"n": {"colour": "red"}}}}))
    );
}

/// containerlab refuses to deploy a file whose binds have no source.
fn binds_exist(topology: &Value, directory: &Path) {
    for part in ["nodes", "groups", "kinds"] {
        for node in topology["topology"][part].as_object().into_iter().flat_map(|nodes| nodes.values()) {
            for bind in node["binds"].as_array().into_iter().flatten() {
                let source = bind.as_str().unwrap().split(':').next().unwrap();
                assert!(directory.join(source).exists(), "{source}");
            }
        }
    }
}
