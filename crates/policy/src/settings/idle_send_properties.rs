//! Exchange's properties of a send connector that nobody can see the effect of here: those of the cloud, of Active Directory
//! and of Exchange's division into services (fact sheet section 4.4).
//!
//! A value that asks for nothing is taken, so that what was exported from Exchange need not be weeded first; one that asks
//! for something is an error which says why there is no such thing.

use gatepost_mail::Domain;
use toml::de::DeValue;

use super::reader::{Fields, Wrong, shown};
use super::{idle_properties, values};

/// Switches, with what `true` would ask for and what to do instead.
const SWITCHES: [(&str, &str, &str); 5] = [
    (
        "cloud_services_mail_enabled",
        "is about mail between Exchange and Microsoft's cloud",
        "write false, or leave it out; smart_host_auth_mechanism = \"ExternalAuthoritative\" keeps the organization's headers",
    ),
    ("frontend_proxy_enabled", "is about Exchange's division into front and back ends", "write false, or leave it out"),
    (
        "is_coexistence_connector",
        "is about moving an Exchange organization into Microsoft's cloud",
        "write false, or leave it out",
    ),
    (
        "is_scoped_connector",
        "hides a connector from the servers of other Active Directory sites, and there are none here",
        "write false, or leave it out; source_receive_connectors and source_sender_domains say for which mail it is",
    ),
    ("require_oorg", "is about mail between Exchange and Microsoft's cloud", "write false, or leave it out"),
];

pub(super) fn read(fields: &mut Fields<'_, '_, '_>, server_name: &Domain) {
    for (key, what, remedy) in SWITCHES {
        if fields.optional(key, values::boolean) == Some(true) {
            fields.error_at(key, format!("`{key}` {what}"), remedy);
        }
    }
    fields.optional("connector_type", |value| match values::string(value)?.trim() {
        name if name.is_empty() || name.eq_ignore_ascii_case("Default") => Ok(()),
        name => Err(Wrong::new(
            format!("`{}` is about mail between Exchange and Microsoft's cloud", shown(name)),
            "write \"Default\", or leave it out",
        )),
    });
    fields.list("source_transport_servers", |value: &DeValue<'_>, _| {
        idle_properties::this_server(value, server_name).map_err(|wrong| Wrong {
            remedy: "leave it out, or write the connector into the document of that server".to_owned(),
            ..wrong
        })
    });
}
