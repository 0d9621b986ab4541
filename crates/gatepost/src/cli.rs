//! The command line: what can be asked, and the help that teaches it.
//!
//! Takes the arguments, hands on values. Never does anything.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

mod access;
mod revisions;
mod queue;

use queue::queue_id;

pub use access::{ActsArguments, AdminCommand, Outcome, TokenCommand};
pub use queue::{
    HoldArguments, How, MessageChoice, QueueCommand, QueueListArguments, QueueStatusArguments, Retry, RetryArguments,
};
pub use revisions::{RevisionsArguments, RevisionsCommand};

/// The variable that names the settings file.
pub const CONFIG_VARIABLE: &str = "GATEPOST_CONFIG";
const CONFIG_NAME: &str = "gatepost.toml";
const CONFIG_SYSTEM: &str = "/etc/gatepost/gatepost.toml";

const EXAMPLES: &str = "\
Examples:
  gatepost serve                       run the server; creates a safe gatepost.toml if there is none
  gatepost check                       report every problem of the settings, each with its remedy
  gatepost audit                       prove who may relay, over all addresses
  gatepost explain --from 192.168.2.55 --sender a@contoso.com --recipient b@example.com
  gatepost route --recipient b@example.com --size 20MB
  gatepost reload                      put a changed settings file in force, whole or not at all
  gatepost user add alice --address alice@contoso.com
  gatepost admin add carol --role TransportAdmin
  gatepost acts --since 2d             show what administrators did
  gatepost queue list --next-hop example.com
  gatepost queue retry --all
  gatepost queue suspend --queue relay.example.net
  gatepost trace --address bob@example.com --since 2d
  gatepost transcript --peer 192.168.2.55
  gatepost spool verify                read every waiting message and check it
  gatepost status --json | jq .queues
  gatepost shell -c 'Get-ReceiveConnector | Format-List'

Another server: --server https://mx1.contoso.com:8025 --token-file FILE, with a token of its `gatepost token add`.

Settings file: --config FILE, else $GATEPOST_CONFIG, else ./gatepost.toml, else /etc/gatepost/gatepost.toml.

Exit codes: 0 done, 1 failed, 2 command line not understood, 3 settings have problems, 4 server not running, 5 spool damaged, 6 not ready, alarms are raised, or a report is not what was signed.";

/// An SMTP transport server for controlled relay.
///
/// Printers, backup software and applications send mail through it without logging in, each through a gate that is
/// exactly as wide as it needs. Every accepted message is on disk before it is acknowledged.
#[derive(Debug, Parser)]
#[command(name = "gatepost", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// The settings file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Ask a server at a TCP port instead of the one of the settings file
    #[arg(long, global = true, value_name = "URL", value_hint = ValueHint::Url)]
    server: Option<String>,
    /// The file with the token that says who asks it; closed to others
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// The file with the certificate that it proves itself by; without one it needs a root of this system
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    server_certificate: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeArguments),
    /// Report every problem of the settings file
    Check(CheckArguments),
    /// Prove who may do what from where, over all addresses
    Audit(AuditArguments),
    /// Say why a message would be refused, and what would let it pass
    Explain(ExplainArguments),
    /// Say which way a message would leave, and why not another
    Route(RouteArguments),
    /// Add, list and remove the users who may authenticate
    #[command(subcommand)]
    User(UserCommand),
    /// Add, list, change and remove who may administer
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Make, list and remove tokens for programs that administer
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show what administrators did
    Acts(ActsArguments),
    /// See and steer the messages that are waiting
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Find out what became of a message, or of an attempt that was refused
    Trace(Box<TraceArguments>),
    /// Listen to what a connector or a peer says, line by line
    Transcript(TranscriptArguments),
    /// Check the messages on the disk
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Run the commands and scripts that administrators of Exchange know
    Shell(ShellArguments),
    /// Show how the running server is doing
    #[command(after_help = "\
