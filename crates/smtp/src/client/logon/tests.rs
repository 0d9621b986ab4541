//! The examples of the standards, and servers that lie.

use super::*;

fn logon(user: &str, password: &str, nonce: &str) -> Logon {
    // The nonces of the standards' examples are shorter or no base64, so these are put in behind.
    let nonce = STANDARD.decode(nonce).ok().and_then(|nonce| nonce.try_into().ok()).unwrap_or([0; NONCE_BYTES]);
    Logon {
        user: user.to_owned(),
        password: password.to_owned(),
        mechanisms: LogonMechanism::INSIDE_TLS.into_iter().collect(),
        may_be_in_clear: true,
        nonce,
    }
}

fn decoded(text: &str) -> String {
    String::from_utf8(STANDARD.decode(text).expect("base64")).expect("text")
}

/// RFC 7677 section 3: its nonce is 18 bytes of base64.
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

#[test]
fn the_example_of_rfc_7677_ends_well_and_with_any_other_last_word_it_does_not() {
    // 15 bytes there; ours has 18, so the message is made of the example's parts.
    let logon = logon("user", "pencil", "");
    let scram = |hash| {
        let mut scram = Scram::new(hash, &logon, true);
        scram.use_nonce("user", NONCE);
        scram
    };
    let mut sound = scram(Hash::Sha256);
    assert_eq!(sound.client_first(), format!("n,,n=user,r={NONCE}"));
    let last = sound.answer(SERVER_FIRST, "pencil").expect("it makes sense").expect("not the end");
    assert_eq!(
        last,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    assert_eq!(sound.answer(SERVER_FINAL, "pencil"), Ok(None));
    for lie in ["v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "v=", "v=%", "e=invalid-proof", "", "x"] {
        let mut scram = scram(Hash::Sha256);
        scram.answer(SERVER_FIRST, "pencil").expect("it makes sense");
        assert_eq!(scram.answer(lie, "pencil"), Err(Fault::Unproven), "{lie}");
    }
    // Another password: the same last word proves nothing.
    let mut other = scram(Hash::Sha256);
    other.answer(SERVER_FIRST, "pencil2").expect("it makes sense");
    assert_eq!(other.answer(SERVER_FINAL, "pencil2"), Err(Fault::Unproven));
}

/// RFC 5802 section 5.
#[test]
fn the_example_of_rfc_5802_ends_well() {
    let nonce = "fyko+d2lbbFgONRv9qkxdawL";
    let mut scram = Scram::new(Hash::Sha1, &logon("user", "pencil", nonce), false);
    assert_eq!(scram.client_first(), format!("n,,n=user,r={nonce}"));
    let server_first = format!("r={nonce}3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
    let last = scram.answer(&server_first, "pencil").expect("it makes sense").expect("not the end");
    assert_eq!(last, format!("c=biws,r={nonce}3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="));
    assert_eq!(scram.answer("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", "pencil"), Ok(None));
}

#[test]
fn a_challenge_that_is_none_or_asks_too_much_or_too_little_ends_the_logon() {
    let nonce = "fyko+d2lbbFgONRv9qkxdawL";
    let first = |rest: &str| format!("r={nonce}{rest}");
    for (server_first, is_in_tls, expected) in [
        (first("x,s=QSXCR+Q6sek8bf92,i=4096"), false, None),
        (first("x,s=QSXCR+Q6sek8bf92,i=4096,extension"), false, None),
        (first("x,s=QSXCR+Q6sek8bf92,i=4095"), true, None),
        (first("x,s=QSXCR+Q6sek8bf92,i=4095"), false, Some(Fault::TooWeak)),
        (first("x,s=QSXCR+Q6sek8bf92,i=250001"), true, Some(Fault::TooCostly)),
        (first("x,s=QSXCR+Q6sek8bf92,i=0"), true, Some(Fault::Challenge)),
        (first("x,s=QSXCR+Q6sek8bf92,i=-1"), true, Some(Fault::Challenge)),
        (first("x,s=,i=4096"), true, Some(Fault::Challenge)),
        (first("x,s=!,i=4096"), true, Some(Fault::Challenge)),
        (first("x,i=4096"), true, Some(Fault::Challenge)),
        // Without a part of its own, or with another one of ours.
        (first(",s=QSXCR+Q6sek8bf92,i=4096"), true, Some(Fault::Challenge)),
        ("r=other,s=QSXCR+Q6sek8bf92,i=4096".to_owned(), true, Some(Fault::Challenge)),
        (format!("m=x,{}", first("x,s=QSXCR+Q6sek8bf92,i=4096")), true, Some(Fault::Challenge)),
        (String::new(), true, Some(Fault::Challenge)),
    ] {
        let mut scram = Scram::new(Hash::Sha256, &logon("user", "pencil", nonce), is_in_tls);
        assert_eq!(scram.answer(&server_first, "pencil").err(), expected, "{server_first}");
    }
}

#[test]
fn success_before_the_server_has_proven_itself_is_none() {
    let logon = logon("user", "pencil", "fyko+d2lbbFgONRv9qkxdawL");
    let (attempt, command) = Attempt::begin(LogonMechanism::ScramSha256, &logon, true);
    assert_eq!(
        decoded(command.strip_prefix("AUTH SCRAM-SHA-256 ").expect("a command")),
        "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
    );
    assert_eq!(attempt.succeed(), Err(Fault::Unproven));
    let (mut attempt, _) = Attempt::begin(LogonMechanism::ScramSha256, &logon, true);
    let first = STANDARD.encode("r=fyko+d2lbbFgONRv9qkxdawLxyz,s=QSXCR+Q6sek8bf92,i=4096");
    attempt.answer(&first, &logon).expect("it makes sense");
    assert_eq!(attempt.succeed(), Err(Fault::Unproven));
}

#[test]
fn plain_login_and_cram_md5_say_what_their_standards_say() {
    let tim = logon("tim", "tanstaaftanstaaf", "");
    let (attempt, command) = Attempt::begin(LogonMechanism::Plain, &tim, true);
    assert_eq!(decoded(command.strip_prefix("AUTH PLAIN ").expect("a command")), "\0tim\0tanstaaftanstaaf");
    assert_eq!(attempt.succeed(), Ok(()));

    let (mut attempt, command) = Attempt::begin(LogonMechanism::Login, &tim, true);
    assert_eq!(command, "AUTH LOGIN");
    assert_eq!(attempt.answer("VXNlcm5hbWU6", &tim).as_deref().map(decoded), Ok("tim".to_owned()));
    assert_eq!(attempt.answer("UGFzc3dvcmQ6", &tim).as_deref().map(decoded), Ok("tanstaaftanstaaf".to_owned()));
    assert_eq!(attempt.answer("", &tim), Err(Fault::Challenge), "there is nothing left to say");

    // RFC 2195 section 2.
    let (mut attempt, command) = Attempt::begin(LogonMechanism::CramMd5, &tim, true);
    assert_eq!(command, "AUTH CRAM-MD5");
    let challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
    let answer = attempt.answer(challenge, &tim).map(|answer| decoded(&answer));
    assert_eq!(answer, Ok("tim b913a602c7eda7a495b4e6e7334d3890".to_owned()));
    assert_eq!(attempt.succeed(), Ok(()));
}

#[test]
fn the_best_of_what_is_offered_and_allowed_is_taken() {
    for (offered, in_tls, in_clear) in [
        ("PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256 CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256"),
        ("LOGIN scram-sha-1 PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1"),
        ("CRAM-MD5 LOGIN PLAIN", "PLAIN", "CRAM-MD5"),
        ("CRAM-MD5 LOGIN XOAUTH2", "LOGIN", "CRAM-MD5"),
        ("CRAM-MD5 GSSAPI", "CRAM-MD5", "CRAM-MD5"),
        ("NTLM GSSAPI", "", ""),
    ] {
        let mut mechanisms = LogonMechanisms::default();
        offered.split(' ').for_each(|name| mechanisms.note(name));
        let best = |is_in_tls| mechanisms.best(is_in_tls).map_or("", LogonMechanism::as_str);
        assert_eq!((best(true), best(false)), (in_tls, in_clear), "{offered}");
    }
}

#[test]
fn names_with_marks_of_the_message_are_escaped_and_no_password_is_shown() {
    let odd = logon("a=b,c", "hunter2", "");
    assert!(Scram::new(Hash::Sha256, &odd, true).client_first().starts_with("n,,n=a=3Db=2Cc,r="));
    assert!(!format!("{odd:?}").contains("hunter2"));
}
