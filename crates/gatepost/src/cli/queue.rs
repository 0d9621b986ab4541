//! `gatepost queue`: what can be asked about queues and messages, and the help that teaches it.

use clap::{Args, Subcommand};

const FILTERS: &str = "\
Filters are Exchange's: PROPERTY OPERATOR VALUE, joined by -and. Operators: -eq -ne -gt -ge -lt -le -like -notlike (with *). Times without a zone are UTC.

Properties of messages: Identity, Queue, Status (Active, Ready, Retry, Suspended, PendingRemove, PendingSuspend), FromAddress, Recipients, Size, DateReceived, ExpirationTime, Subject, InternetMessageId, MessageSourceName, SourceIP, Priority, LastError, RetryCount, NextHopDomain, Redirect.";

const QUEUE_FILTERS: &str = "\
Properties of queues: Identity, NextHopDomain, NextHopConnector, NextHopCategory, DeliveryType, Status (Active, Connecting, Ready, Retry, Suspended), MessageCount, DeferredMessageCount, HeldMessageCount, LastError, NextRetryTime, FirstRetryTime, LastRetryTime, RetryCount, IncomingRate, OutgoingRate, Velocity.";

/// `queue`.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List the messages that are waiting, oldest first
    #[command(after_help = format!("\
{FILTERS}

Examples:
  gatepost queue list
  gatepost queue list --next-hop example.com --limit 20
  gatepost queue list --filter \"Status -eq 'Suspended' -and Size -gt 1MB\" --sort=-Size
  gatepost queue list --sender scanner@contoso.com --json"))]
    List(QueueListArguments),
    /// Show one message: recipients, attempts, header
    #[command(after_help = "Example:\n  gatepost queue show 4711")]
    Show {
        /// The queue id, as the server's 250 named it
        #[arg(value_parser = queue_id)]
        id: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the queues: where they lead, what they are doing, how fast they move
    #[command(after_help = format!("\
Submission holds what is still to be routed, Unreachable what has no way out, Poison what is held back because the server ended uncleanly while it worked on it; the others lead to one next hop each. They are shown while there is something to say of them.

{QUEUE_FILTERS}

Examples:
  gatepost queue status
  gatepost queue status --filter \"Status -eq 'Retry' -and MessageCount -gt 100\" --sort=-MessageCount"))]
    Status(QueueStatusArguments),
    /// Try again now
    #[command(after_help = "\
With --resubmit everything in the queues is routed anew first.

Examples:
  gatepost queue retry 4711
  gatepost queue retry --next-hop relay.example.net
  gatepost queue retry --queue Unreachable --resubmit
  gatepost queue retry --all")]
    Retry(RetryArguments),
    /// Hold messages or whole queues back until they are resumed
    #[command(after_help = format!("\
What is held back does not expire. What is being delivered right now is suspended should that fail (PendingSuspend). A suspended queue takes new messages and delivers none; `--queue Submission` stops routing, so that nothing new reaches any queue. All of it survives restarts.

{FILTERS}

Examples:
  gatepost queue suspend 4711 4712
  gatepost queue suspend --filter \"FromAddress -like '*@contoso.com'\"
  gatepost queue suspend --queue relay.example.net"))]
    Suspend(HoldArguments),
    /// Let suspended messages or queues go on, and poison messages, too
    #[command(after_help = "\
Examples:
  gatepost queue resume 4711
  gatepost queue resume --filter \"Queue -like '*Poison'\"
  gatepost queue resume --queue relay.example.net")]
    Resume(HoldArguments),
    /// Take messages out of the queue
    #[command(after_help = format!("\
The sender gets a non-delivery report unless --no-report is given. When the command ends the removal survives a power cut. What is being delivered right now is removed should that fail (PendingRemove).

{FILTERS}

Examples:
  gatepost queue remove 4711
  gatepost queue remove 4711 --no-report
  gatepost queue remove --filter \"FromAddress -eq 'scanner@contoso.com'\" --no-report --yes"))]
    Remove {
        #[command(flatten)]
        which: MessageChoice,
        /// Tell the sender nothing
        #[arg(long)]
        no_report: bool,
        #[command(flatten)]
        how: How,
    },
    /// Send messages by another send connector than the settings say, or back
    #[command(after_help = format!("\
