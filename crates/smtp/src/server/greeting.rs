//! Writes the greeting and the reply to EHLO and HELO: what the peer learns of us before it may do anything.

use std::io::Write;

use super::question::Profile;
use crate::extension::SizeOffer;

/// Writes the greeting.
pub(super) fn write_greeting(profile: &Profile, out: &mut Vec<u8>) {
    match &profile.banner {
        // A banner is one line, whatever was configured.
        Some(banner) => out.extend_from_slice(banner.lines().next().unwrap_or("220").as_bytes()),
        None => {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "220 {} Gatepost ESMTP MAIL Service ready at {}", profile.fqdn, profile.greeting_date);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the reply to EHLO or HELO; keywords in the order in which Exchange prints them (fact sheet section 3.3).
pub(super) fn write_hello(profile: &Profile, esmtp: bool, out: &mut Vec<u8>) {
    let mut keywords: Vec<&str> = Vec::new();
    let limit;
    let mechanisms;
    if esmtp {
        match profile.size {
            SizeOffer::Absent => {}
            SizeOffer::Bare => keywords.push("SIZE"),
            SizeOffer::Limit(bytes) => {
                limit = format!("SIZE {bytes}");
                keywords.push(&limit);
            }
        }
        let mut offer = |is_offered: bool, keyword| {
            if is_offered {
                keywords.push(keyword);
            }
        };
        offer(profile.pipelining, "PIPELINING");
        offer(profile.dsn, "DSN");
        offer(profile.enhanced_status_codes, "ENHANCEDSTATUSCODES");
        offer(profile.starttls, "STARTTLS");
        mechanisms = profile.auth.iter().fold("AUTH".to_owned(), |line, mechanism| line + " " + mechanism.as_str());
        offer(!profile.auth.is_empty(), &mechanisms);
        offer(profile.eight_bit_mime, "8BITMIME");
        offer(profile.offers_binary_mime(), "BINARYMIME");
        offer(profile.chunking, "CHUNKING");
        offer(profile.smtputf8, "SMTPUTF8");
        offer(profile.long_addresses, "XLONGADDR");
    }
    let mark = |is_last| if is_last { ' ' } else { '-' };
    let _ =
        write!(out, "250{}{} Hello [{}]\r\n", mark(keywords.is_empty()), profile.fqdn, profile.peer_ip.to_canonical());
    for (i, keyword) in keywords.iter().enumerate() {
        let _ = write!(out, "250{}{keyword}\r\n", mark(i + 1 == keywords.len()));
    }
}
