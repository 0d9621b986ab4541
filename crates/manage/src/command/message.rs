//! Queued messages: Get-, Suspend-, Resume-, Remove-, Redirect- and Export-Message (fact sheet section 4.8).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_mail::MessageId;
use gatepost_policy::note::instant;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Kind, Signature};
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::parameter::{DOMAIN_CONTROLLER, FORCE, at, identity, named};
use super::queue::{
    BOOKMARK_INDEX, FILTER, RESULT_SIZE, RESULTS_MAX, SERVER, SORT_ORDER, of_this_server, own_queue, window,
};
use super::{Answer, CommandError, Entry, Invocation, server};
use crate::object::PropertyKind::{Any, Bool, Choice, Identity, Int, List, Size, Text, Time};
use crate::object::{Record, Shape, Usual, property};
use crate::properties::plain;
use crate::queues;
use crate::resource::{
    Message, MessageAction, MessagesRequest, QUEUE_LIMIT_MAX, QueueAction, QueueQuery, QueuesRequest, Recipient,
    RecipientState,
};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry { signature: &GET, role: Role::HelpDesk, output: Some(&SHAPE), run: |invocation| Box::pin(get(invocation)) },
    Entry {
        signature: &SUSPEND,
        role: Role::QueueOperator,
        output: None,
        run: |invocation| Box::pin(change(invocation, MessageAction::Suspend)),
    },
    Entry {
        signature: &RESUME,
        role: Role::QueueOperator,
        output: None,
        run: |invocation| Box::pin(change(invocation, MessageAction::Resume)),
    },
    Entry {
        signature: &REMOVE,
        role: Role::QueueOperator,
        output: None,
        run: |invocation| {
            // Silence loses mail: the sender is told unless somebody says otherwise, as in Exchange.
            let report = invocation.arguments.get("WithNDR") != Some(&Json::Bool(false));
            Box::pin(change(invocation, MessageAction::Remove { report }))
        },
    },
    Entry {
        signature: &REDIRECT,
        role: Role::QueueOperator,
        output: None,
        run: |invocation| Box::pin(redirect(invocation)),
    },
    Entry {
        signature: &EXPORT,
        role: Role::QueueOperator,
        output: Some(&EXPORTED),
        run: |invocation| Box::pin(export(invocation)),
    },
];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.QueueViewer.ExtensibleMessageInfo",
    table: &["Identity", "FromAddress", "Status", "Queue", "Subject"],
    identity: "Identity",
};

const STATES: &[&str] = &["Ready", "Active", "Retry", "Suspended", "PendingRemove", "PendingSuspend"];

