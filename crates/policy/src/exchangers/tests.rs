use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const OWN_NAME: &str = "gate.contoso.com";
const OWN_ADDRESS: &str = "192.0.2.25";

/// Numbers that look random and are the same each time (xorshift).
fn dice(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

fn with_own<T>(ask: impl FnOnce(Own<'_>) -> T) -> T {
    let names = [OWN_NAME.to_owned()];
    ask(Own { names: &names, listens_at: &|address| address.to_string() == format!("{OWN_ADDRESS}:25") })
}

fn records(written: &str) -> Result<Vec<(u16, String)>, NoRecords> {
    match written {
        "NXDOMAIN" => Err(NoRecords::NoSuchName),
        "NODATA" => Err(NoRecords::OfThisKind),
        "SERVFAIL" => Err(NoRecords::ServersFail),
        written => Ok(written
            .split(", ")
            .map(|record| {
                let (preference, host) = record.split_once(' ').expect("preference and host");
                (preference.parse().expect("a number"), host.to_owned())
            })
            .collect()),
    }
}

fn selected(written: &str, seed: u32) -> String {
    let found = with_own(|own| select("x.example", records(written), own, &mut dice(seed)));
    match found {
        Ok(exchangers) => exchangers.iter().map(|one| one.host.as_str()).collect::<Vec<_>>().join(" "),
        Err(reply) => reply.to_string(),
    }
}

#[test]
fn the_exchangers_of_a_domain_are_those_that_its_records_name() {
    let loops = LOOPS_BACK.to_string();
    for (written, expected) in [
        ("20 b.example., 10 a.example., 30 c.example.", "a.example b.example c.example"),
        // No MX record: the domain itself.
        ("NODATA", "x.example"),
        ("NXDOMAIN", "554 5.4.4 SMTPSEND.DNS.NonExistentDomain; nonexistent domain"),
        ("SERVFAIL", "451 4.4.0 DNS query failed"),
        // RFC 7505: alone, whatever its preference; beside others it is passed over.
        ("0 .", "556 5.1.10 The domain does not accept mail (null MX)"),
        ("10 .", "556 5.1.10 The domain does not accept mail (null MX)"),
        ("0 ., 10 a.example.", "a.example"),
        // Ourselves by name, in any case, with or without the dot: only better ones are left.
        ("10 a.example., 20 Gate.Contoso.COM., 30 b.example.", "a.example"),
        ("10 a.example., 20 gate.contoso.com, 20 b.example.", "a.example"),
        ("10 gate.contoso.com., 20 a.example.", &loops),
        ("10 localhost., 20 a.example.", &loops),
        ("10 a.example., 20 mail.localhost.", "a.example"),
        // An address is no name of a host.
        ("10 192.0.2.1., 20 a.example.", "a.example"),
        (
            "10 192.0.2.1., 20 [192.0.2.2], 30 2001:db8::1",
            "554 5.4.4 The domain's MX records name addresses instead of hosts (RFC 5321 section 5.1)",
        ),
    ] {
        for seed in 0..8 {
            assert_eq!(selected(written, seed), expected, "{written}");
        }
    }
    let implicit = with_own(|own| select(OWN_NAME, Ok(Vec::new()), own, &mut dice(1)));
    assert_eq!(implicit, Err(LOOPS_BACK), "a domain that is this server, and has no MX record");
}

#[test]
fn exchangers_of_equal_preference_are_tried_in_every_order_equally_often() {
    const TIMES: u32 = 60_000;
    let mut orders: HashMap<String, u32> = HashMap::new();
    for seed in 1..=TIMES {
        let order = selected("10 a.example., 10 b.example., 10 c.example., 5 first.example., 20 last.example.", seed);
        *orders.entry(order).or_default() += 1;
    }
    assert_eq!(orders.len(), 6, "{orders:?}");
    assert!(orders.keys().all(|order| order.starts_with("first.example ") && order.ends_with(" last.example")));
    let expected = f64::from(TIMES) / 6.0;
    let chi_square: f64 = orders.values().map(|seen| (f64::from(*seen) - expected).powi(2) / expected).sum();
    // 5 degrees of freedom: one fair die in a hundred thousand is beyond 30. The seeds are the same each time.
    assert!(chi_square < 30.0, "{chi_square}: {orders:?}");
}

/// `10 a.example 192.0.2.1 2001:db8::1` for each exchanger, best first; or what the name servers say instead.
fn arranged(written: &str, scope: AddressScope) -> String {
    let found: Vec<Found> = written
        .split(", ")
        .map(|host| {
            let mut words = host.split(' ');
            let preference = words.next().expect("a preference").parse().expect("a number");
            let exchanger = Exchanger { preference, host: words.next().expect("a host").to_owned() };
            let words: Vec<&str> = words.collect();
            let addresses = match words[..] {
                ["NXDOMAIN"] => Err(NoRecords::NoSuchName),
                ["NODATA"] => Err(NoRecords::OfThisKind),
                ["SERVFAIL"] => Err(NoRecords::ServersFail),
                _ => Ok(words.iter().map(|ip| ip.parse().expect("an address")).collect()),
            };
            (exchanger, addresses)
        })
        .collect();
    match with_own(|own| arrange(&found, 25, scope, own)) {
        Ok(targets) => {
            let targets = targets.iter().map(|target| format!("{}:{}", target.rank, target.address.ip()));
            targets.collect::<Vec<_>>().join(" ")
        }
        Err(reply) => reply.to_string(),
    }
}

#[test]
fn addresses_are_tried_by_preference_and_the_families_take_turns() {
    use AddressScope::{Any, Public};
    let (gone, loops) = (NO_SUCH_DOMAIN.to_string(), LOOPS_BACK.to_string());
    let unusable = NO_USABLE_ADDRESS.to_string();
    for (written, scope, expected) in [
        ("10 a 192.0.2.1, 20 b 192.0.2.2", Any, "0:192.0.2.1 1:192.0.2.2"),
        ("10 a 192.0.2.1, 10 b 192.0.2.2", Any, "0:192.0.2.1 0:192.0.2.2"),
        (
            "10 a 192.0.2.1 192.0.2.2 2001:db8::1 2001:db8::2",
            Any,
            "0:2001:db8::1 0:192.0.2.1 0:2001:db8::2 0:192.0.2.2",
        ),
        ("10 a 192.0.2.1 192.0.2.2 192.0.2.3 2001:db8::1", Any, "0:2001:db8::1 0:192.0.2.1 0:192.0.2.2 0:192.0.2.3"),
        // One host by two names is one.
        ("10 a 192.0.2.1, 20 b 192.0.2.1 192.0.2.2", Any, "0:192.0.2.1 1:192.0.2.2"),
        // A host that is not there, or has no address, leaves the others.
        ("10 a NXDOMAIN, 20 b NODATA, 30 c 192.0.2.3", Any, "0:192.0.2.3"),
        ("10 a SERVFAIL, 20 b 192.0.2.2", Any, "0:192.0.2.2"),
        ("10 a NXDOMAIN, 20 b NODATA", Any, &gone),
        ("10 a SERVFAIL, 20 b NXDOMAIN", Any, "451 4.4.0 DNS query failed"),
        ("10 a NXDOMAIN, 20 b SERVFAIL", Any, "451 4.4.0 DNS query failed"),
        // Ourselves by address: it, its equals and all behind are left out.
        ("10 a 192.0.2.1, 20 b 192.0.2.25, 30 c 192.0.2.3", Any, "0:192.0.2.1"),
        ("10 a 192.0.2.1, 20 b 192.0.2.2, 20 c 192.0.2.25", Any, "0:192.0.2.1"),
        ("10 a 192.0.2.1, 10 b 192.0.2.25, 30 c 192.0.2.3", Any, &loops),
        ("10 a NXDOMAIN, 20 b 192.0.2.25", Any, &gone),
        ("10 a SERVFAIL, 20 b 192.0.2.25", Any, "451 4.4.0 DNS query failed"),
        // What is nobody's address.
        ("10 a 0.0.0.0 224.0.0.1 255.255.255.255 :: ff02::1 ::ffff:0.0.0.0", Any, &unusable),
        ("10 a 0.0.0.0 192.0.2.1", Any, "0:192.0.2.1"),
        // What a stranger's zone must not lead us to.
        ("10 a 127.0.0.1 10.1.2.3 ::1 fd00::1 169.254.1.1 ::ffff:10.0.0.1", Public, &unusable),
        ("10 a 10.1.2.3 8.8.8.8 fe80::1 2a00::1", Public, "0:2a00::1 0:8.8.8.8"),
        ("10 a 10.1.2.3", Any, "0:10.1.2.3"),
    ] {
        assert_eq!(arranged(written, scope), expected, "{written}");
    }
}

#[test]
fn a_zone_of_any_size_leaves_a_bounded_number_of_addresses_and_no_host_takes_them_all() {
    let many: Vec<String> = (1..=200).map(|i| format!("192.0.2.{i}")).filter(|ip| ip != OWN_ADDRESS).collect();
    let targets = arranged(&format!("10 a {}, 20 b 198.51.100.1", many.join(" ")), AddressScope::Any);
    assert_eq!(targets.split(' ').count(), ADDRESSES_PER_HOST_MAX + 1);
    assert!(targets.ends_with(" 1:198.51.100.1"), "{targets}");
    let hosts: Vec<String> = (1..=200).map(|i| format!("{i} h{i} 198.51.100.{i}")).collect();
    assert_eq!(arranged(&hosts.join(", "), AddressScope::Any).split(' ').count(), TARGETS_MAX);
    let written: Vec<String> = (1..=200).map(|i| format!("{i} h{i}.example.")).collect();
    assert_eq!(selected(&written.join(", "), 1).split(' ').count(), EXCHANGERS_MAX);
}

#[test]
fn what_was_down_is_tried_last_and_what_knows_us_first_among_equals() {
    let target = |last: u8, rank| Target {
        address: ([192, 0, 2, last], 25).into(),
        name: "a".into(),
        rank,
        smart_host: None,
        path: None,
    };
    let mut targets = vec![target(1, 0), target(2, 1), target(3, 1), target(4, 2), target(5, 2)];
    by_standing(&mut targets, |address| match address.to_string().as_str() {
        "192.0.2.1:25" | "192.0.2.5:25" => Standing::Down,
        "192.0.2.3:25" => Standing::Knows,
        _ => Standing::Fine,
    });
    let order: Vec<u8> =
        targets.iter().filter_map(|target| target.address.to_string().as_bytes().get(8).copied()).collect();
    assert_eq!(order, b"32415");
}

#[test]
fn greylisting_is_known_by_its_word() {
    for (code, text, expected) in [
        (450, "Greylisted, please try again in 300 seconds", true),
        (451, "4.7.1 Greylisting in action", true),
        (451, "temporarily graylisted", true),
        (450, "mailbox busy", false),
        (550, "greylisted for ever", false),
        (421, "greylisted", false),
    ] {
        assert_eq!(is_greylisting(&Reply::new(code, (4, 7, 1), "").with_text(text)), expected, "{code} {text}");
    }
}

/// The rules again, word by word and one record after the other.
fn oracle(records: &[(u16, String)], own: &str) -> Vec<(u16, String)> {
    let mut left = records.to_vec();
    while let Some(ours) = left.iter().position(|(_, host)| host == own) {
        let (limit, _) = left.remove(ours);
        left.retain(|(preference, _)| *preference < limit);
    }
    left.sort();
    left
}

proptest! {
    #[test]
    fn whoever_is_selected_is_better_than_ourselves_and_sorted(
        records in prop::collection::vec((0_u16..6, prop::sample::select(vec!["a", "b", "c", "d", OWN_NAME])), 1..12),
        seed in any::<u32>(),
    ) {
        let records: Vec<(u16, String)> = records.into_iter().map(|(preference, host)| (preference, host.to_owned())).collect();
        let expected = oracle(&records, OWN_NAME);
        let found = with_own(|own| select("x.example", Ok(records), own, &mut dice(seed)));
        match found {
            Err(reply) => {
                prop_assert_eq!(reply, LOOPS_BACK);
                prop_assert!(expected.is_empty());
            }
            Ok(exchangers) => {
                prop_assert!(exchangers.is_sorted_by_key(|one| one.preference));
                let mut got: Vec<_> = exchangers.into_iter().map(|one| (one.preference, one.host)).collect();
                got.sort();
                prop_assert_eq!(got, expected);
            }
        }
    }
}
