//! The two cookies of the console: the session, and light or dark (RFC 6265).

use axum::http::{HeaderMap, HeaderValue, header};
use gatepost_manage::access::Visitor;

/// Longer values are none of ours.
const VALUE_BYTES_MAX: usize = 256;
const THEME: &str = "gatepost-theme";

/// Whether the visitor's requests come by TLS.
fn is_by_tls(visitor: Visitor) -> bool {
    matches!(visitor, Visitor::Remote { by_tls: true, .. })
}

/// What the session's cookie is called. With TLS no other host, path or unprotected page can set one of that name.
fn session_name(visitor: Visitor) -> &'static str {
    if is_by_tls(visitor) { "__Host-gatepost" } else { "gatepost" }
}

/// The secret of the session that a request is in.
pub fn session(headers: &HeaderMap, visitor: Visitor) -> Option<&str> {
    find(headers, session_name(visitor))
}

/// The field that makes a browser keep the secret of a session; `None` makes it forget.
pub fn keep_session(secret: Option<&str>, visitor: Visitor) -> HeaderValue {
    let secure = if is_by_tls(visitor) { "; Secure" } else { "" };
    let (value, age) = match secret {
        Some(secret) => (secret, ""),
        None => ("", "; Max-Age=0"),
    };
    let field = format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}", session_name(visitor));
    HeaderValue::try_from(field).expect("a secret is of letters and digits")
}

/// Light, dark, or as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// The name in forms, cookies and the page.
    pub fn name(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// The theme of that name.
    pub fn parse(name: &str) -> Theme {
        [Theme::Light, Theme::Dark].into_iter().find(|theme| theme.name() == name).unwrap_or_default()
    }

    /// The one that a visitor has chosen.
    pub fn of(headers: &HeaderMap) -> Theme {
        find(headers, THEME).map(Theme::parse).unwrap_or_default()
    }

    /// The field that makes a browser keep it, for a year.
    pub fn keep(self) -> HeaderValue {
        let field = format!("{THEME}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000", self.name());
        HeaderValue::try_from(field).expect("names are plain")
    }
}

fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    (!value.is_empty() && value.len() <= VALUE_BYTES_MAX).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(by_tls: bool) -> Visitor {
        Visitor::Remote { address: ([127, 0, 0, 1], 1).into(), by_tls }
    }

    #[test]
    fn a_session_of_the_clear_is_none_by_tls_and_the_other_way_round() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b; gatepost=clear; __Host-gatepost=sealed; x"));
        assert_eq!(session(&headers, remote(false)), Some("clear"));
        assert_eq!(session(&headers, remote(true)), Some("sealed"));
        headers.insert(header::COOKIE, HeaderValue::from_static("gatepost="));
        assert_eq!(session(&headers, remote(false)), None);
    }

    #[test]
    fn scripts_and_other_sites_never_get_the_session() {
        let clear = keep_session(Some("gps_1"), remote(false));
        assert_eq!(clear, "gatepost=gps_1; Path=/; HttpOnly; SameSite=Strict");
        let sealed = keep_session(None, remote(true));
        assert_eq!(sealed, "__Host-gatepost=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0");
    }
}
