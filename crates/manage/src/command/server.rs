//! How commands call this server: each has one server, whose document the settings are.

use gatepost_mail::Domain;

/// The name before the backslash of an identity: the first part of the server's name, in capitals as computers' names are.
pub fn short_name(server: &Domain) -> String {
    server.as_str().split('.').next().unwrap_or_default().to_uppercase()
}

/// Whether `name` is this server's, short or whole.
pub fn is_this(server: &Domain, name: &str) -> bool {
    let name = name.trim();
    let first = server.as_str().split('.').next().unwrap_or_default();
    [server.as_str(), first].into_iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// What to answer to somebody who asks for another server.
pub fn another(server: &Domain, name: &str) -> String {
    let name: String = name.chars().take(80).collect();
    format!(
        "the server `{}` isn't this one: this is {} ({}); each server has settings of its own, so connect to that one, \
         or leave -Server out",
        name.escape_debug(),
        short_name(server),
        server.as_str()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_short_and_its_whole_name() {
        let server = Domain::parse("mx1.contoso.com").expect("a domain");
        assert_eq!(short_name(&server), "MX1");
        for (name, expected) in [
            ("MX1", true),
            ("mx1.CONTOSO.com", true),
            (" mx1 ", true),
            ("mx2", false),
            ("mx1.contoso", false),
            ("", false),
        ] {
            assert_eq!(is_this(&server, name), expected, "{name}");
        }
    }
}
