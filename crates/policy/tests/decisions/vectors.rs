//! The fact sheet's test vectors (section 11.1), as far as pure decisions can show them.

use std::net::IpAddr;

use gatepost_mail::{ForwardPath, Reply, ReversePath};
use gatepost_policy::permission::{self, Facts, Principal};
use gatepost_policy::receive_connector::ReceiveConnector;
use gatepost_policy::{Refusal, Settings, limits, relay, sender};

use crate::document::{CONTOSO, OPTION_1, OPTION_2, connector, default_connector, problems, settings};

/// A session as far as policy knows it; each command is answered with the reply that the peer would see.
struct Peer<'a> {
    settings: &'a Settings,
    connector: &'a ReceiveConnector,
    principal: Principal,
}

const OK: Result<(), Refusal> = Ok(());

impl<'a> Peer<'a> {
    fn connect(settings: &'a Settings, peer: &str) -> Peer<'a> {
        let local = "10.0.0.1:25".parse().expect("an address");
        let peer: IpAddr = peer.parse().expect("an address");
        let connector = settings.select(local, peer, 0).expect("a connector");
        Peer { settings, connector, principal: permission::initial_principal(connector) }
    }

    fn authenticated_as(self, user: &str) -> Peer<'a> {
        let user = self.settings.find_user(user).expect("a user");
        Peer { principal: Principal::User(user.name.clone()), ..self }
    }

    fn rights(&self) -> permission::Rights {
        permission::granted(self.connector, &self.principal, &Facts::at(0)).rights
    }

    fn mail(&self, path: &str) -> Result<(), Refusal> {
        let (reverse_path, _) = ReversePath::parse_prefix(path).expect("a reverse-path");
        permission::may_submit(self.rights(), &self.principal)?;
        let question = sender::Question {
            rights: self.rights(),
            principal: &self.principal,
            reverse_path: &reverse_path,
            settings: self.settings,
        };
        sender::decide(&question).map(drop)
    }

    fn rcpt(&self, path: &str) -> Result<(), Refusal> {
        let (forward_path, _) = ForwardPath::parse_prefix(path).expect("a forward-path");
        let recipient = self.settings.recipient(&forward_path);
        let question = relay::Question { rights: self.rights(), forward_path: &recipient, settings: self.settings };
        relay::decide(&question).map(drop)
    }
}

fn wire(refusal: Result<(), Refusal>) -> String {
    refusal.map_or_else(|refusal| refusal.reply(), |()| Reply::plain(250, "")).to_string().trim_end().to_owned()
}

#[test]
fn v1_and_v26_nobody_submits_anonymously_without_the_group() {
    for groups in ["ExchangeUsers", "ExchangeServers", "None"] {
        let settings = settings(&format!("{CONTOSO}{}", default_connector(groups, "")));
        let peer = Peer::connect(&settings, "10.0.0.9");
        assert_eq!(wire(peer.mail("<a@x.net>")), "530 5.7.1 Client was not authenticated", "{groups}");
    }
}

#[test]
fn v2_to_v4_anonymous_users_reach_accepted_domains_only() {
    let settings = settings(&format!("{CONTOSO}{}", default_connector("AnonymousUsers", "")));
    let peer = Peer::connect(&settings, "10.0.0.9");
    for (reverse_path, forward_path, expected) in [
        ("<a@hotmail.com>", "<bob@contoso.com>", "250"),
        ("<a@hotmail.com>", "<BOB@CONTOSO.COM>", "250"),
        ("<a@hotmail.com>", "<z@gmail.com>", "550 5.7.1 Unable to relay"),
        // The sender's domain is irrelevant to relaying (section 3.6).
        ("<bob@contoso.com>", "<z@gmail.com>", "550 5.7.1 Unable to relay"),
        ("<>", "<z@gmail.com>", "550 5.7.1 Unable to relay"),
        ("<a@hotmail.com>", "<q@partner.example>", "250"),
        ("<a@hotmail.com>", "<q@sub.partner.example>", "550 5.7.1 Unable to relay"),
        ("<a@hotmail.com>", "<z@[10.1.1.1]>", "550 5.7.1 Unable to relay"),
        ("<a@hotmail.com>", "<z%gmail.com@contoso.com>", NOT_FOUND),
        ("<a@hotmail.com>", "<nobody@contoso.com>", NOT_FOUND),
        ("<a@hotmail.com>", "<Postmaster>", "250"),
        ("<a@hotmail.com>", "<postmaster@contoso.com>", "250"),
        ("<a@hotmail.com>", "<POSTMASTER@mail.contoso.com>", "250"),
        ("<a@hotmail.com>", "<\"postmaster\"@contoso.com>", "250"),
        ("<a@hotmail.com>", "<postmaster@gmail.com>", "550 5.7.1 Unable to relay"),
    ] {
        assert_eq!(wire(peer.mail(reverse_path)), "250", "{reverse_path}");
        assert_eq!(wire(peer.rcpt(forward_path)), expected, "{forward_path}");
    }
}

