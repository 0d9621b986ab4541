//! Reads how a send connector logs on to its smart hosts (fact sheet section 4.4). Reads no password.

use toml::de::DeValue;

use super::reader::{Fields, Wrong, shown};
use super::values;
use crate::logon::{Logon, LogonMechanism, PasswordPlace};
use crate::send_connector::SmartHostAuthMechanism;

const MECHANISM: &str = "smart_host_auth_mechanism";
const FILE: &str = "authentication_password_file";
const ENVIRONMENT: &str = "authentication_password_env";
const USER: &str = "authentication_user";
const MECHANISMS: &str = "authentication_mechanisms";
/// A SASL exchange is lines of bounded length.
const USER_BYTES_MAX: usize = 255;

pub(super) fn read(fields: &mut Fields<'_, '_, '_>) -> (SmartHostAuthMechanism, Option<Box<Logon>>) {
    let mechanism = fields.optional(MECHANISM, mechanism).unwrap_or_default();
    fields.refuse(
        "authentication_credential",
        "`authentication_credential` would put a password into a document that is shown, compared and kept",
        format!("write {USER} = \"...\", and {FILE} = \"/path\" or {ENVIRONMENT} = \"NAME\""),
    );
    fields.refuse(
        "authentication_password",
        "`authentication_password` would put a password into a document that is shown, compared and kept",
        format!("write {FILE} = \"/path\" or {ENVIRONMENT} = \"NAME\""),
    );
    let user = fields.optional(USER, user);
    let file = fields.optional(FILE, values::path).map(PasswordPlace::File);
    let environment = fields.optional(ENVIRONMENT, variable).map(PasswordPlace::Environment);
    let given = fields.list(MECHANISMS, |value, _| values::choice(&LogonMechanism::NAMED)(value));
    if given.as_ref().is_some_and(Vec::is_empty) && !fields.is_bad(MECHANISMS) {
        fields.error_at(
            MECHANISMS,
            format!("`{MECHANISMS}` is empty"),
            "leave it out to use what is offered, best first",
        );
    }
    let mut mechanisms: Vec<LogonMechanism> = match given {
        Some(given) => given.into_iter().map(|(mechanism, _)| mechanism).collect(),
        None => LogonMechanism::NAMED.iter().map(|(_, mechanism)| *mechanism).collect(),
    };
    mechanisms.sort();
    mechanisms.dedup();
    if !mechanism.logs_on() {
        for key in [USER, FILE, ENVIRONMENT, MECHANISMS] {
            if fields.is_given(key) && !fields.is_bad(MECHANISM) {
                let remedy = "write smart_host_auth_mechanism = \"BasicAuthRequireTLS\", or remove it";
                fields.error_at(key, format!("`{key}` has no effect: this connector logs on to nobody"), remedy);
            }
        }
        return (mechanism, None);
    }
    let password = match (file, environment) {
        (Some(_), Some(_)) => {
            let message = format!("`{FILE}` and `{ENVIRONMENT}` are two places of one password");
            fields.error_at(ENVIRONMENT, message, "remove one of them");
            None
        }
        (file, environment) => file.or(environment),
    };
    if !fields.is_given(USER) {
        fields.lacks(USER, "write authentication_user = \"...\", the name that the smart hosts know us by");
    }
    if !fields.is_given(FILE) && !fields.is_given(ENVIRONMENT) {
        fields.lacks(FILE, &format!("write {FILE} = \"/path\", a file with the password, or {ENVIRONMENT} = \"NAME\""));
    }
    let logon = user.zip(password).map(|(user, password)| Box::new(Logon { user, password, mechanisms }));
    (mechanism, logon)
}

fn mechanism(value: &DeValue<'_>) -> Result<SmartHostAuthMechanism, Wrong> {
    const KNOWN: &[(&str, SmartHostAuthMechanism)] = &[
        ("None", SmartHostAuthMechanism::None),
        ("BasicAuth", SmartHostAuthMechanism::BasicAuth),
        ("BasicAuthRequireTLS", SmartHostAuthMechanism::BasicAuthRequireTls),
        ("ExternalAuthoritative", SmartHostAuthMechanism::ExternalAuthoritative),
    ];
    if values::string(value)?.trim().eq_ignore_ascii_case("ExchangeServer") {
        return Err(Wrong::new(
            "`ExchangeServer` needs Kerberos, that is Active Directory",
            "write \"BasicAuthRequireTLS\" with a user of that server, or \"ExternalAuthoritative\" where the network \
             protects the way",
        ));
    }
    values::choice(KNOWN)(value)
}

fn user(value: &DeValue<'_>) -> Result<Box<str>, Wrong> {
    let user = values::string(value)?;
    if user.is_empty() || user.len() > USER_BYTES_MAX || user.chars().any(char::is_control) {
        let message = format!("`{}` is no user name", shown(user));
        return Err(Wrong::new(message, format!("write 1 to {USER_BYTES_MAX} bytes without control characters")));
    }
    Ok(user.into())
}

fn variable(value: &DeValue<'_>) -> Result<Box<str>, Wrong> {
    let name = values::string(value)?;
    let is_legal = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // What is no name may be the password itself, and is not repeated.
    if name.is_empty() || name.len() > 64 || !is_legal || name.as_bytes()[0].is_ascii_digit() {
        let remedy = "write the name of the variable, such as \"SMART_HOST_PASSWORD\", not the password";
        return Err(Wrong::new("this is no name of an environment variable", remedy));
    }
    Ok(name.into())
}
