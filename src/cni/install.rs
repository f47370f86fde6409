//! Puts the plugin where container runtimes look for it.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// The plugin's name there.
const NAME: &str = "routelet-cni";

/// Copies the running program into a folder, and links each of these names to it that is not there yet.
///
/// The file appears whole, in place of an older one: a runtime that starts it meanwhile gets either. One that
/// is there with the same octets is left alone.
///
/// # Errors
/// The system's, with the file it is about. What was there before is there still.
pub fn install(folder: &Path, names: &[OsString]) -> io::Result<()> {
    let target = folder.join(NAME);
    let program = fs::read("/proc/self/exe").map_err(about("/proc/self/exe".as_ref()))?;
    if fs::read(&target).is_ok_and(|there| there == program) {
        return link(folder, names);
    }
    let new = folder.join(format!(".{NAME}.{}", std::process::id()));
    let written = write(&new, &program).and_then(|()| fs::rename(&new, &target));
    if let Err(error) = written {
        // It may not even have been made.
        let _ = fs::remove_file(&new);
        return Err(about(&target)(error));
    }
    link(folder, names)
}

fn write(path: &Path, program: &[u8]) -> io::Result<()> {
    fs::write(path, program)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    // Else a power failure may leave an empty file under the final name.
    File::open(path)?.sync_all()
}

fn link(folder: &Path, names: &[OsString]) -> io::Result<()> {
    for name in names {
        let path = folder.join(name);
        match symlink(NAME, &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(about(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

fn about(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("install {}: {error}", path.display()))
}
