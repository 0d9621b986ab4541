//! What the administrator wants to see of the running server: numbers, traces, alarms, and where they go.
//!
//! Plain values; takes nothing, decides nothing. Secrets are named here, never held.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Domain, Mailbox};

/// Everything about monitoring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitoring {
    /// `[metrics]`.
    pub metrics: Option<MetricsSettings>,
    /// `[opentelemetry]`.
    pub opentelemetry: Option<OpenTelemetrySettings>,
    /// `[alarms]`.
    pub alarms: AlarmSettings,
}

impl Monitoring {
    /// Where every secret lies.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let telemetry = self.opentelemetry.iter().filter_map(|telemetry| telemetry.authorization.as_ref());
        telemetry.chain(self.alarms.webhooks.iter().filter_map(|webhook| webhook.secret.as_ref()))
    }

    /// Where every secret lies, so that relative paths can be made absolute.
    pub fn secrets_mut(&mut self) -> impl Iterator<Item = &mut Secret> {
        let telemetry = self.opentelemetry.iter_mut().filter_map(|telemetry| telemetry.authorization.as_mut());
        telemetry.chain(self.alarms.webhooks.iter_mut().filter_map(|webhook| webhook.secret.as_mut()))
    }
}

/// `[metrics]`: numbers, health and readiness over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Where it listens; this machine alone unless somebody says why not.
    pub listen: SocketAddr,
}

/// `[opentelemetry]`: numbers and traces to a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTelemetrySettings {
    /// The collector; `/v1/metrics` and `/v1/traces` are appended to its path (OTLP/HTTP).
    pub endpoint: Url,
    /// How often numbers are sent.
    pub interval: Duration,
    /// Whether numbers are sent.
    pub metrics: bool,
    /// Whether traces are sent.
    pub traces: bool,
    /// What stands in the Authorization field.
    pub authorization: Option<Secret>,
}

/// `[alarms]`: when somebody is told, and who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmSettings {
    /// A route that had mail for so long and delivered none of it is silent.
    pub route_silence: Duration,
    /// A message that has waited for so long is old.
    pub oldest_message: Duration,
    /// How many days before the end of a certificate, a range or an entry somebody is told.
    pub expiry_days: u32,
    /// From so many percent of a file system on it is nearly full.
    pub used_disk_space: u32,
    /// Whom mail goes to.
    pub recipients: Arc<[Mailbox]>,
    /// Mail goes out no more often than this.
    pub mail_interval: Duration,
    /// `[[alarms.webhook]]`.
    pub webhooks: Vec<Webhook>,
}

impl Default for AlarmSettings {
    fn default() -> Self {
        const HOUR: u64 = 60 * 60;
        AlarmSettings {
            route_silence: Duration::from_secs(HOUR),
            oldest_message: Duration::from_secs(4 * HOUR),
            expiry_days: 30,
            used_disk_space: 85,
            recipients: Arc::default(),
            mail_interval: Duration::from_secs(HOUR / 6),
            webhooks: Vec::new(),
        }
    }
}

/// `[[alarms.webhook]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where changes are posted to.
    pub url: Url,
    /// What they are signed with.
    pub secret: Option<Secret>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Where a secret lies. It is read when it is needed, and never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In a file, without the line end behind it.
    File(PathBuf),
    /// In a variable of the server's environment.
    Environment(Box<str>),
}

/// As much of a URL as is needed to post something: `http://127.0.0.1:4318/path?query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is https.
    pub is_secure: bool,
    /// A name, or an address without brackets.
    pub host: Box<str>,
    /// TCP port; 80 or 443 where it is left out.
    pub port: u16,
    /// Path and query, beginning with a slash.
    pub path: Box<str>,
}

impl Url {
    /// Reads a URL of http or https. Names and passwords in it are none: they would be shown wherever it is.
    pub fn parse(text: &str) -> Option<Url> {
        let (is_secure, rest) = match text.split_once("://")? {
            (scheme, rest) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            (scheme, rest) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if text.len() > 2_000
            || !rest.bytes().all(|byte| byte.is_ascii_graphic())
            || rest.contains(['#', '@', '"', '<', '>', '\\'])
        {
            return None;
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                address.parse::<std::net::Ipv6Addr>().ok()?;
                (address, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => {
                let (host, port) =
                    authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
                host.parse::<std::net::Ipv4Addr>().map(|_| ()).or_else(|_| Domain::parse(host).map(|_| ())).ok()?;
                (host, port)
            }
        };
        let port = match port {
            None => {
                if is_secure {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0 && !authority.ends_with(':'))?,
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Url { is_secure, host: host.into(), port, path: path.into() })
    }

    /// Host and port, as the Host field names them.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        if self.port == if self.is_secure { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }

    /// Whether nobody but this machine sees what goes there.
    pub fn is_on_this_machine(&self) -> bool {
        &*self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Without what may be a token in its query.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        let (path, query) = self.path.split_once('?').map_or((&*self.path, ""), |(path, _)| (path, "?..."));
        write!(f, "{scheme}://{}{path}{query}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_their_query() {
        for (text, expected) in [
            ("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/")),
            ("HTTPS://hooks.example.net/a/b?token=secret", Some("https://hooks.example.net/a/b?...")),
            ("https://hooks.example.net:443/a", Some("https://hooks.example.net/a")),
            ("http://[::1]:80/x", Some("http://[::1]/x")),
            ("http://[::1]:8080", Some("http://[::1]:8080/")),
            ("http://localhost?x=1", Some("http://localhost/?...")),
            ("http://", None),
            ("http://user:password@host.example/", None),
            ("ftp://host.example/", None),
            ("http://host.example:0/", None),
            ("http://host.example:/", None),
            ("http://host.example:99999/", None),
            ("http://host.example/a b", None),
            ("http://host.example/#part", None),
            ("http://host.example/\r\nX: y", None),
            ("host.example", None),
            ("http://[::1/", None),
            ("http://::1/", None),
        ] {
            assert_eq!(Url::parse(text).map(|url| url.to_string()).as_deref(), expected, "{text}");
        }
    }
}
