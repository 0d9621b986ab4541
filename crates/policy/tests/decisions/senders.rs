//! The sender check on the envelope and on the header (fact sheet section 2.10).

use std::collections::HashSet;

use gatepost_mail::header_senders::{HeaderSenders, SenderField, Unreadable};
use gatepost_mail::{Mailbox, ReversePath};
use gatepost_policy::permission::{Principal, Right, Rights};
use gatepost_policy::sender::{
    Denied, HeaderQuestion, HeaderReason, Question, Reason, checks_header, decide, decide_header, denied,
};
use gatepost_policy::{Refusal, Settings};
use proptest::prelude::*;

use crate::document::{CONTOSO, partner, settings};

const ANY: Rights = Rights::of(&[Right::AcceptAnySender]);
const OWN_DOMAINS: Rights = Rights::of(&[Right::AcceptAuthoritativeDomainSender]);
/// Alice may write as sales and on behalf of the boss; scanners, of whom carol is one, as the floor and on its behalf.
const GRANTS: &str = r#"
    [[accepted_domain]]
    name = "contoso.com"
    [[accepted_domain]]
    name = "partner.example"
    domain_type = "ExternalRelay"
    [[mailbox]]
    address = "alice@contoso.com"
    aliases = ["a.smith@contoso.com"]
    [[mailbox]]
    address = "boss@contoso.com"
    aliases = ["ceo@contoso.com"]
    grant_send_on_behalf_to = ["alice"]
    [[distribution_group]]
    address = "sales@contoso.com"
    members = ["boss@contoso.com"]
    send_as = ["ALICE"]
    [[contact]]
    address = "floor@contoso.com"
    external_address = "floor@fabrikam.example"
    send_as = ["Scanners"]
    grant_send_on_behalf_to = ["Scanners"]
    [[user]]
    name = "alice"
    addresses = ["alice@contoso.com", "alice@x.net"]
    [[user]]
    name = "carol"
    addresses = ["carol@contoso.com"]
    groups = ["Scanners"]
"#;

fn with_grants() -> Settings {
    settings(GRANTS)
}

fn user(name: &str) -> Principal {
    Principal::User(name.into())
}

#[test]
fn who_may_send_as_whom() {
    let settings = settings(CONTOSO);
    let any = Rights::of(&[Right::AcceptAnySender]);
    let own_domain = Rights::of(&[Right::AcceptAuthoritativeDomainSender]);
    let both = any | own_domain;
    let alice = Principal::User("alice".into());
    for (principal, rights, sender, expected) in [
        (&Principal::Anonymous, both, "<a@x.net>", Ok(Reason::AnySender)),
        (&Principal::Anonymous, both, "<bob@contoso.com>", Ok(Reason::AnySender)),
        // The hardening recipe of section 2.9: one right less, and strangers no longer use our domain.
        (&Principal::Anonymous, any, "<a@x.net>", Ok(Reason::AnySender)),
        (&Principal::Anonymous, any, "<bob@contoso.com>", Err(Refusal::AnonymousSendAsDenied)),
        (&Principal::Anonymous, any, "<a@partner.example>", Ok(Reason::AnySender)),
        (&Principal::Anonymous, own_domain, "<a@x.net>", Err(Refusal::AnonymousSendAsDenied)),
        (&Principal::Anonymous, own_domain, "<bob@contoso.com>", Err(Refusal::AnonymousSendAsDenied)),
        (&Principal::Anonymous, Rights::NONE, "<>", Ok(Reason::NullReversePath)),
        (&Principal::ExternallySecured, both, "<ceo@contoso.com>", Ok(Reason::AnySender)),
        (&Principal::ExternallySecured, any, "<ceo@contoso.com>", Err(Refusal::SendAsDenied)),
        (&partner(), Rights::NONE, "<a@x.net>", Err(Refusal::SendAsDenied)),
        (&alice, Rights::NONE, "<Alice@Contoso.com>", Ok(Reason::OwnAddress)),
        (&alice, Rights::NONE, "<\"alice\"@contoso.com>", Ok(Reason::OwnAddress)),
        (&alice, Rights::NONE, "<bob@contoso.com>", Err(Refusal::SendAsDenied)),
        (&alice, own_domain, "<bob@contoso.com>", Err(Refusal::SendAsDenied)),
        (&alice, any, "<bob@contoso.com>", Ok(Reason::AnySender)),
        (&alice, Rights::NONE, "<>", Ok(Reason::NullReversePath)),
    ] {
        let (reverse_path, _) = ReversePath::parse_prefix(sender).expect("a reverse-path");
        let question = Question { rights, principal, reverse_path: &reverse_path, settings: &settings };
        assert_eq!(decide(&question), expected, "{principal} with {rights} as {sender}");
    }
}

