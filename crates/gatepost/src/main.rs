//! The `gatepost` program: reads the command line, wires the parts and owns nothing else.
//!
//! Modules stand in reading order; each uses only modules listed below it.

mod serve;
mod commands;
mod first_steps;
mod shell;
mod log;
mod cli;
mod failure;
mod terminal;
mod clock;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = cli.config_file();
    let json = cli.command.wants_json();
    // Writes to standard output from a thread of its own, so the lock is not taken here.
    if let Command::Shell(arguments) = cli.command {
        return commands::shell(&config.path, arguments).unwrap_or_else(Failure::report);
    }
    let out = &mut std::io::stdout().lock();
    let outcome = match cli.command {
        Command::Serve(arguments) => serve::run(out, &config, &arguments),
        Command::Check(arguments) => commands::check(out, &config.path, &arguments),
        Command::Audit(arguments) => commands::audit(out, &config.path, &arguments),
        Command::Explain(arguments) => commands::explain(out, &config.path, &arguments),
        Command::Route(arguments) => commands::route(out, &config.path, &arguments),
        Command::User(command) => commands::user(out, &config.path, command),
        Command::Admin(command) => commands::admin(out, &config.path, command),
        Command::Token(command) => commands::token(out, &config.path, command),
        Command::Acts(arguments) => commands::acts(out, &config.path, &arguments),
        Command::Queue(command) => commands::queue(out, &config.path, command),
        Command::Trace(arguments) => commands::trace(out, &config.path, &arguments),
        Command::Spool(command) => commands::spool(out, &config.path, command),
        Command::Status(arguments) => commands::status(out, &config.path, &arguments),
        Command::Revisions(arguments) => commands::revisions(out, &config.path, &arguments),
        Command::Reload(arguments) => commands::reload(out, &config.path, arguments.json),
        Command::Completion { shell } => commands::completion(out, shell),
        Command::Version => commands::version(out),
        Command::Shell(_) => unreachable!("handled above"),
    };
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    if json {
        failure.write_json(out);
    }
    failure.report()
}