Recipients of this server are not concerned. Where the connector is not there any more, is disabled or takes no message of that size, the settings decide again.

{FILTERS}

Examples:
  gatepost queue redirect 4711 --to Backup
  gatepost queue redirect --filter \"NextHopDomain -eq 'example.com'\" --to Backup
  gatepost queue redirect 4711 --back"))]
    Redirect {
        #[command(flatten)]
        which: MessageChoice,
        #[command(flatten)]
        way: RedirectWay,
        #[command(flatten)]
        how: How,
    },
    /// Give messages another priority
    #[command(after_help = "\
High goes before Normal and Normal before Low in each queue.

Example:
  gatepost queue priority 4711 --to High")]
    Priority {
        #[command(flatten)]
        which: MessageChoice,
        /// High, Normal or Low
        #[arg(long, value_name = "PRIORITY")]
        to: String,
        #[command(flatten)]
        how: How,
    },
    /// Write a suspended message to standard output, as a file that any server takes
    #[command(after_help = "\
In front stand X-Sender and X-Receiver with those recipients who still wait, as Exchange's Replay directory takes them. The message has to be suspended first, because one that is delivered meanwhile would come twice.

Example:
  gatepost queue suspend 4711 && gatepost queue export 4711 > 4711.eml && gatepost queue remove 4711 --no-report")]
    Export {
        /// The queue id
        #[arg(value_parser = queue_id)]
        id: u64,
    },
}

impl QueueCommand {
    /// Whether JSON is asked for.
    pub fn is_json(&self) -> bool {
        match self {
            QueueCommand::List(arguments) => arguments.json,
            QueueCommand::Status(arguments) => arguments.json,
            QueueCommand::Retry(arguments) => arguments.json,
            QueueCommand::Show { json, .. } => *json,
            QueueCommand::Suspend(arguments) | QueueCommand::Resume(arguments) => arguments.how.json,
            QueueCommand::Remove { how, .. }
            | QueueCommand::Redirect { how, .. }
            | QueueCommand::Priority { how, .. } => how.json,
            QueueCommand::Export { .. } => false,
        }
    }
}

