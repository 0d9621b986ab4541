//! A password from a person or a program.

use std::io::{self, BufRead, IsTerminal, Read};

use gatepost_manage::credentials::PASSWORD_BYTES_MAX;

use crate::failure::Failure;
use crate::terminal::harmless;

/// From the first line of standard input, or asked for twice on the terminal.
pub fn ask(name: &str, from_stdin: bool) -> Result<String, Failure> {
    if from_stdin { password_from_stdin() } else { password_from_terminal(name) }
}

fn password_from_stdin() -> Result<String, Failure> {
    let mut line = Vec::new();
    // One byte more than a password and its line end may have, so that a longer one is noticed.
    io::stdin().lock().take(PASSWORD_BYTES_MAX as u64 + 3).read_until(b'\n', &mut line)?;
    let line = String::from_utf8(line).map_err(|_| Failure::of("the password is not UTF-8 text"))?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn password_from_terminal(name: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::of("standard input is no terminal to ask for the password on: add --password-stdin"));
    }
    let ask = |prompt: String| rpassword::prompt_password(prompt).map_err(Failure::of);
    let password = ask(format!("Password for {}: ", harmless(name)))?;
    let again = ask("The same again: ".to_owned())?;
    if password == again { Ok(password) } else { Err(Failure::of("these were two different passwords")) }
}
