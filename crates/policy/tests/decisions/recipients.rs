//! Recipients: what they are declared as, who may write to them, and whom a message is for in the end.

use std::collections::{BTreeMap, BTreeSet};

use gatepost_mail::{AuthAs, Mailbox, Notify, Recipient};
use gatepost_policy::Refusal;
use gatepost_policy::audit::{Audit, HostAddresses, Severity as Weight};
use gatepost_policy::directory::{FoundBy, RECIPIENTS_MAX, RecipientKind};
use gatepost_policy::limits;
use gatepost_policy::permission::{Right, Rights};
use gatepost_policy::relay::{self, Reason};
use gatepost_policy::resolve::{self, resolve};
use gatepost_policy::restriction;
use gatepost_policy::route::{self, Route};
use gatepost_policy::settings::{Problem, Settings, Severity, parse};
use proptest::prelude::*;

use crate::document::{CONTOSO, OPTION_2, connector, default_connector, defaults, problems, settings};

const DOMAINS: &str = r#"
[[accepted_domain]]
name = "contoso.com"

[[accepted_domain]]
name = "fabrikam.com"
catch_all_recipient = "bob@contoso.com"

[[accepted_domain]]
name = "shared.example"
domain_type = "InternalRelay"

[[accepted_domain]]
name = "partner.example"
domain_type = "ExternalRelay"

[[user]]
name = "alice"
addresses = ["alice@contoso.com"]
groups = ["Scanners"]

[[send_connector]]
name = "Internet"
address_spaces = ["SMTP:*;1"]
"#;

const PEOPLE: &str = r#"
[[mailbox]]
address = "Bob@contoso.com"
display_name = "Bob Smith"
aliases = ["robert@contoso.com", "bob@shared.example", "abuse@fabrikam.com"]
send_as = ["alice"]
grant_send_on_behalf_to = ["scanners"]

[[mailbox]]
address = "carol@contoso.com"

[[mailbox]]
address = "ceo@contoso.com"
require_sender_authentication = true

[[contact]]
address = "dave@contoso.com"
external_address = "Dave@x.net"

[[contact]]
address = "all-by-contact@contoso.com"
external_address = "everybody@contoso.com"

[[distribution_group]]
address = "sales@contoso.com"
display_name = "Sales"
aliases = ["verkauf@contoso.com"]
require_sender_authentication = false
members = ["carol@contoso.com", "dave@contoso.com", "erin@x.net", "ERIN@x.net", "carol@contoso.com"]

[[distribution_group]]
address = "everybody@contoso.com"
members = ["sales@contoso.com", "robert@contoso.com", "ring@contoso.com", "someone@shared.example"]

[[distribution_group]]
address = "ring@contoso.com"
members = ["everybody@contoso.com", "Carol@contoso.com", "postmaster@contoso.com"]

[[distribution_group]]
address = "board@contoso.com"
require_sender_authentication = false
members = ["sales@contoso.com", "inner@contoso.com"]

[[distribution_group]]
address = "inner@contoso.com"
require_sender_authentication = false
members = ["ceo@contoso.com"]
"#;

fn contoso() -> Settings {
    settings(&format!("{DOMAINS}{PEOPLE}"))
}

fn mailbox(address: &str) -> Mailbox {
    Mailbox::parse(address).expect("an address")
}

fn named(addresses: &[&str]) -> Vec<Recipient> {
    addresses.iter().map(|address| Recipient::new(mailbox(address))).collect()
}

/// How many recipients the address leads to.
fn end_count(settings: &Settings, named: &Mailbox) -> usize {
    resolve::end_count(settings.directory.resolve(named, &settings.domains))
}

#[test]
fn every_address_leads_to_its_recipient_in_any_spelling() {
    let settings = contoso();
    for (address, expected) in [
        ("bob@contoso.com", Some(("Bob@contoso.com", FoundBy::Address))),
        ("BOB@CONTOSO.COM", Some(("Bob@contoso.com", FoundBy::Address))),
        ("\"b\\ob\"@contoso.com", Some(("Bob@contoso.com", FoundBy::Address))),
        ("Robert@contoso.com", Some(("Bob@contoso.com", FoundBy::Alias))),
        ("bob@shared.example", Some(("Bob@contoso.com", FoundBy::Alias))),
        ("abuse@fabrikam.com", Some(("Bob@contoso.com", FoundBy::Alias))),
        ("whoever@fabrikam.com", Some(("Bob@contoso.com", FoundBy::CatchAll))),
        ("postmaster@fabrikam.com", Some(("postmaster@mail.contoso.com", FoundBy::Postmaster))),
        ("POSTMASTER@mail.contoso.com", Some(("postmaster@mail.contoso.com", FoundBy::Postmaster))),
        ("verkauf@contoso.com", Some(("sales@contoso.com", FoundBy::Alias))),
        ("nobody@contoso.com", None),
        ("carol@shared.example", None),
        ("postmaster@shared.example", None),
        ("bob@x.net", None),
    ] {
        let found = settings.directory.resolve(&mailbox(address), &settings.domains);
        let found = found.map(|found| (found.recipient.address.to_string(), found.by));
        assert_eq!(found, expected.map(|(primary, by)| (primary.to_owned(), by)), "{address}");
    }
}

