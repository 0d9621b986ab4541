//! `gatepost admin`: who may administer. Tells a running server, or changes the file of secrets where none runs.

use std::io::Write;

use gatepost_manage::access::administrators::{self, AdministratorChange, NewAdministrator, hash_password};
use gatepost_manage::credentials::{Administrator, Secrets};
use gatepost_manage::resource::{
    AdministratorRequest, AdministratorShown, Administrators, Gone, NewAdministratorRequest, SetupRequest,
};
use gatepost_policy::role::{Role, Roles};

use super::{password, tell_or_change, wait_for, write_json};
use crate::cli::{AdminCommand, Target};
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::{Table, harmless, moment};

/// Adds, lists, changes or removes.
pub fn admin(out: &mut dyn Write, target: &Target, command: AdminCommand) -> Result<(), Failure> {
    match command {
        AdminCommand::Add { name, roles, password_stdin } => add(out, target, name, &roles, password_stdin),
        AdminCommand::List(arguments) => list(out, target, arguments.json),
        AdminCommand::SetRole { name, roles } => {
            let change = AdministratorRequest { roles: Some(names(&roles)), ..Default::default() };
            set(target, &name, change)?;
            let roles: Roles = roles.into_iter().collect();
            Ok(writeln!(out, "{} has the roles {roles} now.", harmless(&name))?)
        }
        AdminCommand::SetPassword { name, password_stdin } => {
            let password = password::ask(&name, password_stdin)?;
            set(target, &name, AdministratorRequest { password: Some(password), ..Default::default() })?;
            Ok(writeln!(out, "Set the password of {}.", harmless(&name))?)
        }
        AdminCommand::Totp { name, off } => totp(out, target, &name, off),
        AdminCommand::Remove { name } => {
            let gone = || Gone { removed: name.clone() };
            tell_or_change(
                target,
                async |client| client.remove_administrator(&name).await,
                |secrets| administrators::remove(secrets, &name),
                |()| gone(),
            )?;
            Ok(writeln!(out, "Removed the administrator {}.", harmless(&name))?)
        }
        AdminCommand::Redeem { token, name, password_stdin } => {
            let password = password::ask(&name, password_stdin)?;
            let request = SetupRequest { token, name, password };
            let first = wait_for(super::client(target)?.set_up(&request))?;
            Ok(writeln!(out, "{} is the first administrator: {}.", harmless(&first.name), first.roles.join(", "))?)
        }
    }
}

fn names(roles: &[Role]) -> Vec<String> {
    roles.iter().map(|role| role.name().to_owned()).collect()
}

fn add(
    out: &mut dyn Write,
    target: &Target,
    name: String,
    roles: &[Role],
    password_stdin: bool,
) -> Result<(), Failure> {
    let password = password::ask(&name, password_stdin)?;
    let request = NewAdministratorRequest { name, password, roles: names(roles) };
    let added = tell_or_change(
        target,
        async |client| client.add_administrator(&request).await,
        |secrets| {
            let password = hash_password(&request.password)?;
            let roles = roles.iter().copied().collect();
            administrators::add(secrets, NewAdministrator { name: request.name.clone(), password, roles }, now_ms())
        },
        shown,
    )?;
    Ok(writeln!(out, "Added the administrator {}: {}.", harmless(&added.name), added.roles.join(", "))?)
}

fn set(target: &Target, name: &str, request: AdministratorRequest) -> Result<AdministratorShown, Failure> {
    tell_or_change(
        target,
        async |client| client.set_administrator(name, &request).await,
        |secrets| {
            let roles = request.roles.as_ref().map(|names| names.iter().filter_map(|name| Role::parse(name)).collect());
            let password = request.password.as_deref().map(hash_password).transpose()?;
            administrators::set(secrets, name, AdministratorChange { roles, password, totp: request.totp })
        },
        |changed| {
            let uri = changed.totp.as_ref().map(|secret| secret.to_uri("Gatepost", &changed.name));
            AdministratorShown { totp_uri: uri, ..shown(changed) }
        },
    )
}

fn totp(out: &mut dyn Write, target: &Target, name: &str, off: bool) -> Result<(), Failure> {
    let changed = set(target, name, AdministratorRequest { totp: Some(!off), ..Default::default() })?;
    let shown = harmless(name);
    let Some(uri) = changed.totp_uri.filter(|_| !off) else {
        return Ok(writeln!(out, "{shown} needs the password alone.")?);
    };
    let secret = uri.split_once("secret=").and_then(|(_, rest)| rest.split('&').next()).unwrap_or_default();
    writeln!(out, "{shown} needs a code besides the password from now on. This is shown once; the app takes either:")?;
    writeln!(out, "  {uri}")?;
    Ok(writeln!(out, "  {secret}")?)
}

fn shown(administrator: Administrator) -> AdministratorShown {
    AdministratorShown {
        roles: administrator.roles.iter().map(|role| role.name().to_owned()).collect(),
        name: administrator.name,
        totp: administrator.totp.is_some(),
        created_ms: administrator.created_ms,
        totp_uri: None,
    }
}

fn list(out: &mut dyn Write, target: &Target, json: bool) -> Result<(), Failure> {
    let Administrators { administrators } = tell_or_change(
        target,
        async |client| client.administrators().await,
        |secrets: &mut Secrets| Ok(secrets.administrators.clone()),
        |known| Administrators { administrators: known.into_iter().map(shown).collect() },
    )?;
    if json {
        return write_json(out, &administrators);
    }
    if administrators.is_empty() {
        let hint = "There are no administrators: `gatepost admin add NAME --role TransportAdmin` adds one.";
        return Ok(writeln!(out, "{hint}")?);
    }
    let mut table = Table::new(&["NAME", "CODE", "SINCE", "ROLES"]);
    for known in &administrators {
        let code = if known.totp { "yes" } else { "-" };
        table.row(&[&known.name, code, &moment(known.created_ms), &known.roles.join(", ")]);
    }
    Ok(table.write(out)?)
}
