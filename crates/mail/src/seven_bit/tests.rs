use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

/// Converts, cut into slices of at most so many bytes.
fn convert(content: &[u8], slice_bytes: usize) -> Result<Vec<u8>, Obstacle> {
    let mut survey = Survey::default();
    content.chunks(slice_bytes).for_each(|slice| survey.push(slice));
    let mut converter = SevenBit::new(survey.finish()?);
    let mut converted = Vec::new();
    let mut out = |bytes: &[u8]| converted.extend_from_slice(bytes);
    content.chunks(slice_bytes).for_each(|slice| converter.push(slice, &mut out));
    converter.finish(&mut out);
    Ok(converted)
}

fn check(content: &str, expected: Result<&str, Obstacle>) {
    for slice_bytes in [1, 2, 3, 7, 100_000] {
        let converted = convert(content.replace('\n', "\r\n").as_bytes(), slice_bytes);
        let converted = converted.map(|bytes| String::from_utf8(bytes).expect("seven bits").replace("\r\n", "\n"));
        assert_eq!(converted.as_deref().map_err(|obstacle| *obstacle), expected, "slices of {slice_bytes}");
    }
}

#[test]
fn text_becomes_quoted_printable() {
    check(
        "Subject: a\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße = a \nend\n",
        Ok("Subject: a\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
            Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe =3D a=20\nend\n"),
    );
}

#[test]
fn a_text_without_mime_says_that_it_is_one_now() {
    check(
        "Subject: a\n\nGrüße\n",
        Ok("Subject: a\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n\
            Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n"),
    );
}

#[test]
fn parts_with_seven_bits_and_what_is_between_stay_as_they_are() {
    check(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"a b\"\nContent-Transfer-Encoding: 8bit\n\npreamble\n--a b\n\
         \nplain\n--a b  \nContent-Type: image/png\nContent-Transfer-Encoding: binary\n (really)\nX-Other: 1\n\n\u{e4}\n\n\
         --a b--\nepilogue\n",
        Ok(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"a b\"\nContent-Transfer-Encoding: 7bit\n\npreamble\n--a b\n\
            \nplain\n--a b  \nContent-Type: image/png\nX-Other: 1\nContent-Transfer-Encoding: base64\n\nw6QNCg==\n\
            --a b--\nepilogue\n",
        ),
    );
}

#[test]
fn messages_within_messages_are_converted_inside() {
    check(
        "MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: inner\n\
         Content-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/html\n\n<p>\u{e9}\n--x--\n",
        Ok("MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: inner\n\
            Content-Type: multipart/alternative; boundary=x\nContent-Transfer-Encoding: 7bit\n\n--x\nContent-Type: text/html\n\
            Content-Transfer-Encoding: quoted-printable\n\n<p>=C3=A9\n--x--\n"),
    );
}

#[test]
fn a_line_end_that_no_boundary_follows_is_content() {
    let inner = |header: &str| format!("MIME-Version: 1.0\nContent-Type: {header}Content-Type: image/png\n");
    let message = inner("message/rfc822\n\n");
    let message = (message.clone(), message.replacen("rfc822\n", "rfc822\nContent-Transfer-Encoding: 7bit\n", 1));
    let unended = inner("multipart/mixed; boundary=x\n\n--x\n");
    let unended = (unended.clone(), unended.replacen("=x\n", "=x\nContent-Transfer-Encoding: 7bit\n", 1));
    for (header, converted) in [message, unended] {
        let converted = format!("{converted}Content-Transfer-Encoding: base64\n\nw6kNCg==");
        check(&format!("{header}\n\u{e9}\n"), Ok(&converted));
    }
}

#[test]
fn what_must_not_change_is_refused() {
    let signed = "MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=x\n\n--x\n\n";
    check(&format!("{signed}\u{e9}\n--x--\n"), Err(Obstacle::Sealed));
    check(&format!("{signed}e\n--x--\n"), Ok(&format!("{signed}e\n--x--\n")));
    for (content, obstacle) in [
        ("Content-Transfer-Encoding: base64\n\n\u{e9}\n", Obstacle::Encoding),
        ("Content-Transfer-Encoding: x-uuencode\n\n\u{e9}\n", Obstacle::Encoding),
        ("Content-Type: multipart/mixed\n\n\u{e9}\n", Obstacle::Structure),
        ("Content-Type: multipart/mixed; boundary=x\n\n\u{e9}\n--y\n", Obstacle::Structure),
        ("Content-Type: message/delivery-status\n\n\u{e9}\n", Obstacle::Structure),
        ("Content-Type: message/partial; id=1\n\n\u{e9}\n", Obstacle::Structure),
    ] {
        check(content, Err(obstacle));
    }
}

#[test]
fn whatever_has_seven_bits_needs_no_plan() {
    for content in ["", "\r\n", "Subject: a\r\n\r\nb\r\n", "no header at all\r\n", "Subject: \u{e9}\r\n\r\nb\r\n"] {
        let mut survey = Survey::default();
        survey.push(content.as_bytes());
        assert!(survey.finish().expect("no obstacle").is_empty(), "{content:?}");
    }
}

#[test]
fn lines_are_short_and_keep_their_blanks() {
    for text in
        ["\u{e9}".repeat(200), format!("{}\u{e9}", " ".repeat(200)), format!("\u{e9}{}\t \r\nx ", "=".repeat(75))]
    {
        let content = format!("MIME-Version: 1.0\r\n\r\n{text}");
        let converted = convert(content.as_bytes(), 10).expect("no obstacle");
        let converted = String::from_utf8(converted).expect("seven bits");
        for line in converted.lines() {
            assert!(line.len() <= 76 && !line.ends_with([' ', '\t']), "{line:?}");
        }
        let body = converted.split_once("\r\n\r\n").expect("a body").1;
        assert_eq!(quoted_printable(body.as_bytes()), text.as_bytes());
    }
}

// A plain reader, which has all of a message at once.

fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(text.to_vec()).expect("seven bits").replace("=\r\n", "");
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        if *first == b'=' {
            let hex = std::str::from_utf8(&behind[..2]).expect("two digits");
            decoded.push(u8::from_str_radix(hex, 16).expect("two digits"));
            rest = &behind[2..];
        } else {
            decoded.push(*first);
            rest = behind;
        }
    }
    decoded
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The decoded leaves of a message, in order.
fn leaves(message: &[u8], found: &mut Vec<Vec<u8>>) {
    let end = find(message, b"\r\n\r\n").expect("a header section");
    let header = String::from_utf8_lossy(&message[..end]).into_owned();
    let mut body = &message[end + 4..];
    let field = |name: &str| header.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
    let media = field("Content-Type:");
    if media == "message/rfc822" {
        return leaves(body, found);
    }
    if let Some((_, boundary)) = media.split_once("boundary=") {
        let delimiter = format!("\r\n--{boundary}");
        let start = find(body, &delimiter.as_bytes()[2..]).expect("a first part");
        body = &body[start + delimiter.len() - 2..];
        while let Some(part) = body.strip_prefix(b"\r\n") {
            let end = find(part, delimiter.as_bytes()).expect("the part's end");
            leaves(&part[..end], found);
            body = &part[end + delimiter.len()..];
        }
        return;
    }
    found.push(match field("Content-Transfer-Encoding:") {
        "quoted-printable" => quoted_printable(body),
        "base64" => {
            let text: Vec<u8> = body.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).copied().collect();
            STANDARD.decode(text).expect("base64")
        }
        _ => body.to_vec(),
    });
}