#[test]
fn a_recipient_keeps_what_was_declared_of_it() {
    let settings = contoso();
    let bob = settings.directory.find(&mailbox("robert@contoso.com")).expect("an alias");
    assert!(matches!(&bob.kind, RecipientKind::Mailbox(mailbox) if &*mailbox.folder == "bob@contoso.com"));
    assert_eq!(bob.send_as.iter().map(ToString::to_string).collect::<Vec<_>>(), ["alice"]);
    assert_eq!(bob.send_on_behalf.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Scanners"]);
    assert_eq!(settings.directory.display_name(&mailbox("ROBERT@contoso.com")), Some("Bob Smith"));
    assert_eq!(settings.directory.display_name(&mailbox("carol@contoso.com")), None);
    assert_eq!(settings.directory.display_name(&mailbox("who@fabrikam.com")), None, "a catch-all is nobody's name");
}

#[test]
fn known_recipients_are_accepted_from_anybody_and_unknown_ones_refused_unless_something_catches_them() {
    let empty = "[[distribution_group]]\naddress = \"new@contoso.com\"\nmembers = []\n";
    let settings = settings(&format!("{DOMAINS}{PEOPLE}{empty}"));
    for (address, expected) in [
        ("robert@contoso.com", Ok("contoso.com")),
        ("sales@contoso.com", Ok("contoso.com")),
        ("dave@contoso.com", Ok("contoso.com")),
        ("whoever@fabrikam.com", Ok("fabrikam.com")),
        ("whoever@shared.example", Ok("shared.example")),
        ("nobody@contoso.com", Err(Refusal::RecipientNotFound)),
        // Mail to a group that nobody is in would vanish.
        ("new@contoso.com", Err(Refusal::RecipientNotFound)),
        ("dave@x.net", Err(Refusal::UnableToRelay)),
    ] {
        let question = relay::Question { rights: Rights::NONE, forward_path: &mailbox(address), settings: &settings };
        let decided = relay::decide(&question).map(|reason| match reason {
            Reason::AcceptedDomain(accepted) => accepted.to_string(),
            other => format!("{other:?}"),
        });
        assert_eq!(decided, expected.map(str::to_owned), "{address}");
    }
    let relaying = Rights::from(Right::AcceptAnyRecipient);
    let unknown = mailbox("nobody@contoso.com");
    let question = relay::Question { rights: relaying, forward_path: &unknown, settings: &settings };
    assert_eq!(relay::decide(&question), Err(Refusal::RecipientNotFound), "whatever the rights");
}

#[test]
fn a_recipient_that_requires_authentication_takes_mail_from_inside_only() {
    let settings = contoso();
    for (address, is_open) in [
        ("bob@contoso.com", true),
        ("sales@contoso.com", true),
        ("dave@contoso.com", true),
        ("ceo@contoso.com", false),
        // Groups are closed unless they say otherwise, as Exchange makes them.
        ("everybody@contoso.com", false),
        ("ring@contoso.com", false),
        ("all-by-contact@contoso.com", false),
        // Open themselves, around somebody who is not.
        ("inner@contoso.com", false),
        ("board@contoso.com", false),
        ("postmaster@contoso.com", true),
        ("whoever@fabrikam.com", true),
        ("z@gmail.com", true),
    ] {
        let decided = |auth_as| {
            restriction::decide(&restriction::Question { auth_as, recipient: &mailbox(address), settings: &settings })
        };
        assert_eq!(decided(AuthAs::Internal), Ok(()), "{address}");
        let outside = if is_open { Ok(()) } else { Err(Refusal::SenderNotAuthenticated) };
        assert_eq!(decided(AuthAs::Anonymous), outside, "{address}");
        assert_eq!(decided(AuthAs::Partner), outside, "{address}: a partner is outside");
    }
    assert_eq!(
        Refusal::SenderNotAuthenticated.reply().to_string(),
        "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required"
    );
}

#[test]
fn postmaster_takes_mail_from_everybody_even_as_a_closed_group() {
    let group = r#"
[[distribution_group]]
address = "helpdesk@contoso.com"
aliases = ["postmaster@contoso.com"]
members = ["ceo@contoso.com"]
"#;
    let settings = settings(&format!("{DOMAINS}{PEOPLE}{group}"));
    for (address, expected) in
        [("postmaster@contoso.com", Ok(())), ("helpdesk@contoso.com", Err(Refusal::SenderNotAuthenticated))]
    {
        let recipient = &mailbox(address);
        let question = restriction::Question { auth_as: AuthAs::Anonymous, recipient, settings: &settings };
        assert_eq!(restriction::decide(&question), expected, "{address}");
    }
}

#[test]
fn groups_contacts_and_aliases_are_replaced_by_whom_they_lead_to() {
    let settings = contoso();
    for (addresses, expected) in [
        (&["BOB@contoso.com"][..], &["BOB@contoso.com"][..]),
        (&["robert@contoso.com"], &["Bob@contoso.com (rfc822;robert@contoso.com)"]),
        (&["who@fabrikam.com"], &["Bob@contoso.com (rfc822;who@fabrikam.com)"]),
        (&["dave@contoso.com"], &["Dave@x.net (rfc822;dave@contoso.com)"]),
        (&["z@gmail.com", "z@gmail.com", "Z@gmail.com"], &["z@gmail.com", "Z@gmail.com"]),
        (
            &["sales@contoso.com"],
            &[
                "carol@contoso.com (rfc822;sales@contoso.com)",
                "Dave@x.net (rfc822;sales@contoso.com)",
                "erin@x.net (rfc822;sales@contoso.com)",
                // Only x.net knows whether that is the same mailbox.
                "ERIN@x.net (rfc822;sales@contoso.com)",
            ],
        ),
        (
            // Named directly, behind an alias, and in groups that lead back to each other: once.
            &["carol@contoso.com", "ring@contoso.com", "Dave@x.net", "bob@contoso.com", "someone@shared.example"],
            &[
                "carol@contoso.com",
                "Dave@x.net (rfc822;ring@contoso.com)",
                "erin@x.net (rfc822;ring@contoso.com)",
                "ERIN@x.net (rfc822;ring@contoso.com)",
                "Bob@contoso.com (rfc822;ring@contoso.com)",
                "someone@shared.example (rfc822;ring@contoso.com)",
                "postmaster@mail.contoso.com (rfc822;ring@contoso.com)",
            ],
        ),
        (&["postmaster@contoso.com", "postmaster@fabrikam.com"], &["postmaster@contoso.com"]),
        (&["nobody@contoso.com"], &["nobody@contoso.com"]),
    ] {
        let resolved = resolve(&settings, named(addresses));
        let told: Vec<String> = resolved
            .recipients
            .iter()
            .map(|recipient| match &recipient.original_recipient {
                Some(original) => format!("{} ({original})", recipient.mailbox),
                None => recipient.mailbox.to_string(),
            })
            .collect();
        assert_eq!(told, expected, "{addresses:?}");
        assert_eq!(resolved.expanded, [], "nobody asked to hear of it");
        let counted: usize = addresses.iter().map(|address| end_count(&settings, &mailbox(address))).sum();
        assert!(counted >= told.len(), "{addresses:?}: {counted}");
    }
    assert_eq!(end_count(&settings, &mailbox("everybody@contoso.com")), 7);
    assert_eq!(end_count(&settings, &mailbox("verkauf@contoso.com")), 4);
}

#[test]
fn what_the_sender_wants_to_hear_goes_on_to_the_members_but_success_is_told_once_for_the_group() {
    let settings = contoso();
    let success = Notify { success: true, failure: false, delay: false, given: true };
    let all = Notify { success: true, failure: true, delay: true, given: true };
    let recipient = |address, notify| Recipient { notify, ..Recipient::new(mailbox(address)) };
    for (named, expected, is_told) in [
        (recipient("sales@contoso.com", Notify::default()), Notify::default(), false),
        (recipient("sales@contoso.com", Notify::NEVER), Notify::NEVER, false),
        (recipient("sales@contoso.com", success), Notify::NEVER, true),
        (recipient("sales@contoso.com", all), Notify { success: false, ..all }, true),
        (recipient("all-by-contact@contoso.com", all), Notify { success: false, ..all }, true),
        // One mailbox behind another address is no group.
        (recipient("robert@contoso.com", all), all, false),
        (recipient("dave@contoso.com", success), success, false),
    ] {
        let resolved = resolve(&settings, vec![named.clone()]);
        assert!(resolved.recipients.iter().all(|recipient| recipient.notify == expected), "{named:?}: {resolved:?}");
        assert_eq!(resolved.expanded, if is_told { vec![named] } else { Vec::new() });
    }
    let both = vec![recipient("sales@contoso.com", Notify::NEVER), recipient("carol@contoso.com", all)];
    let resolved = resolve(&settings, both);
    let carol = resolved.recipients.iter().find(|recipient| recipient.mailbox == mailbox("carol@contoso.com"));
    assert_eq!(carol.map(|carol| carol.notify), Some(all), "named twice with different wishes: both");
}

#[test]
fn a_queued_recipient_that_has_become_a_group_or_a_contact_fails_with_a_reason() {
    let settings = contoso();
    for (address, expected) in [
        ("robert@contoso.com", None),
        ("whoever@fabrikam.com", None),
        ("sales@contoso.com", Some(Refusal::RecipientReplaced)),
        ("dave@contoso.com", Some(Refusal::RecipientReplaced)),
        ("nobody@contoso.com", Some(Refusal::RecipientNotFound)),
    ] {
        let recipient = mailbox(address);
        let question = route::Question { settings: &settings, recipient: &recipient, message_bytes: 1, source: None };
        match (route::select(&question), expected) {
            (Route::Local { mailbox }, None) => assert_eq!(&*mailbox.folder, "bob@contoso.com", "{address}"),
            (Route::Failed(reply), Some(refusal)) => assert_eq!(reply, refusal.reply(), "{address}"),
            (route, expected) => panic!("{address}: {route:?}, not {expected:?}"),
        }
    }
}

/// The errors of the document that begins with the domains above, each with what it names besides.
fn told(document: &str) -> Vec<(String, Option<String>)> {
    let text = format!("{DOMAINS}{document}");
    let noted: Vec<Problem> = match parse(&text, &defaults()) {
        Ok(settings) => settings.warnings,
        Err(problems) => problems,
    };
    noted.into_iter().map(|problem| (problem.message, problem.related.map(|related| related.message))).collect()
}

#[test]
fn every_mistake_in_a_recipient_is_named_with_its_place() {
    const BOB: &str = "[[mailbox]]\naddress = \"bob@contoso.com\"\n";
    let recipient = |kind: &str, address: &str, more: &str| format!("[[{kind}]]\naddress = \"{address}\"\n{more}\n");
    for (document, expected) in [
        (recipient("mailbox", "BOB@contoso.com", ""), "there are two recipients with the address `bob@contoso.com`"),
        (
            recipient("contact", "x@contoso.com", "aliases = [\"bob@Contoso.com\"]\nexternal_address = \"x@x.net\""),
            "there are two recipients with the address `bob@contoso.com`",
        ),
        (
            recipient("distribution_group", "bob@contoso.com", "members = [\"x@x.net\"]"),
            "there are two recipients with the address `bob@contoso.com`",
        ),
        (recipient("mailbox", "c@x.net", ""), "x.net is no accepted domain, so nothing would reach c@x.net"),
        (
            recipient("mailbox", "c@contoso.com", "aliases = [\"c@x.net\"]"),
            "x.net is no accepted domain, so nothing would reach c@x.net",
        ),
        (
            recipient("contact", "c@partner.example", "external_address = \"c@x.net\""),
            "partner.example is an ExternalRelay domain: all its mail is passed on",
        ),
        (
            recipient("contact", "c@contoso.com", "external_address = \"C@contoso.com\""),
            "c@contoso.com leads only to itself: its mail would go round and vanish",
        ),
        (recipient("contact", "c@contoso.com", ""), "[[contact]] has no `external_address`"),
        (
            recipient("contact", "c@contoso.com", "external_address = \"nobody@contoso.com\""),
            "`external_address`: nobody@contoso.com is nobody, and all recipients of contoso.com are declared here",
        ),
        (recipient("distribution_group", "g@contoso.com", ""), "[[distribution_group]] has no `members`"),
        (
            // A warning: it is taken, and nobody's address.
            recipient("distribution_group", "g@contoso.com", "members = []"),
            "`members`: g@contoso.com has no members, so it is nobody's address: mail to it is refused",
        ),
        (
            recipient("distribution_group", "g@contoso.com", "members = [\"bob@contoso.com\", \"bbo@contoso.com\"]"),
            "`members`: bbo@contoso.com is nobody, and all recipients of contoso.com are declared here",
        ),
        (
            // What a domain catches is no reason to take a slip for a member.
            recipient("distribution_group", "g@contoso.com", "members = [\"bbo@fabrikam.com\"]"),
            "`members`: bbo@fabrikam.com is nobody, and all recipients of fabrikam.com are declared here",
        ),
        (
            recipient("distribution_group", "g@contoso.com", "members = [\"g@contoso.com\"]"),
            "g@contoso.com leads only to itself: its mail would go round and vanish",
        ),
        (
            recipient("mailbox", "c@contoso.com", "display_name = \"two\\nlines\""),
            "`display_name`: `two\\nlines` is no display name",
        ),
        (recipient("mailbox", "c@contoso.com", "display_name = \"\""), "`display_name`: `` is no display name"),
        (recipient("mailbox", "c@contoso.com", "send_as = [\"carl\"]"), "`send_as`: there is no user or group `carl`"),
        (
            recipient("mailbox", "c@contoso.com", "grant_send_on_behalf_to = [\"Everyone\"]"),
            "`grant_send_on_behalf_to`: `Everyone` is no user: it logs on with no name",
        ),
        (
            recipient("mailbox", "c@contoso.com", "email_addresses = [\"d@contoso.com\"]"),
            "`email_addresses`: other addresses are written as `aliases`",
        ),
        (
            recipient("mailbox", "c@contoso.com", "max_receive_size = \"1 MB\""),
            "`max_receive_size` in [[mailbox]] is not supported yet",
        ),
        (
            "[[accepted_domain]]\nname = \"a.com\"\ncatch_all_recipient = \"who@contoso.com\"\n".to_owned(),
            "`catch_all_recipient`: who@contoso.com is no mailbox here",
        ),
        (
            "[[accepted_domain]]\nname = \"a.com\"\ndomain_type = \"InternalRelay\"\n\
             catch_all_recipient = \"bob@contoso.com\"\n"
                .to_owned(),
            "`catch_all_recipient`: what is not here of a relay domain is passed on",
        ),
        (
            // A warning: it is taken, and does less than it looks.
            recipient("distribution_group", "closed@contoso.com", "members = [\"bob@contoso.com\"]")
                + &recipient(
                    "distribution_group",
                    "open@contoso.com",
                    "require_sender_authentication = false\nmembers = [\"closed@contoso.com\"]",
                ),
            "senders outside may write to open@contoso.com, but not to closed@contoso.com behind it: they are refused",
        ),
    ] {
        let text = format!("{BOB}{document}");
        let told = told(&text);
        let [(message, related)] = &told[..] else { panic!("one problem, not {told:#?} in\n{text}") };
        assert_eq!(message, expected, "{text}");
        assert_eq!(related.is_some(), message.starts_with("there are two"), "{text}");
    }
}

/// Severity, recipient's line, and the message of each finding about a way out.
fn ways_out(recipients: &str, connector: &str) -> Vec<(Weight, usize, String)> {
    let text = format!("{CONTOSO}{recipients}{connector}");
    let audit = Audit::of(&settings(&text), &text, &HostAddresses::default(), 0);
    let about = audit.findings.into_iter().filter(|finding| finding.code == "way_out_open_to_strangers");
    let line = |line: usize| line - CONTOSO.lines().count();
    about.map(|finding| (finding.severity, line(finding.line), finding.message)).collect()
}

#[test]
fn whoever_passes_strangers_mail_on_to_addresses_outside_is_found() {
    let group = |address: &str, members: &str, is_closed: bool| {
        format!(
            "[[distribution_group]]\naddress = \"{address}\"\nmembers = [{members}]\n\
             require_sender_authentication = {is_closed}\n"
        )
    };
    let contact = |address: &str, external: &str| {
        format!("[[contact]]\naddress = \"{address}\"\nexternal_address = \"{external}\"\n")
    };
    let open = || default_connector("AnonymousUsers", "");
    let inside = r#""bob@contoso.com", "q@partner.example""#;
    let crowd = |count: usize| (0..count).map(|n| format!("\"m{n}@x.net\"")).collect::<Vec<_>>().join(", ");
    let through = |count: &str, group: &str, whom: &str| {
        format!("strangers reach {count} that they may not write to through the group {group}: {whom}")
    };
    use Weight::{Note, Warning};
    for (what, recipients, connector, expected) in [
        ("members whom strangers may write to anyway", group("g@contoso.com", inside, false), open(), vec![]),
        ("a closed group", group("g@contoso.com", "\"a@x.net\"", true), open(), vec![]),
        (
            "an open group",
            group("g@contoso.com", "\"bob@contoso.com\", \"a@x.net\"", false),
            open(),
            vec![(Note, 2, through("1 address", "g@contoso.com", "a@x.net"))],
        ),
        (
            "ten members outside, each once",
            group("g@contoso.com", &(crowd(10) + ", \"m1@x.net\""), false),
            open(),
            vec![(Note, 2, through("10 addresses", "g@contoso.com", "m0@x.net, m1@x.net, m2@x.net and 7 more"))],
        ),
        (
            "eleven, by a group in a group",
            group("g@contoso.com", "\"h@contoso.com\"", false) + &group("h@contoso.com", &crowd(11), false),
            open(),
            ["g@contoso.com", "h@contoso.com"]
                .map(|group| through("11 addresses", group, "m0@x.net, m1@x.net, m2@x.net and 8 more"))
                .into_iter()
                .zip([2, 6])
                .map(|(message, line)| (Warning, line, message))
                .collect(),
        ),
        (
            "an open group around a closed one",
            group("g@contoso.com", "\"h@contoso.com\", \"a@x.net\"", false) + &group("h@contoso.com", &crowd(1), true),
            open(),
            vec![],
        ),
        (
            "contacts",
            contact("c@contoso.com", "c@x.net")
                + &contact("p@contoso.com", "q@partner.example")
                + &contact("d@contoso.com", "d@x.net"),
            open(),
            vec![(
                Note,
                2,
                "strangers reach addresses that they may not write to through 2 contacts: c@contoso.com, d@contoso.com"
                    .to_owned(),
            )],
        ),
        (
            "postmaster takes mail from everybody, even as a closed group",
            group("postmaster@contoso.com", "\"a@x.net\"", true),
            open(),
            vec![(Note, 2, through("1 address", "postmaster@contoso.com", "a@x.net"))],
        ),
        (
            "a closed group where strangers count as internal",
            group("g@contoso.com", "\"a@x.net\"", true),
            default_connector(
                "AnonymousUsers",
                "[[receive_connector.permission]]\nuser = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\n\
                 extended_rights = [\"ms-Exch-SMTP-Accept-Authentication-Flag\"]",
            ),
            vec![(Note, 2, through("1 address", "g@contoso.com", "a@x.net"))],
        ),
        (
            "nobody is heard from outside",
            group("g@contoso.com", "\"a@x.net\"", false),
            connector("R", "\"10.0.0.0/8\"", "AnonymousUsers", ""),
            vec![],
        ),
        (
            "strangers may not submit",
            group("g@contoso.com", "\"a@x.net\"", false),
            default_connector("ExchangeUsers", ""),
            vec![],
        ),
        (
            "strangers relay anyway",
            group("g@contoso.com", "\"a@x.net\"", false),
            default_connector("AnonymousUsers", OPTION_2),
            vec![],
        ),
    ] {
        assert_eq!(ways_out(&recipients, &connector), expected, "{what}");
    }
    let many: String = (0..103).map(|n| group(&format!("g{n}@contoso.com"), "\"a@x.net\"", false)).collect();
    let told = ways_out(&many, &open());
    assert_eq!(told.len(), 101);
    assert!(told[100].2.contains("through 3 more groups, g100@contoso.com the first of them"), "{:?}", told[100]);
}

#[test]
fn postmaster_is_a_mailbox() {
    let text = format!("[server]\npostmaster = \"sales@contoso.com\"\n{DOMAINS}{PEOPLE}",);
    let problems = problems(&text);
    let errors: Vec<&Problem> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].message, "`postmaster`: sales@contoso.com is no mailbox here");
}

