//! Which receive connector is meant (fact sheet section 1.1): a name, `SERVER\Name`, a distinguished name or a GUID.

use std::sync::Arc;

use gatepost_policy::Settings;
use gatepost_policy::receive_connector::ReceiveConnector;
use gatepost_policy::settings::nearest;

use super::super::CommandError;
use super::super::server;
use super::shape::{distinguished_name, guid};

/// The one connector of this identity.
///
/// # Errors
/// [`CommandError`]: an empty identity, another server, no such connector.
pub fn find<'a>(settings: &'a Settings, identity: &str) -> Result<&'a Arc<ReceiveConnector>, CommandError> {
    let own = &settings.server.name;
    let written = identity.trim();
    if written.is_empty() {
        // A script whose variable is empty must not mean all of them.
        let error = "the identity is empty: write the name of a receive connector";
        return Err(CommandError::Wrong(error.to_owned()));
    }
    let all = &settings.receive_connectors;
    let named = |name: &str| {
        let name = name.to_lowercase();
        all.iter().find(move |connector| connector.name.to_lowercase() == name)
    };
    if let Some(found) = named(written) {
        return Ok(found);
    }
    let in_directory = |connector: &&Arc<ReceiveConnector>| {
        let dn = distinguished_name(own, &connector.name);
        dn.eq_ignore_ascii_case(written) || guid(&dn).eq_ignore_ascii_case(written.trim_matches(['{', '}']))
    };
    if let Some(found) = all.iter().find(in_directory) {
        return Ok(found);
    }
    let mut name = written;
    if let Some((before, rest)) = written.split_once('\\') {
        if !server::is_this(own, before) {
            return Err(CommandError::NotFound(server::another(own, before)));
        }
        name = rest.trim();
        if let Some(found) = named(name) {
            return Ok(found);
        }
    }
    let name: String = name.chars().take(80).collect();
    let hint =
        nearest(&name, all.iter().map(|connector| &*connector.name)).map(|near| format!("; did you mean '{near}'?"));
    let error = format!(
        "The operation couldn't be performed because the receive connector '{}' couldn't be found on {}{}",
        name.escape_debug(),
        server::short_name(own),
        hint.unwrap_or_else(|| ".".to_owned())
    );
    Err(CommandError::NotFound(error))
}

/// The connectors that an identity names, or a name with wildcards, with or without the server before it.
///
/// # Errors
/// [`CommandError`], as for [`find`]; wildcards that match nothing are no error.
pub fn search<'a>(settings: &'a Settings, identity: &str) -> Result<Vec<&'a Arc<ReceiveConnector>>, CommandError> {
    let own = &settings.server.name;
    if !identity.contains(['*', '?']) {
        return Ok(vec![find(settings, identity)?]);
    }
    let pattern = match identity.split_once('\\') {
        Some((before, rest)) if server::is_this(own, before) || before.trim() == "*" => rest,
        Some((before, _)) => return Err(CommandError::NotFound(server::another(own, before))),
        None => identity,
    };
    let pattern: Vec<char> = pattern.trim().to_lowercase().chars().collect();
    Ok(settings.receive_connectors.iter().filter(|connector| matches(&pattern, &connector.name)).collect())
}

/// Whether `name` matches a lower-case pattern in which `*` stands for anything and `?` for one character.
fn matches(pattern: &[char], name: &str) -> bool {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    // The last star, and how much of the name it takes so far: what comes after it is tried again one further.
    let (mut at, mut place, mut star) = (0, 0, None);
    while place < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(&one) if one == '?' || one == name[place] => (at, place) = (at + 1, place + 1),
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    (at, place) = (star_at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use gatepost_policy::settings::{Defaults, parse};

    use super::*;

    const DOCUMENT: &str = r#"
[server]
name = "mx1.contoso.com"
[[receive_connector]]
name = "Default Frontend"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
[[receive_connector]]
name = "Relay, two"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["10.0.0.0/24"]
"#;

    fn settings() -> Settings {
        let defaults = Defaults { host_name: "x".to_owned(), data_dir: "x".into() };
        parse(DOCUMENT, &defaults).expect("a sound document")
    }

    #[test]
    fn a_connector_is_known_by_every_form_of_its_identity() {
        let settings = settings();
        let dn = distinguished_name(&settings.server.name, "Relay, two");
        assert_eq!(dn, "CN=Relay\\, two,CN=SMTP Receive Connectors,CN=Protocols,CN=MX1");
        for identity in [
            "relay, TWO",
            "MX1\\Relay, two",
            "mx1.contoso.com\\Relay, two",
            " Relay, two ",
            &dn,
            &guid(&dn).to_uppercase(),
            &format!("{{{}}}", guid(&dn)),
        ] {
            let found = find(&settings, identity).unwrap_or_else(|error| panic!("{identity}: {error}"));
            assert_eq!(&*found.name, "Relay, two", "{identity}");
        }
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is_near() {
        let settings = settings();
        for (identity, said) in [
            ("Relay, to", "did you mean 'Relay, two'?"),
            ("MX2\\Default Frontend", "this is MX1 (mx1.contoso.com)"),
            ("", "the identity is empty"),
            ("  ", "the identity is empty"),
            ("nothing like it", "couldn't be found on MX1."),
        ] {
            let error = find(&settings, identity).expect_err(identity).to_string();
            assert!(error.contains(said), "{identity}: {error}");
        }
    }

    #[test]
    fn wildcards_find_those_that_match() {
        let settings = settings();
        for (identity, expected) in [
            ("*", &["Default Frontend", "Relay, two"][..]),
            ("def*", &["Default Frontend"]),
            ("MX1\\*", &["Default Frontend", "Relay, two"]),
            ("*\\Relay*", &["Relay, two"]),
            ("*e?a*two", &["Relay, two"]),
            ("*x*", &[]),
            ("?", &[]),
        ] {
            let found = search(&settings, identity).expect(identity);
            let names: Vec<_> = found.iter().map(|connector| &*connector.name).collect();
            assert_eq!(names, expected, "{identity}");
        }
        assert!(search(&settings, "MX2\\*").is_err());
    }
}