/// `queue list`.
#[derive(Debug, Args)]
pub struct QueueListArguments {
    /// Only messages that wait for a next hop with this in its name
    #[arg(long, value_name = "TEXT")]
    pub next_hop: Option<String>,
    /// Only messages with this in the sender's address
    #[arg(long, value_name = "TEXT")]
    pub sender: Option<String>,
    /// Only messages with this in a recipient's address
    #[arg(long, value_name = "TEXT")]
    pub recipient: Option<String>,
    /// Only messages that this filter picks
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// Their order: properties with + or - before them, as in `--sort=-Size,+DateReceived`
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// Pass over so many messages
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub offset: usize,
    /// At most so many messages
    #[arg(long, value_name = "COUNT", default_value_t = gatepost_manage::resource::QUEUE_LIMIT_DEFAULT)]
    pub limit: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `queue status`.
#[derive(Debug, Args)]
pub struct QueueStatusArguments {
    /// Only queues that this filter picks
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// Their order: properties with + or - before them, as in `--sort=-MessageCount`
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which messages.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct MessageChoice {
    /// Queue ids
    #[arg(value_parser = queue_id, value_name = "ID")]
    pub ids: Vec<u64>,
    /// All messages that this filter picks
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
}

/// How many at once are done.
#[derive(Debug, Args)]
pub struct How {
    /// Do not ask before many are changed
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `queue suspend` and `queue resume`.
#[derive(Debug, Args)]
pub struct HoldArguments {
    #[command(flatten)]
    pub which: HoldWhich,
    #[command(flatten)]
    pub how: How,
}

/// Which messages, or which queues.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct HoldWhich {
    /// Queue ids of messages
    #[arg(value_parser = queue_id, value_name = "ID")]
    pub ids: Vec<u64>,
    /// All messages that this filter picks
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// A whole queue: its identity or its next hop, as `queue status` shows them; may be repeated
    #[arg(long, value_name = "QUEUE")]
    pub queue: Vec<String>,
    /// All queues that this filter picks
    #[arg(long, value_name = "FILTER")]
    pub queue_filter: Option<String>,
}

/// Where `queue redirect` sends.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RedirectWay {
    /// The send connector
    #[arg(long, value_name = "CONNECTOR")]
    pub to: Option<String>,
    /// As the settings say again
    #[arg(long)]
    pub back: bool,
}

/// `queue retry`.
#[derive(Debug, Args)]
pub struct RetryArguments {
    #[command(flatten)]
    which: RetryWhich,
    /// Route everything in those queues anew
    #[arg(long, conflicts_with_all = ["id", "all", "next_hop"])]
    pub resubmit: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct RetryWhich {
    /// The queue id of one message
    #[arg(value_parser = queue_id)]
    id: Option<u64>,
    /// Everything that waits
    #[arg(long)]
    all: bool,
    /// Whatever waits for a next hop with this in its name
    #[arg(long, value_name = "TEXT")]
    next_hop: Option<String>,
    /// A whole queue: its identity or its next hop, as `queue status` shows them; may be repeated
    #[arg(long, value_name = "QUEUE")]
    queue: Vec<String>,
    /// All queues that this filter picks
    #[arg(long, value_name = "FILTER")]
    queue_filter: Option<String>,
}

/// What to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Everything.
    All,
    /// One message.
    Message(u64),
    /// What waits for these next hops.
    NextHop(String),
    /// Whole queues, by their names or by a filter.
    Queues(Vec<String>, Option<String>),
}

impl RetryArguments {
    /// What was chosen; the parser holds that it is exactly one.
    pub fn which(&self) -> Retry {
        let RetryWhich { id, next_hop, queue, queue_filter, .. } = &self.which;
        match (id, next_hop) {
            (Some(id), _) => Retry::Message(*id),
            (None, Some(next_hop)) => Retry::NextHop(next_hop.clone()),
            (None, None) if !queue.is_empty() || queue_filter.is_some() => {
                Retry::Queues(queue.clone(), queue_filter.clone())
            }
            (None, None) => Retry::All,
        }
    }
}

pub(super) fn queue_id(text: &str) -> Result<u64, &'static str> {
    // `SERVER\3\17`, as Exchange writes the identity of a message, names it as well.
    let id = text.rsplit_once('\\').map_or(text, |(_, id)| id);
    id.parse().map_err(|_| "a queue id is a number, as `gatepost queue list` shows it")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(arguments: &[&str]) -> Result<QueueCommand, clap::Error> {
        let all = ["gatepost", "queue"].iter().chain(arguments);
        Cli::try_parse_from(all).map(|cli| match cli.command {
            Command::Queue(command) => command,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn what_to_retry_is_exactly_one_thing() {
        let retry = |arguments: &[&str]| match parse(&[&["retry"], arguments].concat()) {
            Ok(QueueCommand::Retry(retry)) => Some(retry.which()),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        };
        assert_eq!(retry(&["7"]), Some(Retry::Message(7)));
        assert_eq!(retry(&["--all"]), Some(Retry::All));
        assert_eq!(retry(&["--next-hop", "x"]), Some(Retry::NextHop("x".into())));
        let queues = Retry::Queues(vec!["Unreachable".into()], None);
        assert_eq!(retry(&["--queue", "Unreachable", "--resubmit"]), Some(queues));
        for wrong in [
            &[][..],
            &["7", "--all"],
            &["--all", "--next-hop", "x"],
            &["seven"],
            &["--all", "--resubmit"],
            &["--resubmit"],
        ] {
            assert_eq!(retry(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn messages_are_chosen_by_number_or_by_filter() {
        for right in [
            &["suspend", "1", r"MAIL\3\2"][..],
            &["suspend", "--filter", "Size -gt 1"],
            &["resume", "--queue", "x", "--queue", "y"],
            &["remove", "1", "--no-report", "--yes"],
            &["redirect", "1", "--back"],
            &["redirect", "1", "--to", "Out"],
            &["list", "--sort", "-Size"],
        ] {
            assert!(parse(right).is_ok(), "{right:?}: {:?}", parse(right).err());
        }
        for wrong in [
            &["suspend"][..],
            &["suspend", "1", "--filter", "Size -gt 1"],
            &["suspend", "1", "--queue", "x"],
            &["redirect", "1"],
            &["redirect", "1", "--to", "Out", "--back"],
            &["remove"],
            &["export"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