#[test]
fn a_group_has_a_limit_that_counts_everybody_once() {
    let list = |from: usize, to: usize| {
        let members: Vec<String> = (from..to).map(|number| format!("\"m{number}@x.net\"")).collect();
        members.join(", ")
    };
    let group = |name: &str, members: &str| {
        format!("[[distribution_group]]\naddress = \"{name}@contoso.com\"\nmembers = [{members}]\n")
    };
    let bob = "[[mailbox]]\naddress = \"bob@contoso.com\"\n";
    let half = group("half", &list(0, RECIPIENTS_MAX / 2 + 1));
    let most = group("most", &format!("\"half@contoso.com\", {}", list(2, RECIPIENTS_MAX)));
    let full = format!("{bob}{half}{most}");
    assert_eq!(told(&full), []);
    let settings = settings(&format!("{DOMAINS}{full}"));
    assert_eq!(end_count(&settings, &mailbox("most@contoso.com")), RECIPIENTS_MAX);
    assert_eq!(resolve(&settings, named(&["most@contoso.com"])).recipients.len(), RECIPIENTS_MAX);
    let over = format!("{full}{}", group("over", "\"bob@contoso.com\", \"most@contoso.com\""));
    let told = told(&over);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "over@contoso.com has more than 100000 recipients with all its members");
}

