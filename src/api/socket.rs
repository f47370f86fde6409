//! The Unix socket the API is served on.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::Error;

/// A bound API socket. Removes its file when dropped.
#[derive(Debug)]
pub struct Listener {
    listener: tokio::net::UnixListener,
    file: SocketFile,
}

impl Listener {
    /// Binds the socket, root's alone from its first moment. Makes the directory it lies in, and
    /// replaces the socket of a daemon that is gone.
    ///
    /// # Errors
    /// A living daemon answers on the socket, the path holds something else, or the kernel refuses.
    pub fn bind(path: &Path) -> Result<Listener, Error> {
        let failed = |what| move |source| Error::Socket { path: path.to_owned(), what, source };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(failed("cannot make its directory"))?;
        // Two daemons that start together must not both find the socket free, so looking and taking
        // happen under a lock on the directory. It ends with `lock`.
        let lock = File::open(directory).map_err(failed("cannot open its directory"))?;
        lock.lock().map_err(failed("cannot lock its directory"))?;
        remove_stale(path)?;
        let listener = bind(path).map_err(failed("cannot bind"))?;
        let inode = fs::symlink_metadata(path).map_err(failed("cannot find it after binding"))?;
        let file = SocketFile { path: path.to_owned(), device: inode.dev(), inode: inode.ino() };
        let listener = tokio::net::UnixListener::from_std(listener)
            .map_err(failed("cannot register with the runtime"))?;
        Ok(Listener { listener, file })
    }

    /// The connections that come in, and what keeps the file in its place meanwhile.
    pub(super) fn into_incoming(self) -> (tokio_stream::wrappers::UnixListenerStream, SocketFile) {
        (tokio_stream::wrappers::UnixListenerStream::new(self.listener), self.file)
    }
}

/// The socket's place in the file system, given up on drop.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another daemon may have taken the path, if someone removed our file under us.
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the API socket");
        }
    }
}

fn remove_stale(path: &Path) -> Result<(), Error> {
    let failed = |what| move |source| Error::Socket { path: path.to_owned(), what, source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("cannot look at it")(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(Error::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(Error::Taken(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed("cannot remove the stale socket"))
        }
        Err(error) => Err(failed("cannot tell whether a daemon answers")(error)),
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Linux gives the file the mode of the socket (less the umask), so this is how it never exists
    // with a wider one; a chmod after bind would leave a moment.
    let file = File::from(OwnedFd::from(socket));
    file.set_permissions(Permissions::from_mode(0o600))?;
    let socket = Socket::from(OwnedFd::from(file));
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(64)?;
    Ok(OwnedFd::from(socket).into())
}