/// A queued message, in Exchange's order of properties.
static SHAPE: Shape = Shape {
    name: "ExtensibleMessageInfo",
    view: &VIEW,
    properties: &[
        property("Subject", "subject", Text, Usual::Null),
        property("InternetMessageId", "internet_message_id", Text, Usual::Null),
        property("FromAddress", "from_address", Text, Usual::Null),
        property("Status", "status", Choice(STATES), Usual::Null),
        property("Size", "size", Size, Usual::Null),
        property("MessageSourceName", "message_source_name", Text, Usual::Null),
        property("SourceIP", "source_ip", Text, Usual::Null),
        property("DateReceived", "date_received", Time, Usual::Null),
        property("ExpirationTime", "expiration_time", Time, Usual::Null),
        property("LastError", "last_error", Text, Usual::Null),
        property("RetryCount", "retry_count", Int, Usual::Int(0)),
        property("Queue", "queue", Text, Usual::Null),
        property("Queues", "queues", List(&Text), Usual::Texts(&[])),
        property("Recipients", "recipients", Any, Usual::Null),
        property("Priority", "priority", Choice(&["High", "Normal", "Low"]), Usual::Text("Normal")),
        property("IsPoison", "is_poison", Bool, Usual::Bool(false)),
        property("RedirectedTo", "redirected_to", Text, Usual::Null),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

static EXPORTED_VIEW: View =
    View { type_name: "Gatepost.ExportedMessage", table: &["Identity", "Size"], identity: "Identity" };

/// The whole of a message.
static EXPORTED: Shape = Shape {
    name: "ExportedMessage",
    view: &EXPORTED_VIEW,
    properties: &[
        property("Identity", "identity", Identity, Usual::Null),
        property("Size", "size", Size, Usual::Null),
        // Base64, because a message is bytes and this is text.
        property("Base64", "base64", Text, Usual::Null),
    ],
};

const WHICH: &str = "Which: `SERVER\\3\\1234`, `SERVER\\*\\1234`, or the queue id alone.";

static GET: Signature = Signature {
    name: "Get-Message",
    aliases: &[],
    synopsis: "Shows messages that wait: from whom, to whom, where, and why.",
    parameters: &[
        at(0, identity(WHICH)),
        FILTER,
        SERVER,
        named("Queue", Kind::Identity, "Those that wait in this queue: `SERVER\\3`, `3`, or the whole next hop."),
        named("IncludeRecipientInfo", Kind::Switch, "Shows each recipient with its last answer."),
        SORT_ORDER,
        BOOKMARK_INDEX,
        RESULT_SIZE,
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-Message -Queue \"smtp.example.com\"", "Lists what waits for one next hop."),
        (
            "Get-Message -Filter \"FromAddress -like '*@contoso.com'\" -ResultSize Unlimited | Measure-Object",
            "Counts what one domain has waiting.",
        ),
        ("Get-Queue | Get-Message | Format-List Identity,FromAddress,LastError", "Says of each why it waits."),
    ],
};

static SUSPEND: Signature = Signature {
    name: "Suspend-Message",
    aliases: &[],
    synopsis: "Holds messages back until they are resumed; one that is being sent is held back should that fail.",
    parameters: &[identity(WHICH), FILTER, SERVER, DOMAIN_CONTROLLER, FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Suspend-Message 1234 -Confirm:$false", "Holds one back."),
        ("Get-Message -Queue 3 | Suspend-Message -Confirm:$false", "Holds back all of a queue."),
    ],
};

static RESUME: Signature = Signature {
    name: "Resume-Message",
    aliases: &[],
    synopsis: "Lets messages go on that were held back; those in the poison queue, too.",
    parameters: &[identity(WHICH), FILTER, SERVER, DOMAIN_CONTROLLER, FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Resume-Message 1234 -Confirm:$false", "Lets one go on."),
        ("Resume-Message -Filter \"Status -eq 'Suspended'\" -Confirm:$false", "Lets all go on."),
    ],
};

static REMOVE: Signature = Signature {
    name: "Remove-Message",
    aliases: &[],
    synopsis: "Takes messages out of the queue; their senders get a report unless -WithNDR $false says otherwise.",
    parameters: &[
        identity(WHICH),
        FILTER,
        SERVER,
        named("WithNDR", Kind::Bool, "Whether the senders get a non-delivery report; $true without it."),
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    changes: Changes::Asked,
    examples: &[
        ("Remove-Message 1234 -WithNDR $false -Confirm:$false", "Takes one out without telling anybody."),
        (
            "Remove-Message -Filter \"FromAddress -eq 'loop@contoso.com'\" -Confirm:$false",
            "Takes out what one sender has waiting, and tells it.",
        ),
    ],
};

static REDIRECT: Signature = Signature {
    name: "Redirect-Message",
    aliases: &[],
    synopsis: "Sends messages by another send connector than the settings say, or as they say again.",
    parameters: &[
        identity(WHICH),
        FILTER,
        SERVER,
        named("Connector", Kind::Identity, "The send connector to use."),
        named("Back", Kind::Switch, "Goes back to what the settings say."),
        named(
            "Target",
            Kind::Text,
            "Exchange's way to drain a server into another; here: name a -Connector that leads there.",
        ),
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    changes: Changes::Asked,
    examples: &[
        (
            "Redirect-Message -Filter \"Status -eq 'Retry'\" -Connector \"Backup\" -Confirm:$false",
            "Sends what is stuck by another connector.",
        ),
        ("Redirect-Message 1234 -Back -Confirm:$false", "Goes back to what the settings say."),
    ],
};

static EXPORT: Signature = Signature {
    name: "Export-Message",
    aliases: &[],
    synopsis: "Hands out a suspended message whole, in Base64.",
    parameters: &[identity(WHICH), DOMAIN_CONTROLLER, FORCE],
    changes: Changes::Unasked,
    examples: &[
        (
            "[System.Text.Encoding]::UTF8.GetString([Convert]::FromBase64String((Export-Message 1234).Base64))",
            "Shows a suspended message.",
        ),
        ("(Export-Message 1234).Size", "Says how large it is."),
    ],
};

/// The queue id within an identity: the last of its parts.
fn id(invocation: &Invocation<'_>, identity: &str) -> Result<MessageId, CommandError> {
    let own = &invocation.settings.server.name;
    let mut parts = identity.trim().rsplit('\\');
    let number = parts.next().unwrap_or_default();
    let (queue, name) = (parts.next(), parts.next());
    if let (Some(_), Some(name)) = (queue, name)
        && !server::is_this(own, name)
    {
        return Err(CommandError::NotFound(server::another(own, name)));
    }
    number.parse().map(MessageId).map_err(|_| {
        let identity: String = identity.chars().take(80).collect();
        let error =
            format!("`{}` is no message: write SERVER\\QUEUE\\1234, or the queue id alone", identity.escape_debug());
        CommandError::Wrong(error)
    })
}

fn record(server: &str, message: &Message, with_recipients: bool) -> Record {
    // They come under the whole name of the server; identities have the short one.
    let queues: Vec<&str> = message.queues.iter().map(|queue| queue.rsplit('\\').next().unwrap_or(queue)).collect();
    let queue = queues.first();
    let pending = message.recipients.iter().filter(|recipient| recipient.state == RecipientState::Pending);
    let why = |recipient: &Recipient| recipient.next_hop_error.clone().or_else(|| recipient.last_reply.clone());
    let recipients: Vec<Json> = match with_recipients {
        true => {
            message.recipients.iter().map(|recipient| serde_json::to_value(recipient).unwrap_or_default()).collect()
        }
        false => pending.clone().map(|recipient| recipient.address.as_str().into()).collect(),
    };
    let source = match message.peer {
        Some(_) => format!("SMTP:{}", message.connector),
        None => "DSN".to_owned(),
    };
    Record::of(&SHAPE)
        .with("Subject", message.subject.as_deref())
        .with("InternetMessageId", message.internet_message_id.as_deref())
        .with("FromAddress", plain(&message.reverse_path))
        .with("Status", message.status.as_str())
        .with("Size", message.size_bytes)
        .with("MessageSourceName", source)
        .with("SourceIP", message.peer.map(|peer| peer.ip().to_canonical().to_string()))
        .with("DateReceived", instant(message.arrival_ms))
        .with("ExpirationTime", instant(message.expires_ms))
        .with("LastError", pending.clone().find_map(why))
        .with("RetryCount", pending.map(|recipient| recipient.attempts).max().unwrap_or(0))
        .with("Queue", queue.map(|queue| format!("{server}\\{queue}")))
        .with("Queues", queues.iter().map(|queue| format!("{server}\\{queue}")).collect::<Vec<_>>())
        .with("Recipients", recipients)
        .with("Priority", message.priority.as_str())
        .with("IsPoison", message.poison)
        .with("RedirectedTo", message.redirect.as_deref())
        .with("Identity", format!("{server}\\{}\\{}", queue.copied().unwrap_or("*"), message.id))
}

async fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    of_this_server(invocation)?;
    let (arguments, control) = (&invocation.arguments, invocation.control);
    let server = server::short_name(&invocation.settings.server.name);
    let with_recipients = arguments.is_set("IncludeRecipientInfo");
    let given = ["Identity", "Queue", "Filter"].into_iter().filter(|name| arguments.text(name).is_some());
    let given: Vec<&str> = given.collect();
    // An object of the pipeline is a queue or a message: Get-Queue | Get-Message is what people write.
    if let ["Identity"] = given[..]
        && let Some(identity) = arguments.text("Identity")
    {
        return match id(invocation, identity) {
            Ok(id) if !is_queue_alone(identity) => {
                let detail = queues::message(control, id).await?;
                Ok(Answer::of(vec![record(&server, &detail.message, with_recipients)]))
            }
            Err(error @ CommandError::NotFound(_)) => Err(error),
            _ => list(invocation, &server, Some(identity), None, with_recipients).await,
        };
    }
    if given.len() > 1 {
        return Err(CommandError::Wrong(format!(
            "write one of -Identity, -Queue and -Filter, not {}",
            given.join(" and ")
        )));
    }
    list(invocation, &server, arguments.text("Queue"), arguments.text("Filter"), with_recipients).await
}

/// `SERVER\3`: two parts are a queue.
fn is_queue_alone(identity: &str) -> bool {
    identity.matches('\\').count() == 1
}

async fn list(
    invocation: &Invocation<'_>,
    server: &str,
    queue: Option<&str>,
    filter: Option<&str>,
    with_recipients: bool,
) -> Result<Answer, CommandError> {
    let (size, offset) = window(invocation)?;
    let filter = match queue {
        None => filter.map(str::to_owned),
        Some(queue) => Some(format!("Queue -eq '{}'", queue_identity(invocation, queue)?.replace('\'', "''"))),
    };
    let sort = invocation.arguments.text("SortOrder").map(str::to_owned);
    let (messages, recovering) = page_through(invocation, filter, sort, offset, size).await?;
    let mut answer = Answer::of(messages.iter().map(|message| record(server, message, with_recipients)).collect());
    if recovering {
        answer.warnings.push("messages of the last run are still being read: some may be missing".to_owned());
    }
    Ok(answer)
}

/// What a queue is called in this run.
fn queue_identity(invocation: &Invocation<'_>, wanted: &str) -> Result<String, CommandError> {
    let wanted = own_queue(invocation, wanted)?;
    let request = QueuesRequest { action: QueueAction::Retry, queues: vec![wanted.to_owned()], filter: None };
    let names = queues::meant(invocation.control, &request)?;
    let there = invocation.control.queues().into_iter().find(|queue| names.contains(&queue.name));
    // A queue that is named and not there is empty: no message is in it.
    let identity = there.map_or_else(|| wanted.to_owned(), |queue| queue.identity);
    Ok(format!("{}\\{identity}", invocation.settings.server.name))
}

/// Messages in pages of the API's own size; whether some of the last run are missing.
async fn page_through(
    invocation: &Invocation<'_>,
    filter: Option<String>,
    sort: Option<String>,
    offset: usize,
    size: usize,
) -> Result<(Vec<Message>, bool), CommandError> {
    let (mut messages, mut recovering) = (Vec::new(), false);
    while messages.len() < size {
        let query = QueueQuery {
            filter: filter.clone(),
            sort: sort.clone(),
            offset: Some(offset.saturating_add(messages.len())),
            limit: Some((size - messages.len()).min(QUEUE_LIMIT_MAX)),
            ..QueueQuery::default()
        };
        let page = queues::messages(invocation.control, query).await?;
        recovering |= page.recovering;
        if page.messages.is_empty() {
            break;
        }
        messages.extend(page.messages);
    }
    Ok((messages, recovering))
}

async fn redirect(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    if arguments.text("Target").is_some() {
        let error = "a server is not drained into another here: name a send connector that leads there by -Connector";
        return Err(CommandError::Wrong(error.to_owned()));
    }
    match (arguments.text("Connector"), arguments.is_set("Back")) {
        (Some(connector), false) => change(invocation, MessageAction::Redirect(connector.to_owned())).await,
        (None, true) => change(invocation, MessageAction::RedirectBack).await,
        _ => Err(CommandError::Wrong("write -Connector NAME or -Back: by which way they are to go".to_owned())),
    }
}

async fn change(invocation: &Invocation<'_>, action: MessageAction) -> Result<Answer, CommandError> {
    of_this_server(invocation)?;
    let arguments = &invocation.arguments;
    let ids = match (arguments.text("Identity"), arguments.text("Filter")) {
        (Some(identity), None) => vec![id(invocation, identity)?.0],
        (None, Some(filter)) => {
            let found = page_through(invocation, Some(filter.to_owned()), None, 0, RESULTS_MAX).await?;
            found.0.into_iter().map(|message| message.id).collect()
        }
        _ => return Err(CommandError::Wrong("write -Identity or -Filter: which messages are meant".to_owned())),
    };
    if invocation.is_what_if {
        let doing = match &action {
            MessageAction::Suspend => "Suspending".to_owned(),
            MessageAction::Resume => "Resuming".to_owned(),
            MessageAction::Redirect(connector) => format!("Redirecting to {connector}"),
            MessageAction::RedirectBack => "Routing as the settings say".to_owned(),
            MessageAction::Prioritize(priority) => format!("Making {priority}"),
            MessageAction::Remove { report: true } => "Removing, with a report to the sender,".to_owned(),
            MessageAction::Remove { report: false } => "Removing, without a report,".to_owned(),
        };
        let which = match ids[..] {
            [id] => format!("message {id}"),
            _ => format!("{} messages", ids.len()),
        };
        return Ok(Answer { what_if: Some(format!("{doing} {which}.")), ..Answer::default() });
    }
    let mut answer = Answer::default();
    for ids in ids.chunks(QUEUE_LIMIT_MAX) {
        let request = MessagesRequest { action: action.clone(), ids: ids.to_vec() };
        let changed = queues::change(invocation.control, invocation.actor, request).await?;
        if let (Some(&unknown), Some(_)) = (changed.unknown.first(), arguments.text("Identity")) {
            return Err(queues::unknown(invocation.control, MessageId(unknown)).into());
        }
        for failed in &changed.failed {
            answer.warnings.push(format!("message {} stays as it is: {}", failed.id, failed.error));
        }
        if changed.pending > 0 {
            answer.warnings.push(format!(
                "{} being sent right now: it happens should that fail",
                if changed.pending == 1 {
                    "1 message is".to_owned()
                } else {
                    format!("{} messages are", changed.pending)
                }
            ));
        }
    }
    Ok(answer)
}

async fn export(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let Some(identity) = invocation.arguments.text("Identity") else {
        return Err(CommandError::Wrong("write -Identity: which message is meant".to_owned()));
    };
    let id = id(invocation, identity)?;
    if invocation.is_what_if {
        return Ok(Answer { what_if: Some(format!("Exporting message {id}.")), ..Answer::default() });
    }
    let content = queues::export(invocation.control, invocation.actor, id).await?;
    let server = server::short_name(&invocation.settings.server.name);
    Ok(Answer::of(vec![
        Record::of(&EXPORTED)
            .with("Identity", format!("{server}\\*\\{id}"))
            .with("Size", content.len())
            .with("Base64", STANDARD.encode(&content)),
    ]))
}