#[derive(Clone, Debug)]
enum Part {
    Leaf(&'static str, &'static str, Vec<u8>),
    Message(Box<Part>),
    Multipart(Vec<Part>),
}

fn part() -> impl Strategy<Value = Part> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        // Much of what hurts: ends of lines, blanks before them, equal signs, dots and dashes.
        prop::collection::vec(prop::sample::select(b"\r\n \t=.-a\xe9\0".to_vec()), 0..300),
        "[a-z ]{0,80}(\r\n[a-z -]{0,80}){0,5}".prop_map(String::into_bytes),
    ];
    let leaf = (
        prop::sample::select(vec!["text/plain", "text/html; charset=x", "image/png", "application/pkcs7-mime", ""]),
        prop::sample::select(vec!["8bit", "binary", "7bit", ""]),
        bytes,
    );
    leaf.prop_map(|(media, transfer, bytes)| Part::Leaf(media, transfer, bytes)).prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| Part::Message(Box::new(part))),
            prop::collection::vec(inner, 1..4).prop_map(Part::Multipart),
        ]
    })
}

/// Writes a part; each multipart has a boundary that nothing else holds.
fn write(part: &Part, boundaries: &mut u32, out: &mut Vec<u8>) {
    match part {
        Part::Leaf(media, transfer, bytes) => {
            for (name, value) in [("Content-Type", media), ("Content-Transfer-Encoding", transfer)] {
                if !value.is_empty() {
                    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
            }
            out.extend_from_slice(b"X-End: 1\r\n\r\n");
            out.extend_from_slice(bytes);
        }
        Part::Message(part) => {
            out.extend_from_slice(b"Content-Type: message/rfc822\r\n\r\n");
            write(part, boundaries, out);
        }
        Part::Multipart(parts) => {
            *boundaries += 1;
            let boundary = format!("=_{boundaries}_");
            out.extend_from_slice(
                format!("Content-Type: multipart/mixed; boundary={boundary}\r\n\r\npreamble\r\n").as_bytes(),
            );
            for part in parts {
                out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
                write(part, boundaries, out);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(format!("--{boundary}--\r\nepilogue").as_bytes());
        }
    }
}

proptest! {
    #[test]
    fn whoever_decodes_gets_the_bytes_that_were_there(part in part(), slice_bytes in 1_usize..200) {
        let mut content = b"MIME-Version: 1.0\r\n".to_vec();
        write(&part, &mut 0, &mut content);
        let converted = convert(&content, slice_bytes);
        let converted = converted.expect("nothing is sealed");
        prop_assert!(converted.is_ascii() && !converted.contains(&0));
        prop_assert!(converted.split(|byte| *byte == b'\n').all(|line| line.len() <= LINE_BYTES_MAX + 1));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        leaves(&content, &mut before);
        leaves(&converted, &mut after);
        prop_assert_eq!(before, after);
        let again = convert(&converted, 1_000);
        prop_assert_eq!(again.as_deref(), Ok(converted.as_slice()), "what has seven bits stays as it is");
    }

    #[test]
    fn no_content_is_too_strange(content in prop::collection::vec(any::<u8>(), 0..2_000), slice_bytes in 1_usize..100) {
        if let Ok(converted) = convert(&content, slice_bytes) {
            prop_assert_eq!(convert(&content, 5_000), Ok(converted), "however it is cut");
        }
    }
}
