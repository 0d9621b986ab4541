//! `gatepost spool verify`: says of a spool whether it is sound, beside a running server and without one.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use gatepost_testkit::installation::{Server, text_of};
use gatepost_testkit::port;

use crate::site::{HOST_2, Site, message};

/// A server whose next hop is down, with three messages in its queue, one of them with a body of its own.
fn waiting() -> Site {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let site = Site::relaying_to(&format!("[{}]:{}", nobody.ip(), nobody.port()));
    for (subject, lines) in [("first", 1), ("large", 9000), ("last", 1)] {
        let body = format!("This is the {subject} message. It is here to be found.\r\n").repeat(lines);
        site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message(subject, &body));
    }
    site
}

#[test]
fn a_spool_is_verified_beside_its_server_and_without_it() {
    let site = waiting();
    let beside = site.installation.json(&["spool", "verify"]);
    assert_eq!((&beside["sound"], &beside["in_use"], &beside["messages"]), (&true.into(), &true.into(), &3.into()));
    assert_eq!(beside["bodies"], 1, "{beside}");
    assert_eq!(site.installation.json(&["status"])["spool"]["messages"], 3);

    let Site { server, installation, .. } = site;
    server.kill();
    let text = installation.output(&["spool", "verify", "data"]);
    assert!(text.contains("3 messages") && text.contains("Sound") && !text.contains("while a server"), "{text}");
}

#[test]
fn what_is_damaged_is_named_with_its_place_and_exit_code_5() {
    let Site { server, installation, .. } = waiting();
    Server::kill(server);
    let spool = installation.data_dir().join("spool");
    // The middle of the large body, and of the first message in the log.
    let body = fs::read_dir(spool.join("bodies")).expect("a folder").flatten().next().expect("a body").path();
    let segment = fs::read_dir(spool.join("log")).expect("a folder").flatten().next().expect("a segment").path();
    for (file, marker) in [(&body, "here to be found"), (&segment, "the first message")] {
        let mut content = fs::read(file).expect("readable");
        let at = content.windows(marker.len()).position(|window| window == marker.as_bytes()).expect("it is there");
        content[at] ^= 1;
        fs::write(file, content).expect("write it back");
    }
    let verified = installation.run(&["spool", "verify", "--json"]);
    assert_eq!(verified.status.code(), Some(5), "{}", text_of(&verified));
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!((&report["sound"], &report["damaged"]), (&false.into(), &2.into()));
    let places: Vec<_> = report["findings"].as_array().expect("a list").iter().map(|found| &found["file"]).collect();
    assert_eq!(places, [segment.to_str().expect("UTF-8"), body.to_str().expect("UTF-8")]);
    let shown = installation.run(&["spool", "verify"]);
    assert_eq!(shown.status.code(), Some(5));
    let text = text_of(&shown);
    assert!(text.contains("the content of message") && text.contains("ask its sender to send it again"), "{text}");

    // A start says the same, and keeps copies.
    let server = installation.start();
    assert_eq!(installation.run(&["spool", "verify", "data/spool"]).status.code(), Some(5));
    server.wait_for_log("damage", |line| line["message"].as_str().is_some_and(|text| text.contains("damaged")));
    assert_eq!(server.stop().code(), Some(0));
    let text = text_of(&installation.run(&["spool", "verify"]));
    assert!(text.contains("An earlier start has set it aside"), "{text}");
}

#[test]
fn a_folder_without_a_spool_is_no_sound_spool() {
    let site = waiting();
    let verified = site.installation.run(&["spool", "verify", "/proc"]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(text_of(&verified).contains("there is no spool in /proc"), "{}", text_of(&verified));
}

#[test]
fn a_spool_that_may_not_be_looked_into_is_named_and_not_a_folder_beside_it() {
    let site = waiting();
    // Nobody, not even root, may follow it.
    std::os::unix::fs::symlink("loop", site.installation.folder().join("loop")).expect("a link to itself");
    let told = text_of(&site.installation.run(&["spool", "verify", "loop"]));
    assert!(told.contains("loop/spool/log"), "{told}");
}
