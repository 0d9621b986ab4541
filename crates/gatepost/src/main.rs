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

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::commands::here;
use crate::failure::Failure;

/// A message is many small texts that one thread makes and another drops; see docs/decisions/0008-profiles.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let target = cli
        .target()
        .unwrap_or_else(|error| Cli::command().error(clap::error::ErrorKind::MissingRequiredArgument, error).exit());
    let json = cli.command.wants_json();
    // Writes to standard output from a thread of its own, so the lock is not taken here.
    if let Command::Shell(arguments) = cli.command {
        return commands::shell(&target, arguments).unwrap_or_else(Failure::report);
    }
    let out = &mut std::io::stdout().lock();
    let outcome = match cli.command {
        Command::Serve(arguments) => here(&target).and_then(|_| serve::run(out, &target.config, &arguments)),
        Command::Check(arguments) => here(&target).and_then(|config| commands::check(out, config, &arguments)),
        Command::Audit(arguments) => commands::audit(out, &target, &arguments),
        Command::Explain(arguments) => commands::explain(out, &target, &arguments),
        Command::Route(arguments) => here(&target).and_then(|config| commands::route(out, config, &arguments)),
        Command::User(command) => commands::user(out, &target, command),
        Command::Admin(command) => commands::admin(out, &target, command),
        Command::Token(command) => commands::token(out, &target, command),
        Command::Acts(arguments) => commands::acts(out, &target, &arguments),
        Command::Queue(command) => commands::queue(out, &target, command),
        Command::Trace(arguments) => commands::trace(out, &target, &arguments),
        Command::Transcript(arguments) => commands::transcript(out, &target, &arguments),
        Command::Spool(command) => here(&target).and_then(|config| commands::spool(out, config, command)),
        Command::Status(arguments) => commands::status(out, &target, &arguments),
        Command::Revisions(arguments) => commands::revisions(out, &target, &arguments),
        Command::Reload(arguments) => commands::reload(out, &target, arguments.json),
        Command::Completion { shell } => commands::completion(out, shell),
        Command::Man { dir } => commands::man(&dir),
        Command::Version => commands::version(out),
        Command::Shell(_) => unreachable!("handled above"),
    };
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    if json {
        failure.write_json(out);
    }
    failure.report()
}
