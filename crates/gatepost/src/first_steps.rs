//! What a first run says: what was made, where it is, and three commands to paste.
//!
//! Takes what was created, writes text. Every command works as printed, in the folder that is named.

use std::io::{self, Write};
use std::path::Path;

use gatepost_manage::credentials::Secret;
use gatepost_manage::first_run::Created;

use crate::cli::ConfigFile;
use crate::terminal::shell_word;

/// Writes the page.
pub fn write(out: &mut dyn Write, config: &ConfigFile, created: &Created) -> io::Result<()> {
    let settings = &created.document.settings;
    let folder = std::env::current_dir()?;
    let path = std::path::absolute(&config.path)?;
    let program = program_word(&folder);
    let options = match config.is_named {
        true => format!(" --config {}", shell_word(&path.display().to_string())),
        false => String::new(),
    };
    let listeners: Vec<_> = settings.listeners().iter().map(|listener| listener.address.to_string()).collect();
    let domain = settings.postmaster().domain().to_string();
    let first = settings.directory.recipients().first();
    let recipient = first.map_or(settings.postmaster(), |recipient| recipient.address.clone());
    writeln!(out, "There was no settings file, so Gatepost made a safe one:")?;
    writeln!(out, "  settings     {}", path.display())?;
    writeln!(out, "  data folder  {} (queue, mailboxes, certificate, passwords)", created.data_dir.display())?;
    writeln!(out, "  listens on   {}: this machine only", listeners.join(", "))?;
    writeln!(out, "  accepts      mail for {domain}; relays for nobody")?;
    writeln!(out)?;
    writeln!(out, "Three things to try, in another terminal in {}:", folder.display())?;
    writeln!(out)?;
    if let Some(listener) = settings.listeners().iter().find(|listener| !listener.implicit_tls) {
        writeln!(out, "  # Send a message; it arrives under {}.", created.data_dir.join("mailboxes").display())?;
        writeln!(
            out,
            "  printf 'Subject: hello\\r\\n\\r\\nIt works.\\r\\n' | curl -sS smtp://{} --mail-from me@example.org --mail-rcpt {} -T -",
            listener.address,
            shell_word(&recipient.to_string()),
        )?;
    }
    writeln!(out, "  # Let somebody log in; it asks for a password, which the submission port takes inside TLS.")?;
    writeln!(out, "  {program}{options} user add alice --address {}", shell_word(&format!("alice@{domain}")))?;
    writeln!(out, "  # Change the settings, then check them; `{program}{options} reload` puts them in force.")?;
    writeln!(out, "  {program}{options} check")?;
    writeln!(out)?;
    out.flush()
}

/// Shows the one-time token on a terminal.
pub fn write_one_time_token(out: &mut dyn Write, secret: &Secret) -> io::Result<()> {
    writeln!(out)?;
    writeln!(out, "Nobody may administer over TCP yet. This makes the first administrator, once, within 24 hours:")?;
    writeln!(out, "  gatepost admin redeem {}", secret.reveal())?;
    writeln!(out)?;
    out.flush()
}

/// How the running program is called from `folder`.
fn program_word(folder: &Path) -> String {
    let called = std::env::args().next().unwrap_or_default();
    if !called.is_empty() && !called.contains('/') {
        // Found on the PATH, and will be again.
        return shell_word(&called);
    }
    let Ok(program) = std::env::current_exe() else {
        return "gatepost".to_owned();
    };
    match program.strip_prefix(folder) {
        Ok(below) if below.components().count() > 1 => shell_word(&below.display().to_string()),
        Ok(here) => shell_word(&format!("./{}", here.display())),
        Err(_) => shell_word(&program.display().to_string()),
    }
}