#[test]
fn a_user_is_found_by_the_names_that_devices_give() {
    let settings = settings(
        r#"
        [[accepted_domain]]
        name = "contoso.com"
        [[user]]
        name = "Alice"
        addresses = ["alice@contoso.com", "sales@contoso.com"]
        [[user]]
        name = "bob@contoso.com"
        addresses = ["robert@contoso.com", "sales@contoso.com"]
        "#,
    );
    for (name, expected) in [
        ("alice", Some("Alice")),
        ("ALICE", Some("Alice")),
        (r"CONTOSO\alice", Some("Alice")),
        ("alice@contoso.com", Some("Alice")),
        ("bob@CONTOSO.com", Some("bob@contoso.com")),
        ("robert@contoso.com", Some("bob@contoso.com")),
        // It belongs to two users, so it names neither.
        ("sales@contoso.com", None),
        ("carol", None),
        ("", None),
    ] {
        assert_eq!(settings.find_user(name).map(|user| &*user.name), expected, "{name}");
    }
}

#[test]
fn a_grant_of_send_as_counts_for_the_envelope_and_one_of_send_on_behalf_does_not() {
    let settings = with_grants();
    for (principal, sender, expected) in [
        (&user("alice"), "sales@contoso.com", Ok(Reason::SendAs)),
        (&user("alice"), "Sales@Contoso.com", Ok(Reason::SendAs)),
        (&user("alice"), "boss@contoso.com", Err(Refusal::SendAsDenied)),
        (&user("alice"), "floor@contoso.com", Err(Refusal::SendAsDenied)),
        // An alias of a mailbox is no address of a user unless the user is given it.
        (&user("alice"), "a.smith@contoso.com", Err(Refusal::SendAsDenied)),
        (&user("carol"), "floor@contoso.com", Ok(Reason::SendAs)),
        (&user("carol"), "floor@fabrikam.example", Err(Refusal::SendAsDenied)),
        (&user("carol"), "sales@contoso.com", Err(Refusal::SendAsDenied)),
        (&Principal::Anonymous, "sales@contoso.com", Err(Refusal::AnonymousSendAsDenied)),
        (&Principal::ExternallySecured, "sales@contoso.com", Err(Refusal::SendAsDenied)),
    ] {
        let reverse_path = ReversePath::Mailbox(Mailbox::parse(sender).expect("an address"));
        let question = Question { rights: Rights::NONE, principal, reverse_path: &reverse_path, settings: &settings };
        assert_eq!(decide(&question), expected, "{principal} as {sender}");
    }
}

/// Reads a header as it is written in one line: `From: a@b.c; Sender: d@e.f`.
fn header(text: &str) -> HeaderSenders {
    let mut senders = HeaderSenders::default();
    for field in text.split_terminator("; ") {
        let (name, value) = field.split_once(':').expect("a name and a value");
        senders.read(SenderField::parse(name.as_bytes()).expect("a field that names a sender"), value.as_bytes());
    }
    senders
}

