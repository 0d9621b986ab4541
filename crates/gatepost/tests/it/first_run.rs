//! `gatepost serve` where there is nothing yet.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use gatepost_testkit::client::Client;
use gatepost_testkit::installation::{Installation, Server};
use gatepost_testkit::{port, wait};

use crate::site::{HOST_2, PROGRAM};

/// The first run in an empty folder, and what it printed. Its ports are fixed; where somebody else has them, the file
/// that it made is given others and it is run again.
fn first_run() -> (Server, Installation, String) {
    let installation = Installation::empty(PROGRAM);
    match installation.try_start() {
        Ok(server) => {
            let printed = server.log();
            (server, installation, printed)
        }
        Err(refused) => {
            assert!(refused.output.contains("in use"), "{}", refused.output);
            let ports = [(":2525", port::free()), (":2587", port::free()), (":8025", port::free())];
            let moved = |text: &str| {
                ports.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, &format!(":{to}")))
            };
            installation.write_settings(&moved(&installation.settings()));
            let server = installation.start();
            let printed = moved(&refused.output);
            (server, installation, printed)
        }
    }
}

#[test]
fn the_first_run_makes_a_safe_server_and_its_three_next_commands_work() {
    let (server, installation, printed) = first_run();
    assert!(installation.settings_file().exists());
    assert!(printed.contains("gatepost.toml") && printed.contains("data"), "it says where things are:\n{printed}");
    let mode = fs::metadata(installation.data_dir()).expect("the data folder").permissions().mode() & 0o007;
    assert_eq!(mode, 0, "others have no business in the data folder");

    let status = installation.json(&["status"]);
    let listeners: Vec<SocketAddr> = status["listeners"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|listener| listener["address"].as_str().and_then(|address| address.parse().ok()).expect("an address"))
        .collect();
    assert!(listeners.len() >= 2, "{listeners:?}");
    assert!(listeners.iter().all(|address| address.ip().is_loopback()), "loopback only: {listeners:?}");

    // It relays for nobody, on any of its ports.
    for address in listeners.iter().filter(|address| address.is_ipv4()) {
        let mut client = Client::greeted_from(HOST_2, *address);
        assert!(client.command("EHLO a").offers("STARTTLS"), "a certificate was made");
        if client.command("MAIL FROM:<a@x.net>").code() == 250 {
            assert_eq!(client.command("RCPT TO:<z@gmail.com>").to_string(), "550 5.7.1 Unable to relay");
        }
    }

    let commands = pasteable(&printed);
    assert_eq!(commands.len(), 3, "three next things to try:\n{printed}");
    for command in &commands {
        // Whoever has a terminal is asked for a password; here it comes by standard input.
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", command, "/dev/null"])
            .current_dir(installation.folder())
            .stdin(passwords())
            .output()
            .expect("run the command");
        assert!(output.status.success(), "{command}:\n{}", String::from_utf8_lossy(&output.stdout));
    }
    wait::until("the message of the second command", || {
        let folders = fs::read_dir(installation.data_dir().join("mailboxes")).ok()?.flatten();
        let mut new = folders.filter_map(|folder| fs::read_dir(folder.path().join("new")).ok());
        new.any(|mut messages| messages.next().is_some()).then_some(())
    });
    assert!(server.stop().success());

    // The second start finds everything in place and makes nothing.
    let before = installation.settings();
    let server = installation.start();
    assert_eq!(installation.settings(), before);
    assert!(server.stop().success());
}

/// The indented lines under the heading, without their comments.
fn pasteable(printed: &str) -> Vec<String> {
    let lines = printed.lines().skip_while(|line| !line.starts_with("Three things to try"));
    let commands = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with('#'));
    commands.map(str::to_owned).collect()
}

fn passwords() -> std::process::Stdio {
    let mut file = tempfile::tempfile().expect("a temporary file");
    std::io::Write::write_all(&mut file, b"correct horse\ncorrect horse\n").expect("write the passwords");
    std::io::Seek::rewind(&mut file).expect("rewind");
    file.into()
}
