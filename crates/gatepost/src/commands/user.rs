//! `gatepost user`: who may log on by SMTP. Tells a running server, or changes the files where none runs.

use std::io::Write;
use std::path::Path;

use gatepost_manage::ClientError;
use gatepost_manage::client::Client;
use gatepost_manage::credentials::{PasswordHash, is_same_user};
use gatepost_manage::document::Document;
use gatepost_manage::resource::CommandRequest;
use gatepost_manage::users::{self, Added, NewUser, PasswordPlace, User, UserError};
use gatepost_policy::password::{Opens, decide};
use serde_json::{Value, json};

use super::{client, of_running, password, wait_for, write_json};
use crate::cli::{NewUserArguments, Target, UserCommand};
use crate::failure::Failure;
use crate::terminal::{Table, harmless};

/// Adds, lists or removes.
pub fn user(out: &mut dyn Write, target: &Target, command: UserCommand) -> Result<(), Failure> {
    let client = client(target)?;
    let config = &target.config.path;
    match command {
        UserCommand::Add(arguments) => add(out, &client, config, &arguments),
        UserCommand::List(arguments) => list(out, &client, config, arguments.json),
        UserCommand::Remove { name, json } => remove(out, &client, config, &name, json),
    }
}

/// Runs a command of the registry; `null` parameters are left out.
async fn run(client: &Client, command: &str, parameters: Value) -> Result<Vec<User>, ClientError> {
    let parameters = parameters.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let parameters = parameters.map(|(name, value)| (name.clone(), value.clone())).collect();
    let answer = client.command(command, &CommandRequest { parameters, ..CommandRequest::default() }).await?;
    Ok(answer.output.iter().map(of_record).collect())
}

/// A user as the registry has it.
fn of_record(record: &Value) -> User {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    User {
        name: text(&record["Name"]),
        addresses: record["Addresses"].as_array().into_iter().flatten().map(text).collect(),
        password: match record["PasswordPlace"].as_str() {
            Some("Credentials") => PasswordPlace::Credentials,
            Some("Settings") => PasswordPlace::Document,
            _ => PasswordPlace::None,
        },
        has_weak_password: record["WeakPassword"] == true,
    }
}