/// Fact sheet section 2.10, each row with the headers that matter to it.
#[test]
fn who_may_be_named_in_a_header() {
    use HeaderReason::{AnySender, Nobody, OnBehalf, Permitted};
    use SenderField::{From, ResentFrom, ResentSender, Sender};
    let settings = with_grants();
    let (alice, carol) = (user("alice"), user("carol"));
    let anonymous = |field| Err(Refusal::AnonymousHeaderSendAsDenied(field));
    let known = |field| Err(Refusal::HeaderSendAsDenied(field));
    for (principal, rights, text, expected) in [
        // Anonymous, as the group has it: no check.
        (&Principal::Anonymous, ANY | OWN_DOMAINS, "From: boss@contoso.com", Ok(AnySender)),
        (&Principal::Anonymous, ANY | OWN_DOMAINS, "From: boss@contoso.com <a@x.net>", Ok(AnySender)),
        // Without the right to our own domains.
        (&Principal::Anonymous, ANY, "", Ok(Nobody)),
        (&Principal::Anonymous, ANY, "From: a@x.net; Sender: b@partner.example", Ok(Permitted)),
        (&Principal::Anonymous, ANY, "From: Boss <boss@contoso.com>", anonymous(From)),
        (&Principal::Anonymous, ANY, "From: \"boss@contoso.com\" <a@x.net>", Ok(Permitted)),
        (&Principal::Anonymous, ANY, "From: a@x.net, nobody@contoso.com", anonymous(From)),
        (&Principal::Anonymous, ANY, "From: a@x.net; Sender: boss@contoso.com", anonymous(Sender)),
        (&Principal::Anonymous, ANY, "From: a@x.net; From: boss@contoso.com", anonymous(From)),
        (&Principal::Anonymous, ANY, "From: a@x.net; Resent-From: boss@contoso.com", anonymous(ResentFrom)),
        (&Principal::Anonymous, ANY, "From: boss@contoso.com; Resent-From: a@x.net", anonymous(From)),
        // Without Accept-Any-Sender.
        (&Principal::Anonymous, Rights::NONE, "", Ok(Nobody)),
        (&Principal::Anonymous, Rights::NONE, "From:", Ok(Nobody)),
        (&Principal::Anonymous, Rights::NONE, "From: a@x.net", anonymous(From)),
        (&Principal::Anonymous, OWN_DOMAINS, "From: boss@contoso.com", anonymous(From)),
        (&Principal::Anonymous, OWN_DOMAINS, "Sender: a@x.net", anonymous(Sender)),
        // Hosts that are no users, and were given less than their group gives.
        (&Principal::ExternallySecured, ANY | OWN_DOMAINS, "From: boss@contoso.com", Ok(AnySender)),
        (&Principal::ExternallySecured, ANY, "From: boss@contoso.com", known(From)),
        (&partner(), Rights::NONE, "From: a@x.net", known(From)),
        // A user: its own, Send-As, on behalf.
        (&alice, Rights::NONE, "", Ok(Nobody)),
        (&alice, Rights::NONE, "From: Alice Smith <ALICE@contoso.com>", Ok(Permitted)),
        (&alice, Rights::NONE, "From: alice@contoso.com, alice@x.net", Ok(Permitted)),
        (&alice, Rights::NONE, "From: sales@contoso.com", Ok(Permitted)),
        (&alice, Rights::NONE, "From: sales@contoso.com; Sender: alice@contoso.com", Ok(Permitted)),
        (&alice, Rights::NONE, "From: alice@contoso.com; Sender: sales@contoso.com", Ok(Permitted)),
        (&alice, Rights::NONE, "From: =?utf-8?Q?Der_Chef?= <alice@contoso.com>", Ok(Permitted)),
        (&alice, Rights::NONE, "From: Us: alice@contoso.com, sales@contoso.com;", Ok(Permitted)),
        (&alice, Rights::NONE, "From: carol@contoso.com", known(From)),
        (&alice, Rights::NONE, "From: a@x.net", known(From)),
        (&alice, OWN_DOMAINS, "From: carol@contoso.com", known(From)),
        (&alice, Rights::NONE, "From: Us: alice@contoso.com, carol@contoso.com;", known(From)),
        (&alice, Rights::NONE, "From: alice@contoso.com, carol@contoso.com", known(From)),
        (&alice, Rights::NONE, "From: alice@contoso.com; From: carol@contoso.com", known(From)),
        (&alice, Rights::NONE, "From: carol@contoso.com; From: alice@contoso.com", known(From)),
        (&alice, Rights::NONE, "From: alice@contoso.com; Sender: carol@contoso.com", known(Sender)),
        (&alice, Rights::NONE, "Sender: carol@contoso.com", known(Sender)),
        (&alice, Rights::NONE, "From: boss@contoso.com; Sender: alice@contoso.com", Ok(OnBehalf)),
        (&alice, Rights::NONE, "Sender: alice@x.net; From: ceo@contoso.com", Ok(OnBehalf)),
        (&alice, Rights::NONE, "From: boss@contoso.com, alice@x.net; Sender: alice@x.net", Ok(OnBehalf)),
        (&alice, Rights::NONE, "From: boss@contoso.com", known(From)),
        (&alice, Rights::NONE, "From: boss@contoso.com; Sender:", known(From)),
        (&alice, Rights::NONE, "From: boss@contoso.com; Sender: sales@contoso.com", known(From)),
        (&alice, Rights::NONE, "From: boss@contoso.com; Sender: boss@contoso.com", known(From)),
        (&alice, Rights::NONE, "From: boss@contoso.com; Resent-Sender: alice@contoso.com", known(From)),
        (&alice, Rights::NONE, "From: boss@contoso.com; Sender: alice@x.net; Sender: sales@contoso.com", known(From)),
        (&alice, Rights::NONE, "From: carol@contoso.com; Sender: alice@contoso.com", known(From)),
        (&alice, ANY, "From: carol@contoso.com; Sender: boss@contoso.com", Ok(AnySender)),
        (&carol, Rights::NONE, "From: floor@contoso.com", Ok(Permitted)),
        (&carol, Rights::NONE, "From: floor@contoso.com; Sender: carol@contoso.com", Ok(Permitted)),
        (&carol, Rights::NONE, "From: boss@contoso.com; Sender: carol@contoso.com", known(From)),
        // What Exchange would look at alone is not enough: readers show From.
        (&alice, Rights::NONE, "Resent-From: alice@contoso.com; From: carol@contoso.com", known(From)),
        (&alice, Rights::NONE, "Resent-From: carol@contoso.com; From: alice@contoso.com", known(ResentFrom)),
        (&alice, Rights::NONE, "Resent-From: alice@contoso.com; From: alice@contoso.com", Ok(Permitted)),
        (&alice, Rights::NONE, "Resent-From: boss@contoso.com; Resent-Sender: alice@contoso.com", Ok(OnBehalf)),
        (&alice, Rights::NONE, "Resent-From: boss@contoso.com; Sender: alice@contoso.com", known(ResentFrom)),
        (&alice, Rights::NONE, "Resent-From: alice@x.net; Resent-Sender: a@x.net", known(ResentSender)),
    ] {
        let senders = header(text);
        let question = HeaderQuestion { rights, principal, senders: Some(&senders), settings: &settings };
        assert_eq!(decide_header(&question), expected, "{principal} with {rights}: {text}");
        assert_eq!(checks_header(rights, principal), expected != Ok(AnySender), "{principal} with {rights}");
        assert_eq!(denied(&question).is_some(), expected.is_err(), "{principal} with {rights}: {text}");
    }
}

