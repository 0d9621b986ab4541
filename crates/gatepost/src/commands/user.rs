//! `gatepost user`: who may authenticate. Changes files, then tells a running server to take them.

use std::io::Write;
use std::path::Path;

use gatepost_manage::credentials::PasswordHash;
use gatepost_manage::document::Document;
use gatepost_manage::users::{self, Added, NewUser, PasswordPlace, UserError};
use gatepost_manage::{Client, ClientError};

use super::{password, write_json};
use crate::cli::UserCommand;
use crate::failure::Failure;
use crate::terminal::{Table, harmless};

/// Adds, lists or removes.
pub fn user(out: &mut dyn Write, config: &Path, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, addresses, password_stdin } => add(out, config, name, addresses, password_stdin),
        UserCommand::List(arguments) => list(out, config, arguments.json),
        UserCommand::Remove { name } => remove(out, config, &name),
    }
}

fn add(
    out: &mut dyn Write,
    config: &Path,
    name: String,
    addresses: Vec<String>,
    password_stdin: bool,
) -> Result<(), Failure> {
    // Before asking for a password that would be of no use.
    Document::read(config)?;
    let password = password::ask(&name, password_stdin)?;
    let hash = PasswordHash::of(&password).map_err(Failure::of)?;
    let user = NewUser { name, addresses, hash };
    let shown = harmless(&user.name);
    match users::add(config, &user).map_err(failure)? {
        Added::Created => writeln!(out, "Added user {shown} to {}.", config.display())?,
        Added::PasswordSet => writeln!(out, "Set the password of user {shown}.")?,
    }
    let has_no_address = users::list(config)
        .map_err(failure)?
        .iter()
        .any(|known| known.name.to_lowercase() == user.name.to_lowercase() && known.addresses.is_empty());
    if has_no_address {
        let path = config.display();
        writeln!(out, "{shown} has no address to send as yet: list some under addresses of this [[user]] in {path}.")?;
    }
    tell_server(out, config)
}

fn list(out: &mut dyn Write, config: &Path, json: bool) -> Result<(), Failure> {
    let users = users::list(config).map_err(failure)?;
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
            PasswordPlace::Credentials | PasswordPlace::Document => "(set)",
        };
        let addresses = if user.addresses.is_empty() { "-".to_owned() } else { user.addresses.join(", ") };
        table.row(&[&user.name, password, &addresses]);
    }
    Ok(table.write(out)?)
}

fn remove(out: &mut dyn Write, config: &Path, name: &str) -> Result<(), Failure> {
    users::remove(config, name).map_err(failure)?;
    writeln!(out, "Removed user {}.", harmless(name))?;
    tell_server(out, config)
}

/// A running server takes the change now, a stopped one when it starts; one that cannot be told is a failure, because
/// the administrator believes that the change is in force.
fn tell_server(out: &mut dyn Write, config: &Path) -> Result<(), Failure> {
    out.flush()?;
    let document = Document::read(config)?;
    let client = Client::new(&document.settings.server.data_dir);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(client.reload()) {
        Ok(_) => writeln!(out, "The running server has taken it.")?,
        Err(ClientError::NotRunning { .. }) => {
            writeln!(out, "The server is not running; it takes effect when it starts.")?;
        }
        Err(error) => {
            return Err(Failure::Failed(format!("error: the running server has not taken it: {error}")));
        }
    }
    Ok(())
}

fn failure(error: UserError) -> Failure {
    match error {
        UserError::Document(error) => error.into(),
        other => Failure::of(other),
    }
}
