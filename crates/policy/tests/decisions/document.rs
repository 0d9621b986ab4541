//! Documents for the other tests.

use gatepost_mail::Domain;
use gatepost_policy::Settings;
use gatepost_policy::access_entry::Principal;
use gatepost_policy::settings::{Defaults, Problem, parse, render};

/// What a test document leaves to its surroundings.
pub fn defaults() -> Defaults {
    Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() }
}

/// The settings of a document that has no error.
pub fn settings(text: &str) -> Settings {
    parse(text, &defaults()).unwrap_or_else(|problems| panic!("{}", render("test.toml", text, &problems, false)))
}

/// The problems of a document that is refused.
pub fn problems(text: &str) -> Vec<Problem> {
    match parse(text, &defaults()) {
        Ok(settings) => panic!("the document was taken, with {:?}:\n{text}", settings.warnings),
        Err(problems) => problems,
    }
}

/// How many random cases a comparison with a plain oracle takes; more in a long run:
/// `GATEPOST_CASES=100000 cargo test -p gatepost-policy --test decisions`.
pub fn cases(usual: u32) -> u32 {
    std::env::var("GATEPOST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

/// The surroundings of the fact sheet's test vectors: contoso.com is ours, partner.example is passed on.
pub const CONTOSO: &str = r#"
[[accepted_domain]]
name = "contoso.com"
[[accepted_domain]]
name = "partner.example"
domain_type = "ExternalRelay"
[[mailbox]]
address = "bob@contoso.com"
[[user]]
name = "alice"
addresses = ["alice@contoso.com"]
[[send_connector]]
name = "Internet"
address_spaces = ["SMTP:*;1"]
"#;

/// Connector D of the test vectors: all addresses, with these groups, and what else is given.
pub fn default_connector(groups: &str, more: &str) -> String {
    connector("D", r#""0.0.0.0-255.255.255.255", "::/0""#, groups, more)
}

/// A receive connector on port 25.
pub fn connector(name: &str, ranges: &str, groups: &str, more: &str) -> String {
    format!(
        "[[receive_connector]]\nname = \"{name}\"\nbindings = [\"0.0.0.0:25\", \"[::]:25\"]\n\
         remote_ip_ranges = [{ranges}]\npermission_groups = \"{groups}\"\n{more}\n"
    )
}

/// A partner that has proven to be fabrikam.example.
pub fn partner() -> Principal {
    Principal::Partner([Domain::parse("fabrikam.example").expect("a domain")].into())
}

/// Connector R of the test vectors, by its two options.
pub const OPTION_1: &str = r#"auth_mechanism = ["Tls", "ExternalAuthoritative"]"#;
pub const OPTION_2: &str = r#"
  [[receive_connector.permission]]
  user = "NT AUTHORITY\\ANONYMOUS LOGON"
  extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]
"#;