#[test]
fn a_message_leads_to_so_many_recipients_and_no_more() {
    let settings = settings(&format!("{CONTOSO}{}", default_connector("AnonymousUsers", "")));
    let connector = &settings.receive_connectors[0];
    for (already, more, expected) in [
        (0, 1, Ok(())),
        (0, RECIPIENTS_MAX, Ok(())),
        (RECIPIENTS_MAX - 1, 1, Ok(())),
        (RECIPIENTS_MAX, 0, Ok(())),
        (RECIPIENTS_MAX, 1, Err(Refusal::TooManyRecipients)),
        (1, RECIPIENTS_MAX, Err(Refusal::TooManyRecipients)),
    ] {
        assert_eq!(limits::resolved_recipients(connector, already, more), expected, "{already} and {more}");
    }
    // A connector that takes more in one message takes them.
    let many = default_connector("AnonymousUsers", "max_recipients_per_message = 200000");
    let settings = crate::document::settings(&format!("{CONTOSO}{many}"));
    assert_eq!(limits::resolved_recipients(&settings.receive_connectors[0], RECIPIENTS_MAX, 1), Ok(()));
}

#[test]
fn groups_may_be_nested_deeply() {
    const DEPTH: usize = 20_000;
    let mut text =
        format!("{DOMAINS}[[mailbox]]\naddress = \"bob@contoso.com\"\nrequire_sender_authentication = true\n");
    for level in 0..DEPTH {
        let member = if level + 1 == DEPTH { "bob".to_owned() } else { format!("g{}", level + 1) };
        text += &format!(
            "[[distribution_group]]\naddress = \"g{level}@contoso.com\"\nmembers = [\"{member}@contoso.com\"]\n"
        );
    }
    let settings = settings(&text);
    let resolved = resolve(&settings, named(&["g0@contoso.com"]));
    assert_eq!(resolved.recipients.len(), 1);
    let top = settings.directory.resolve(&mailbox("g0@contoso.com"), &settings.domains).expect("it is declared");
    assert_eq!(top.closed_by().map(|closed| closed.address.to_string()).as_deref(), Some("g0@contoso.com"));
}