const NOT_FOUND: &str = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup";

const R: &str = r#""192.168.2.55", "192.168.2.56""#;

#[test]
fn v5_and_v10_both_options_let_the_listed_hosts_relay_and_v14_nobody_else() {
    for (groups, option) in [("ExchangeServers", OPTION_1), ("AnonymousUsers", OPTION_2)] {
        let document = |ranges: &str| {
            format!("{CONTOSO}{}{}", default_connector("AnonymousUsers", ""), connector("R", ranges, groups, option))
        };
        let both = settings(&document(R));
        for peer in ["192.168.2.55", "192.168.2.56", "::ffff:192.168.2.55"] {
            let peer = Peer::connect(&both, peer);
            assert_eq!(peer.mail("<ceo@contoso.com>"), OK);
            assert_eq!(peer.mail("<any@hotmail.com>"), OK);
            assert_eq!(peer.rcpt("<z@gmail.com>"), OK);
            assert_eq!(peer.rcpt("<nobody@contoso.com>"), Err(Refusal::RecipientNotFound));
        }
        for peer in ["192.168.2.54", "192.168.2.57", "2001:db8::55", "10.0.0.9"] {
            assert_eq!(Peer::connect(&both, peer).rcpt("<z@gmail.com>"), Err(Refusal::UnableToRelay), "{peer}");
        }
        let one = settings(&document(r#""192.168.2.55""#));
        assert_eq!(Peer::connect(&one, "192.168.2.55").rcpt("<z@gmail.com>"), OK);
        assert_eq!(Peer::connect(&one, "192.168.2.56").rcpt("<z@gmail.com>"), Err(Refusal::UnableToRelay));
    }
}

#[test]
fn v8_and_v9_the_size_limit_holds_for_option_2_and_not_for_option_1() {
    let limit = "max_message_size = \"1 MB\"\n";
    for (groups, option, five_megabytes) in
        [("ExchangeServers", OPTION_1, OK), ("AnonymousUsers", OPTION_2, Err(Refusal::MessageTooLarge))]
    {
        let settings = settings(&connector("R", R, groups, &format!("{limit}{option}")));
        let peer = Peer::connect(&settings, "192.168.2.55");
        assert_eq!(limits::message_size(peer.connector, peer.rights(), 1 << 20), OK);
        assert_eq!(limits::message_size(peer.connector, peer.rights(), 5 << 20), five_megabytes);
        let beyond_everything = limits::message_size(peer.connector, peer.rights(), 1 << 31);
        assert_eq!(wire(beyond_everything), "552 5.3.4 Message size exceeds fixed maximum message size");
    }
}

#[test]
fn v11_option_2_without_its_entry_is_no_relay() {
    let settings = settings(&format!("{CONTOSO}{}", connector("R", R, "AnonymousUsers", "")));
    assert_eq!(Peer::connect(&settings, "192.168.2.55").rcpt("<z@gmail.com>"), Err(Refusal::UnableToRelay));
}

#[test]
fn v15_the_most_specific_range_wins() {
    let settings = settings(&format!(
        "{}{}{}",
        connector("1", r#""0.0.0.0-255.255.255.255""#, "None", ""),
        connector("2", r#""192.168.1.0-192.168.1.255""#, "None", ""),
        connector("3", r#""192.168.1.75""#, "None", ""),
    ));
    for (peer, expected) in [("192.168.1.75", "3"), ("192.168.1.100", "2"), ("10.0.0.1", "1")] {
        assert_eq!(&*Peer::connect(&settings, peer).connector.name, expected, "{peer}");
    }
}

#[test]
fn v16_to_v18_a_user_sends_as_itself_unless_it_may_send_as_anybody() {
    let any_sender = "[[receive_connector.permission]]\nuser = \"CONTOSO\\\\alice\"\n\
                      extended_rights = [\"ms-Exch-SMTP-Accept-Any-Sender\"]";
    for (more, as_bob) in [("", Err(Refusal::SendAsDenied)), (any_sender, OK)] {
        let settings = settings(&format!("{CONTOSO}{}", default_connector("ExchangeUsers", more)));
        let alice = Peer::connect(&settings, "10.0.0.9").authenticated_as("Alice");
        assert_eq!(permission::may_authenticate(alice.rights()), OK);
        assert_eq!(alice.mail("<alice@contoso.com>"), OK);
        assert_eq!(alice.mail("<>"), OK);
        assert_eq!(alice.rcpt("<z@gmail.com>"), OK);
        assert_eq!(alice.mail("<bob@contoso.com>"), as_bob);
    }
    assert_eq!(wire(Err(Refusal::SendAsDenied)), "550 5.7.1 Client does not have permissions to send as this sender");
}

#[test]
fn v19_a_user_who_may_not_submit_does_not_get_in() {
    let deny = "[[receive_connector.permission]]\nuser = \"alice\"\ndeny = true\n\
                extended_rights = \"ms-Exch-SMTP-Submit\"";
    let settings = settings(&format!("{CONTOSO}{}", default_connector("ExchangeUsers", deny)));
    let alice = Peer::connect(&settings, "10.0.0.9").authenticated_as("alice");
    assert_eq!(wire(permission::may_authenticate(alice.rights())), "535 5.7.3 Authentication unsuccessful");
}

#[test]
fn v20_to_v23_impossible_connectors_are_refused() {
    for (what, document, expected) in [
        (
            "V20",
            connector("R", R, "AnonymousUsers", OPTION_1),
            "`ExternalAuthoritative` needs the permission group ExchangeServers",
        ),
        (
            "V21",
            connector("R", R, "ExchangeServers", r#"auth_mechanism = "ExternalAuthoritative,BasicAuth""#),
            "`ExternalAuthoritative` cannot stand beside BasicAuth",
        ),
        (
            "V22",
            connector("A", R, "None", "") + &connector("B", r#""192.168.2.55""#, "None", ""),
            "conflict with the settings on receive connector \"A\"",
        ),
        (
            "V23",
            connector("A", r#""10.0.0.1-10.0.0.50""#, "None", "")
                + &connector("B", r#""10.0.0.40-10.0.0.90""#, "None", ""),
            "partly overlaps one of \"A\"",
        ),
    ] {
        let problems = problems(&document);
        assert_eq!(problems.len(), 1, "{what}: {problems:?}");
        assert!(problems[0].message.contains(expected), "{what}: {problems:?}");
    }
}

#[test]
fn v28_one_recipient_too_many_is_turned_away_and_the_others_stay() {
    let settings = settings(&default_connector("AnonymousUsers", "max_recipients_per_message = 2"));
    let connector = &settings.receive_connectors[0];
    assert_eq!(limits::recipients(connector, 0), OK);
    assert_eq!(limits::recipients(connector, 1), OK);
    assert_eq!(wire(limits::recipients(connector, 2)), "452 4.5.3 Too many recipients");
}

#[test]
fn v33_the_thirty_first_hop_is_a_loop() {
    let settings = settings(&default_connector("AnonymousUsers", "max_hop_count = 30"));
    let connector = &settings.receive_connectors[0];
    assert_eq!(limits::hops(connector, 30, 0), OK);
    assert_eq!(wire(limits::hops(connector, 31, 0)), "554 5.4.6 Hop count exceeded - possible mail loop");
}

#[test]
fn v34_the_null_reverse_path_is_always_accepted_from_those_who_may_submit() {
    for (groups, more) in [("AnonymousUsers", ""), ("ExchangeServers", OPTION_1)] {
        let settings = settings(&default_connector(groups, more));
        assert_eq!(Peer::connect(&settings, "10.0.0.9").mail("<>"), OK);
    }
}