/// The user of exactly this name: the server takes addresses and patterns, too.
async fn find(client: &Client, name: &str) -> Result<Option<User>, ClientError> {
    match run(client, "Get-User", json!({ "Identity": name })).await {
        Ok(found) => Ok(found.into_iter().find(|user| is_same_user(&user.name, name))),
        Err(ClientError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn add(out: &mut dyn Write, client: &Client, config: &Path, arguments: &NewUserArguments) -> Result<(), Failure> {
    let NewUserArguments { name, addresses, password_stdin, allow_weak_password, json } = arguments;
    let known = wait_for(of_running(find(client, name)))?;
    match &known {
        // Before asking for a password that would be of no use.
        None => drop(Document::read(config)?),
        Some(Some(user)) if !addresses.is_empty() => {
            let error = format!(
                "{} is there already, with {}: `gatepost shell -c 'Set-User NAME -Addresses @{{Add=\"ADDRESS\"}}'` gives another \
                 address, and `gatepost user add` without --address another password",
                harmless(&user.name),
                addresses_of(user)
            );
            return Err(Failure::of(error));
        }
        Some(_) => {}
    }
    let password = password::ask(name, *password_stdin)?;
    let weakness = decide(Opens::Mail, name, &password).err();
    if let Some(weakness) = weakness.filter(|_| !allow_weak_password) {
        let error = format!("the password of a user {weakness}. --allow-weak-password takes this one all the same");
        return Err(Failure::of(error));
    }
    let is_weak = weakness.is_some();
    // Asked anew: a server may have been started meanwhile, or stopped.
    let (added, user) = match wait_for(of_running(tell(client, arguments, &password, is_weak)))? {
        Some(told) => told,
        None => add_here(config, arguments, &password, is_weak)?,
    };
    if *json {
        return write_json(out, &user);
    }
    let shown = harmless(&user.name);
    match added {
        Added::Created => writeln!(out, "Added user {shown}.")?,
        Added::PasswordSet => writeln!(out, "Set the password of user {shown}.")?,
    }
    if user.addresses.is_empty() {
        let how = "`gatepost shell -c 'Set-User NAME -Addresses ADDRESS'` gives one";
        writeln!(out, "{shown} has no address to send as yet: {how}.")?;
    }
    if is_weak {
        writeln!(out, "The password of {shown} is easy to guess; `gatepost user list` shows it.")?;
    }
    Ok(())
}

/// Makes a running server add the user, or set the password of one whom it knows.
async fn tell(
    client: &Client,
    arguments: &NewUserArguments,
    password: &str,
    is_weak: bool,
) -> Result<(Added, User), ClientError> {
    let NewUserArguments { name, addresses, .. } = arguments;
    let allow_weak = is_weak.then_some(true);
    let added = match find(client, name).await? {
        Some(known) => {
            let request = json!({ "Identity": known.name, "Password": password, "AllowWeakPassword": allow_weak });
            run(client, "Set-User", request).await?;
            Added::PasswordSet
        }
        None => {
            let request = json!({
                "Name": name, "Addresses": addresses, "Password": password, "AllowWeakPassword": allow_weak
            });
            run(client, "New-User", request).await?;
            Added::Created
        }
    };
    // Somebody may have removed the user in that moment.
    let gone = || User {
        name: name.clone(),
        addresses: addresses.clone(),
        password: PasswordPlace::None,
        has_weak_password: false,
    };
    Ok((added, find(client, name).await?.unwrap_or_else(gone)))
}

/// The same in the files of a server that does not run.
fn add_here(
    config: &Path,
    arguments: &NewUserArguments,
    password: &str,
    is_weak: bool,
) -> Result<(Added, User), Failure> {
    let hash = PasswordHash::of(password).map_err(Failure::of)?;
    let NewUserArguments { name, addresses, .. } = arguments;
    let user = NewUser { name: name.clone(), addresses: addresses.clone(), hash, is_weak };
    let added = users::add(config, &user).map_err(failure)?;
    let users = users::list(config).map_err(failure)?;
    let user = users.into_iter().find(|known| is_same_user(&known.name, name));
    let unknown = || failure(UserError::Unknown(name.clone()));
    Ok((added, user.ok_or_else(unknown)?))
}

fn list(out: &mut dyn Write, client: &Client, config: &Path, json: bool) -> Result<(), Failure> {
    let users = match wait_for(of_running(run(client, "Get-User", json!({ "ResultSize": "unlimited" }))))? {
        Some(users) => users,
        None => users::list(config).map_err(failure)?,
    };
    if json {
        return write_json(out, &users);
    }
    if users.is_empty() {
        writeln!(out, "There are no users: `gatepost user add NAME --address ADDRESS` adds one.")?;
        return Ok(());
    }
    let mut table = Table::new(&["NAME", "PASSWORD", "ADDRESSES"]);
    for user in &users {
        let password = match user.password {
            PasswordPlace::None => "(none)",
            PasswordPlace::Credentials if user.has_weak_password => "(weak)",
            PasswordPlace::Credentials | PasswordPlace::Document => "(set)",
        };
        table.row(&[&user.name, password, &addresses_of(user)]);
    }
    Ok(table.write(out)?)
}

fn addresses_of(user: &User) -> String {
    if user.addresses.is_empty() { "-".to_owned() } else { user.addresses.join(", ") }
}

fn remove(out: &mut dyn Write, client: &Client, config: &Path, name: &str, json: bool) -> Result<(), Failure> {
    let told = wait_for(of_running(async {
        let Some(known) = find(client, name).await? else { return Ok(false) };
        run(client, "Remove-User", json!({ "Identity": known.name })).await?;
        Ok(true)
    }))?;
    match told {
        Some(true) => {}
        Some(false) => return Err(failure(UserError::Unknown(name.to_owned()))),
        None => users::remove(config, name).map_err(failure)?,
    }
    if json {
        return write_json(out, &json!({ "removed": name }));
    }
    Ok(writeln!(out, "Removed user {}.", harmless(name))?)
}

fn failure(error: UserError) -> Failure {
    match error {
        UserError::Document(error) => error.into(),
        other => Failure::of(other),
    }
}