/// Groups and contacts by number, with whom they lead to.
#[derive(Clone, Debug)]
struct Graph {
    /// For each: whether it is a contact, closed, and its targets.
    nodes: Vec<(bool, bool, Vec<usize>)>,
}

const MAILBOXES: usize = 4;
const ELSEWHERE: usize = 3;

/// The address of a number: mailboxes first, then addresses elsewhere, then groups and contacts.
fn address(number: usize) -> String {
    match number {
        _ if number < MAILBOXES => format!("m{number}@contoso.com"),
        _ if number < MAILBOXES + ELSEWHERE => format!("e{number}@x.net"),
        _ => format!("g{number}@contoso.com"),
    }
}

fn graphs() -> impl Strategy<Value = Graph> {
    (1usize..8).prop_flat_map(|count| {
        let target = 0..MAILBOXES + ELSEWHERE + count;
        let node = (any::<bool>(), any::<bool>(), prop::collection::vec(target, 1..5));
        prop::collection::vec(node, count).prop_map(|mut nodes| {
            for (is_contact, _, targets) in &mut nodes {
                targets.truncate(if *is_contact { 1 } else { targets.len() });
            }
            Graph { nodes }
        })
    })
}

impl Graph {
    fn document(&self) -> String {
        let mut text = DOMAINS.replace("catch_all_recipient", "# catch_all_recipient");
        for number in 0..MAILBOXES {
            // The first one is closed.
            text += &format!(
                "[[mailbox]]\naddress = \"{}\"\nrequire_sender_authentication = {}\n",
                address(number),
                number == 0
            );
        }
        for (place, (is_contact, is_closed, targets)) in self.nodes.iter().enumerate() {
            let targets: Vec<String> = targets.iter().map(|target| format!("\"{}\"", address(*target))).collect();
            let targets = targets.join(", ");
            let (header, ways) = match is_contact {
                true => ("contact", format!("external_address = {targets}")),
                false => ("distribution_group", format!("members = [{targets}]")),
            };
            let own = address(MAILBOXES + ELSEWHERE + place);
            text +=
                &format!("[[{header}]]\naddress = \"{own}\"\nrequire_sender_authentication = {is_closed}\n{ways}\n");
        }
        text
    }

