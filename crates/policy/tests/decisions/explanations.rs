//! What `explain` says: the replies, the reason, and the smallest change, for the scenes and the fact sheet's test vectors.

use gatepost_mail::header_senders::{HeaderSenders, SenderField};
use gatepost_mail::{ForwardPath, Mailbox, ReversePath};
use gatepost_policy::explain::{
    Change, Command, Effect, Explanation, Fate, Obstacle, Part, Question, explain, origins, quotas,
};
use gatepost_policy::permission::{self, AccessEntry, Facts, Principal, Right, Trustee};
use gatepost_policy::receive_connector::select;
use gatepost_policy::{Refusal, Settings, authentication, limits, relay, reserved_domain, restriction, sender};
use proptest::prelude::*;

use crate::document::{CONTOSO, OPTION_1, OPTION_2, connector, default_connector, settings};

/// A question in words: peer, user, TLS, sender, recipient, megabytes.
#[derive(Clone, Copy, Debug)]
struct Asked<'a>(&'a str, Option<&'a str>, bool, &'a str, &'a str, u64);

const LOCAL: &str = "10.0.0.1:25";

fn ask<T>(asked: Asked<'_>, answer: impl FnOnce(&Question<'_>) -> T) -> T {
    let Asked(peer, user, tls, sender, recipient, megabytes) = asked;
    answer(&Question {
        peer: peer.parse().expect("an address"),
        local: LOCAL.parse().expect("an address"),
        user,
        tls,
        certificate: None,
        reverse_path: &ReversePath::parse_prefix(sender).expect("a reverse-path").0,
        forward_path: &ForwardPath::parse_prefix(recipient).expect("a forward-path").0,
        size: Some(megabytes << 20),
        header: None,
        now_ms: 0,
    })
}

fn explained(settings: &Settings, asked: Asked<'_>) -> Explanation {
    ask(asked, |question| explain(settings, question))
}

/// The last reply, as the peer reads it.
fn last_reply(explanation: &Explanation) -> String {
    let step = explanation.dialogue.steps.last().expect("a step");
    step.reply.as_ref().map_or("nothing".to_owned(), |reply| reply.to_string().trim_end().to_owned())
}

fn changes(explanation: &Explanation) -> Vec<&Change> {
    explanation.fixes.iter().map(|fix| &fix.change).collect()
}

const R: &str = r#""192.168.2.55", "192.168.2.56""#;
const BASIC: &str = r#"auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]"#;
const UNABLE: &str = "550 5.7.1 Unable to relay";
const DONE: &str = "250 2.6.0 Queued mail for delivery";
const SEND_AS: &str = "550 5.7.1 Client does not have permissions to send as this sender";

