//! Exchange's properties of a receive connector that no peer can see the effect of here: those of the cloud, of Active
//! Directory and of Exchange's division into services (fact sheet section 1.2).
//!
//! XORAR stands here too: how its parameter of RCPT is written was never published.
//!
//! A value that asks for nothing is taken, so that what was exported from Exchange need not be weeded first; one that asks
//! for something is an error which says why there is no such thing.

use gatepost_mail::Domain;
use toml::de::DeValue;

use super::reader::{Fields, Wrong, shown};
use super::values;

const WINDOWS_DOMAIN: &str = "let clients log on with BasicAuth inside TLS, servers and partners by their certificates";

/// Switches, with what `true` would ask for and what to do instead.
const SWITCHES: [(&str, &str, &str); 6] = [
    ("accept_consumer_mail", "is about Microsoft's cloud alone", "write false, or leave it out"),
    (
        "advertise_client_settings",
        "tells users of web mail about servers, and there is none here",
        "write false, or leave it out",
    ),
    ("enable_auth_gssapi", "needs Kerberos, that is Active Directory", WINDOWS_DOMAIN),
    ("live_credential_enabled", "is about Microsoft's own use alone", "write false, or leave it out"),
    (
        "orar_enabled",
        "offers XORAR, whose parameter at RCPT was never published",
        "write false, or leave it out; whoever gets reports decides where they go",
    ),
    ("proxy_enabled", "is about Exchange's division into front and back ends", "write false, or leave it out"),
];

pub(super) fn read(fields: &mut Fields<'_, '_, '_>, server_name: &Domain) {
    for (key, what, remedy) in SWITCHES {
        if fields.optional(key, values::boolean) == Some(true) {
            fields.error_at(key, format!("`{key}` {what}"), remedy);
        }
    }
    // X-ANONYMOUSTLS is hidden either way.
    fields.optional("suppress_x_anonymous_tls", values::boolean);
    // One service is both here.
    fields.optional("transport_role", values::choice(&[("FrontendTransport", ()), ("HubTransport", ())]));
    fields.optional("extended_protection_policy", |value| match values::string(value)? {
        name if name.eq_ignore_ascii_case("None") => Ok(()),
        name if ["Allow", "Require"].into_iter().any(|known| known.eq_ignore_ascii_case(name)) => {
            let message = format!("`{}` binds NTLM and Kerberos logons to TLS, and neither is offered", shown(name));
            Err(Wrong::new(message, "write \"None\"; `require_tls` and BasicAuthRequireTLS keep logons inside TLS"))
        }
        name => Err(values::unknown_name(name, ["None", "Allow", "Require"].into_iter())),
    });
    let capabilities = fields.list("tls_domain_capabilities", |value, _| values::string(value).map(str::to_owned));
    if capabilities.is_some_and(|capabilities| capabilities.iter().any(|(text, _)| !text.trim().is_empty())) {
        let message = "`tls_domain_capabilities` is about mail between Exchange and Microsoft's cloud";
        let remedy =
            "leave it out; for a partner write domain_secure_enabled = true and tls_receive_domain_secure_list";
        fields.error_at("tls_domain_capabilities", message, remedy);
    }
    fields.optional("service_discovery_fqdn", blank);
    fields.optional("server", |value| this_server(value, server_name));
}

fn blank(value: &DeValue<'_>) -> Result<(), Wrong> {
    match values::string(value)?.trim() {
        "" => Ok(()),
        name => Err(Wrong::new(
            format!(
                "`{}` would be told to clients that look for their settings, and nothing here answers them",
                shown(name)
            ),
            "leave it out; `fqdn` is the name in greeting and EHLO",
        )),
    }
}

/// By its whole name, or by the first part of it as Exchange writes it.
pub(super) fn this_server(value: &DeValue<'_>, server_name: &Domain) -> Result<(), Wrong> {
    let name = values::string(value)?;
    let own = server_name.as_str();
    let first = own.split('.').next().unwrap_or_default();
    if [own, first].into_iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let message = format!("`{}` is another server: this document is that of {own}", shown(name));
    Err(Wrong::new(message, "leave it out; each server has a document of its own"))
}
