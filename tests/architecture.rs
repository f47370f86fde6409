//! Who may import whom: reads the table in `src/lib.rs` and every `crate::` path in `src/`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that every room may use: they are nouns, not rooms.
const SHARED: [&str; 2] = ["prefix", "time"];
/// Crates of the shell, which the core must not name even where they would compile.
const SHELL_CRATES: [&str; 9] =
    ["tokio", "rtnetlink", "kube", "tonic", "nix", "socket2", "tracing", "serde", "std::fs"];
/// Crates that the plugin does without, so that it starts in a millisecond and is built in a minute.
const HEAVY_CRATES: [&str; 4] = ["tokio", "rtnetlink", "netlink_packet_route", "futures_util"];
/// Rooms that the plugin has whole.
const PLUGIN: [&str; 2] = ["cni", "ipam"];
const CORE: [&str; 7] = ["bgp", "bfd", "fib", "rib", "speaker", "prefix", "time"];

/// Parses the rows `//! | room | what | may import |` of the map.
fn import_table() -> BTreeMap<String, BTreeSet<String>> {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | ["));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let room = cells[0].trim_end_matches(']').trim_matches('`').to_owned();
        let imports = cells[2].split(',').map(|i| i.trim().trim_matches('`').to_owned());
        (room, imports.filter(|i| !i.is_empty() && i != "–").collect())
    })
    .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// The room a file belongs to: its folder or file name under `src/`.
fn room_of(file: &Path) -> String {
    let name = file.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
    name.trim_end_matches(".rs").to_owned()
}

/// Rooms that a text names by `crate::ROOM`, comments left out.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap().split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for name in names {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            found.insert(name[..end].to_owned());
        }
    }
    found
}

#[test]
fn rooms_import_only_what_the_map_grants() {
    let table = import_table();
    assert!(table.len() >= 10, "the map in src/lib.rs has a row for each room: {table:?}");
    let mut wrong = vec![];
    for file in rust_files(Path::new("src")) {
        let room = room_of(&file);
        if room == "bin" || room == "lib" || SHARED.contains(&room.as_str()) {
            continue;
        }
        let granted = table.get(&room).unwrap_or_else(|| panic!("room {room} is not on the map"));
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            let fine = import == room || SHARED.contains(&import.as_str()) || granted.contains(&import);
            if !fine {
                wrong.push(format!("{} imports {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_names_no_crate_of_the_shell() {
    for file in rust_files(Path::new("src")).into_iter().filter(|f| CORE.contains(&room_of(f).as_str())) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
        for line in code {
            for name in SHELL_CRATES {
                let path = format!("{name}::");
                assert!(!line.contains(&path), "{} names {name}: {line}", file.display());
            }
        }
    }
}

#[test]
fn the_plugin_names_no_runtime() {
    for file in rust_files(Path::new("src")).into_iter().filter(|f| PLUGIN.contains(&room_of(f).as_str())) {
        let text = fs::read_to_string(&file).unwrap();
        for name in HEAVY_CRATES {
            assert!(!text.contains(&format!("{name}::")), "{} names {name}", file.display());
        }
    }
}

#[test]
fn every_file_opens_with_what_it_owns_and_stays_readable() {
    for file in rust_files(Path::new("src")).into_iter().chain(rust_files(Path::new("tests"))) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not say what it is for", file.display());
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines", file.display());
    }
}

#[test]
fn the_map_is_read_as_meant() {
    assert_eq!(
        imports("use crate::{bgp, rib::Path};\n// crate::daemon\nlet x = crate::fib::Fib;"),
        ["bgp", "rib", "fib"].map(str::to_owned).into()
    );
}
