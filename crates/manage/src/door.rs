//! The Unix socket in the data folder through which administrators reach the running server (invariant I11).
//!
//! Takes a data folder and what stands behind the door, hands on a served socket. Who may write to the socket may manage
//! the server: its mode is 0660, its folder's 0750, and at no moment is it wider. Never opens before the spool is
//! locked, so a socket that is there already belongs to a server that died.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::access::Visitor;
use crate::bounded::Bounded;

/// Name of the socket in the data folder.
pub const SOCKET_NAME: &str = "gatepost.sock";
/// Permission bits of the socket: the server's user and group.
pub const SOCKET_MODE: u32 = 0o660;
/// At most so many connections are open at once; more wait in the listen queue.
pub const CONNECTIONS_MAX: usize = 32;
/// A connection ends after this time, whatever it is doing. Long enough for a listing of a full queue on a slow disk.
pub const CONNECTION_LIFETIME: Duration = Duration::from_secs(120);
/// How long open requests may take to end once the door closes.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// The kernel's limit for a socket's path, terminating zero included (`sun_path`, unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 108;
/// Pause after a failed accept, so that a lack of file descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Where the socket of a data folder is.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET_NAME)
}

/// Why the door cannot open.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The kernel does not take socket paths of this length.
    #[error("the path of the management socket is too long, {path}: choose a shorter data_dir (at most {max} bytes)", path = .0.display(), max = folder_bytes_max())]
    PathTooLong(PathBuf),
    /// The socket cannot be made.
    #[error("cannot open the management socket {path}: {source}", path = .path.display())]
    Io {
        /// Where it was to be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DoorError {
    /// Whether it may open once the disk has room again.
    pub fn is_for_want_of_room(&self) -> bool {
        matches!(self, DoorError::Io { source, .. } if has_no_room(source))
    }
}

fn has_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An open door; closes when it is told to.
pub struct Door {
    path: PathBuf,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Door {
    /// Opens the socket in `data_dir` and serves `routes` on it until [`Door::close`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn open(data_dir: &Path, routes: Router) -> Result<Door, DoorError> {
        let path = socket_path(data_dir);
        if private_folder(data_dir).join(SOCKET_NAME).as_os_str().len() >= SOCKET_PATH_BYTES_MAX {
            return Err(DoorError::PathTooLong(path));
        }
        let bound = match bind(data_dir) {
            Err(error) if has_no_room(&error) => bind_in_the_old_place(&path),
            bound => bound,
        };
        let socket = bound.map_err(|source| DoorError::Io { path: path.clone(), source })?;
        let listener = BoundedListener { socket, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
        let (stop, mut stopped) = watch::channel(false);
        let serving = tokio::spawn(async move {
            let service = routes.into_make_service_with_connect_info::<Visitor>();
            let stopped = async move {
                // An error means that the sender is gone, which is a stop as well.
                let _ = stopped.wait_for(|&stop| stop).await;
            };
            if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "the management socket ended");
            }
        });
        tracing::debug!(socket = %path.display(), "management socket open");
        Ok(Door { path, stop, serving })
    }

    /// Removes the socket and lets open requests end, within a limit. To be called while the spool is still locked, so
    /// that the socket of a server that starts afterwards is not taken away.
    pub async fn close(mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(socket = %self.path.display(), %error, "cannot remove the management socket");
        }
        self.stop.send_replace(true);
        if tokio::time::timeout(CLOSE_LIMIT, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
    }
}

/// Binds in a folder that only we can enter, sets the mode there and moves the socket to its place: nobody can connect
/// before the mode is right, and a socket that a dead server left is replaced in one step.
fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let private = private_folder(data_dir);
    match fs::remove_dir_all(&private) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&private)?;
    let fresh = private.join(SOCKET_NAME);
    let socket = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(SOCKET_MODE))?;
    fs::rename(&fresh, socket_path(data_dir))?;
    fs::remove_dir(&private)?;
    Ok(socket)
}

/// Binds on a disk without files: the socket that a dead server left makes room for this one. Until its mode is set only the
/// folder's keeps others out, which is our group's.
fn bind_in_the_old_place(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(socket)
}

/// Where a socket gets its mode before anybody can reach it.
pub(crate) fn private_folder(data_dir: &Path) -> PathBuf {
    data_dir.join(".door")
}

fn folder_bytes_max() -> usize {
    SOCKET_PATH_BYTES_MAX - 1 - "/.door/".len() - SOCKET_NAME.len()
}

/// Accepts no more than [`CONNECTIONS_MAX`] connections at once.
struct BoundedListener {
    socket: UnixListener,
    places: Arc<Semaphore>,
}

impl Listener for BoundedListener {
    type Io = Bounded<UnixStream>;
    type Addr = ();

    async fn accept(&mut self) -> (Bounded<UnixStream>, ()) {
        let place = self.places.clone().acquire_owned().await.expect("nobody closes the semaphore");
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => {
                    return (Bounded::new(stream, CONNECTION_LIFETIME, place), ());
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection on the management socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Connected<IncomingStream<'_, BoundedListener>> for Visitor {
    fn connect_info(connection: IncomingStream<'_, BoundedListener>) -> Self {
        Visitor::Local { uid: connection.io().stream.peer_cred().ok().map(|peer| peer.uid()) }
    }
}
