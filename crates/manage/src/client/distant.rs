//! A server that is called at a TCP port, with a token: inside TLS, unless it is on this machine.
//!
//! Takes what the command line says of it, and requests; hands on what is answered. The server has to prove who it is before
//! the token is sent: by a root of the operating system, or by a certificate that the caller was handed. A connection is kept
//! for the next request: a script of hundreds of calls shakes hands once.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gatepost_policy::monitoring::Url;
use gatepost_transport::passwords::{SecretFileFault, read_secret_file};
use gatepost_transport::tls::{TlsError, believing_certificates, believing_roots};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a connection and its handshake may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// A connection that nobody used for so long is not used again: the server ends it soon, and may do so while a request is on
/// its way, of which nobody would know whether it was done.
const KEPT_IDLE_MAX: Duration = Duration::from_secs(8);
/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 1_024;

/// Why a server cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum DistantError {
    /// It is no address of a server.
    #[error("{0:?} is no server: write https://mx1.contoso.com:8025, with nothing behind the port")]
    Url(String),
    /// The token would go in clear.
    #[error("{0} is not this machine, and without TLS others could read the token: write https://")]
    Clear(Url),
    /// The token cannot be read.
    #[error("the token in {path} cannot be used: {why}", path = .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificates cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server at a TCP port.
#[derive(Clone)]
pub struct Distant {
    url: Url,
    /// `Bearer ...`.
    authorization: HeaderValue,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The connection of the request before, and since when nobody uses it.
    kept: Arc<Mutex<Option<(Sender, Instant)>>>,
}

/// Sends requests on one connection.
type Sender = SendRequest<Full<Bytes>>;

/// Why a request has no answer.
#[derive(Debug)]
pub enum SendError {
    /// There is no connection.
    Unreachable(io::Error),
    /// The connection broke.
    Broken(hyper::Error),
}

impl fmt::Debug for Distant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Distant({})", self.url)
    }
}

/// As people name it.
impl fmt::Display for Distant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.to_string().trim_end_matches('/'))
    }
}

/// What a server is reached by.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Distant {
    /// The server at `url`, with the token in a file; `certificate` is the file with what it proves itself by, without one
    /// the roots of the operating system stand behind it. Blocking. Does not connect yet.
    ///
    /// # Errors
    /// [`DistantError`].
    pub fn new(url: &str, token_file: &Path, certificate: Option<&Path>) -> Result<Distant, DistantError> {
        let no_server = || DistantError::Url(url.to_owned());
        let url = Url::parse(url).filter(|url| &*url.path == "/").ok_or_else(no_server)?;
        if !url.is_secure && !url.is_on_this_machine() {
            return Err(DistantError::Clear(url));
        }
        let tls = match url.is_secure {
            true => {
                let name = ServerName::try_from(url.host.to_string()).map_err(|_| no_server())?;
                let config = match certificate {
                    Some(file) => believing_certificates(file)?,
                    None => believing_roots(None)?,
                };
                Some((config, name))
            }
            false => None,
        };
        Ok(Distant { authorization: authorization(token_file)?, tls, url, kept: Arc::default() })
    }

    /// What a request to it says: for whom it is, and from whom.
    pub fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        // A host's name or address is all ASCII.
        fields.extend(HeaderValue::from_str(&self.url.authority()).map(|host| (HOST, host)));
        fields.insert(AUTHORIZATION, self.authorization.clone());
        fields
    }

    /// Sends a request, on the connection of the one before where that is still there.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, SendError> {
        if let Some(mut sender) = self.take_kept()
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(sender);
                    return Ok(response);
                }
                Err(mut failed) => match failed.take_message() {
                    // Nothing of it went out: the server had ended the connection.
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::Broken(failed.into_error())),
                },
            }
        }
        let mut sender = self.connected().await?;
        let response = sender.send_request(request).await.map_err(SendError::Broken)?;
        self.keep(sender);
        Ok(response)
    }

    /// Sends a request on a connection of its own, which ends with the answer: one that has no end would hold up others.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_alone(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, SendError> {
        self.connected().await?.send_request(request).await.map_err(SendError::Broken)
    }

    fn take_kept(&self) -> Option<Sender> {
        let (sender, since) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        (since.elapsed() < KEPT_IDLE_MAX).then_some(sender)
    }

    fn keep(&self, sender: Sender) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((sender, Instant::now()));
    }

    async fn connected(&self) -> Result<Sender, SendError> {
        let stream = self.connect().await.map_err(SendError::Unreachable)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(SendError::Broken)?;
        // Ends by itself once the sender is dropped; what goes wrong in it comes back as the sender's error.
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A connection to it, which it has proven to be the one.
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let connected = tokio::time::timeout(CONNECT_LIMIT, async {
            let stream = TcpStream::connect((&*self.url.host, self.url.port)).await?;
            stream.set_nodelay(true)?;
            let Some((config, name)) = &self.tls else { return Ok(Box::new(stream) as Box<dyn Stream>) };
            let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        });
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
        connected.await.map_err(late)?
    }
}

