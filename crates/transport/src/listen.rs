//! Step 1 of 9 - listen: sockets that accept connections.
//!
//! Takes the listeners that the settings ask for, hands each accepted socket to [`crate::receive`] as a task of its own,
//! so that a panic in one session ends that session only (invariant I9).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost_policy::receive_connector::Listener;
use tokio::task::JoinHandle;

use crate::net;
use crate::receive;
use crate::state::Running;

/// Rest after a failed accept: most likely all file descriptors are taken.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A listener that could not be opened.
#[derive(Debug)]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// The next step for an administrator whose listener does not open; empty where there is none to name.
pub fn hint(address: SocketAddr, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (`ss -ltnp` shows who listens there)",
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            " (ports below 1024 need the right CAP_NET_BIND_SERVICE: run it by the systemd unit, or use a higher port)"
        }
        io::ErrorKind::AddrNotAvailable => {
            " (this machine does not have that address: `ip address` lists those it has)"
        }
        _ => "",
    }
}

/// Opens one listening socket.
pub fn open(listener: Listener) -> Result<net::Listener, ListenError> {
    let address = listener.address;
    net::listen(address).map_err(|source| ListenError { address, source })
}

/// The tasks that accept, by listener.
#[derive(Default)]
pub struct Listeners {
    tasks: HashMap<Listener, JoinHandle<()>>,
}

/// Sockets that are open and not accepting yet.
pub struct Opened(Vec<(Listener, net::Listener)>);

impl Listeners {
    /// Opens what `wanted` asks for and is not open yet; all or none.
    ///
    /// # Errors
    /// [`ListenError`] for the first that cannot be opened; what was opened before it is closed again.
    pub fn open_missing(&self, wanted: &[Listener]) -> Result<Opened, ListenError> {
        let missing = wanted.iter().filter(|listener| !self.tasks.contains_key(*listener));
        missing.map(|listener| Ok((*listener, open(*listener)?))).collect::<Result<_, _>>().map(Opened)
    }

    /// The same while others of ours listen. Where one that is not wanted any more stands in the way, by another address of the
    /// same port, it is closed first: the system does not bind a wildcard beside it. Peers are not heard for that moment.
    ///
    /// # Errors
    /// [`ListenError`]; all who listened listen again then, if the system lets them.
    pub async fn open_in_place(&mut self, running: &Arc<Running>, wanted: &[Listener]) -> Result<Opened, ListenError> {
        let missing: Vec<Listener> =
            wanted.iter().filter(|listener| !self.tasks.contains_key(*listener)).copied().collect();
        let is_going = |listener: &&Listener| !wanted.contains(*listener);
        let in_the_way: Vec<Listener> = self
            .tasks
            .keys()
            .filter(is_going)
            .filter(|going| missing.iter().any(|coming| is_in_the_way(going.address, coming.address)))
            .copied()
            .collect();
        let (late, early): (Vec<Listener>, Vec<Listener>) = missing
            .into_iter()
            .partition(|coming| in_the_way.iter().any(|going| is_in_the_way(going.address, coming.address)));
        let mut opened = early.into_iter().map(|it| Ok((it, open(it)?))).collect::<Result<Vec<_>, ListenError>>()?;
        for listener in &in_the_way {
            if let Some(task) = self.tasks.remove(listener) {
                task.abort();
                // The socket is closed when the task is gone.
                let _ = task.await;
            }
        }
        let late = late.into_iter().map(|it| Ok((it, open(it)?))).collect::<Result<Vec<_>, ListenError>>();
        match late {
            Ok(late) => opened.extend(late),
            Err(error) => {
                for listener in in_the_way {
                    match open(listener) {
                        Ok(socket) => self.accept_on(running, listener, socket),
                        Err(ListenError { address, source }) => {
                            tracing::error!(%address, error = %source, "cannot listen there again: restart the server");
                        }
                    }
                }
                return Err(error);
            }
        }
        Ok(Opened(opened))
    }

    fn accept_on(&mut self, running: &Arc<Running>, listener: Listener, socket: net::Listener) {
        let task = tokio::spawn(accept(running.clone(), socket, listener.implicit_tls));
        self.tasks.insert(listener, task);
    }

    /// Accepts on what was opened, and stops accepting where `wanted` does not ask for it any more. Open connections go
    /// on. Says which were opened and closed.
    pub fn switch(
        &mut self,
        running: &Arc<Running>,
        opened: Opened,
        wanted: &[Listener],
    ) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let mut new = Vec::new();
        for (listener, socket) in opened.0 {
            new.push(listener.address);
            self.accept_on(running, listener, socket);
        }
        let gone: Vec<Listener> = self.tasks.keys().filter(|listener| !wanted.contains(listener)).copied().collect();
        for listener in &gone {
            if let Some(task) = self.tasks.remove(listener) {
                task.abort();
            }
        }
        *running.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = {
            let mut listening: Vec<_> = self.tasks.keys().map(|l| (l.address, l.implicit_tls)).collect();
            listening.sort();
            listening
        };
        (new, gone.into_iter().map(|listener| listener.address).collect())
    }

    /// Stops accepting everywhere.
    pub fn close(&mut self) {
        for (_, task) in self.tasks.drain() {
            task.abort();
        }
    }
}

