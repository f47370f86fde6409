//! `routelet-cni install`, which the init container runs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("routelet-install-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn install(&self, names: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routelet-cni"));
        command.env_clear().arg("install").arg(&self.0).args(names).output().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_plugin_is_installed_whole_and_once() {
    let folder = Folder::new("once");
    fs::write(folder.0.join("routelet-cni"), "an older one").unwrap();
    fs::write(folder.0.join("loopback"), "somebody else's").unwrap();
    assert!(folder.install(&["loopback", "portmap"]).status.success());
    let plugin = folder.0.join("routelet-cni");
    assert_eq!(fs::read(&plugin).unwrap(), fs::read(env!("CARGO_BIN_EXE_routelet-cni")).unwrap());
    let metadata = fs::metadata(&plugin).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_to_string(folder.0.join("loopback")).unwrap(), "somebody else's");
    assert_eq!(fs::read_link(folder.0.join("portmap")).unwrap(), PathBuf::from("routelet-cni"));
    // What is right already is not written again, and nothing half-written stays.
    assert!(folder.install(&["loopback", "portmap"]).status.success());
    assert_eq!(fs::metadata(&plugin).unwrap().ino(), metadata.ino());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3);
    let answer = Command::new(&plugin).env_clear().env("CNI_COMMAND", "VERSION").output().unwrap();
    assert!(answer.status.success(), "{answer:?}");
}

#[test]
fn where_it_cannot_be_written_it_says_so() {
    let folder = Folder::new("gone");
    fs::remove_dir_all(&folder.0).unwrap();
    let output = folder.install(&[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.starts_with("routelet-cni: install ") && said.contains("No such file"), "{said}");
    let bare = Command::new(env!("CARGO_BIN_EXE_routelet-cni")).env_clear().arg("install").output().unwrap();
    assert!(String::from_utf8_lossy(&bare.stderr).contains("needs a directory"));
}