What somebody has to be told comes first. Then connections, messages, each delivery queue, and how far back the records of decisions go.

With --ready or --alarms the exit code is 6 if the server takes no mail, or if alarms are raised.

Examples:
  gatepost status
  gatepost status --alarms || page-somebody
  gatepost status --json | jq '.queues[].last_error'")]
    Status(StatusArguments),
    /// Put a changed settings file in force, whole or not at all
    #[command(after_help = "\
What it opens and closes compared with what was in force is shown: which addresses gain or lose which right. Conditions count as met. Connections that are open keep the settings that they began with.

Exit code 3 if the file has problems: the settings in force have not changed then.

Examples:
  gatepost check && gatepost reload
  gatepost reload --json | jq '.changes[] | select(.gained != [])'")]
    Reload(JsonArguments),
    /// Show the history of the settings, compare, put an earlier one in force again
    Revisions(RevisionsArguments),
    /// Print a completion script
    #[command(after_help = "Example:\n  gatepost completion bash > /etc/bash_completion.d/gatepost")]
    Completion {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command into a folder
    #[command(after_help = "Example:\n  gatepost man /usr/local/share/man/man1")]
    Man {
        /// The folder, which is there
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Print the version
    Version,
}

impl Command {
    /// Whether a program reads what the command prints.
    pub fn wants_json(&self) -> bool {
        match self {
            Command::Check(arguments) => arguments.json,
            Command::Audit(arguments) => arguments.json,
            Command::Explain(arguments) => arguments.json,
            Command::Route(arguments) => arguments.json,
            Command::User(command) => command.is_json(),
            Command::Reload(arguments) => arguments.json,
            Command::Status(arguments) => arguments.json,
            Command::Acts(arguments) => arguments.json,
            Command::Admin(AdminCommand::List(arguments)) | Command::Token(TokenCommand::List(arguments)) => {
                arguments.json
            }
            Command::Token(TokenCommand::Add { json, .. }) => *json,
            Command::Admin(_) | Command::Token(TokenCommand::Remove { .. }) => false,
            Command::Queue(command) => command.is_json(),
            Command::Revisions(arguments) => arguments.is_json(),
            Command::Trace(arguments) => match &arguments.command {
                Some(TraceCommand::Erase { json, .. }) => *json,
                Some(TraceCommand::Export(_)) => false,
                None => arguments.json,
            },
            Command::Transcript(arguments) => arguments.json,
            Command::Spool(SpoolCommand::Verify(arguments)) => arguments.json,
            Command::Serve(_)
            | Command::Shell(_)
            | Command::Completion { .. }
            | Command::Man { .. }
            | Command::Version => false,
        }
    }
}

const SERVE_HELP: &str = "\
Without a settings file a safe one is created: it listens on loopback only and relays for nobody.

Signals: SIGTERM and SIGINT finish open transactions, for at most 30 seconds; SIGHUP reloads the settings.
Log lines go to standard error. GATEPOST_LOG says which: info (the default), debug, or info,gatepost_transport=debug.

Examples:
  gatepost serve
  gatepost serve --config /etc/gatepost/gatepost.toml --log-format json";

/// `serve`.
#[derive(Debug, Args)]
#[command(after_help = SERVE_HELP)]
pub struct ServeArguments {
    /// How log lines look; by default human on a terminal and json otherwise
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text
    Human,
    /// One JSON object on each line
    Json,
}

/// `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --against, what the checked file opens and closes compared with the other one: which addresses gain or lose which right. Conditions count as met: widening one opens nothing here.

Exit code 3 if there are problems.

Examples:
  gatepost check
  gatepost check /tmp/proposed.toml
  gatepost check /tmp/proposed.toml --against /etc/gatepost/gatepost.toml
  gatepost check --json | jq '.problems[].message'")]
pub struct CheckArguments {
    /// The file to check instead of the settings file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Compare with this settings file
    #[arg(long, value_name = "OTHER", value_hint = ValueHint::FilePath)]
    pub against: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `audit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every IPv4 and IPv6 address is covered: the answer is computed from the settings, nothing is probed, and no server needs to run. *:25 stands for 0.0.0.0:25 and [::]:25. Below the table stand findings: critical, warning, note.

With --report the running server writes what it says of the settings in force, signed, for whoever is to take it away; --verify tells everywhere, and without a server, whether such a file is as it was signed.

Exit code 1 if a finding is critical, 3 if the settings have problems, 6 if a report is not what the server signed.

Examples:
  gatepost audit
  gatepost audit /tmp/proposed.toml
  gatepost audit --report relay-report.html       a page to print; .json for programs
  gatepost audit --public-key > mx1.pem           what others need to know the server's reports
  gatepost audit --verify relay-report.html --key mx1.pem
  gatepost audit --json | jq '.exposures[] | select(.public and .may.recipients == \"any\")'")]
pub struct AuditArguments {
    /// The file to audit instead of the settings file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["report", "verify", "public_key"])]
    pub file: Option<PathBuf>,
    /// Have the running server write its signed report into this file, by its name a page (.html) or JSON (.json)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["verify", "public_key"])]
    pub report: Option<PathBuf>,
    /// Tell whether a report is as a server signed it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "public_key")]
    pub verify: Option<PathBuf>,
    /// The key that has to have signed it: a file with the public key, or its fingerprint; by default this machine's server's
    #[arg(long, value_name = "KEY", value_hint = ValueHint::FilePath, requires = "verify")]
    pub key: Option<String>,
    /// Print the public key with which reports are verified
    #[arg(long)]
    pub public_key: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "report")]
    pub json: bool,
}

/// `route`.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is sent and no server needs to run: the settings are asked, and with --resolve the name servers that they name. The answer names the send connector and where it leads, why each of the others lost, and which one stands in while the next hop cannot be reached. Groups, contacts and aliases are followed to their ends.

Examples:
  gatepost route --recipient b@example.com
  gatepost route --recipient b@example.com --sender news@contoso.com --receive-connector Relay --size 20MB
  gatepost route --recipient b@example.com --resolve     which hosts would be tried
  gatepost route --recipient b@example.com --json | jq -r '.recipients[].next_hop'")]
pub struct RouteArguments {
    /// The recipient of the envelope
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: String,
    /// The sender of the envelope; without it that of reports
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// The size of the message, for example 5MB
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// The receive connector that it comes in by
    #[arg(long, value_name = "NAME")]
    pub receive_connector: Option<String>,
    /// Ask name servers which hosts would be tried, in which order
    #[arg(long)]
    pub resolve: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `explain`.
#[derive(Debug, Args)]
// What is missing is told with both forms in sight: without an id or a peer it is not clear which one was meant.
#[command(
    override_usage = "\
gatepost explain [OPTIONS] <ID>...
       gatepost explain [OPTIONS] --from <IP> --sender <ADDRESS> --recipient <ADDRESS>",
    after_help = "\
With the id of a decision, as a reply shows it in brackets, the running server is asked what happened. The answer tells what was recorded, and why, recomputed under the settings of that moment and under those in force now. The whole reply may be pasted.

Without an id nothing is sent and no server needs to run: the settings are asked. The answer names the connector and why the others lost, the rights and the lines that give them, the reply to each command, the right that is missing, and the smallest change that would let the message pass, with what that opens besides.

Exit code of a question: 0 if the message would be accepted, 1 if it would be refused, 3 if the settings have problems. Of an id: 0 if there is a record, 1 if there is none, 4 if the server is not running.

Examples:
  gatepost explain 1f3a9c04b27e
  gatepost explain '550 5.7.1 Unable to relay [1f3a9c04b27e]'
  gatepost explain --from 192.168.2.55 --sender app@contoso.com --recipient b@gmail.com
  gatepost explain --from 10.0.0.9 --local 10.0.0.1:587 --user alice --tls \\
    --sender alice@contoso.com --recipient b@gmail.com --header-from 'Sales <sales@contoso.com>'
  gatepost explain --from 192.168.2.55 --sender '<>' --recipient b@gmail.com --size 5MB --json"
)]
pub struct ExplainArguments {
    /// The id of a decision, or the reply that holds it
    #[arg(value_name = "ID", conflicts_with_all = ["from", "local", "user", "tls", "certificate", "sender", "recipient", "header_from", "header_sender", "at", "size"])]
    pub id: Vec<String>,
    /// The address that the peer comes from
    #[arg(long, value_name = "IP", required_unless_present = "id")]
    pub from: Option<IpAddr>,
    /// The address and port that it connects to; needed where there are several
    #[arg(long, value_name = "IP:PORT")]
    pub local: Option<SocketAddr>,
    /// The name that it logs on with
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// It starts TLS
    #[arg(long)]
    pub tls: bool,
    /// It starts TLS and presents the certificate of this [[trusted_server]], or a sound one for this domain
    #[arg(long, value_name = "NAME")]
    pub certificate: Option<String>,
    /// The sender of the envelope; <> is that of reports
    #[arg(long, value_name = "ADDRESS", required_unless_present = "id")]
    pub sender: Option<String>,
    /// The recipient of the envelope
    #[arg(long, value_name = "ADDRESS", required_unless_present = "id")]
    pub recipient: Option<String>,
    /// What the From field of the header says, as it stands there
    #[arg(long, value_name = "TEXT")]
    pub header_from: Option<String>,
    /// What the Sender field of the header says, as it stands there
    #[arg(long, value_name = "TEXT")]
    pub header_sender: Option<String>,
    /// When it happens, if not now, for example 2027-01-31T09:30:00+01:00: hours and expiry count then
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// The size of the message, for example 5MB
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `shell`.
#[derive(Debug, Args)]
#[command(
    override_usage = "\
gatepost shell [OPTIONS]
       gatepost shell [OPTIONS] -c <TEXT> [ARGUMENTS]...
       gatepost shell [OPTIONS] <FILE> [ARGUMENTS]...",
    after_help = "\
Without a text and a file, lines are read from the terminal, or a whole script from standard input (FILE - does that, too). Scripts run here, with your files; only the commands about the server go to it. Get-Help lists the commands, Get-Help NAME shows one with examples.

On this machine C:\\Temp is the folder for temporary files, and any other path on a drive is in ~/.local/share/gatepost/drives.

Exit codes: N of `exit N`; else 0 done, 1 an error ended the script (with -c: or the last command failed), 2 the text cannot be parsed and nothing has run, 130 Ctrl-C.

Examples:
  gatepost shell
  gatepost shell -c 'Get-ReceiveConnector | Format-List'
  gatepost shell add-ranges.ps1 -Connector Relay -File ranges.txt
  gatepost shell --json -c 'Get-ReceiveConnector' | jq -r .Name
  ssh mx1 gatepost shell - < report.ps1"
)]
pub struct ShellArguments {
    /// Run this text
    #[arg(short = 'c', long, value_name = "TEXT", allow_hyphen_values = true)]
    pub command: Option<String>,
    /// Print what pipelines yield as JSON, one value on each line; all else goes to standard error
    #[arg(long)]
    pub json: bool,
    /// Use no colours; so does NO_COLOR in the environment
    #[arg(long)]
    pub no_color: bool,
    /// Ask nothing: what a script asks for is an error
    #[arg(long)]
    pub non_interactive: bool,
    /// A script, or - for standard input, and its arguments: -Name VALUE or values alone
    #[arg(value_name = "FILE", trailing_var_arg = true, allow_hyphen_values = true, value_hint = ValueHint::FilePath)]
    pub script: Vec<String>,
}

/// For commands that take nothing else.
#[derive(Debug, Args)]
pub struct JsonArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `status`.
#[derive(Args, Debug)]
pub struct StatusArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Say only whether the server takes mail, and what stands in the way; exit code 6 if it does not
    #[arg(long)]
    pub ready: bool,
    /// Show only what somebody has to be told; exit code 6 if there is anything
    #[arg(long, conflicts_with = "ready")]
    pub alarms: bool,
}

/// `trace`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Each message has one timeline: how it came, where it was sent, each attempt with the other side's words, what became of each recipient. Each refused attempt has its reason; where one is all there is, the whole explanation. All criteria that are given must be true. Newest last.

A time is so long ago, or on this machine's clock, or has an offset: 2027-01-31T09:30:00+01:00. An address is a whole one. Exit code 0, too, if nothing is found.

How long this is kept: [tracking] of the settings, by default 30 days or 1000 MB.

Examples:
  gatepost trace 4711                                  by queue id
  gatepost trace --address bob@example.com --since 2d
  gatepost trace --peer 192.168.2.0/24 --verdict refused
  gatepost trace --message-id '<20261122.1@scanner>'
  gatepost trace --word invoice --domain example.com --json
  gatepost trace --follow --peer 192.168.2.55          while somebody tries it
  gatepost trace export --format message-tracking --since 1d
  gatepost trace erase bob@example.com"
)]
pub struct TraceArguments {
    /// Something else than a search.
    #[command(subcommand)]
    pub command: Option<TraceCommand>,
    /// What is searched.
    #[command(flatten)]
    pub filter: TraceFilter,
    /// Show at most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Show what comes from now on (or from --since on), as it comes; each message for an hour, one by its queue id until its end
    #[arg(long, conflicts_with_all = ["limit", "until"])]
    pub follow: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `transcript`.
#[derive(Debug, Args)]
#[command(
    group(clap::ArgGroup::new("whom").required(true).multiple(true).args(["connector", "peer"])),
    after_help = "\
Connections that begin from now on are heard, whatever protocol_logging_level says; Ctrl-C ends it. Lines are those of the protocol log: no credentials and no content. + it began, < the other side said, > this server said, * nobody said this, - it ended.

Whoever reads slowly loses lines and is told how many. Few may listen at once.

Examples:
  gatepost transcript --connector Relay
  gatepost transcript --peer 192.168.2.0/24
  gatepost transcript --connector Internet --peer 203.0.113.25 --json | jq -r .data"
)]
pub struct TranscriptArguments {
    /// A receive or a send connector
    #[arg(long, value_name = "NAME")]
    pub connector: Option<String>,
    /// The other side: an address, a subnet or a range
    #[arg(long, value_name = "RANGE")]
    pub peer: Option<String>,
    /// Print one JSON object for each line
    #[arg(long)]
    pub json: bool,
}

/// What `trace` searches for.
#[derive(Debug, Args)]
pub struct TraceFilter {
    /// The queue id, as the server's 250 named it
    #[arg(value_parser = traced_id, value_name = "QUEUE_ID")]
    pub queue_id: Option<u64>,
    /// The Message-ID of the header
    #[arg(long, value_name = "ID")]
    pub message_id: Option<String>,
    /// The sender or a recipient
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// The sender
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// A recipient
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Option<String>,
    /// The domain of the sender or of a recipient
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// Where it came from: an address, a subnet or a range
    #[arg(long, value_name = "RANGE")]
    pub peer: Option<String>,
    /// The receive connector that it came by, or a send connector that it went by
    #[arg(long, value_name = "NAME")]
    pub connector: Option<String>,
    /// How it stands
    #[arg(long, value_enum, value_name = "VERDICT")]
    pub verdict: Option<Verdict>,
    /// A word of the subject; can be given several times
    #[arg(long = "word", value_name = "WORD")]
    pub words: Vec<String>,
    /// Plain words: the name of a connector, or all of them in the subject
    #[arg(long, value_name = "WORDS")]
    pub text: Option<String>,
    /// The id of a decision, as a reply shows it
    #[arg(long, value_name = "ID")]
    pub decision: Option<String>,
    /// What came since then: 90m, 2h or 7d ago, today, 08:30, 2027-01-31, '2027-01-31 09:30'
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// What came before then, written like --since
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Connections and back pressure, too (changes of settings are told wherever times alone are given)
    #[arg(long)]
    pub events: bool,
}

/// How a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Verdict {
    /// A next hop or a mailbox has it
    Delivered,
    /// It waits
    Deferred,
    /// A next hop refused it
    Failed,
    /// It waited for too long
    Expired,
    /// An administrator took it out
    Removed,
    /// It was not let in
    Refused,
    /// The peer went away, or was cut off, before its message was there
    #[value(alias = "given-up")]
    Abandoned,
    /// It is held: poison, or damaged on the disk
    Held,
    /// It has ended; what a crash left does not say how
    Ended,
}

/// What else `trace` does.
#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// Write what was found in a log format of Exchange
    #[command(after_help = "\
The files carry Exchange's names, fields and header lines, and name Gatepost as the software. Without --folder, standard output. Oldest first; it is sorted in memory, so choose the time.

Examples:
  gatepost trace export --format message-tracking --since 1d
  gatepost trace export --format connectivity --since 7d --folder /var/tmp/logs")]
    Export(Box<ExportArguments>),
    /// Take one address out of everything that is recorded
    #[command(after_help = "\
A random token stands in its place afterwards, in passports and in records of decisions. This cannot be taken back. Run it again if it is interrupted.

Example:
  gatepost trace erase bob@example.com")]
    Erase {
        /// The address
        address: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `trace export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// Which log
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: ExportFormat,
    /// Write files with the names that Exchange uses into this folder
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
    /// What is exported.
    #[command(flatten)]
    pub filter: TraceFilter,
}

/// A log format of Exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// MSGTRK: a line for each event of each message
    MessageTracking,
    /// CONNECTLOG: connections to next hops
    Connectivity,
}