    fn targets(&self, number: usize) -> &[usize] {
        number.checked_sub(MAILBOXES + ELSEWHERE).map_or(&[], |place| &self.nodes[place].2)
    }

    fn is_closed(&self, number: usize) -> bool {
        number.checked_sub(MAILBOXES + ELSEWHERE).map_or(number == 0, |place| self.nodes[place].1)
    }

    /// Everybody on the way from `start`, found by asking again and again until nothing is new.
    fn reached(&self, start: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::from([start]);
        loop {
            let next: BTreeSet<usize> = reached
                .iter()
                .flat_map(|number| self.targets(*number))
                .copied()
                .chain(reached.iter().copied())
                .collect();
            if next == reached {
                return reached;
            }
            reached = next;
        }
    }

    fn ends(&self, start: usize) -> BTreeSet<usize> {
        self.reached(start).into_iter().filter(|number| *number < MAILBOXES + ELSEWHERE).collect()
    }
}

proptest! {
    #[test]
    fn resolving_agrees_with_a_plain_search_in_any_tangle_of_groups(
        graph in graphs(),
        named_numbers in prop::collection::vec(0usize..MAILBOXES + ELSEWHERE + 8, 1..4),
    ) {
        let all = MAILBOXES + ELSEWHERE + graph.nodes.len();
        let text = graph.document();
        let leads_nowhere = (MAILBOXES + ELSEWHERE..all).any(|number| graph.ends(number).is_empty());
        let points_at_itself = (MAILBOXES + ELSEWHERE..all)
            .any(|number| graph.nodes[number - MAILBOXES - ELSEWHERE].0 && graph.targets(number) == [number]);
        let settings = match parse(&text, &defaults()) {
            Ok(settings) => settings,
            Err(problems) => {
                prop_assert!(leads_nowhere || points_at_itself, "{problems:?}");
                return Ok(());
            }
        };
        prop_assert!(!leads_nowhere && !points_at_itself, "{text}");
        for number in 0..all {
            let recipient = mailbox(&address(number));
            prop_assert_eq!(end_count(&settings, &recipient), graph.ends(number).len());
            let question = restriction::Question { auth_as: AuthAs::Anonymous, recipient: &recipient, settings: &settings };
            let is_closed = graph.reached(number).into_iter().any(|behind| graph.is_closed(behind));
            prop_assert_eq!(restriction::decide(&question).is_err(), is_closed, "{}", recipient);
        }
        let numbers: Vec<usize> = named_numbers.into_iter().filter(|number| *number < all).collect();
        let names: Vec<String> = numbers.iter().map(|number| address(*number)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let resolved = resolve(&settings, named(&names)).recipients;
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for recipient in &resolved {
            *counted.entry(recipient.mailbox.to_string()).or_default() += 1;
        }
        let expected: BTreeMap<String, usize> =
            numbers.iter().flat_map(|number| graph.ends(*number)).map(|end| (address(end), 1)).collect();
        prop_assert_eq!(counted, expected);
    }

    #[test]
    fn the_audit_names_every_group_and_counts_every_contact_that_leads_strangers_out(graph in graphs()) {
        let text = graph.document() + &default_connector("AnonymousUsers", "");
        let Ok(settings) = parse(&text, &defaults()) else { return Ok(()) };
        let first = MAILBOXES + ELSEWHERE;
        // What RCPT says of them, and whom that leads to, one by one.
        let accepts = |address: &Mailbox| {
            let question = relay::Question { rights: Right::Submit.into(), forward_path: address, settings: &settings };
            let restricted = restriction::Question { auth_as: AuthAs::Anonymous, recipient: address, settings: &settings };
            relay::decide(&question).is_ok() && restriction::decide(&restricted).is_ok()
        };
        let outside = |number: usize| {
            let name = address(number);
            let recipients = resolve(&settings, named(&[&name])).recipients;
            let is_outside = |recipient: &&Recipient| !accepts(&recipient.mailbox);
            if accepts(&mailbox(&name)) { recipients.iter().filter(is_outside).count() } else { 0 }
        };
        let leading = (first..first + graph.nodes.len()).filter(|number| outside(*number) > 0);
        let (contacts, groups): (Vec<_>, Vec<_>) = leading.partition(|number| graph.nodes[number - first].0);
        let mut expected: BTreeSet<String> = groups
            .into_iter()
            .map(|number| format!("{} by {}", outside(number), address(number)))
            .collect();
        expected.extend((!contacts.is_empty()).then(|| format!("by {} contacts", contacts.len())));
        let audit = Audit::of(&settings, &text, &HostAddresses::default(), 0);
        let told = audit.findings.iter().filter(|finding| finding.code == "way_out_open_to_strangers");
        let told: BTreeSet<String> = told
            .map(|finding| {
                let words: Vec<&str> = finding.message.split([' ', ':']).collect();
                match words.iter().position(|word| *word == "group") {
                    Some(at) => format!("{} by {}", words[2], words[at + 1]),
                    None => format!("by {} contacts", words[words.iter().position(|word| *word == "through").expect("a way") + 1]),
                }
            })
            .collect();
        prop_assert_eq!(told, expected, "{}", text);
    }
}