/// The token of a file as a field.
fn authorization(file: &Path) -> Result<HeaderValue, DistantError> {
    let fault = |why: String| DistantError::Token { path: file.to_path_buf(), why };
    let bytes = read_secret_file(file, TOKEN_BYTES_MAX).map_err(|error: SecretFileFault| fault(error.to_string()))?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let token = text.trim_end_matches(['\r', '\n']);
    let is_token = !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|b| b.is_ascii_graphic());
    let field = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| is_token);
    let mut field = field.ok_or_else(|| fault("it is one line, as `gatepost token add` has shown it".to_owned()))?;
    field.set_sensitive(true);
    Ok(field)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;
    use hyper::header::CONNECTION;
    use hyper::service::service_fn;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn requests_share_a_connection_until_the_server_ends_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        fs::write(&file, "gpt_0123456789").expect("ours");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = (connections.clone(), requests.clone());
        tokio::spawn(async move {
            let (connections, requests) = counted;
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let requests = requests.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
                    async move {
                        let mut response = Response::new(request.into_body());
                        // Every third answer ends its connection.
                        if number % 3 == 0 {
                            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                        }
                        Ok::<_, Infallible>(response)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
            }
        });
        let distant = Distant::new(&url, &file, None).expect("a server");
        for number in 1..=7_usize {
            let text = format!("request {number}");
            let request =
                Request::post("/").header(HOST, "localhost").body(Full::from(text.clone())).expect("a request");
            let response = match number {
                7 => distant.send_alone(request).await,
                _ => distant.send(request).await,
            };
            let body = response.expect("answered").into_body().collect().await.expect("whole").to_bytes();
            assert_eq!(body, text.as_bytes());
            let expected = [1, 1, 1, 2, 2, 2, 3][number - 1];
            assert_eq!(connections.load(Ordering::Relaxed), expected, "{text}");
        }
        assert_eq!(requests.load(Ordering::Relaxed), 7, "each was sent once");
    }

    #[test]
    fn a_token_goes_to_whom_it_is_meant_for_or_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        let token = "gpt_0123456789";
        for (url, text, mode, expected) in [
            ("https://mx1.contoso.com:8025", "gpt_0123456789\n", 0o600, Ok("https://mx1.contoso.com:8025")),
            ("https://mx1.contoso.com:8025/", "gpt_0123456789", 0o600, Ok("https://mx1.contoso.com:8025")),
            ("http://127.0.0.1:8025", "gpt_0123456789\r\n", 0o640, Ok("http://127.0.0.1:8025")),
            ("http://[::1]:8025", "gpt_0123456789", 0o600, Ok("http://[::1]:8025")),
            ("http://mx1.contoso.com:8025", "gpt_0123456789", 0o600, Err("write https://")),
            ("http://127.0.0.1.contoso.com", "gpt_0123456789", 0o600, Err("write https://")),
            ("mx1.contoso.com:8025", "gpt_0123456789", 0o600, Err("is no server")),
            ("https://mx1.contoso.com/api/v1", "gpt_0123456789", 0o600, Err("is no server")),
            ("https://carol@mx1.contoso.com", "gpt_0123456789", 0o600, Err("is no server")),
            ("https://mx1.contoso.com", "gpt_0123456789", 0o644, Err("open to others")),
            ("https://mx1.contoso.com", "", 0o600, Err("one line")),
            ("https://mx1.contoso.com", "gpt_0123456789\nX: y\n", 0o600, Err("one line")),
        ] {
            fs::write(&file, text).expect("ours");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("ours");
            let distant = Distant::new(url, &file, None);
            match (&distant, expected) {
                (Ok(distant), Ok(expected)) => {
                    assert_eq!(distant.to_string(), expected);
                    let fields = distant.fields();
                    assert_eq!(fields[AUTHORIZATION], format!("Bearer {token}"));
                    assert!(expected.ends_with(fields[HOST].to_str().expect("ASCII")));
                    assert!(!format!("{distant:?} {fields:?}").contains(token));
                }
                (Err(error), Err(part)) => {
                    let error = error.to_string();
                    assert!(error.contains(part) && !error.contains(token), "{error}");
                }
                _ => panic!("{url} {text:?} {mode:o}: {distant:?}"),
            }
        }
        assert!(Distant::new("https://mx1.contoso.com", &folder.path().join("none"), None).is_err());
    }
}
