//! The image that every pod and container runs: busybox and nothing else, made on the spot as an OCI image layout
//! (image-spec v1.0), which `ctr images import` takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

/// What it is called. With another host than this, containerd would look for it in the world.
pub const NAME: &str = "localhost/pod:1";

/// Debian's busybox-static: it needs no library beside it.
const BUSYBOX: &str = "/bin/busybox";

/// The commands that the rows use.
const APPLETS: [&str; 8] = ["sh", "sleep", "cat", "ip", "nc", "ping", "ping6", "ls"];

/// Writes the image's archive below a directory, and says where.
pub fn write(directory: &Path) -> anyhow::Result<PathBuf> {
    let layer = directory.join("layer.tar");
    archive(&root(&directory.join("rootfs"))?, &layer)?;

    let layout = directory.join("layout");
    fs::create_dir_all(layout.join("blobs/sha256"))?;
    let layer = blob(&layout, &layer, "application/vnd.oci.image.layer.v1.tar")?;
    let config = json!({
        "architecture": architecture(), "os": "linux",
        "config": {"Entrypoint": ["/bin/sleep", "2147483647"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = document(&layout, &config, "application/vnd.oci.image.config.v1+json")?;
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let text = json!({"schemaVersion": 2, "mediaType": manifest, "config": config, "layers": [layer]});
    let mut described = document(&layout, &text, manifest)?;
    described["annotations"] = json!({"io.containerd.image.name": NAME});
    let index = json!({"schemaVersion": 2, "manifests": [described]});
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(layout.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;

    let image = directory.join("image.tar");
    archive(&layout, &image)?;
    Ok(image)
}

/// The image's file tree.
fn root(root: &Path) -> anyhow::Result<PathBuf> {
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::copy(BUSYBOX, root.join("bin/busybox")).with_context(|| format!("{BUSYBOX} (busybox-static)"))?;
    for applet in APPLETS {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet))?;
    }
    Ok(root.to_owned())
}

fn archive(tree: &Path, file: &Path) -> anyhow::Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--owner=0", "--group=0", "-C"]).arg(tree).arg("-cf").arg(file).arg(".");
    let done = tar.output().context("running tar")?;
    ensure!(done.status.success(), "tar: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

fn document(layout: &Path, document: &Value, kind: &str) -> anyhow::Result<Value> {
    let file = layout.join("document");
    fs::write(&file, document.to_string())?;
    blob(layout, &file, kind)
}

/// Moves a file to where its digest says, and describes it.
fn blob(layout: &Path, file: &Path, kind: &str) -> anyhow::Result<Value> {
    let done = Command::new("sha256sum").arg(file).output().context("running sha256sum")?;
    let said = String::from_utf8(done.stdout)?;
    let digest = said.split(' ').next().filter(|digest| digest.len() == 64);
    let digest = digest.with_context(|| format!("sha256sum says {said:?}"))?;
    let size = fs::metadata(file)?.len();
    fs::rename(file, layout.join("blobs/sha256").join(digest))?;
    Ok(json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": size}))
}

/// As Go calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