#[test]
fn a_header_that_cannot_be_read_is_refused_to_whoever_may_not_be_anybody() {
    let settings = with_grants();
    let senders = header("From: alice@contoso.com <carol@contoso.com>");
    let unreadable = senders.unreadable().expect("two addresses");
    for (principal, rights, is_refused) in [
        (Principal::Anonymous, ANY | OWN_DOMAINS, false),
        (Principal::Anonymous, ANY, true),
        (Principal::Anonymous, Rights::NONE, true),
        (Principal::ExternallySecured, ANY | OWN_DOMAINS, false),
        (user("alice"), ANY, false),
        (user("alice"), Rights::NONE, true),
    ] {
        for (senders, reason) in [(Some(&senders), unreadable), (None, Unreadable::NotRead)] {
            let question = HeaderQuestion { rights, principal: &principal, senders, settings: &settings };
            let expected =
                if is_refused { Err(Refusal::HeaderUnreadable(reason)) } else { Ok(HeaderReason::AnySender) };
            assert_eq!(decide_header(&question), expected, "{principal} with {rights}");
        }
    }
    let alice = user("alice");
    let senders = header("Sender: alice@contoso.com; From: carol@contoso.com");
    let question =
        HeaderQuestion { rights: Rights::NONE, principal: &alice, senders: Some(&senders), settings: &settings };
    let carol = Mailbox::parse("carol@contoso.com").expect("an address");
    assert_eq!(denied(&question), Some(Denied::Address(SenderField::From, &carol)));
}

