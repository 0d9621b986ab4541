//! Requests that a browser makes for a page of somebody else: another origin, or a name that was bent to our address (DNS
//! rebinding).
//!
//! Takes the fields of a request, hands on whether it may be for us. Programs send none of them but Host.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode};

/// Why a request is not for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// It names a host that we are not.
    Host,
    /// Another page made it.
    Page,
}

impl Stray {
    /// What it is answered with.
    pub fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Stray::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "the Host field names no host that this server is: call it by address, by its own name, or by one of [management] host_names",
            ),
            Stray::Page => (StatusCode::FORBIDDEN, "pages of other origins may not ask this server"),
        }
    }
}

/// Whether a request is for a server of these names, and from no page of another origin. Addresses are always us: it takes a
/// name to bend one. Names are in lower case.
///
/// # Errors
/// [`Stray`].
pub fn decide<'a>(headers: &HeaderMap, mut names: impl Iterator<Item = &'a str>) -> Result<(), Stray> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Stray::Host) };
    let authority = host.to_str().map_err(|_| Stray::Host)?.to_ascii_lowercase();
    let host = name_of(&authority).ok_or(Stray::Host)?;
    let is_address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    if !is_address && host != "localhost" && !names.any(|name| name == host) {
        return Err(Stray::Host);
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        let is_same = origin.split_once("://").is_some_and(|(_, of_page)| of_page == authority);
        if !is_same {
            return Err(Stray::Page);
        }
    }
    // Browsers say so themselves, also where they send no Origin (Fetch Metadata).
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(Stray::Page);
    }
    Ok(())
}

/// Marks a request for a page that a link on another site has led to, as the browser says (Fetch Metadata). It may see what
/// anybody may see: cookies that are for pages of our own did not come with it.
#[derive(Clone, Copy, Debug)]
pub struct LinkFromElsewhere;

impl LinkFromElsewhere {
    /// Whether a request is one: somebody goes to a page, and nothing but a page.
    pub fn find(method: &Method, headers: &HeaderMap) -> Option<LinkFromElsewhere> {
        let says = |name: &'static str, wanted: &[&str]| {
            headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| wanted.contains(&value))
        };
        let is_link = matches!(*method, Method::GET | Method::HEAD)
            && says("sec-fetch-site", &["cross-site", "same-site"])
            && says("sec-fetch-mode", &["navigate"])
            && says("sec-fetch-dest", &["document"]);
        is_link.then_some(LinkFromElsewhere)
    }
}

/// The host of `host:port`, brackets kept, without the dot that ends a name (RFC 3986 section 3.2.2).
fn name_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => authority.split_at(rest.find(']')? + 2),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (is_port && !host.is_empty()).then(|| host.strip_suffix('.').unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_from_elsewhere_goes_to_a_page_and_changes_nothing() {
        let fields = |site: &'static str, mode: &'static str, dest: &'static str| {
            let fields = [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            let fields = fields.map(|(name, value)| {
                (axum::http::HeaderName::from_static(name), axum::http::HeaderValue::from_static(value))
            });
            HeaderMap::from_iter(fields)
        };
        for (method, fields, expected) in [
            (Method::GET, fields("cross-site", "navigate", "document"), true),
            (Method::GET, fields("same-site", "navigate", "document"), true),
            (Method::POST, fields("cross-site", "navigate", "document"), false),
            (Method::GET, fields("cross-site", "navigate", "iframe"), false),
            (Method::GET, fields("cross-site", "no-cors", "image"), false),
            (Method::GET, fields("cross-site", "cors", "empty"), false),
            (Method::GET, fields("same-origin", "navigate", "document"), false),
        ] {
            assert_eq!(LinkFromElsewhere::find(&method, &fields).is_some(), expected, "{method} {fields:?}");
        }
    }

    #[test]
    fn only_our_own_names_and_pages_are_heard() {
        use Stray::*;
        for (fields, expected) in [
            (&[("host", "127.0.0.1:8025")][..], Ok(())),
            (&[("host", "[::1]:8025")], Ok(())),
            (&[("host", "[::1]")], Ok(())),
            (&[("host", "LOCALHOST:8025")], Ok(())),
            (&[("host", "mail.contoso.com")], Ok(())),
            (&[("host", "Mail.Contoso.com.:443")], Ok(())),
            (&[("host", "evil.example:8025")], Err(Host)),
            (&[("host", "mail.contoso.com.evil.example")], Err(Host)),
            (&[("host", "mail.contoso.com@evil.example")], Err(Host)),
            (&[("host", "mail.contoso.com:x")], Err(Host)),
            (&[("host", "127.0.0.1.evil.example")], Err(Host)),
            (&[("host", "")], Err(Host)),
            (&[], Err(Host)),
            (&[("host", "127.0.0.1"), ("host", "127.0.0.1")], Err(Host)),
            (&[("host", "127.0.0.1:8025"), ("origin", "http://127.0.0.1:8025")], Ok(())),
            (&[("host", "127.0.0.1:8025"), ("origin", "http://127.0.0.1:9000")], Err(Page)),
            (&[("host", "127.0.0.1:8025"), ("origin", "null")], Err(Page)),
            (&[("host", "127.0.0.1:8025"), ("origin", "https://evil.example")], Err(Page)),
            (&[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")], Err(Page)),
            (&[("host", "127.0.0.1"), ("sec-fetch-site", "same-site")], Err(Page)),
            (&[("host", "127.0.0.1"), ("sec-fetch-site", "same-origin")], Ok(())),
            (&[("host", "127.0.0.1"), ("sec-fetch-site", "none")], Ok(())),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                let name: axum::http::HeaderName = name.parse().expect("a name");
                headers.append(name, value.parse().expect("a value"));
            }
            assert_eq!(decide(&headers, ["mail.contoso.com"].into_iter()), expected, "{fields:?}");
        }
    }
}