#[test]
fn every_scene_and_vector_ends_with_the_reply_that_it_shows() {
    let gate = |groups: &str, more: &str| connector("R", R, groups, more);
    let default = |groups: &str, more: &str| format!("{CONTOSO}{}", default_connector(groups, more));
    let nobody = || default("ExchangeUsers", BASIC);
    let anonymous = || default("AnonymousUsers", "");
    let small = |option: &str| format!("max_message_size = \"1 MB\"\n{option}");
    let any_sender = format!(
        "{BASIC}\n[[receive_connector.permission]]\nuser = \"alice\"\n\
         extended_rights = [\"ms-Exch-SMTP-Accept-Any-Sender\"]"
    );
    let deny = format!(
        "{BASIC}\n[[receive_connector.permission]]\nuser = \"alice\"\ndeny = true\n\
         extended_rights = \"ms-Exch-SMTP-Submit\""
    );
    let (app, out, bob) = ("<app@contoso.com>", "<z@gmail.com>", "<bob@contoso.com>");
    let host = |peer, sender, recipient| Asked(peer, None, false, sender, recipient, 0);
    let alice = |sender| Asked("10.0.0.9", Some("alice"), true, sender, out, 0);
    let submit = Some(Right::Submit);
    let relay = Some(Right::AcceptAnyRecipient);
    for (what, document, asked, expected, missing) in [
        ("scene 1, V1", nobody(), host("10.0.0.9", app, out), "530 5.7.1 Client was not authenticated", submit),
        ("scene 2, V2", anonymous(), host("203.0.113.9", "<a@hotmail.com>", bob), DONE, None),
        ("scene 2, V3", anonymous(), host("203.0.113.9", "<a@hotmail.com>", out), UNABLE, relay),
        ("V4", anonymous(), host("10.0.0.9", bob, out), UNABLE, relay),
        (
            "V4: nobody there",
            anonymous(),
            host("10.0.0.9", bob, "<nobody@contoso.com>"),
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            None,
        ),
        (
            "scene 3: no right yet",
            nobody() + &gate("None", ""),
            host("192.168.2.55", app, out),
            "530 5.7.1 Client was not authenticated",
            submit,
        ),
        ("scene 4, V5", nobody() + &gate("ExchangeServers", OPTION_1), host("192.168.2.55", app, out), DONE, None),
        (
            "V9, option 1",
            nobody() + &gate("ExchangeServers", &small(OPTION_1)),
            Asked("192.168.2.55", None, false, app, out, 5),
            DONE,
            None,
        ),
        (
            "V9, option 2",
            nobody() + &gate("AnonymousUsers", &small(OPTION_2)),
            Asked("192.168.2.55", None, false, app, out, 5),
            "552 5.3.4 Message size exceeds fixed maximum message size",
            None,
        ),
        ("scene 5, V10", nobody() + &gate("AnonymousUsers", OPTION_2), host("192.168.2.56", app, out), DONE, None),
        ("V11", nobody() + &gate("AnonymousUsers", ""), host("192.168.2.56", app, out), UNABLE, relay),
        ("scene 6, V16", nobody(), alice("<alice@contoso.com>"), DONE, None),
        ("V17", nobody(), alice(bob), SEND_AS, Some(Right::AcceptAnySender)),
        ("V18", default("ExchangeUsers", &any_sender), alice(bob), DONE, None),
        ("V19", default("ExchangeUsers", &deny), alice(bob), "535 5.7.3 Authentication unsuccessful", submit),
        (
            "scene 7, V14",
            anonymous() + &gate("AnonymousUsers", OPTION_2),
            host("192.168.2.57", app, out),
            UNABLE,
            relay,
        ),
        (
            "V27",
            nobody(),
            Asked("10.0.0.9", Some("alice"), false, app, out, 0),
            "530 5.7.0 Must issue a STARTTLS command first",
            None,
        ),
        (
            "nobody hears",
            CONTOSO.to_owned() + &gate("AnonymousUsers", OPTION_2),
            host("10.0.0.9", app, out),
            "nothing",
            None,
        ),
    ] {
        let explanation = explained(&settings(&document), asked);
        assert_eq!(last_reply(&explanation), expected, "{what}");
        assert_eq!(explanation.missing, missing, "{what}");
        assert_eq!(explanation.is_accepted(), expected == DONE, "{what}");
        assert_eq!(explanation.fixes.is_empty(), expected == DONE, "{what}: {:?}", explanation.fixes);
    }
}

