//! The sender check on the envelope (fact sheet section 2.10).

use gatepost_mail::ReversePath;
use gatepost_policy::Refusal;
use gatepost_policy::permission::{Principal, Right, Rights};
use gatepost_policy::sender::{Question, Reason, decide};

use crate::document::{CONTOSO, settings};

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
        (&Principal::Partner, Rights::NONE, "<a@x.net>", Err(Refusal::SendAsDenied)),
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
