//! `gatepost revisions`: the arguments.

use clap::{Args, Subcommand};

/// `revisions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every document that was in force has a number. Who changed it, from where, when, how and why is kept with it, for as long as [revisions] of the settings says.

Examples:
  gatepost revisions
  gatepost revisions show 41
  gatepost revisions diff 41            against what is in force
  gatepost revisions diff 40 41
  gatepost revisions restore 40 --what-if
  gatepost revisions restore 40 --why 'the scanner gate was needed after all'
  gatepost revisions --json | jq '.revisions[] | select(.origin == \"by_hand\")'")]
pub struct RevisionsArguments {
    /// One of them
    #[command(subcommand)]
    pub command: Option<RevisionsCommand>,
    /// Show so many, newest first
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// Show those before this one
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What can be done with revisions.
#[derive(Debug, Subcommand)]
pub enum RevisionsCommand {
    /// Print the document of a revision, without hashes of passwords
    Show {
        /// Its number
        #[arg(value_name = "NUMBER")]
        number: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare two revisions, line by line and by what they open and close
    Diff {
        /// The older one
        #[arg(value_name = "OLD")]
        old: u64,
        /// The newer one; what is in force if left out
        #[arg(value_name = "NEW")]
        new: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put the document of a revision in force again, as a new revision; passwords stay as they are
    #[command(after_help = "It has to pass all checks of today. Exit code 3 if it does not: nothing has changed then.")]
    Restore {
        /// Its number
        #[arg(value_name = "NUMBER")]
        number: u64,
        /// Only show what it would change
        #[arg(long)]
        what_if: bool,
        /// The reason, kept with the new revision
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl RevisionsArguments {
    /// Whether a program reads what the command prints.
    pub fn is_json(&self) -> bool {
        match &self.command {
            None => self.json,
            Some(
                RevisionsCommand::Show { json, .. }
                | RevisionsCommand::Diff { json, .. }
                | RevisionsCommand::Restore { json, .. },
            ) => *json,
        }
    }
}