const PEOPLE: [&str; 7] = [
    "alice@contoso.com",
    "alice@x.net",
    "boss@contoso.com",
    "sales@contoso.com",
    "floor@contoso.com",
    "carol@contoso.com",
    "a@x.net",
];

/// Who may write as whom, and on behalf of whom, by the plain words of [`GRANTS`].
fn may(principal: &Principal, rights: Rights, whom: &str) -> (bool, bool, bool) {
    let any = rights.contains(Right::AcceptAnySender);
    let (own, as_if, behalf): (&[&str], &[&str], &[&str]) = match principal {
        Principal::User(name) if &**name == "alice" => (&PEOPLE[..2], &["sales@contoso.com"], &["boss@contoso.com"]),
        Principal::User(_) => (&["carol@contoso.com"], &["floor@contoso.com"], &["floor@contoso.com"]),
        _ => (&[], &[], &[]),
    };
    let is_user = matches!(principal, Principal::User(_));
    let by_right =
        any && (is_user || rights.contains(Right::AcceptAuthoritativeDomainSender) || !whom.ends_with("@contoso.com"));
    (own.contains(&whom), by_right || as_if.contains(&whom), behalf.contains(&whom))
}

proptest! {
    #[test]
    fn the_decision_on_a_header_agrees_with_a_plain_oracle(
        named in prop::collection::vec((0_usize..4, 0_usize..PEOPLE.len()), 0..5),
        rights in prop::sample::subsequence(vec![Right::AcceptAnySender, Right::AcceptAuthoritativeDomainSender], 0..=2),
        principal in prop::sample::select(vec![
            Principal::Anonymous, Principal::ExternallySecured, user("alice"), user("carol"),
        ]),
    ) {
        let settings = with_grants();
        let rights: Rights = rights.into_iter().collect();
        let text: String =
            named.iter().map(|(field, who)| format!("{}: {}; ", SenderField::ALL[*field].name(), PEOPLE[*who])).collect();
        let senders = header(&text);
        let question = HeaderQuestion { rights, principal: &principal, senders: Some(&senders), settings: &settings };

        let expected = named.iter().all(|(field, who)| {
            let (own, permitted, behalf) = may(&principal, rights, PEOPLE[*who]);
            // From and Resent-From are named before the Sender fields that stand beside them.
            let beside: HashSet<&str> =
                named.iter().filter(|(other, _)| *other == field + 1).map(|(_, who)| PEOPLE[*who]).collect();
            let stands_beside = !beside.is_empty() && beside.iter().all(|who| may(&principal, rights, who).0);
            own || permitted || field % 2 == 0 && behalf && stands_beside
        });
        prop_assert_eq!(decide_header(&question).is_ok(), expected, "{} with {}: {}", principal, rights, text);
    }
}
