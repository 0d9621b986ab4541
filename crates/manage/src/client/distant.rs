//! A server that is called at a TCP port, with a token: inside TLS, unless it is on this machine.
//!
//! Takes what the command line says of it, hands on connections. The server has to prove who it is before the token is sent:
//! by a root of the operating system, or by a certificate that the caller was handed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatepost_policy::monitoring::Url;
use gatepost_transport::passwords::{SecretFileFault, read_secret_file};
use gatepost_transport::tls::{TlsError, believing_certificates, believing_roots};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a connection and its handshake may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
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
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
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
        Ok(Distant { authorization: authorization(token_file)?, tls, url })
    }

    /// What a request to it says: for whom it is, and from whom.
    pub fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        // A host's name or address is all ASCII.
        fields.extend(HeaderValue::from_str(&self.url.authority()).map(|host| (HOST, host)));
        fields.insert(AUTHORIZATION, self.authorization.clone());
        fields
    }

    /// A connection to it, which it has proven to be the one.
    ///
    /// # Errors
    /// Of the network, or of TLS.
    pub async fn connect(&self) -> io::Result<Box<dyn Stream>> {
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
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
