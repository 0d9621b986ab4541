//! What is decided for each connection and each recipient allocates nothing, however many there are.

use std::hint::black_box;

use gatepost_mail::{Mailbox, ReversePath};
use gatepost_policy::permission::{
    Facts, HeaderSenders, Principal, Right, auth_as, granted, initial_principal, may_submit,
};
use gatepost_policy::resolve::end_count;
use gatepost_policy::{relay, reserved_domain, restriction};

use crate::document::{CONTOSO, OPTION_2, connector, default_connector, settings};

const MORE: &str = r#"
[[accepted_domain]]
name = "*.fabrikam.com"
[[mailbox]]
address = "Caf\u00e9@fabrikam.com"
aliases = ["second@fabrikam.com"]
"#;

#[test]
fn no_recipient_and_no_selection_allocates() {
    let gate = connector("R", r#""10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32""#, "AnonymousUsers", OPTION_2);
    let settings = settings(&format!("{CONTOSO}{MORE}{}{gate}", default_connector("AnonymousUsers,ExchangeUsers", "")));
    let long = format!("{}@contoso.com", "x".repeat(64));
    let recipients: Vec<Mailbox> = [
        "bob@contoso.com",
        "BOB@contoso.com",
        "\"b\\ob\"@contoso.com",
        "nobody@contoso.com",
        "postmaster@contoso.com",
        "café@fabrikam.com",
        "second@fabrikam.com",
        "someone@a.b.c.fabrikam.com",
        "someone@a.b.c.d.example",
        "a@[10.0.0.1]",
        &long,
    ]
    .iter()
    .map(|text| Mailbox::parse(text).expect("an address"))
    .collect();
    let alice = Principal::User("alice".into());
    let peers =
        ["10.1.2.3", "192.0.2.1", "2001:db8::9", "::ffff:10.0.0.1"].map(|peer| peer.parse().expect("an address"));
    let locals = ["10.0.0.1:25", "[2001:db8::1]:25"].map(|local| local.parse().expect("an address"));
    let mut accepted = 0;
    let counted = allocation_counter::measure(|| {
        for (local, peer) in locals.iter().flat_map(|local| peers.iter().map(move |peer| (*local, *peer))) {
            let Some(connector) = settings.select(local, peer, 0) else { continue };
            for principal in [&initial_principal(connector), &alice] {
                let rights = granted(connector, principal, &Facts::at(0)).rights;
                let _ = black_box(may_submit(rights, principal));
                for recipient in &recipients {
                    let question = relay::Question { rights, forward_path: recipient, settings: &settings };
                    let reserved = reserved_domain::decide(connector, recipient, &settings);
                    let auth_as = auth_as(rights, principal, None);
                    let restriction = restriction::Question { auth_as, recipient, settings: &settings };
                    let taken = reserved.is_ok()
                        && relay::decide(&question).is_ok()
                        && restriction::decide(&restriction).is_ok();
                    accepted +=
                        u64::from(taken && end_count(settings.directory.resolve(recipient, &settings.domains)) == 1);
                }
            }
        }
    });
    assert!(accepted > 50, "{accepted} were accepted");
    assert_eq!(counted.count_total, 0);
    // The counter counts.
    assert!(allocation_counter::measure(|| drop(black_box(recipients.clone()))).count_total > 0);
}

#[test]
fn no_condition_allocates() {
    let entry = r#"
      [[receive_connector.permission]]
      user = "NT AUTHORITY\\ANONYMOUS LOGON"
      extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]
      senders = ["contoso.com", "boss@fabrikam.com", "scan-*@*.contoso.com", "<>"]
      recipients = ["*.example", "someone@gmail.com"]
      hours = ["Mon-Fri 08:00-18:00 Europe/Berlin", "00:00-24:00 America/New_York"]
      messages_per_hour = 5
      expires = 2999-01-01T00:00:00Z
    "#;
    let settings = settings(&format!("{CONTOSO}{}", connector("R", r#""10.0.0.0/8""#, "AnonymousUsers", entry)));
    let connector = &settings.receive_connectors[0];
    let mailbox = |text: &str| Mailbox::parse(text).expect("an address");
    let senders = ["BOSS@fabrikam.com", "\"scan-1\"@a.contoso.com", "MÜLLER@contoso.com", "x@gmail.com"].map(mailbox);
    let paths = senders.clone().map(ReversePath::Mailbox);
    let recipients = ["x@b.example", "Someone@GMAIL.com", "x@fabrikam.com"].map(mailbox);
    let mut held = 0;
    let counted = allocation_counter::measure(|| {
        for now_ms in (1_780_000_000_000..1_780_600_000_000).step_by(10_000_000) {
            for ((path, sender), recipient) in
                paths.iter().zip(&senders).flat_map(|sender| recipients.iter().map(move |to| (sender, to)))
            {
                let facts = Facts {
                    reverse_path: Some(path),
                    header_senders: HeaderSenders::Known(std::slice::from_ref(sender)),
                    recipient: Some(recipient),
                    ..Facts::at(now_ms)
                };
                let rights = granted(connector, &Principal::Anonymous, &facts).rights;
                held += u64::from(rights.contains(Right::AcceptAnyRecipient));
            }
        }
    });
    assert_eq!(held, 60 * 3 * 2, "at every hour in New York, for three senders and two recipients");
    assert_eq!(counted.count_total, 0);
}
