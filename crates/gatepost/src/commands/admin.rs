//! `gatepost admin`: who may administer. Tells a running server, or changes the file of secrets where none runs.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use gatepost_manage::access::administrators::{
    self, AccountError, AdministratorChange, NewAdministrator, TotpChange, hash_password,
};
use gatepost_manage::access::change_file;
use gatepost_manage::credentials::{Administrator, Secrets, TotpSecret};
use gatepost_manage::document::data_dir;
use gatepost_manage::resource::{
    AdministratorRequest, AdministratorShown, Administrators, Gone, NewAdministratorRequest, SetupRequest,
};
use gatepost_policy::role::{Role, Roles};

use super::{client, of_running, password, tell_or_change, wait_for, write_json};
use crate::cli::{AdminCommand, Target};
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::{Table, harmless, moment};

/// Longest line with a code, in bytes.
const CODE_LINE_BYTES_MAX: u64 = 100;

/// What is to become of an administrator's codes.
enum Totp {
    /// A secret is made, and in force after its first code.
    New,
    /// The secret that was made has its first code.
    Confirm(String),
    /// None are asked for.
    Off,
}

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
        AdminCommand::Totp { name, off, code } => {
            let wish = match (off, code) {
                (true, _) => Totp::Off,
                (false, Some(code)) => Totp::Confirm(code),
                (false, None) => Totp::New,
            };
            totp(out, target, &name, wish)
        }
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
            let first = wait_for(client(target)?.set_up(&request))?;
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
            let password = hash_password(&request.name, &request.password)?;
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
            let password = request.password.as_deref().map(|password| hash_password(name, password)).transpose()?;
            // Only off: another secret needs its first code.
            let totp = (request.totp == Some(false)).then_some(TotpChange::Off);
            administrators::set(secrets, name, AdministratorChange { roles, password, totp })
        },
        shown,
    )
}

fn totp(out: &mut dyn Write, target: &Target, name: &str, wish: Totp) -> Result<(), Failure> {
    match wish {
        Totp::Off => {
            set(target, name, AdministratorRequest { totp: Some(false), ..Default::default() })?;
            Ok(writeln!(out, "{} needs the password alone.", harmless(name))?)
        }
        Totp::Confirm(code) => confirm(out, target, name, code),
        Totp::New => {
            let client = client(target)?;
            let request = AdministratorRequest { totp: Some(true), ..Default::default() };
            match wait_for(of_running(client.set_administrator(name, &request)))? {
                Some(changed) => {
                    write_secret(out, name, &changed.totp_uri.unwrap_or_default())?;
                    match ask_for_code(out, name)? {
                        Some(code) => confirm(out, target, name, code),
                        None => Ok(()),
                    }
                }
                None => totp_here(out, &data_dir(&target.config.path)?, name),
            }
        }
    }
}

/// The secret that waits in the running server is in force now, if this is its first code.
fn confirm(out: &mut dyn Write, target: &Target, name: &str, code: String) -> Result<(), Failure> {
    let request = AdministratorRequest { totp_code: Some(code), ..Default::default() };
    wait_for(client(target)?.set_administrator(name, &request))?;
    write_on(out, name)
}

/// Where no server runs the secret waits in this process alone.
fn totp_here(out: &mut dyn Write, data_dir: &Path, name: &str) -> Result<(), Failure> {
    let secrets = Secrets::read(data_dir).map_err(Failure::of)?;
    let known = secrets.administrator(name).ok_or_else(|| Failure::of(AccountError::Unknown(name.to_owned())))?;
    let secret = TotpSecret::fresh().map_err(Failure::of)?;
    write_secret(out, name, &secret.to_uri("Gatepost", &known.name))?;
    let Some(code) = ask_for_code(out, name)? else { return Ok(()) };
    if secret.step_of(&code, now_ms(), None).is_none() {
        return Err(Failure::of("this is no code of the new secret now: nothing has changed"));
    }
    let totp = Some(TotpChange::On { secret, since_ms: now_ms() });
    let change = AdministratorChange { totp, ..AdministratorChange::default() };
    change_file(data_dir, |secrets| administrators::set(secrets, name, change)).map_err(Failure::of)?;
    write_on(out, name)
}

fn write_secret(out: &mut dyn Write, name: &str, uri: &str) -> Result<(), Failure> {
    let secret = uri.split_once("secret=").and_then(|(_, rest)| rest.split('&').next()).unwrap_or_default();
    writeln!(out, "Give {} this for an authenticator app, which takes either. It is shown once:", harmless(name))?;
    writeln!(out, "  {uri}")?;
    writeln!(out, "  {secret}")?;
    Ok(out.flush()?)
}

/// A code from the terminal or from the first line of standard input. Without one all stays as it was, which is said.
fn ask_for_code(out: &mut dyn Write, name: &str) -> Result<Option<String>, Failure> {
    write!(out, "A code that the app shows now: ")?;
    out.flush()?;
    let mut line = Vec::new();
    io::stdin().lock().take(CODE_LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    let code = String::from_utf8_lossy(&line).trim().to_owned();
    if !io::stdin().is_terminal() {
        writeln!(out)?;
    }
    if !code.is_empty() {
        return Ok(Some(code));
    }
    let shown = harmless(name);
    writeln!(out, "No code was given, so nothing has changed. A running server waits 10 minutes for it:")?;
    writeln!(out, "  gatepost admin totp {shown} --code CODE")?;
    Ok(None)
}

fn write_on(out: &mut dyn Write, name: &str) -> Result<(), Failure> {
    Ok(writeln!(out, "{} needs a code besides the password from now on.", harmless(name))?)
}

fn shown(administrator: Administrator) -> AdministratorShown {
    AdministratorShown {
        roles: administrator.roles.iter().map(|role| role.name().to_owned()).collect(),
        name: administrator.name,
        totp: administrator.totp.is_some(),
        totp_since_ms: administrator.totp_since_ms,
        created_ms: administrator.created_ms,
        totp_uri: None,
        session: None,
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