/// Whether the system binds `coming` only when `going` is closed.
fn is_in_the_way(going: SocketAddr, coming: SocketAddr) -> bool {
    let is_wild = going.ip().is_unspecified() || coming.ip().is_unspecified() || going.ip() == coming.ip();
    going.port() == coming.port() && going.is_ipv4() == coming.is_ipv4() && is_wild
}

async fn accept(running: Arc<Running>, mut listener: net::Listener, implicit_tls: bool) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                tokio::spawn(receive::serve(running.clone(), socket, peer, implicit_tls));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use gatepost_spool::Options;
    use gatepost_spool::disk::{Disk, File, Listed, Locking, RealDisk};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::site::{CONTOSO, Site};

    /// Content that does not fit the log, and so gets a file.
    const LARGE: usize = 4_000;
    /// So many files may be open for messages that arrive.
    const BODIES_MAX: usize = 2;
    /// Sessions that panic: more than there are places of any kind that they could keep.
    const PANICS: usize = 25;

    /// A disk with a bug: while it is armed, making a file for a message that arrives panics, in the middle of its session.
    #[derive(Debug, Default)]
    struct Trap {
        is_armed: AtomicBool,
    }

    impl Disk for Trap {
        fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
            let is_body = path.components().any(|part| part.as_os_str() == "bodies");
            assert!(!is_body || !self.is_armed.load(Ordering::SeqCst), "the trap is armed");
            RealDisk.create(path)
        }
        fn create_folder(&self, folder: &Path) -> io::Result<()> {
            RealDisk.create_folder(folder)
        }
        fn has_folder(&self, folder: &Path) -> bool {
            RealDisk.has_folder(folder)
        }
        fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
            RealDisk.list(folder)
        }
        fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
            RealDisk.names(folder)
        }
        fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
            RealDisk.open(path)
        }
        fn rename(&self, before: &Path, after: &Path) -> io::Result<()> {
            RealDisk.rename(before, after)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            RealDisk.remove(path)
        }
        fn flush_folder(&self, folder: &Path) -> io::Result<()> {
            RealDisk.flush_folder(folder)
        }
        fn lock(&self, path: &Path) -> io::Result<Locking> {
            RealDisk.lock(path)
        }
        fn is_locked(&self, path: &Path) -> io::Result<bool> {
            RealDisk.is_locked(path)
        }
    }

    struct Client(BufReader<TcpStream>);

    impl Client {
        /// In the middle of a message for bob: its header is sent.
        async fn sending(server: SocketAddr) -> Client {
            let mut client = Client(BufReader::new(TcpStream::connect(server).await.expect("somebody listens")));
            for (words, code) in [
                ("", "220"),
                ("EHLO client.example\r\n", "250"),
                ("MAIL FROM:<a@x.example>\r\n", "250"),
                ("RCPT TO:<bob@contoso.com>\r\n", "250"),
                ("DATA\r\n", "354"),
            ] {
                client.say(words).await;
                let reply = client.reply().await.expect("a reply");
                assert!(reply.starts_with(code), "{words}{reply}");
            }
            client.say("From: a@x.example\r\n\r\n").await;
            client
        }

        /// The rest of it, and the last reply; `None` when the server hangs up without one.
        async fn end(&mut self, bytes: usize) -> Option<String> {
            self.say(&"0123456789abcde\r\n".repeat(bytes / 17 + 1)).await;
            self.say(".\r\n").await;
            self.reply().await
        }

        async fn say(&mut self, words: &str) {
            // Whoever hung up does not hear it.
            let _ = self.0.write_all(words.as_bytes()).await;
        }

        async fn reply(&mut self) -> Option<String> {
            loop {
                let mut line = String::new();
                let read = self.0.read_line(&mut line).await.unwrap_or(0);
                if read == 0 {
                    return None;
                }
                if line.as_bytes().get(3) != Some(&b'-') {
                    return Some(line);
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_panic_in_one_session_ends_that_session_only() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = listener.local_addr().expect("it is bound");
        let document = CONTOSO.replace("127.0.0.1:2525", &server.to_string());
        let trap = Arc::new(Trap::default());
        let options = Options { inline_bytes_max: LARGE / 2, staged_bodies_max: BODIES_MAX, ..Options::default() };
        let site = Site::on(trap.clone(), options, &document);
        let accepting = tokio::spawn(accept(site.running.clone(), net::Listener::Tcp(listener), false));

        let mut small = Client::sending(server).await;
        let mut large = Client::sending(server).await;
        trap.is_armed.store(true, Ordering::SeqCst);
        for _ in 0..PANICS {
            let mut unlucky = Client::sending(server).await;
            assert_eq!(unlucky.end(LARGE).await, None, "its message is not acknowledged, and the connection is over");
        }
        // Those who were in the middle of something go on, and so do new ones, large ones too.
        let taken =
            |reply: Option<String>| assert!(reply.as_deref().is_some_and(|r| r.starts_with("250 ")), "{reply:?}");
        taken(small.end(LARGE / 10).await);
        trap.is_armed.store(false, Ordering::SeqCst);
        taken(large.end(LARGE).await);
        for _ in 0..=BODIES_MAX {
            taken(Client::sending(server).await.end(LARGE).await);
        }
        assert_eq!(site.running.spool.live().len(), 2 + BODIES_MAX + 1, "what was acknowledged, and nothing else");

        drop((small, large));
        let all_end = async {
            while site.running.connections.total() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), all_end).await.expect("no place is kept");
        assert!(!accepting.is_finished());
        accepting.abort();
    }
}
