//! The properties of queues and messages, by Exchange's names (fact sheet section 4.8), for filters and orders.
//!
//! Takes what the running server says of a queue or a message, hands on one value at a time.

use gatepost_spool::State;
use gatepost_transport::listing::{DeliveryType, MessageStatus, QueueState, QueueStatus, QueuedMessage};

use crate::filter::{Kind, Properties, Property, Value};

const fn text(name: &'static str) -> Property {
    Property { name, kind: Kind::Text }
}

const fn number(name: &'static str) -> Property {
    Property { name, kind: Kind::Number }
}

const fn time(name: &'static str) -> Property {
    Property { name, kind: Kind::Time }
}

/// One queue, with the name of its server.
pub struct QueueRow<'a> {
    /// `[server] name`.
    pub server: &'a str,
    /// What the server says of it.
    pub queue: &'a QueueStatus,
}

impl QueueRow<'_> {
    /// `SERVER\3`, `SERVER\Submission`.
    pub fn identity(&self) -> String {
        format!("{}\\{}", self.server, self.queue.identity)
    }
}

impl Properties for QueueRow<'_> {
    const ALL: &'static [Property] = &[
        text("Identity"),
        text("NextHopDomain"),
        text("NextHopConnector"),
        text("NextHopCategory"),
        text("DeliveryType"),
        text("Status"),
        number("MessageCount"),
        number("DeferredMessageCount"),
        number("HeldMessageCount"),
        text("LastError"),
        time("NextRetryTime"),
        time("FirstRetryTime"),
        time("LastRetryTime"),
        number("RetryCount"),
        number("IncomingRate"),
        number("OutgoingRate"),
        number("Velocity"),
    ];

    fn value(&self, property: usize) -> Value {
        let queue = self.queue;
        let text = |text: &str| if text.is_empty() { Value::Nothing } else { Value::Text(text.to_owned()) };
        let time = |time: Option<u64>| time.map_or(Value::Nothing, Value::Time);
        match Self::ALL[property].name {
            "Identity" => Value::Texts(vec![self.identity(), queue.identity.clone(), queue.next_hop.clone()]),
            "NextHopDomain" => text(&queue.next_hop),
            "NextHopConnector" => text(&queue.connector),
            "NextHopCategory" => text(category(queue.delivery_type)),
            "DeliveryType" => text(delivery_type(queue.delivery_type)),
            "Status" => text(queue_state(queue.state)),
            "MessageCount" => Value::Number(queue.messages as f64),
            "DeferredMessageCount" => Value::Number(queue.deferred as f64),
            "HeldMessageCount" => Value::Number(queue.held as f64),
            "LastError" => text(queue.last_error.as_deref().unwrap_or_default()),
            "NextRetryTime" => time(queue.next_retry_ms),
            "FirstRetryTime" => time(queue.first_retry_ms),
            "LastRetryTime" => time(queue.last_retry_ms),
            "RetryCount" => Value::Number(f64::from(queue.retry_count)),
            "IncomingRate" => Value::Number(queue.incoming_rate),
            "OutgoingRate" => Value::Number(queue.outgoing_rate),
            "Velocity" => Value::Number(queue.outgoing_rate - queue.incoming_rate),
            _ => Value::Nothing,
        }
    }
}

/// `Internal` or `External`.
pub fn category(delivery_type: DeliveryType) -> &'static str {
    match delivery_type {
        DeliveryType::DnsConnectorDelivery | DeliveryType::SmartHostConnectorDelivery => "External",
        DeliveryType::SmtpDeliveryToMailbox | DeliveryType::Unreachable | DeliveryType::Undefined => "Internal",
    }
}

/// The Exchange name.
pub fn delivery_type(delivery_type: DeliveryType) -> &'static str {
    match delivery_type {
        DeliveryType::DnsConnectorDelivery => "DnsConnectorDelivery",
        DeliveryType::SmartHostConnectorDelivery => "SmartHostConnectorDelivery",
        DeliveryType::SmtpDeliveryToMailbox => "SmtpDeliveryToMailbox",
        DeliveryType::Unreachable => "Unreachable",
        DeliveryType::Undefined => "Undefined",
    }
}

fn queue_state(state: QueueState) -> &'static str {
    match state {
        QueueState::Active => "Active",
        QueueState::Connecting => "Connecting",
        QueueState::Ready => "Ready",
        QueueState::Retry => "Retry",
        QueueState::Suspended => "Suspended",
    }
}

/// The Exchange name.
pub fn message_status(status: MessageStatus) -> &'static str {
    match status {
        MessageStatus::Active => "Active",
        MessageStatus::Ready => "Ready",
        MessageStatus::Retry => "Retry",
        MessageStatus::Suspended => "Suspended",
        MessageStatus::PendingRemove => "PendingRemove",
        MessageStatus::PendingSuspend => "PendingSuspend",
    }
}

/// Properties that only the header section of a message tells.
pub const OF_HEADER: [&str; 2] = ["Subject", "InternetMessageId"];