/// `user`.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "A running server is asked and takes the change at once; without one the settings file and data_dir/credentials are changed."
)]
pub enum UserCommand {
    /// Add a user, or set the password of one who is there
    #[command(after_help = "\
The password is asked for twice, or read from the first line of standard input. It has at least 12 characters, or 8 of three kinds: small letters, capitals, digits, others. Its hash is kept in the data folder (file credentials, mode 0600), never in the settings file.

Examples:
  gatepost user add alice --address alice@contoso.com
  gatepost user add alice                                 set a new password
  pwgen -s 20 1 | gatepost user add scanner --password-stdin")]
    Add(NewUserArguments),
    /// List the users
    #[command(after_help = "Examples:\n  gatepost user list\n  gatepost user list --json")]
    List(JsonArguments),
    /// Remove a user with the password
    #[command(after_help = "Example:\n  gatepost user remove alice")]
    Remove {
        /// The name to authenticate with
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl UserCommand {
    fn is_json(&self) -> bool {
        match self {
            UserCommand::Add(arguments) => arguments.json,
            UserCommand::List(arguments) => arguments.json,
            UserCommand::Remove { json, .. } => *json,
        }
    }
}

/// `user add`.
#[derive(Debug, Args)]
pub struct NewUserArguments {
    /// The name to authenticate with
    pub name: String,
    /// An address that the user may send as; can be given several times
    #[arg(long = "address", value_name = "ADDRESS")]
    pub addresses: Vec<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// Take a password that is easy to guess, for a device that has room for no other
    #[arg(long)]
    pub allow_weak_password: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `spool`.
#[derive(Debug, Subcommand)]
pub enum SpoolCommand {
    /// Read the whole spool and report every place that is not as it was accepted
    #[command(after_help = "\
Every record of the log and every large body is read and compared with its checksum: what a start does, and more. Nothing is changed or repaired. The server may be running meanwhile; it is not asked, and what it does is no damage.

Each finding names the file, the place in it, what it means and what to do. What a crash left half written was never acknowledged, and is a note. Progress is shown on a terminal.

The spool belongs to its server: ask as root or as the server's user.

Exit code 0 if the spool is sound, 5 if something in it is damaged, 1 if it cannot be read.

Examples:
  gatepost spool verify
  gatepost spool verify /mnt/backup/gatepost-data
  gatepost spool verify --json | jq '.findings[] | select(.severity == \"damage\")'")]
    Verify(SpoolVerifyArguments),
}

/// `spool verify`.
#[derive(Debug, Args)]
pub struct SpoolVerifyArguments {
    /// A data folder, or the spool in it; by default the one of the settings file
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `trace` takes without an option is a queue id; whoever gives something else is told which option it belongs to.
fn traced_id(text: &str) -> Result<u64, String> {
    let quoted = crate::terminal::shell_word(text);
    queue_id(text).map_err(|error| {
        if text.contains('@') {
            format!("{error}; an address is found by `--address {quoted}`, a Message-ID by `--message-id {quoted}`")
        } else if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            format!("{error}; the id of a decision is found by `--decision {quoted}`")
        } else {
            format!("{error}; a word of the subject is found by `--word {quoted}`")
        }
    })
}

/// Which settings file is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path.
    pub path: PathBuf,
    /// Whether it was named, so that other commands have to name it too.
    pub is_named: bool,
}

/// A server at a TCP port.
#[derive(Clone, Debug)]
pub struct DistantServer {
    /// `https://mx1.contoso.com:8025`.
    pub url: String,
    /// The token that says who asks.
    pub token_file: PathBuf,
    /// What the server proves itself by; without it, by a root of this system.
    pub certificate: Option<PathBuf>,
}

/// Which server a command is about.
#[derive(Clone, Debug)]
pub struct Target {
    /// The settings file, whose server is meant where no other is named.
    pub config: ConfigFile,
    /// The server that is named.
    pub distant: Option<DistantServer>,
}

impl Cli {
    /// The settings file that this command is about, and the server.
    ///
    /// # Errors
    /// What does not go together.
    pub fn target(&self) -> Result<Target, String> {
        let variable = std::env::var_os(CONFIG_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = choose_config(self.config.clone().or(variable), |path| path.exists());
        let distant = match (&self.server, &self.token_file, &self.server_certificate) {
            (None, None, None) => None,
            (None, ..) => {
                return Err("--token-file and --server-certificate are about a server: add --server URL".to_owned());
            }
            (Some(_), None, _) => return Err("--server needs --token-file FILE, which says who asks".to_owned()),
            (Some(url), Some(token_file), certificate) => Some(DistantServer {
                url: url.clone(),
                token_file: token_file.clone(),
                certificate: certificate.clone(),
            }),
        };
        Ok(Target { config, distant })
    }
}

fn choose_config(named: Option<PathBuf>, exists: impl Fn(&Path) -> bool) -> ConfigFile {
    if let Some(path) = named {
        return ConfigFile { path, is_named: true };
    }
    let here = Path::new(CONFIG_NAME);
    let system = Path::new(CONFIG_SYSTEM);
    let path = if !exists(here) && exists(system) { system } else { here };
    ConfigFile { path: path.to_path_buf(), is_named: false }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_settings_file_is_the_named_one_else_here_else_the_systems() {
        let named = Some(PathBuf::from("x.toml"));
        for (named, existing, expected) in [
            (named, &["gatepost.toml", CONFIG_SYSTEM][..], ("x.toml", true)),
            (None, &["gatepost.toml", CONFIG_SYSTEM][..], ("gatepost.toml", false)),
            (None, &[CONFIG_SYSTEM][..], (CONFIG_SYSTEM, false)),
            (None, &[][..], ("gatepost.toml", false)),
        ] {
            let chosen = choose_config(named, |path| existing.iter().any(|known| Path::new(known) == path));
            assert_eq!((chosen.path.to_str(), chosen.is_named), (Some(expected.0), expected.1));
        }
    }
}