#[test]
fn scene_9_each_connector_is_told_why_it_lost() {
    let bound = |name: &str, binding: &str, ranges: &str, more: &str| {
        format!(
            "[[receive_connector]]\nname = \"{name}\"\nbindings = [\"{binding}\"]\nremote_ip_ranges = [{ranges}]\n\
             permission_groups = \"None\"\n{more}\n"
        )
    };
    let all = r#""0.0.0.0-255.255.255.255""#;
    let document = bound("1", "10.0.0.1:25", all, "")
        + &bound("2", "10.0.0.1:25", r#""192.168.1.0-192.168.1.255""#, "")
        + &bound("3", "10.0.0.1:25", r#""192.168.1.75""#, "")
        + &bound("4", "10.0.0.1:25", r#""172.16.0.0/12""#, "")
        + &bound("5", "10.0.0.1:26", all, "")
        + &bound("6", "0.0.0.0:25", all, "")
        + &bound("7", "10.0.0.1:25", r#""192.168.1.72/29""#, "enabled = false");
    let settings = settings(&document);
    let explanation = explained(&settings, Asked("192.168.1.75", None, false, "<>", "<a@b.example>", 0));
    let fates: Vec<String> = explanation
        .candidates
        .iter()
        .map(|candidate| match &candidate.fate {
            Fate::Won(range) => format!("{} won {range}", candidate.connector.name),
            Fate::LessSpecific(range) => format!("{} wider {range}", candidate.connector.name),
            other => format!("{} {other:?}", candidate.connector.name),
        })
        .collect();
    assert_eq!(
        fates,
        [
            "1 wider 0.0.0.0-255.255.255.255",
            "2 wider 192.168.1.0-192.168.1.255",
            "3 won 192.168.1.75",
            "4 RangeElsewhere",
            "5 OtherBinding",
            "6 WildcardOnly",
            "7 Disabled"
        ]
    );
}

#[test]
fn the_smallest_change_is_offered() {
    let gate = connector("R", R, "AnonymousUsers", OPTION_2);
    let contoso = |groups: &str, more: &str| format!("{CONTOSO}{}", default_connector(groups, more));
    let scene_7 = settings(&(contoso("AnonymousUsers", "") + &gate));
    let explanation = explained(&scene_7, Asked("192.168.2.57", None, false, "<a@b.net>", "<z@gmail.com>", 0));
    assert_eq!(changes(&explanation), [&Change::AddRange { connector: "R".into() }]);
    let opens = &explanation.fixes[0].opens;
    assert_eq!(opens.len(), 1, "{opens:?}");
    assert_eq!((opens[0].gained, opens[0].sources.count()), (Right::AcceptAnyRecipient.into(), 1));

    let alone = settings(&contoso("AnonymousUsers", ""));
    let explanation = explained(&alone, Asked("192.168.2.57", None, false, "<a@b.net>", "<z@gmail.com>", 0));
    let [Change::NewConnector { like, rights, .. }] = changes(&explanation)[..] else {
        panic!("{:?}", explanation.fixes)
    };
    assert_eq!((&**like, *rights), ("D", Right::AcceptAnyRecipient.into()));

    // A gate that trusts is not offered where a narrower one can be made.
    let trusting = settings(&(contoso("AnonymousUsers", "") + &connector("R", R, "ExchangeServers", OPTION_1)));
    let explanation = explained(&trusting, Asked("192.168.2.57", None, false, "<a@b.net>", "<z@gmail.com>", 0));
    assert!(matches!(changes(&explanation)[..], [Change::NewConnector { .. }]), "{:?}", explanation.fixes);

    // Nor where both would count as internal: a gate of its own does not open relaying.
    let closed = "[[distribution_group]]\naddress = \"staff@contoso.com\"\nmembers = [\"bob@contoso.com\"]\n";
    let trusting =
        settings(&(contoso("AnonymousUsers", "") + &connector("R", R, "ExchangeServers", OPTION_1) + closed));
    let explanation = explained(&trusting, Asked("192.168.2.57", None, false, "<a@b.net>", "<staff@contoso.com>", 0));
    let [Change::NewConnector { rights, .. }] = changes(&explanation)[..] else { panic!("{:?}", explanation.fixes) };
    assert_eq!(*rights, Right::AcceptAuthenticationFlag.into());

    // Whoever logs on without TLS where TLS is offered has to start it: nothing is missing in the settings.
    let users = settings(&contoso("ExchangeUsers", BASIC));
    let in_the_clear = Asked("10.0.0.9", Some("alice"), false, "<alice@contoso.com>", "<z@gmail.com>", 0);
    assert_eq!(changes(&explained(&users, in_the_clear)), [&Change::StartTls]);

    let explanation = explained(&users, Asked("10.0.0.9", None, false, "<alice@contoso.com>", "<z@gmail.com>", 0));
    let authenticate = Change::Authenticate { user: "alice".into(), tls: true, sender: None };
    assert_eq!(changes(&explanation)[0], &authenticate);
    assert!(explanation.fixes[0].opens.is_empty());
    assert!(matches!(changes(&explanation)[1], Change::NewConnector { .. }), "{:?}", explanation.fixes);
}

#[test]
fn a_public_address_is_offered_authentication_and_never_a_right_to_relay() {
    let gate = connector("R", R, "AnonymousUsers", OPTION_2);
    for (groups, more) in
        [("AnonymousUsers", ""), ("None", ""), ("AnonymousUsers,ExchangeUsers", BASIC), ("ExchangeUsers", BASIC)]
    {
        let settings = settings(&format!("{CONTOSO}{}{gate}", default_connector(groups, more)));
        for sender in ["<alice@contoso.com>", "<a@hotmail.com>", "<>"] {
            let explanation = explained(&settings, Asked("8.8.8.8", None, false, sender, "<z@gmail.com>", 0));
            let changes = changes(&explanation);
            let is_authentication = |change: &&Change| {
                matches!(change, Change::Authenticate { .. } | Change::OfferAuthentication { .. } | Change::AddUser(_))
            };
            assert!(!changes.is_empty() && changes.iter().all(is_authentication), "{groups} {sender}: {changes:?}");
        }
    }
}

#[test]
fn a_right_names_the_entries_that_give_and_take_it() {
    let document = format!(
        "{CONTOSO}{}",
        default_connector(
            "AnonymousUsers",
            "[[receive_connector.permission]]\nuser = \"Everyone\"\ndeny = true\n\
             extended_rights = [\"ms-Exch-SMTP-Accept-Any-Sender\"]"
        )
    );
    let settings = settings(&document);
    let (reverse_path, forward_path) = (ReversePath::Null, ForwardPath::Postmaster);
    let question = Question {
        peer: "10.0.0.1".parse().expect("an address"),
        local: "10.1.1.1:25".parse().expect("an address"),
        user: None,
        tls: false,
        certificate: None,
        reverse_path: &reverse_path,
        forward_path: &forward_path,
        size: None,
        header: None,
        now_ms: 0,
    };
    let origins = origins(&settings, &question, &settings.receive_connectors[0], &Principal::Anonymous);
    let of = |right| origins.iter().find(|origin| origin.right == right).expect("an entry speaks of it");
    assert_eq!((of(Right::Submit).allowed_by.len(), of(Right::Submit).denied_by.len()), (1, 0));
    let denied = of(Right::AcceptAnySender);
    assert_eq!((denied.allowed_by.len(), denied.denied_by.len()), (1, 1));
    let place = denied.denied_by[0].entry.span.clone();
    assert!(document[place].contains("receive_connector.permission"), "{denied:?}");
}

/// Friday, 2027-01-15T08:00:00Z.
const FRIDAY_MS: u64 = 1_800_000_000_000;

#[test]
fn a_condition_or_a_date_that_stands_in_the_way_is_mended_before_anything_wider() {
    let private = Asked("192.168.2.55", None, false, "<app@contoso.com>", "<z@gmail.com>", 0);
    let public = Asked("8.8.8.8", None, false, "<app@contoso.com>", "<z@gmail.com>", 0);
    let gate = |peer: &str, more: &str| {
        let risk = "accept_risk = \"test\"\n";
        format!("{CONTOSO}{}", connector("R", peer, "AnonymousUsers", &format!("{risk}{OPTION_2}{more}\n")))
    };
    let range = r#"{ range = "192.168.2.55", expires = 2027-01-15T08:00:00Z }"#;
    let own = r#""192.168.2.55""#;
    for (what, document, asked, unmet, expected) in [
        (
            "another sender",
            gate(own, "senders = \"scan@contoso.com\""),
            private,
            Some(Effect::Unmet(Part::Senders)),
            Some("widen"),
        ),
        ("that sender", gate(own, "senders = [\"app@contoso.com\"]"), private, Some(Effect::Counts), None),
        (
            "another recipient",
            gate(own, "recipients = \"*.gmail.com\""),
            private,
            Some(Effect::Unmet(Part::Recipients)),
            Some("widen"),
        ),
        (
            "another hour",
            gate(own, "hours = \"Fri 08:01-18:00 UTC\""),
            private,
            Some(Effect::Unmet(Part::Hours)),
            Some("widen"),
        ),
        ("that hour", gate(own, "hours = \"Fri 09:00-18:00 Europe/Berlin\""), private, Some(Effect::Counts), None),
        (
            "an entry until now",
            gate(own, "expires = 2027-01-15T09:00:00+01:00"),
            private,
            Some(Effect::Expired(FRIDAY_MS)),
            Some("entry"),
        ),
        ("an entry until later", gate(own, "expires = 2027-01-15T09:00:01+01:00"), private, Some(Effect::Counts), None),
        ("a range until now", gate(range, ""), private, None, Some("range")),
        (
            "strangers get no entry back",
            gate(r#""8.8.8.8""#, "expires = 2027-01-15T08:00:00Z"),
            public,
            Some(Effect::Expired(FRIDAY_MS)),
            Some("log on"),
        ),
        (
            "nor a wider one",
            gate(r#""8.8.8.8""#, "senders = \"x@contoso.com\""),
            public,
            Some(Effect::Unmet(Part::Senders)),
            Some("log on"),
        ),
    ] {
        let settings = settings(&document);
        ask(asked, |question| {
            let question = &Question { now_ms: FRIDAY_MS, ..*question };
            let explanation = explain(&settings, question);
            let connector = &settings.receive_connectors[0];
            let origins = origins(&settings, question, connector, &Principal::Anonymous);
            let relay = origins.iter().find(|origin| origin.right == Right::AcceptAnyRecipient).expect("it is there");
            if let Some(unmet) = unmet {
                assert_eq!(relay.allowed_by[0].effect, unmet, "{what}");
            }
            let change = explanation.fixes.first().map(|fix| match &fix.change {
                Change::WidenCondition { parts, .. } => {
                    let [part] = parts[..] else { panic!("{what}: {parts:?}") };
                    assert_eq!(Some(Effect::Unmet(part)), unmet, "{what}");
                    "widen"
                }
                Change::RenewEntry { expired_ms: FRIDAY_MS, .. } => "entry",
                Change::RenewRange { expired_ms: FRIDAY_MS, .. } => "range",
                Change::Authenticate { .. } | Change::OfferAuthentication { .. } => "log on",
                other => panic!("{what}: {other:?}"),
            });
            assert_eq!(change, expected, "{what}");
            assert_eq!(explanation.is_accepted(), expected.is_none(), "{what}");
            let is_expired = matches!(explanation.candidates[0].fate, Fate::Expired(_));
            assert_eq!(is_expired, expected == Some("range"), "{what}");
        });
    }
}

/// What a session asks, in the order of its commands; `None` stands for what no decision answers.
fn asked_by_a_session(settings: &Settings, question: &Question<'_>) -> Result<(), Option<Refusal>> {
    let connector = select(&settings.selector, question.local, question.peer, question.now_ms).ok_or(None)?;
    let mut principal = permission::initial_principal(connector);
    if question.tls && !authentication::starttls_offered(connector, false) {
        return Err(None);
    }
    if let Some(user) = question.user {
        if authentication::auth_offered(connector, question.tls).is_empty() {
            return Err(None);
        }
        let user = settings.find_user(user).ok_or(Some(Refusal::AuthenticationFailed))?;
        principal = Principal::User(user.name.clone());
        permission::may_authenticate(permission::granted(connector, &principal, &Facts::at(0)).rights)?;
    }
    let rights = permission::granted(connector, &principal, &Facts::at(0)).rights;
    authentication::tls_required(connector, question.tls)
        .and_then(|()| permission::may_submit(rights, &principal))
        .and_then(|()| {
            let reverse_path = question.reverse_path;
            sender::decide(&sender::Question { rights, principal: &principal, reverse_path, settings }).map(drop)
        })
        .and_then(|()| limits::message_size(connector, rights, question.size.unwrap_or(0)))
        .and_then(|()| limits::recipients(connector, 0))
        .and_then(|()| {
            let forward_path = &settings.recipient(question.forward_path);
            reserved_domain::decide(connector, forward_path, settings)?;
            relay::decide(&relay::Question { rights, forward_path, settings })?;
            let auth_as = permission::auth_as(rights, &principal, None);
            restriction::decide(&restriction::Question { auth_as, recipient: forward_path, settings })
        })
        .map_err(Some)
}

const GATES: [(&str, &str); 7] = [
    ("AnonymousUsers", ""),
    ("AnonymousUsers,ExchangeUsers", BASIC),
    ("ExchangeUsers", "auth_mechanism = [\"Tls\", \"BasicAuth\"]\nrequire_tls = true"),
    ("ExchangeServers", OPTION_1),
    ("AnonymousUsers", "max_message_size = \"1 MB\"\nreject_reserved_top_level_recipient_domains = true"),
    (
        "AnonymousUsers,ExchangeUsers",
        "auth_mechanism = [\"BasicAuth\"]\n[[receive_connector.permission]]\nuser = \"Everyone\"\ndeny = true\n\
         extended_rights = [\"ms-Exch-SMTP-Accept-Any-Sender\"]",
    ),
    ("None", OPTION_2),
];
const RANGES: [&str; 4] = [r#""10.0.0.0/8""#, r#""10.0.0.9""#, r#""192.168.2.55""#, r#""8.8.8.0/24""#];

proptest! {
    #[test]
    fn the_explanation_agrees_with_the_decisions_of_a_session(
        gates in proptest::collection::vec(proptest::option::of(0..GATES.len()), RANGES.len() + 1),
        peer in proptest::sample::select(vec!["10.0.0.9", "10.1.1.1", "192.168.2.55", "8.8.8.8", "2001:db8::1"]),
        user in proptest::sample::select(vec![None, Some("alice"), Some("nobody")]),
        tls in any::<bool>(),
        sender in proptest::sample::select(vec!["<>", "<alice@contoso.com>", "<bob@contoso.com>", "<a@hotmail.com>"]),
        recipient in proptest::sample::select(vec![
            "<bob@contoso.com>", "<closed@contoso.com>", "<nobody@contoso.com>", "<z@gmail.com>", "<q@partner.example>", "<a@b.test>", "<Postmaster>",
        ]),
        megabytes in proptest::sample::select(vec![0_u64, 2, 40, 4096]),
    ) {
        let mut document = format!("{CONTOSO}[[mailbox]]\naddress = \"closed@contoso.com\"\nrequire_sender_authentication = true\n");
        for (place, gate) in gates.iter().enumerate() {
            let Some((groups, more)) = gate.map(|gate| GATES[gate]) else { continue };
            document += &match place.checked_sub(1) {
                None => default_connector(groups, more),
                Some(place) => connector(&format!("R{place}"), RANGES[place], groups, more),
            };
        }
        let settings = settings(&document);
        ask(Asked(peer, user, tls, sender, recipient, megabytes), |question| {
            let explanation = explain(&settings, question);
            let expected = asked_by_a_session(&settings, question);
            prop_assert_eq!(explanation.is_accepted(), expected.is_ok());
            if let Err(Some(refusal)) = expected {
                let reply = refusal.reply().to_string();
                prop_assert_eq!(last_reply(&explanation), reply.trim_end());
            }
            let winner = select(&settings.selector, question.local, question.peer, question.now_ms).map(|winner| winner.name.clone());
            let won = explanation.candidates.iter().find(|candidate| matches!(candidate.fate, Fate::Won(_)));
            prop_assert_eq!(won.map(|candidate| candidate.connector.name.clone()), winner);
            if let Some(connector) = &explanation.dialogue.connector {
                for holder in &explanation.dialogue.holders {
                    for right in Right::ALL {
                        let origin = origins(&settings, question, connector, &holder.principal).into_iter().find(|known| known.right == right);
                        let holds = origin.is_some_and(|known| !known.allowed_by.is_empty() && known.denied_by.is_empty());
                        prop_assert_eq!(holder.rights.contains(right), holds);
                    }
                }
            }
            for fix in &explanation.fixes {
                let is_public = gatepost_policy::public_address::is_public(question.peer);
                let grants_relay = matches!(&fix.change,
                    Change::Grant { rights, .. } | Change::NewConnector { rights, .. }
                        if rights.contains(Right::AcceptAnyRecipient)) || matches!(fix.change, Change::AddRange { .. });
                prop_assert!(!(is_public && grants_relay), "{:?}", fix);
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_refusal_ends_the_dialogue() {
    let settings = settings(&format!("{CONTOSO}{}", default_connector("AnonymousUsers", "")));
    let explanation = explained(&settings, Asked("10.0.0.9", None, false, "<>", "<z@gmail.com>", 0));
    let commands: Vec<Command> = explanation.dialogue.steps.iter().map(|step| step.command).collect();
    assert_eq!(commands, [Command::Connect, Command::Mail, Command::Rcpt]);
}

/// What the header adds: the same question, with the From and the Sender field that are given.
fn with_header(settings: &Settings, asked: Asked<'_>, from: &str, sender: &str) -> Explanation {
    let mut header = HeaderSenders::default();
    header.read(SenderField::From, from.as_bytes());
    header.read(SenderField::Sender, sender.as_bytes());
    ask(asked, |question| explain(settings, &Question { header: Some(&header), ..*question }))
}

#[test]
fn a_refusal_of_the_header_is_explained_with_the_smallest_change() {
    let grants = r#"
        [[mailbox]]
        address = "boss@contoso.com"
        aliases = ["ceo@contoso.com"]
        grant_send_on_behalf_to = ["alice"]
    "#;
    let users = settings(&format!("{CONTOSO}{grants}{}", default_connector("ExchangeUsers", BASIC)));
    let alice = |sender| Asked("10.0.0.9", Some("alice"), true, sender, "z@gmail.com", 1);
    let own = || Mailbox::parse("alice@contoso.com").expect("an address");
    let send_as = || Change::SendAs(own());
    let granted = |addresses: &[&str]| Change::GrantSendAs {
        user: "alice".into(),
        recipients: addresses.iter().map(|text| Mailbox::parse(text).expect("an address")).collect(),
    };
    let any_sender = || Change::Grant {
        connector: "D".into(),
        trustee: Trustee::User("alice".into()),
        rights: Right::AcceptAnySender.into(),
    };
    const UNCLEAR: &str = "554 5.6.0 Invalid message content; the header does not name its senders clearly";
    for (envelope, from, sender, reply, expected) in [
        ("<alice@contoso.com>", "Alice <alice@contoso.com>", "", DONE, vec![]),
        ("<alice@contoso.com>", "boss@contoso.com", "alice@contoso.com", DONE, vec![]),
        ("<alice@contoso.com>", "ceo@contoso.com", "", SEND_AS, vec![send_as(), granted(&["boss@contoso.com"])]),
        (
            "<bob@contoso.com>",
            "ceo@contoso.com",
            "",
            SEND_AS,
            vec![send_as(), granted(&["bob@contoso.com", "boss@contoso.com"])],
        ),
        ("<bob@contoso.com>", "alice@contoso.com", "", SEND_AS, vec![send_as(), granted(&["bob@contoso.com"])]),
        // Nobody here has that address, so that nobody can grant it.
        ("<alice@contoso.com>", "a@x.net", "", SEND_AS, vec![send_as(), any_sender()]),
        ("<alice@contoso.com>", "a@x.net <alice@contoso.com>", "", UNCLEAR, vec![Change::ClearHeader, any_sender()]),
    ] {
        let explanation = with_header(&users, alice(envelope), from, sender);
        assert_eq!(last_reply(&explanation), reply, "{envelope} {from} {sender}");
        assert_eq!(changes(&explanation), expected.iter().collect::<Vec<_>>(), "{envelope} {from} {sender}");
        let missing = (reply != DONE).then_some(Right::AcceptAnySender);
        assert_eq!(explanation.missing, missing, "{envelope} {from} {sender}");
    }
    // Without the question the header plays no part.
    assert_eq!(last_reply(&explained(&users, alice("<alice@contoso.com>"))), DONE);
}

#[test]
fn a_stranger_who_writes_as_us_in_the_header_lacks_the_right_to_our_domains() {
    let deny = "[[receive_connector.permission]]\nuser = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\ndeny = true\n\
                extended_rights = [\"ms-Exch-SMTP-Accept-Authoritative-Domain-Sender\"]";
    let hardened = settings(&format!("{CONTOSO}{}", default_connector("AnonymousUsers", deny)));
    let stranger = Asked("8.8.8.8", None, false, "<a@x.net>", "bob@contoso.com", 1);
    let explanation = with_header(&hardened, stranger, "The boss <boss@contoso.com>", "");
    let refusal = Refusal::AnonymousHeaderSendAsDenied(SenderField::From);
    assert_eq!(explanation.dialogue.obstacle(), Some(refusal.into()));
    assert_eq!(last_reply(&explanation), "550 5.7.1 Anonymous client does not have permissions to send as this sender");
    assert_eq!(explanation.missing, Some(Right::AcceptAuthoritativeDomainSender));
    assert_eq!(last_reply(&with_header(&hardened, stranger, "a@x.net", "")), DONE);
}

#[test]
fn a_condition_on_senders_that_the_header_breaks_ends_the_message_at_its_content() {
    let gate = "[[receive_connector.permission]]\nuser = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\n\
                extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\nsenders = [\"scan@contoso.com\"]";
    let settings = settings(&format!("{CONTOSO}{}", connector("R", R, "AnonymousUsers", gate)));
    let scanner = Asked("192.168.2.55", None, false, "<scan@contoso.com>", "z@gmail.com", 1);
    for (from, reply, steps, missing) in [
        ("Scanner <scan@contoso.com>", DONE, 4, None),
        ("boss@contoso.com", UNABLE, 4, Some(Right::AcceptAnyRecipient)),
        ("scan@contoso.com <boss@contoso.com>", UNABLE, 4, Some(Right::AcceptAnyRecipient)),
    ] {
        let explanation = with_header(&settings, scanner, from, "");
        assert_eq!(last_reply(&explanation), reply, "{from}");
        assert_eq!(explanation.dialogue.steps.len(), steps, "{from}");
        assert_eq!(explanation.missing, missing, "{from}");
    }
}

#[test]
fn a_closed_recipient_is_opened_only_to_hosts_of_our_own_and_else_the_peer_is_let_in() {
    let recipients = "[[mailbox]]\naddress = \"ceo@contoso.com\"\nrequire_sender_authentication = true\n\
         [[distribution_group]]\naddress = \"staff@contoso.com\"\nmembers = [\"bob@contoso.com\", \"board@contoso.com\"]\n\
         require_sender_authentication = false\n\
         [[distribution_group]]\naddress = \"board@contoso.com\"\nmembers = [\"ceo@contoso.com\"]\n";
    let inside = format!("{CONTOSO}{recipients}{}", connector("I", r#""10.0.0.0/8""#, "AnonymousUsers", ""));
    let outside = format!("{CONTOSO}{recipients}{}", default_connector("AnonymousUsers", ""));
    let (ceo, board) = (Mailbox::parse("ceo@contoso.com"), Mailbox::parse("board@contoso.com"));
    let (ceo, board) = (ceo.expect("an address"), board.expect("an address"));
    for (what, document, peer, recipient, opened) in [
        ("a mailbox", &inside, "10.0.0.9", "<ceo@contoso.com>", Some(vec![ceo.clone()])),
        ("a group and who is in it", &inside, "10.0.0.9", "<staff@contoso.com>", Some(vec![board, ceo])),
        ("strangers could write to it too", &outside, "10.0.0.9", "<ceo@contoso.com>", None),
        ("a public address", &outside, "8.8.8.8", "<ceo@contoso.com>", None),
    ] {
        let settings = settings(document);
        let explanation = explained(&settings, Asked(peer, None, false, "<a@hotmail.com>", recipient, 0));
        assert_eq!(explanation.dialogue.obstacle(), Some(Obstacle::Refused(Refusal::SenderNotAuthenticated)), "{what}");
        assert_eq!(explanation.missing, Some(Right::AcceptAuthenticationFlag), "{what}");
        match (opened, changes(&explanation).last()) {
            (Some(opened), Some(change)) => assert_eq!(**change, Change::OpenRecipients(opened), "{what}"),
            (None, Some(Change::NewConnector { rights, .. })) => {
                assert_eq!(*rights, Right::AcceptAuthenticationFlag.into(), "{what}");
            }
            (None, Some(Change::OfferAuthentication { .. } | Change::Authenticate { .. })) if peer == "8.8.8.8" => {}
            (_, other) => panic!("{what}: {other:?}"),
        }
    }
    // More than a few are not opened for one message.
    let nested: String = (0..5)
        .map(|n| {
            let member = if n == 4 { "bob".to_owned() } else { format!("g{}", n + 1) };
            format!("[[distribution_group]]\naddress = \"g{n}@contoso.com\"\nmembers = [\"{member}@contoso.com\"]\n")
        })
        .collect();
    let settings = settings(&(inside + &nested));
    let explanation = explained(&settings, Asked("10.0.0.9", None, false, "<a@hotmail.com>", "<g0@contoso.com>", 0));
    assert!(matches!(changes(&explanation)[..], [Change::NewConnector { .. }]), "{:?}", explanation.fixes);
}

#[test]
fn the_quotas_that_pay_for_what_a_message_needs_are_named() {
    let entry = |right: &str, more: &str| {
        format!(
            "[[receive_connector.permission]]\nuser = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\n\
             extended_rights = [\"{right}\"]\n{more}\n"
        )
    };
    let relay = "ms-Exch-SMTP-Accept-Any-Recipient";
    let limited = entry(relay, "messages_per_hour = 2");
    for (what, entries, expected) in [
        ("no quota", entry(relay, ""), vec![]),
        ("one", limited.clone(), vec![2]),
        ("one that another entry makes idle", limited.clone() + &entry(relay, ""), vec![]),
        ("one whose condition is not met", entry(relay, "senders = [\"x@y.net\"]\nmessages_per_hour = 3"), vec![]),
        (
            "two, of two rights",
            limited.clone() + &entry("ms-Exch-SMTP-Submit", "messages_per_hour = 5"),
            // The group gives the right to submit without one.
            vec![2],
        ),
        (
            "two of one right, of which the first pays",
            limited.clone() + &entry(relay, "messages_per_hour = 7"),
            vec![2],
        ),
    ] {
        let settings = settings(&format!("{CONTOSO}{}", default_connector("AnonymousUsers", &entries)));
        let asked = Asked("10.0.0.9", None, false, "<a@hotmail.com>", "<z@gmail.com>", 0);
        let named: Vec<u32> = ask(asked, |question| {
            let named = quotas(&settings, question, &settings.receive_connectors[0], &Principal::Anonymous);
            let quota = |entry: &&AccessEntry| entry.condition.as_ref()?.messages_per_hour.map(std::num::NonZero::get);
            named.iter().filter_map(quota).collect()
        });
        assert_eq!(named, expected, "{what}");
    }
}
