//! Reads `[management]`.

use std::net::SocketAddr;
use std::ops::Range;

use gatepost_mail::Domain;
use toml::de::{DeTable, DeValue};

use super::certificates;
use super::reader::{Collector, Fields, Wrong, shown};
use super::values;
use crate::management::{ManagementSettings, needs_tls};
use crate::role::Role;

/// More addresses to administer one server at are a mistake.
const LISTEN_MAX: usize = 16;
const HOST_NAMES_MAX: usize = 50;
const EXAMPLE: &str = "write address and port, \"127.0.0.1:8025\"";

/// Reads the table; without it there is the Unix socket alone.
pub(super) fn read<'t>(
    collector: &mut Collector<'t>,
    table: Option<(&DeTable<'t>, Range<usize>)>,
) -> ManagementSettings {
    let mut settings = ManagementSettings::default();
    let Some((table, span)) = table else { return settings };
    let mut fields = Fields::new(collector, "[management]", table, span);
    for (address, span) in fields.list("listen", |value, _| listen_address(value)).unwrap_or_default() {
        match settings.listen.contains(&address) {
            true => fields.wrong("listen", span, Wrong::new(format!("{address} is there twice"), "write it once")),
            false => settings.listen.push(address),
        }
    }
    let host_names = fields.list("host_names", |value, _| host_name(value)).unwrap_or_default();
    settings.host_names = host_names.into_iter().map(|(name, _)| name).collect();
    for (key, length, max) in
        [("listen", settings.listen.len(), LISTEN_MAX), ("host_names", settings.host_names.len(), HOST_NAMES_MAX)]
    {
        if length > max {
            fields.error_at(key, format!("`{key}`: there are more than {max}"), "leave out those that nobody uses");
        }
    }
    settings.tls_certificate_name =
        fields.optional("tls_certificate_name", certificates::certificate_name).flatten().map(Box::new);
    if settings.tls_certificate_name.is_some()
        && !fields.is_bad("listen")
        && !settings.listen.iter().any(|address| needs_tls(*address))
    {
        fields.warning_at(
            "tls_certificate_name",
            "`tls_certificate_name`: no certificate is shown on addresses of this machine",
            "leave it out, or listen on an address that others can reach",
        );
    }
    if let Some(role) = fields.optional("socket_group_role", role) {
        settings.socket_group_role = role;
    }
    if let Some(bytes) = fields.optional("admin_audit_log_max_directory_size", values::size(1 << 20, 1 << 40)) {
        settings.admin_audit_log_max_directory_size = bytes;
    }
    fields.finish(&[]);
    settings
}

fn listen_address(value: &DeValue<'_>) -> Result<SocketAddr, Wrong> {
    values::binding(value).map_err(|wrong| match value.as_str() {
        // The example of a receive connector would open it to everybody.
        Some(_) => Wrong::new(wrong.message, EXAMPLE),
        None => wrong,
    })
}

fn host_name(value: &DeValue<'_>) -> Result<Box<str>, Wrong> {
    let text = values::string(value)?;
    match Domain::parse(text) {
        Ok(name) if !name.is_literal() => Ok(name.as_str().to_lowercase().into()),
        _ => Err(Wrong::new(
            format!("`{}` is no host name", shown(text)),
            "write the name in the URL that administrators use, \"relay-admin.contoso.com\"",
        )),
    }
}

fn role(value: &DeValue<'_>) -> Result<Role, Wrong> {
    let text = values::string(value)?;
    Role::parse(text).ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
        Wrong::new(format!("`{}` is no role", shown(text)), format!("write one of {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Defaults, Settings, parse};
    use crate::management::ManagementSettings;
    use crate::role::Role;

    fn read(document: &str) -> Result<Settings, String> {
        let defaults = Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() };
        parse(document, &defaults).map_err(|problems| format!("{}: {}", problems[0].message, problems[0].remedy))
    }

    #[test]
    fn without_the_table_there_is_the_unix_socket_alone_and_its_group_looks_on() {
        assert_eq!(read("").expect("legal").management, ManagementSettings::default());
    }

    #[test]
    fn every_key_is_read() {
        let settings = read(
            "[management]\nlisten = [\"127.0.0.1:8025\", \"[::]:8025\"]\nhost_names = [\"Relay-Admin.contoso.com\"]\n\
             tls_certificate_name = \"<I>CN=CA<S>CN=relay\"\nsocket_group_role = \"queueoperator\"\n\
             admin_audit_log_max_directory_size = \"2 MB\"\n",
        )
        .expect("legal")
        .management;
        assert_eq!(settings.listen.len(), 2);
        assert_eq!(settings.listen_with_tls().map(|address| address.to_string()).collect::<Vec<_>>(), ["[::]:8025"]);
        assert_eq!(settings.host_names, ["relay-admin.contoso.com".into()]);
        assert!(settings.tls_certificate_name.is_some());
        assert_eq!(settings.socket_group_role, Role::QueueOperator);
        assert_eq!(settings.admin_audit_log_max_directory_size, 2 << 20);
    }

    #[test]
    fn mistakes_come_with_what_to_write() {
        for (line, said) in [
            ("listen = \"127.0.0.1\"", "127.0.0.1:8025"),
            ("listen = [\"127.0.0.1:8025\", \"127.0.0.1:8025\"]", "is there twice"),
            ("host_names = [\"a b\"]", "`a b` is no host name"),
            ("host_names = [\"[192.0.2.1]\"]", "is no host name"),
            ("socket_group_role = \"root\"", "View, HelpDesk, QueueOperator, RecipientAdmin, TransportAdmin"),
            ("admin_audit_log_max_directory_size = \"1 KB\"", "out of bounds"),
            ("lisen = \"127.0.0.1:8025\"", "did you mean `listen`"),
        ] {
            let error = read(&format!("[management]\n{line}\n")).expect_err(line);
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
