//! What is decided for each connection and each recipient allocates nothing, however many there are.

use std::hint::black_box;

use gatepost_mail::Mailbox;
use gatepost_policy::permission::{Facts, Principal, auth_as, granted, initial_principal, may_submit};
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
                    accepted += u64::from(taken && end_count(&settings, recipient) == 1);
                }
            }
        }
    });
    assert!(accepted > 50, "{accepted} were accepted");
    assert_eq!(counted.count_total, 0);
    // The counter counts.
    assert!(allocation_counter::measure(|| drop(black_box(recipients.clone()))).count_total > 0);
}
