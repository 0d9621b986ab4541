//! A disk that is full, has no files left or is read-only: mail is refused with 452 4.3.1, nothing that was accepted is
//! lost, and service resumes by itself. Each on a small file system of its own, which only root can mount.

use std::net::{Ipv4Addr, SocketAddr};

use gatepost_testkit::client::{Client, Reply};
use gatepost_testkit::installation::{Installation, Server};
use gatepost_testkit::sink::Setup;
use gatepost_testkit::volume::Volume;
use gatepost_testkit::{port, wait};

use crate::back_pressure::{resource, wait_for_level};
use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, PROGRAM, Ports, QUICK_RETRY, message, to_sink};

const REFUSED: &str = "452 4.3.1 Insufficient system resources";

/// An installation whose data folder is a file system of its own. Dropped in this order.
struct Small {
    server: Option<Server>,
    volume: Volume,
    installation: Installation,
    ports: Ports,
    next_hop: SocketAddr,
}

impl Small {
    /// Not started; `None` where nothing can be mounted.
    fn prepare(options: &str) -> Option<Small> {
        let (ports, next_hop) = (Ports::free(), SocketAddr::from((Ipv4Addr::LOCALHOST, port::free())));
        let smart_host = to_sink(&format!("[{}]:{}", next_hop.ip(), next_hop.port()));
        let settings = [CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &smart_host].concat();
        let installation = Installation::new(PROGRAM, &ports.fill(&settings));
        let volume = Volume::mount(&installation.data_dir(), options)?;
        Some(Small { server: None, volume, installation, ports, next_hop })
    }

    fn start(options: &str) -> Option<Small> {
        let mut small = Small::prepare(options)?;
        small.run();
        Some(small)
    }

    fn run(&mut self) {
        self.server = Some(self.installation.start());
    }

    fn kill(&mut self) {
        self.server.take().expect("it runs").kill();
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    fn client(&self) -> Client {
        Client::greeted_from(HOST_2, self.ports.address("smtp"))
    }

    /// Sends a message with a body of so many lines; the reply that decided.
    fn submit(&self, client: &mut Client, subject: &str, lines: usize) -> Reply {
        let reply = client.command("MAIL FROM:<a@x.net>");
        if reply.code() != 250 {
            return reply;
        }
        assert_eq!(client.command("RCPT TO:<z@gmail.com>").code(), 250);
        assert_eq!(client.command("DATA").code(), 354);
        let line = "0123456789abcdef".repeat(4) + "\r\n";
        client.send(&(message(subject, &line.repeat(lines)) + ".\r\n"));
        client.reply()
    }

    /// Submits messages until one is refused; the subjects of the others.
    fn submit_until_refused(&self, prefix: &str, lines: usize) -> Vec<String> {
        let mut client = self.client();
        for i in 0..10_000 {
            let reply = self.submit(&mut client, &format!("{prefix}-{i}"), lines);
            if reply.code() != 250 {
                assert!(reply.to_string().starts_with(REFUSED), "{reply}");
                return (0..i).map(|i| format!("{prefix}-{i}")).collect();
            }
        }
        panic!("the disk never was full");
    }

    /// Waits until a message is taken, by a server that was not started anew.
    fn wait_until_taken(&self, subject: &str) {
        let mut client = self.client();
        wait::until("a message is taken again", || match self.submit(&mut client, subject, 1) {
            reply if reply.code() == 250 => Some(()),
            reply => {
                assert!(reply.to_string().starts_with(REFUSED), "{reply}");
                None
            }
        });
    }

    /// The next hop comes up; every message arrives once, and no other.
    fn expect_to_arrive(&self, mut subjects: Vec<String>) {
        let sink = Setup::new().at(self.next_hop).start();
        let taken = sink.wait_for(subjects.len());
        let mut arrived: Vec<String> = taken
            .iter()
            .map(|message| {
                let text = message.text();
                let (_, rest) = text.split_once("Subject: ").expect("a subject");
                rest.split("\r\n").next().unwrap_or_default().to_owned()
            })
            .collect();
        subjects.sort();
        arrived.sort();
        assert_eq!(arrived, subjects);
    }
}

#[test]
fn a_disk_that_others_fill_refuses_mail_until_they_are_done() {
    let Some(mut small) = Small::start("size=24m") else { return };
    let mut client = small.client();
    assert_eq!(small.submit(&mut client, "before", 1).code(), 250);
    small.volume.fill();
    let mut subjects = small.submit_until_refused("while-full", 100);
    wait_for_level(&small.installation, "UsedDiskSpace[spool]", "high");
    assert!(small.installation.output(&["status"]).contains("all mail is refused"));
    small.server().wait_for_log("low disk", |line| line["event_id"] == 15006 && line["level"] == "ERROR");
    // Nothing is lost with the process either, and it comes back to the same disk.
    small.kill();
    small.run();
    assert_eq!(small.installation.json(&["status"])["spool"]["messages"], 1 + subjects.len());
    let reply = small.submit(&mut small.client(), "refused", 1);
    assert!(reply.to_string().starts_with(REFUSED), "{reply}");

    small.volume.empty();
    small.wait_until_taken("afterwards");
    assert_eq!(resource(&small.installation, "UsedDiskSpace[spool]")["level"], "normal");
    subjects.extend(["before".to_owned(), "afterwards".to_owned()]);
    small.expect_to_arrive(subjects);
}

#[test]
fn a_disk_that_mail_fills_empties_itself_with_its_deliveries() {
    let Some(small) = Small::start("size=24m") else { return };
    // Small ones into the log, and large ones with files of their own.
    let mut subjects = small.submit_until_refused("large", 6_000);
    subjects.extend(small.submit_until_refused("small", 30));
    assert!(subjects.len() > 20, "{subjects:?}");
    small.expect_to_arrive(subjects);
    small.wait_until_taken("afterwards");
}

#[test]
fn a_disk_without_files_refuses_mail_until_there_are_some_even_if_the_server_is_killed_meanwhile() {
    let Some(mut small) = Small::start("size=24m,nr_inodes=120") else { return };
    let mut client = small.client();
    assert_eq!(small.submit(&mut client, "before", 1).code(), 250);
    small.volume.use_up_files();
    wait_for_level(&small.installation, "UsedFiles[spool]", "high");
    let reply = small.submit(&mut client, "large", 6_000);
    assert!(reply.to_string().starts_with(REFUSED), "{reply}");
    for _ in 0..3 {
        small.kill();
        small.volume.use_up_files();
        small.run();
        let reply = small.submit(&mut small.client(), "refused", 1);
        assert!(reply.to_string().starts_with(REFUSED), "{reply}");
    }
    small.volume.empty();
    small.wait_until_taken("afterwards");
    small.expect_to_arrive(vec!["before".to_owned(), "afterwards".to_owned()]);
}

#[test]
fn a_start_on_a_read_only_disk_says_so_and_changes_nothing() {
    let Some(mut small) = Small::start("size=24m") else { return };
    assert_eq!(small.submit(&mut small.client(), "before", 1).code(), 250);
    small.kill();
    small.volume.remount("ro");
    let refused = small.installation.try_start().err().expect("it cannot run there");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.output.contains("ead-only file system"), "{}", refused.output);
    assert!(refused.output.contains(&small.installation.data_dir().display().to_string()), "{}", refused.output);
    // It can be looked at all the same.
    let verified = small.installation.json(&["spool", "verify"]);
    assert_eq!((&verified["sound"], &verified["messages"]), (&true.into(), &1.into()));
    small.volume.remount("rw");
    small.run();
    small.expect_to_arrive(vec!["before".to_owned()]);
}
