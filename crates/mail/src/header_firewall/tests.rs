use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::header::{Scanner, fields};

const DELIVERY: Rules = Rules { organization: Organization::Delivered, forest: false, routing: true };

fn filter(rules: Rules, content: &[u8]) -> Vec<u8> {
    in_slices(HeaderFirewall::new(rules), content, &[usize::MAX])
}

fn in_slices(mut firewall: HeaderFirewall, content: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut passed = Vec::new();
    let mut rest = content;
    for size in sizes.iter().cycle() {
        let (slice, after) = rest.split_at((*size).min(rest.len()));
        let Ok(()) = firewall.push(slice, keep(&mut passed));
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let Ok(()) = firewall.finish(keep(&mut passed));
    passed
}

fn keep(passed: &mut Vec<u8>) -> impl FnMut(&[u8]) -> Result<(), Infallible> {
    infallible(|bytes| {
        assert!(!bytes.is_empty(), "nothing is no slice");
        passed.extend_from_slice(bytes);
    })
}

/// The content as it goes into the spool: behind fields of ours.
fn behind_trace(content: &[u8], passed: &[u8]) -> Vec<u8> {
    let mut scanner = Scanner::new(u64::MAX, "mail.contoso.com");
    scanner.push(content);
    let trace = if scanner.finish().size_bytes == 0 { &b"Trace: ours\r\n\r\n"[..] } else { b"Trace: ours\r\n" };
    [trace, passed].concat()
}

#[test]
fn each_family_passes_where_its_rule_says_so() {
    let organization = Rules { organization: Organization::All, ..Rules::NONE };
    let forest = Rules { forest: true, ..Rules::NONE };
    let routing = Rules { routing: true, ..Rules::NONE };
    for (name, passing) in [
        ("X-MS-Exchange-Organization-SCL", &[organization, DELIVERY][..]),
        ("x-ms-exchange-ORGANIZATION-authas", &[organization, DELIVERY]),
        ("X-MS-Exchange-Organization-AuthSource", &[organization, DELIVERY]),
        ("X-MS-Exchange-Organization-AuthMechanism", &[organization, DELIVERY]),
        ("X-MS-Exchange-Organization-AuthDomain", &[organization, DELIVERY]),
        ("X-MS-Exchange-Organization-OriginalArrivalTime", &[organization, DELIVERY]),
        ("X-MS-Exchange-Organization-OriginalSize", &[organization, DELIVERY]),
        ("X-MS-Exchange-Organization-Journal-Report", &[organization]),
        ("X-MS-Exchange-Organization-AuthAsX", &[organization]),
        ("X-MS-Exchange-Organization-", &[organization]),
        ("X-MS-Exchange-Forest-RulesExecuted", &[forest]),
        ("Received", &[routing, DELIVERY]),
        ("RECEIVED", &[routing, DELIVERY]),
        ("Resent-From", &[routing, DELIVERY]),
        ("resent-message-id", &[routing, DELIVERY]),
        ("Received-SPF", &[organization, forest, routing, DELIVERY, Rules::NONE]),
        ("X-Received", &[organization, forest, routing, DELIVERY, Rules::NONE]),
        ("Resent", &[organization, forest, routing, DELIVERY, Rules::NONE]),
        ("X-MS-Exchange-Organization", &[organization, forest, routing, DELIVERY, Rules::NONE]),
        ("X-MS-Exchange-CrossTenant-Id", &[organization, forest, routing, DELIVERY, Rules::NONE]),
        ("Subject", &[organization, forest, routing, DELIVERY, Rules::NONE]),
    ] {
        let content = format!("{name}: value\r\n continued\r\n\r\n{name}: body\r\n");
        for rules in [organization, forest, routing, DELIVERY, Rules::NONE] {
            let passes = passing.contains(&rules);
            assert_eq!(rules.passes(name), passes, "{name} under {rules:?}");
            let body = format!("\r\n{name}: body\r\n");
            let expected = if passes { &content } else { &body };
            assert_eq!(String::from_utf8_lossy(&filter(rules, content.as_bytes())), *expected, "under {rules:?}");
        }
        assert_eq!(filter(Rules::ALL, content.as_bytes()), content.as_bytes());
    }
}

#[test]
fn a_forbidden_field_goes_however_it_is_disguised() {
    let long = "x".repeat(3000);
    let (junk, padding) = ("\0".repeat(3000), " ".repeat(3000));
    for (content, expected) in [
        // The usual case.
        ("A: 1\r\nX-MS-Exchange-Organization-SCL: -1\r\nB: 2\r\n\r\nbody\r\n", "A: 1\r\nB: 2\r\n\r\nbody\r\n"),
        ("X-MS-Exchange-Organization-SCL: -1\r\nA: 1\r\n\r\n", "A: 1\r\n\r\n"),
        ("A: 1\r\nX-MS-Exchange-Organization-SCL: -1\r\n folded\r\n\ttwice\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"),
        ("A: 1\r\nX-MS-Exchange-Organization-SCL: -1", "A: 1\r\n"),
        ("A: 1\r\nX-MS-Exchange-Organization-SCL", "A: 1\r\n"),
        // What stands between the name and its colon, before the name and within it.
        ("A: 1\r\nX-MS-Exchange-Organization-SCL\x0b: -1\r\n\r\n", "A: 1\r\n\r\n"),
        ("A: 1\r\nX-MS-Exchange-Organization-SCL \t: -1\r\n\r\n", "A: 1\r\n\r\n"),
        ("A: 1\r\nX-MS-Exchange-Organization-SCL\0: -1\r\n\r\n", "A: 1\r\n\r\n"),
        ("A: 1\r\n\u{feff}X-MS-Exchange-Organization-SCL: -1\r\n\r\n", "A: 1\r\n\r\n"),
        ("A: 1\r\nX-MS-\0Exchange-\u{a0}Organization-SCL: -1\r\n\r\n", "A: 1\r\n\r\n"),
        // Folded before the colon, or within the name.
        ("A: 1\r\nX-MS-Exchange-Organization-SCL\r\n : -1\r\n\r\n", "A: 1\r\n\r\n"),
        ("A: 1\r\nX-MS-Exchange-\r\n Organization-SCL: -1\r\nB: 2\r\n\r\n", "A: 1\r\nX-MS-Exchange-\r\nB: 2\r\n\r\n"),
        // Behind a line that is no field, or as what continues one.
        ("A: 1\r\nno field\r\nX-MS-Exchange-Organization-SCL: -1\r\n\r\n", "A: 1\r\nno field\r\n\r\n"),
        ("A: 1\r\nno field\r\n X-MS-Exchange-Organization-SCL: -1\r\n\r\n", "A: 1\r\nno field\r\n\r\n"),
        // What continues a field is its value.
        ("A: 1\r\n X-MS-Exchange-Organization-SCL: -1\r\n\r\n", "A: 1\r\n X-MS-Exchange-Organization-SCL: -1\r\n\r\n"),
        // CR alone begins a line for some readers.
        ("A: 1\rX-MS-Exchange-Organization-SCL: -1\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"),
        ("A: 1\rX-MS-Exchange-Organization-SCL: -1\nB: 2\r\n\r\n", "A: 1\nB: 2\r\n\r\n"),
        ("A: 1\rX-MS-Exchange-Organization-SCL: -1\r\n more\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"),
        ("A: 1\r\n\rX-MS-Exchange-Organization-SCL: -1\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"),
        ("A: 1\r\rX-MS-Exchange-Organization-SCL: -1\r\nB: 2\r\n\r\n", "A: 1\r\r\nB: 2\r\n\r\n"),
        ("A: 1\r\nX-MS-Exchange-\rOrganization-SCL: -1\r\n\r\n", "A: 1\r\nX-MS-Exchange-\r\n\r\n"),
        ("A: 1\r2\r\n\r\n", "A: 1\r2\r\n\r\n"),
        ("A: 1\r", "A: 1\r"),
        // LF alone ends a line, and for some readers does not.
        ("A: 1\nX-MS-Exchange-Organization-SCL: -1\nB: 2\n\r\n\r\n", "A: 1\nB: 2\n\r\n\r\n"),
        ("A: 1\n\nX-MS-Exchange-Organization-SCL: -1\r\n\r\nbody", "A: 1\n\n\r\nbody"),
        ("A: 1\r\n\nX-MS-Exchange-Organization-SCL: -1\r\n\r\nbody", "A: 1\r\n\n\r\nbody"),
        // Behind the section, everything is as it came.
        ("A: 1\r\n\r\nX-MS-Exchange-Organization-SCL: -1\r\n", "A: 1\r\n\r\nX-MS-Exchange-Organization-SCL: -1\r\n"),
        ("\r\nX-MS-Exchange-Organization-SCL: -1\r\n", "\r\nX-MS-Exchange-Organization-SCL: -1\r\n"),
        // No header section at all: another one is put in front.
        ("no field\r\nX-MS-Exchange-Organization-SCL: -1\r\n", "no field\r\nX-MS-Exchange-Organization-SCL: -1\r\n"),
        (" A: 1\r\nX-MS-Exchange-Organization-SCL: -1\r\n", " A: 1\r\nX-MS-Exchange-Organization-SCL: -1\r\n"),
        ("X-MS-Exchange-Organization-SCL\x0b: -1\r\n", "X-MS-Exchange-Organization-SCL\x0b: -1\r\n"),
        // Longer than anything that is held.
        (
            &format!("A: 1\r\nX-MS-Exchange-Organization-{long}: {long}\r\n {long}\r\nB: 2\r\n\r\n"),
            "A: 1\r\nB: 2\r\n\r\n",
        ),
        (
            &format!("A: 1\r\nX-MS-Exchange-Organization-SCL{padding}: -1\r\n more\r\nB: 2\r\n\r\n"),
            "A: 1\r\nB: 2\r\n\r\n",
        ),
        (
            &format!("A: 1\r\n{junk}X-MS-Exchange-Organization-SCL: -1\r\nB: 2\r\n\r\n"),
            &format!("A: 1\r\n{junk}X-MS-Exchange-Organization-SCL\r\nB: 2\r\n\r\n"),
        ),
        ("", ""),
        ("\r", "\r"),
        ("A", "A"),
    ] {
        for sizes in [&[usize::MAX][..], &[1], &[2], &[3, 7]] {
            let passed = in_slices(HeaderFirewall::new(Rules::NONE), content.as_bytes(), sizes);
            assert_eq!(String::from_utf8_lossy(&passed), expected, "of {content:?} in slices of {sizes:?}");
        }
    }
}

#[test]
fn other_fields_are_passed_as_slices_of_the_content() {
    let content = b"A: 1\r\nB: 2\r\n folded\r\nX-Mailer: x\r\nReply-To: y\r\n\r\nbody\r\n";
    let mut slices = Vec::new();
    let mut firewall = HeaderFirewall::new(Rules::NONE);
    let Ok(()) = firewall.push(content, infallible(|bytes| slices.push((bytes.as_ptr(), bytes.len()))));
    assert_eq!(slices, [(content.as_ptr(), content.len())], "one slice, and it is the caller's");
    assert!(firewall.is_past_section());
}

#[test]
fn the_watched_field_is_given_whole_and_what_is_made_of_it_takes_its_place() {
    let long = format!("From: {}\r\n", "x".repeat(WATCHED_BYTES_MAX));
    for (content, expected) in [
        ("From: a@b\r\nA: 1\r\n\r\nFrom: body\r\n", "From: <From: a@b|>\r\nA: 1\r\n\r\nFrom: body\r\n"),
        ("A: 1\r\nfrom:\r\n a@b\r\n\r\n", "A: 1\r\nFrom: <from:| a@b|>\r\n\r\n"),
        ("A: 1\r\nFrom: a\r\nFrom: b\r\n\r\n", "A: 1\r\nFrom: <From: a|>\r\nFrom: <From: b|>\r\n\r\n"),
        ("A: 1\nFrom: a\n\n", "A: 1\nFrom: <From: a>\r\n\n"),
        ("A: 1\r\nFrom: a", "A: 1\r\nFrom: <From: a>\r\n"),
        ("From: a", "From: <From: a>\r\n"),
        // Not touched: no plain field, one that the edit leaves, one that is too long, one with a CR alone.
        ("A: 1\r\nFrom : a\r\n\r\n", "A: 1\r\nFrom : a\r\n\r\n"),
        ("A: 1\r\nFrom: keep\r\n folded\r\nB: 2\r\n\r\n", "A: 1\r\nFrom: keep\r\n folded\r\nB: 2\r\n\r\n"),
        ("A: 1\r\nFrom: a\rb\r\nB: 2\r\n\r\n", "A: 1\r\nFrom: a\rb\r\nB: 2\r\n\r\n"),
        ("A: 1\r\nFrom: a\rReceived: b\r\nB: 2\r\n\r\n", "A: 1\r\nFrom: a\r\nB: 2\r\n\r\n"),
        ("A: 1\r\nFrom: a\r\n\tb\r\nReceived: c\r\n\r\n", "A: 1\r\nFrom: <From: a|\tb|>\r\n\r\n"),
        (&format!("{long}A: 1\r\n\r\n"), &format!("{long}A: 1\r\n\r\n")),
        ("A: 1\r\n B: 2\r\n From: a\r\n\r\n", "A: 1\r\n B: 2\r\n From: a\r\n\r\n"),
        ("A: 1\r\n\nFrom: a\r\n\r\n", "A: 1\r\n\nFrom: a\r\n\r\n"),
    ] {
        for sizes in [&[usize::MAX][..], &[1], &[2], &[5000]] {
            let edit = |field: &[u8]| {
                let text = std::str::from_utf8(field).expect("ASCII").replace("\r\n", "|").replace('\n', "");
                (!text.contains("keep")).then(|| format!("From: <{text}>\r\n").into_bytes())
            };
            let firewall = HeaderFirewall::new(Rules::NONE).watching(&["From"], Box::new(edit));
            let passed = in_slices(firewall, content.as_bytes(), sizes);
            assert_eq!(String::from_utf8_lossy(&passed), expected, "of {content:?} in slices of {sizes:?}");
        }
    }
}

/// A reader of mail: where its lines end.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// At CRLF and nowhere else.
    Crlf,
    /// At LF, with or without CR.
    Lf,
    /// At CR too.
    Any,
    /// At CRLF, once bytes that are not to be there have been taken out.
    Cleaning,
}

