//! The socket file of a state directory.
//!
//! Only its user may use it: 0600 in a directory of 0700. The path of a socket may have 107 bytes at most; longer
//! ones are reached through a descriptor of their directory, on both ends.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// The longest path that the kernel takes.
const LONGEST: usize = 107;

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be {what}")]
pub struct SocketError {
    path: PathBuf,
    what: &'static str,
    #[source]
    source: io::Error,
}

/// Where the owner of a state directory listens.
#[must_use]
pub fn path(state: &Path) -> PathBuf {
    state.join("engine.sock")
}

/// A path that the kernel takes, for as long as this value lives.
#[derive(Debug)]
pub struct ShortPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl ShortPath {
    /// The socket's path, shortened if it must be.
    ///
    /// # Errors
    /// Its directory cannot be opened.
    pub fn of(socket: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Ok(Self { path: socket.to_owned(), _folder: None });
        };
        if socket.as_os_str().len() <= LONGEST {
            return Ok(Self { path: socket.to_owned(), _folder: None });
        }
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Which file the socket's name stands for now: a name can be removed, or given to another.
pub(super) fn mark(socket: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    fs::symlink_metadata(socket).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Listens. The caller owns the directory, so what is there already is nobody's and is replaced.
///
/// The socket is made in a folder of its own, which nobody else may enter, and gets its name once it is private. On a
/// disk that has no room for a folder it is made beside its place: the state directory is private itself.
///
/// # Errors
/// It cannot be made.
pub(super) fn listen(socket: &Path) -> Result<UnixListener, SocketError> {
    let failed = |what| move |source| SocketError { path: socket.to_owned(), what, source };
    let folder = socket.with_extension("new");
    remove(&folder).map_err(failed("prepared"))?;
    let fresh = match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => folder.join("s"),
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            folder.clone()
        }
        Err(error) => return Err(failed("prepared")(error)),
    };
    let short = ShortPath::of(&fresh).map_err(failed("reached"))?;
    let listener = UnixListener::bind(short.path()).map_err(failed("listened on"))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).map_err(failed("made private"))?;
    fs::rename(&fresh, socket).map_err(failed("named"))?;
    remove(&folder).map_err(failed("prepared"))?;
    Ok(listener)
}

/// Removes a folder, or a socket that stands there instead.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
