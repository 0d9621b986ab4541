//! Mail that waits for what a command takes away, in a sentence: told before, and when it is done.
//!
//! Takes the running server's queues, hands on words. What becomes of that mail is decided where it is routed anew.

use std::sync::Arc;

use gatepost_policy::directory::KnownRecipient;
use gatepost_policy::send_connector::SendConnector;
use gatepost_transport::listing::{DeliveryType, Picks, QueueFilter, QueuedMessage};

use super::Invocation;

/// What is said of what waits for a send connector that mail can leave by no more.
pub fn for_connector(invocation: &Invocation<'_>, connector: &SendConnector) -> Option<String> {
    let queues = invocation.control.queues();
    let messages = queues.iter().filter(|queue| *queue.connector == *connector.name).map(|queue| queue.messages).sum();
    let (wait, then) = tense(invocation);
    let ways = format!("goes the way that leads to its recipients {then}");
    let told = "where none does, it waits in the queue Unreachable until one does, or until it expires";
    said(messages, wait).map(|waiting| format!("{waiting} for it. Each {ways}; {told}."))
}

/// What is said of what waits for a recipient here that is removed. Nothing waits for a contact or a group: whom those stand for
/// has taken their place before mail comes into a queue.
pub async fn for_recipient(invocation: &Invocation<'_>, recipient: &KnownRecipient) -> Option<String> {
    recipient.mailbox()?;
    let queues = invocation.control.queues();
    let here = queues.iter().find(|queue| queue.delivery_type == DeliveryType::SmtpDeliveryToMailbox)?;
    if here.messages == 0 {
        return None;
    }
    let own: Vec<String> = recipient.addresses().map(|address| address.to_string().to_lowercase()).collect();
    let waits_here = move |message: &QueuedMessage| {
        let mut waiting = message.recipients.iter().filter(|recipient| recipient.next_hop.is_some());
        waiting.any(|recipient| own.contains(&recipient.address.to_lowercase()))
    };
    let filter = QueueFilter {
        picks: Picks { matches: Some(Arc::new(waits_here)), ..Picks::default() },
        next_hop: Some(here.next_hop.clone()),
        ..QueueFilter::default()
    };
    let messages = invocation.control.queue(filter).await.total;
    let (wait, then) = tense(invocation);
    let told = format!("Each goes where its address leads {then}; where that is nowhere, back to its sender");
    said(messages, wait).map(|waiting| format!("{waiting} for it. {told}."))
}

fn tense(invocation: &Invocation<'_>) -> (&'static str, &'static str) {
    match invocation.is_what_if || invocation.transaction.is_some() {
        true => ("wait", "then"),
        false => ("waited", "now"),
    }
}

fn said(messages: u64, wait: &str) -> Option<String> {
    match (messages, wait) {
        (0, _) => None,
        (1, "wait") => Some("1 message waits".to_owned()),
        (1, wait) => Some(format!("1 message {wait}")),
        (messages, wait) => Some(format!("{messages} messages {wait}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_in_words() {
        for (messages, wait, expected) in [
            (0, "wait", None),
            (1, "wait", Some("1 message waits")),
            (1, "waited", Some("1 message waited")),
            (3, "wait", Some("3 messages wait")),
            (3, "waited", Some("3 messages waited")),
        ] {
            assert_eq!(said(messages, wait).as_deref(), expected);
        }
    }
}
