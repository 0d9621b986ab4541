//! `admin`, `token` and `acts`: who may administer, and what they did.

use clap::{Args, Subcommand, ValueEnum};
use gatepost_policy::role::Role;

use super::JsonArguments;

const ROLES: &str = "\
Roles, each with what it includes:
  View              sees settings, queues and numbers, and nothing of who wrote to whom
  HelpDesk          View; finds out what became of a message
  QueueOperator     HelpDesk; suspends, retries, redirects, removes and exports what is queued
  RecipientAdmin    HelpDesk; changes mailboxes, contacts, groups and users
  TransportAdmin    QueueOperator and RecipientAdmin; changes everything in the settings
  SecurityOfficer   HelpDesk; changes who may administer, and reads what administrators did";

fn role(text: &str) -> Result<Role, String> {
    let names: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
    Role::parse(text).ok_or_else(|| format!("write one of {}", names.join(", ")))
}

/// `admin`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Administrators come through a door of [management] listen, with name and password. On this machine root and the server's own user need none of this: they may do everything.

A running server is asked and takes the change at once; without one the file data_dir/credentials is changed.")]
pub enum AdminCommand {
    /// Add an administrator
    #[command(after_help = format!("\
The password has at least 12 characters. It is asked for twice, or read from the first line of standard input.

{ROLES}

Examples:
  gatepost admin add carol --role TransportAdmin
  gatepost admin add oscar --role SecurityOfficer --role HelpDesk"))]
    Add {
        /// The name to log on with
        name: String,
        /// What they may do; can be given several times
        #[arg(long = "role", value_name = "ROLE", value_parser = role, required = true)]
        roles: Vec<Role>,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the administrators
    #[command(after_help = "Examples:\n  gatepost admin list\n  gatepost admin list --json")]
    List(JsonArguments),
    /// Give an administrator other roles
    #[command(after_help = format!("{ROLES}\n\nExample:\n  gatepost admin set-role carol --role QueueOperator"))]
    SetRole {
        /// Whose
        name: String,
        /// What they may do from now on; can be given several times
        #[arg(long = "role", value_name = "ROLE", value_parser = role, required = true)]
        roles: Vec<Role>,
    },
    /// Set the password of an administrator
    #[command(after_help = "Open sessions of the administrator end.\n\nExample:\n  gatepost admin set-password carol")]
    SetPassword {
        /// Whose
        name: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Ask an administrator for the codes of an authenticator app, too
    #[command(after_help = "\
Prints once what the app takes, and asks for a code that the app shows then, or reads it from the first line of standard input: only a right one puts the secret in force. Each code is good once; the API takes it in the field Gatepost-Code.

Examples:
  gatepost admin totp carol
  gatepost admin totp carol --code 052133        the first code, within 10 minutes, where it was not given at once
  gatepost admin totp carol --off")]
    Totp {
        /// Whose
        name: String,
        /// Ask for the password alone again
        #[arg(long)]
        off: bool,
        /// The first code of the secret that was made before and waits in the running server
        #[arg(long, conflicts_with = "off")]
        code: Option<String>,
    },
    /// Remove an administrator
    #[command(after_help = "Example:\n  gatepost admin remove carol")]
    Remove {
        /// Who
        name: String,
    },
    /// Become the first administrator with the one-time token of the first start
    #[command(after_help = "\
A server that listens for administrators and has none shows a token when it starts: on its terminal, or in the file data_dir/one-time-token. It is good once, for 24 hours.

Example:
  gatepost admin redeem --name carol gpo_...")]
    Redeem {
        /// The one-time token
        token: String,
        /// The name to log on with from now on
        #[arg(long)]
        name: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

/// `token`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Programs come through a door of [management] listen, with a token: Authorization: Bearer gpt_...

A running server is asked and takes the change at once; without one the file data_dir/credentials is changed.")]
pub enum TokenCommand {
    /// Make a token and show it once
    #[command(after_help = format!("\
{ROLES}

Examples:
  gatepost token add --role View --note monitoring
  gatepost token add --role TransportAdmin --command '*-ReceiveConnector' --expires 90d --note deploy"))]
    Add {
        /// What its holder may do; can be given several times
        #[arg(long = "role", value_name = "ROLE", value_parser = role, required = true)]
        roles: Vec<Role>,
        /// A command that it is for, * stands for anything; can be given several times. By default all that its roles allow
        #[arg(long = "command", value_name = "PATTERN")]
        commands: Vec<String>,
        /// When it ends: in 90d, or 2027-01-31
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// What it is for
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the tokens, without their secrets
    #[command(after_help = "Examples:\n  gatepost token list\n  gatepost token list --json")]
    List(JsonArguments),
    /// Remove a token
    #[command(after_help = "Example:\n  gatepost token remove 4f2a91c0")]
    Remove {
        /// Its id
        id: String,
    },
}

/// `acts`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every change through a door of the server is there, done, refused or failed: who, from where, what, what came of it. So is whoever claimed to be somebody and could not prove it. Newest last. It lies in data_dir/audit.

Examples:
  gatepost acts --since 2d
  gatepost acts --actor carol --act '*-ReceiveConnector'
  gatepost acts --outcome refused --json | jq -r '.[].address'")]
pub struct ActsArguments {
    /// What came since then: 90m, 2h or 7d ago, today, 08:30, 2027-01-31, '2027-01-31 09:30'
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// What came before then, written like --since
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Who did it
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// What was done; * stands for anything
    #[arg(long, value_name = "PATTERN")]
    pub act: Option<String>,
    /// What came of it
    #[arg(long, value_enum, value_name = "OUTCOME")]
    pub outcome: Option<Outcome>,
    /// Show at most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What became of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Outcome {
    /// It was done
    Done,
    /// It is part of a transaction, whose end says what became of it
    Prepared,
    /// It was not allowed
    Refused,
    /// It could not be done
    Failed,
}
