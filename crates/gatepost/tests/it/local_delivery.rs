//! Mail for our own mailboxes lands in their Maildirs, where other programs read it.

use gatepost_testkit::programs::{Swaks, read_maildir};
use gatepost_testkit::sink::Sink;
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

#[test]
fn mail_to_bob_lands_in_his_maildir_where_python_reads_it() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    let run = Swaks::new(HOST_2, site.smtp())
        .from("app@x.net")
        .to("Bob@Contoso.com")
        .content(&message("for bob", "From here it starts\r\n.\r\n..end"))
        .run();
    run.expect_taken();

    let mail = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_eq!(mail["folder"], "new");
    assert_eq!(mail["headers"]["Subject"], "for bob");
    // RFC 5321 section 4.4: final delivery notes the reverse-path.
    assert_eq!(mail["headers"]["Return-Path"], "<app@x.net>");
    assert!(mail["headers"]["Received"].as_str().expect("a trace").contains("by mail.contoso.com"));
    assert_eq!(mail["body"].as_str().expect("a body").replace("\r\n", "\n"), "From here it starts\n.\n..end\n\n");
    assert!(mail["defects"].as_array().expect("a list").is_empty(), "{mail}");
}

#[test]
fn one_message_reaches_local_and_outside_recipients_once_each() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    let mut client = site.client(HOST_2);
    let recipients = ["bob@contoso.com", "z@gmail.com", "alice@contoso.com", "q@partner.example"];
    client.submit("<a@x.net>", &recipients, &message("everywhere", "x"));
    for mailbox in ["bob@contoso.com", "alice@contoso.com"] {
        assert_eq!(site.wait_for_mail(mailbox, 1).len(), 1, "{mailbox}");
    }
    // One transaction carries both outside recipients: they share a next hop.
    let taken = sink.first();
    let paths: Vec<&str> = taken.recipients.iter().map(|path| path.split(' ').next().unwrap_or(path)).collect();
    assert_eq!(paths, ["<z@gmail.com>", "<q@partner.example>"]);
    wait::until("everything is at its end", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
    assert_eq!(sink.count(), 1);
}

#[test]
fn a_mailbox_gets_one_copy_however_often_and_by_whichever_name_it_is_asked_for() {
    let settings = CONTOSO.replace("[server]", "[server]\npostmaster = \"bob@contoso.com\"");
    let site = Site::start(&[&settings, OPEN_TO_TESTS]);
    let mut names = vec!["bob@contoso.com"; 50];
    names.extend(["BOB@contoso.com", "\"b\\ob\"@Contoso.com", "postmaster@contoso.com", "Postmaster"]);
    let reply = site.client(HOST_2).submit("<a@x.net>", &names, &message("once", "x"));
    assert_eq!(reply.code(), 250, "{reply}");
    wait::until("everything is at its end", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
    assert_eq!(site.wait_for_mail("bob@contoso.com", 1).len(), 1);
}

#[test]
fn a_maildir_that_lost_a_folder_is_made_whole() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    let mut client = site.client(HOST_2);
    client.submit("<a@x.net>", &["bob@contoso.com"], &message("first", "x"));
    site.wait_for_mail("bob@contoso.com", 1);
    let maildir = site.installation.data_dir().join("mailboxes").join("bob@contoso.com");
    for (folder, mails) in [("tmp", 2), ("cur", 3)] {
        std::fs::remove_dir(maildir.join(folder)).expect("it is there, and empty");
        client.submit("<a@x.net>", &["bob@contoso.com"], &message("next", "x"));
        site.wait_for_mail("bob@contoso.com", mails);
        assert!(maildir.join(folder).is_dir(), "{folder}");
    }
}

#[test]
fn mail_to_postmaster_is_kept_even_without_a_mailbox_of_that_name() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    site.client(HOST_2).submit("<>", &["Postmaster"], &message("help", "x"));
    let root = site.installation.data_dir().join("mailboxes");
    let found = wait::until("postmaster's mail", || {
        let folders = std::fs::read_dir(&root).ok()?.flatten();
        folders
            .map(|folder| folder.path())
            .find(|folder| std::fs::read_dir(folder.join("new")).is_ok_and(|mut messages| messages.next().is_some()))
    });
    let mail = read_maildir(&found).swap_remove(0);
    assert_eq!(mail["headers"]["Subject"], "help");
    assert_eq!(mail["headers"]["Return-Path"], "<>");
}