/// One message.
pub struct MessageRow<'a>(pub &'a QueuedMessage);

impl Properties for MessageRow<'_> {
    const ALL: &'static [Property] = &[
        text("Identity"),
        text("Queue"),
        text("Status"),
        text("FromAddress"),
        text("Recipients"),
        number("Size"),
        time("DateReceived"),
        time("ExpirationTime"),
        text("Subject"),
        text("InternetMessageId"),
        text("MessageSourceName"),
        text("SourceIP"),
        text("Priority"),
        text("LastError"),
        number("RetryCount"),
        text("NextHopDomain"),
        text("Redirect"),
    ];

    fn value(&self, property: usize) -> Value {
        let MessageRow(message) = self;
        let pending = || message.recipients.iter().filter(|recipient| recipient.state == State::Pending);
        let text = |text: Option<&str>| text.map_or(Value::Nothing, |text| Value::Text(text.to_owned()));
        match Self::ALL[property].name {
            "Identity" => {
                let id = message.id.to_string();
                let with_queues = message.queues.iter().map(|queue| format!("{queue}\\{id}"));
                Value::Texts(with_queues.chain([id.clone()]).collect())
            }
            "Queue" => Value::Texts(message.queues.iter().map(ToString::to_string).collect()),
            "Status" => text(Some(message_status(message.status))),
            "FromAddress" => match plain(&message.reverse_path) {
                // Found by what is shown of it, and by an empty text.
                "<>" => Value::Texts(vec!["<>".to_owned(), String::new()]),
                address => Value::Text(address.to_owned()),
            },
            "Recipients" => Value::Texts(pending().map(|recipient| recipient.address.clone()).collect()),
            "Size" => Value::Number(message.size_bytes as f64),
            "DateReceived" => Value::Time(message.arrival_ms),
            "ExpirationTime" => Value::Time(message.expires_ms),
            "Subject" => text(message.subject.as_deref()),
            "InternetMessageId" => text(message.internet_message_id.as_deref()),
            "MessageSourceName" => Value::Text(source_name(message)),
            "SourceIP" => message.peer.map_or(Value::Nothing, |peer| Value::Text(peer.ip().to_canonical().to_string())),
            "Priority" => Value::Text(message.priority.to_string()),
            "LastError" => {
                let error = |recipient: &gatepost_transport::listing::QueuedRecipient| {
                    recipient.next_hop_error.clone().or_else(|| recipient.last_reply.clone())
                };
                Value::Texts(pending().filter_map(error).collect())
            }
            "RetryCount" => Value::Number(pending().map(|recipient| recipient.attempts).max().unwrap_or(0).into()),
            "NextHopDomain" => Value::Texts(pending().filter_map(|recipient| recipient.next_hop.clone()).collect()),
            "Redirect" => text(message.redirect.as_deref()),
            _ => Value::Nothing,
        }
    }
}

/// `SMTP:<receive connector>`, or `DSN` for our own reports.
pub fn source_name(message: &QueuedMessage) -> String {
    match message.peer {
        Some(_) => format!("SMTP:{}", message.connector),
        None => "DSN".to_owned(),
    }
}

/// A reverse-path as Exchange shows it: without its brackets, unless there is nothing in them.
pub fn plain(reverse_path: &str) -> &str {
    match reverse_path.strip_prefix('<').and_then(|path| path.strip_suffix('>')) {
        Some("") | None => reverse_path,
        Some(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use gatepost_mail::{MessageId, Priority};

    use super::*;
    use crate::filter::Filter;

    fn from(reverse_path: &str) -> QueuedMessage {
        QueuedMessage {
            status: MessageStatus::Ready,
            priority: Priority::Normal,
            expires_ms: 0,
            queues: Vec::new(),
            poison: false,
            crashes: 0,
            redirect: None,
            subject: None,
            internet_message_id: None,
            id: MessageId(1),
            arrival_ms: 0,
            size_bytes: 0,
            reverse_path: reverse_path.to_owned(),
            connector: String::new(),
            peer: None,
            principal: String::new(),
            recipients: Vec::new(),
        }
    }

    #[test]
    fn a_sender_is_found_by_what_is_shown_of_it() {
        for (reverse_path, filter, expected) in [
            ("<>", "FromAddress -eq '<>'", true),
            ("<>", "FromAddress -eq ''", true),
            ("<>", "FromAddress -ne '<>'", false),
            ("<a@x.net>", "FromAddress -eq 'a@x.net'", true),
            ("<a@x.net>", "FromAddress -eq '<>'", false),
            ("<a@x.net>", "FromAddress -eq ''", false),
        ] {
            let message = from(reverse_path);
            let row = MessageRow(&message);
            let filter = Filter::parse::<MessageRow<'_>>(filter).expect("a filter");
            assert_eq!(filter.matches(&row), expected, "{reverse_path}");
        }
        assert_eq!(["<>", "<a@x.net>"].map(plain), ["<>", "a@x.net"]);
    }
}