impl Reader {
    fn lines(self, content: &[u8]) -> Vec<Vec<u8>> {
        let text: String = content.iter().map(|byte| char::from(*byte)).collect();
        let lines: Vec<String> = match self {
            Reader::Crlf => text.split("\r\n").map(str::to_owned).collect(),
            Reader::Lf => text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect(),
            Reader::Any => text.replace("\r\n", "\n").replace('\r', "\n").split('\n').map(str::to_owned).collect(),
            Reader::Cleaning => {
                let lines = text.split("\r\n");
                lines.map(|line| line.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0' | '\x0b')).collect()).collect()
            }
        };
        lines.into_iter().map(|line| line.chars().map(|c| c as u8).collect()).collect()
    }

    /// Names of all that this reader could take for a field, with whatever it could trim from them trimmed.
    fn names(self, content: &[u8]) -> Vec<String> {
        let mut unfolded: Vec<Vec<u8>> = Vec::new();
        for line in self.lines(content).into_iter().take_while(|line| !line.is_empty()) {
            match unfolded.last_mut() {
                Some(last) if matches!(line[0], b' ' | b'\t') => last.extend(line),
                _ => unfolded.push(line),
            }
        }
        let name = |line: &Vec<u8>| {
            let end = line.iter().position(|byte| *byte == b':')?;
            let printable = line[..end].iter().filter(|byte| byte.is_ascii_graphic());
            Some(printable.map(|byte| char::from(byte.to_ascii_lowercase())).collect())
        };
        unfolded.iter().filter_map(name).collect()
    }
}

fn is_forbidden(name: &str) -> bool {
    let families = ["x-ms-exchange-organization-", "x-ms-exchange-forest-", "resent-"];
    name == "received" || families.iter().any(|family| name.starts_with(family))
}

fn any_content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"X-MS-Exchange-Organization-SCL"[..],
        b"x-ms-exchange-organization-AuthAs: Internal",
        b"X-MS-Exchange-",
        b"Organization-SCL: 1",
        b"X-MS-EXCHANGE-Forest-A:",
        b"Received",
        b"Received: from",
        b"Resent-To: a",
        b"Subject: b",
        b"From: a@b",
        b"A",
        b":",
        b": ",
        b" ",
        b"\t",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n ",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\x0b",
        b"\xff",
        b"text",
    ]);
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_division_into_slices_gives_the_same(
        content in any_content(),
        sizes in prop::collection::vec(1usize..9, 1..5),
        rules in prop::sample::select(vec![Rules::NONE, Rules::ALL, DELIVERY]),
    ) {
        let watching = || HeaderFirewall::new(rules).watching(&["From"], Box::new(|_| Some(b"From: c@d\r\n".to_vec())));
        prop_assert_eq!(in_slices(HeaderFirewall::new(rules), &content, &sizes), filter(rules, &content));
        prop_assert_eq!(in_slices(watching(), &content, &sizes), in_slices(watching(), &content, &[usize::MAX]));
    }

    #[test]
    fn no_reader_sees_a_forbidden_field(content in any_content()) {
        let passed = behind_trace(&content, &filter(Rules::NONE, &content));
        for reader in [Reader::Crlf, Reader::Lf, Reader::Any, Reader::Cleaning] {
            let forbidden: Vec<String> = reader.names(&passed).into_iter().filter(|name| is_forbidden(name)).collect();
            prop_assert_eq!(forbidden, Vec::<String>::new(), "by {:?} in {:?}", reader, passed.escape_ascii().to_string());
        }
    }

    #[test]
    fn what_passes_is_unchanged_and_in_order(content in any_content()) {
        // CR and LF that stand alone come with BINARYMIME only.
        let text: String = content.iter().map(|byte| char::from(*byte)).collect();
        let text = text.replace("\r\n", "\0\0").replace(['\r', '\n'], "").replace("\0\0", "\r\n");
        let content: Vec<u8> = text.chars().map(|c| c as u8).collect();
        let section = |content: &[u8]| {
            let passed = behind_trace(content, content);
            fields(&passed).map(|field| (field.name.to_owned(), field.value.to_owned())).collect::<Vec<_>>()
        };
        let expected: Vec<_> =
            section(&content).into_iter().filter(|(name, _)| !is_forbidden(&name.to_lowercase())).collect();
        let passed = behind_trace(&content, &filter(Rules::NONE, &content));
        let seen: Vec<_> = fields(&passed).map(|field| (field.name.to_owned(), field.value.to_owned())).collect();
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(filter(Rules::ALL, &content), content);
    }

    #[test]
    fn nothing_is_left_to_do_for_a_second_firewall(content in any_content()) {
        for rules in [Rules::NONE, DELIVERY] {
            let once = behind_trace(&content, &filter(rules, &content));
            prop_assert_eq!(filter(rules, &once), once.clone(), "{}", once.escape_ascii());
        }
    }
}
