//! The files of a reservation directory: what can be done with one, one system call at a time.
//!
//! Knows names and contents, not what they mean. Whoever changes anything holds the lock.

use std::fs::{self, File, FileTimes};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Error;
use super::boot::BootId;

/// The folder of the records.
pub(super) const OWNERS: &str = "owners";

/// A file being written. What lies under this name while nobody holds the lock is debris.
pub(super) const NEW: &str = ".new";

/// No file here is longer in good order: an address file holds a container id and an interface.
const LONGEST: u64 = 1 << 20;

/// Seals are times from here on: early enough that no clock of today gives one.
const FIRST_SEAL: u64 = 1_000_000_000;

/// How far seals reach: the last of them is in 2010.
const SEALS: u32 = 1 << 28;

/// A reservation directory.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    directory: PathBuf,
}

impl Disk {
    pub(super) fn new(directory: PathBuf) -> Disk {
        Disk { directory }
    }

    /// Makes the directory and the folder of the records.
    pub(super) fn create(&self) -> Result<(), Error> {
        let owners = self.path(OWNERS);
        change(|| fs::create_dir_all(&owners)).map_err(Error::io("create", &owners))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A file's text; `None` when there is none, or a folder under its name. What is no text becomes U+FFFD, which names nobody.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.path(name);
        let mut octets = Vec::with_capacity(128);
        let read = File::open(&path).and_then(|file| file.take(LONGEST).read_to_end(&mut octets));
        match read {
            Ok(_) => Ok(Some(
                String::from_utf8(octets)
                    .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
            )),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => Ok(None),
            Err(source) => Err(Error::io("read", &path)(source)),
        }
    }

    /// Whether there is anything under this name. What cannot be looked at counts as there: better to
    /// skip an address than to give it twice.
    pub(super) fn has(&self, name: &str) -> bool {
        !matches!(self.path(name).symlink_metadata(), Err(e) if e.kind() == ErrorKind::NotFound)
    }

    /// Writes what [`Disk::publish`] then puts in its place.
    pub(super) fn draft(&self, content: &str) -> Result<(), Error> {
        let new = self.path(NEW);
        let mut file = change(|| File::create(&new)).map_err(Error::io("create", &new))?;
        change(|| file.write_all(content.as_bytes())).map_err(Error::io("write", &new))
    }

    /// Makes the draft appear under its name, all at once.
    pub(super) fn publish(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        change(|| fs::rename(self.path(NEW), &path)).map_err(Error::io("create", &path))
    }

    /// Writes over a small file that only gives hints. In place, for it costs a fortieth: a file system
    /// makes sure that a file renamed over another survives a power failure, and that takes the disk.
    pub(super) fn overwrite(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.path(name);
        let mut how = File::options();
        let open = || how.write(true).create(true).truncate(false).open(&path);
        let file = change(open).map_err(Error::io("open", &path))?;
        let length = content.len() as u64;
        let shrink = match file.metadata() {
            Ok(metadata) if metadata.len() <= length => Ok(()),
            _ => change(|| file.set_len(length)),
        };
        shrink
            .and_then(|()| change(|| file.write_all_at(content.as_bytes(), 0)))
            .map_err(Error::io("write", &path))
    }

    /// Adds to the end of a file and returns its new length in octets.
    pub(super) fn append(&self, name: &str, content: &str) -> Result<u64, Error> {
        let path = self.path(name);
        let mut how = File::options();
        let mut file =
            change(|| how.append(true).create(true).open(&path)).map_err(Error::io("open", &path))?;
        change(|| file.write_all(content.as_bytes()))
            .and_then(|()| file.metadata())
            .map(|metadata| metadata.len())
            .map_err(Error::io("write", &path))
    }

    /// Removes a file; whether there was one.
    pub(super) fn remove(&self, name: &str) -> Result<bool, Error> {
        self.remove_at(&self.path(name))
    }

    fn remove_at(&self, path: &Path) -> Result<bool, Error> {
        match change(|| fs::remove_file(path)) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(Error::io("remove", path)(source)),
        }
    }

    /// The text of a record; `None` when there is none, or something else under its name.
    pub(super) fn record(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.owner_path(name);
        match fs::read_link(&path) {
            Ok(target) => Ok(target.into_os_string().into_string().ok()),
            // `EINVAL`: no symbolic link.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => Ok(None),
            Err(source) => Err(Error::io("read", &path)(source)),
        }
    }

    /// When a record was made; `None` when there is none.
    pub(super) fn record_time(&self, name: &str) -> Option<SystemTime> {
        self.owner_path(name).symlink_metadata().and_then(|metadata| metadata.modified()).ok()
    }

    /// Makes a record, in the place of another if there is one.
    pub(super) fn write_record(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.owner_path(name);
        let mut made = change(|| symlink(text, &path));
        if matches!(&made, Err(e) if e.kind() == ErrorKind::AlreadyExists) {
            self.remove_at(&path)?;
            made = change(|| symlink(text, &path));
        }
        made.map_err(Error::io("create", &path))
    }

    /// Removes a record, or what lies in its place; whether there was one.
    pub(super) fn remove_record(&self, name: &str) -> Result<bool, Error> {
        self.remove_at(&self.owner_path(name))
    }

    fn owner_path(&self, name: &str) -> PathBuf {
        let mut path = self.path(OWNERS);
        path.push(name);
        path
    }

    /// Names of the records, in no order.
    pub(super) fn records(&self) -> Result<Vec<String>, Error> {
        names(&self.path(OWNERS))
    }

    /// All addresses that have a file, in order: one listing, no file opened.
    pub(super) fn taken(&self) -> Result<Vec<IpAddr>, Error> {
        let names = names(&self.directory)?;
        let mut taken: Vec<IpAddr> = names.iter().filter_map(|name| address(name)).collect();
        taken.sort_unstable();
        Ok(taken)
    }

    /// Whether the directory is as it was sealed in this boot.
    pub(super) fn is_sealed(&self, boot: Option<BootId>) -> bool {
        let time = fs::metadata(&self.directory).and_then(|metadata| metadata.modified());
        time.is_ok_and(|time| time == seal(boot))
    }

    /// Seals the directory: sets its time of modification to one that no clock gives. Whoever adds,
    /// removes or renames an entry breaks the seal, for the kernel then sets the time itself.
    pub(super) fn seal(&self, boot: Option<BootId>) -> Result<(), Error> {
        let times = FileTimes::new().set_modified(seal(boot));
        change(|| File::open(&self.directory).and_then(|directory| directory.set_times(times)))
            .map_err(Error::io("seal", &self.directory))
    }
}

fn seal(boot: Option<BootId>) -> SystemTime {
    let number = boot.map_or(0, |boot| boot.number() % SEALS);
    SystemTime::UNIX_EPOCH + Duration::from_secs(FIRST_SEAL + u64::from(number))
}

/// The address that a file of this name is for. `host-local` writes addresses in their one canonical
/// form (RFC 5952 §4), and so do we; anything else is not looked at.
fn address(name: &str) -> Option<IpAddr> {
    if !name.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':') {
        return None;
    }
    name.parse().ok().filter(|address: &IpAddr| address.to_string() == name)
}

/// Names that are text; nothing here has any other.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::io("list", folder)(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io("list", folder))?.file_name();
        names.extend(name.into_string());
    }
    Ok(names)
}

/// Does what changes the disk. Tests end the process here, so to speak, or let the disk fail.
fn change<T>(act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    #[cfg(test)]
    super::tests::faults::before_change()?;
    act()
}
