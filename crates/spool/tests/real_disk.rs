//! The spool on the disk of this machine, through its public door only.

use std::fs;
use std::path::Path;

use gatepost_mail::{Arrival, AuthAs, BodyType, Envelope, Mailbox, MessageId, Notify, Recipient, Return, ReversePath};
use gatepost_spool::{
    CommitError, OpenError, Options, Outcome, ReadError, Recovery, Spool, State, VerifyError, verify,
};

fn envelope(recipients: &[&str]) -> Envelope {
    let mailbox = |text| Mailbox::parse(text).expect("a legal address");
    Envelope {
        reverse_path: ReversePath::Mailbox(mailbox("\"a b\"@contoso.com")),
        recipients: recipients
            .iter()
            .map(|text| Recipient {
                mailbox: mailbox(text),
                notify: Notify { success: true, failure: false, delay: true, given: true },
                original_recipient: Some("rfc822;x@y.z".into()),
            })
            .collect(),
        body: BodyType::EightBitMime,
        smtputf8: true,
        ret: Some(Return::Headers),
        envid: Some("QQ314159".into()),
        arrival: Arrival {
            time_ms: 1_790_000_000_000,
            peer: Some("[2001:db8::1]:2525".parse().expect("an address")),
            connector: "Relay".into(),
            principal: "NT AUTHORITY\\ANONYMOUS LOGON".into(),
            auth_as: AuthAs::Anonymous,
            ..Arrival::default()
        },
    }
}

fn open(dir: &Path) -> (Spool, Recovery) {
    Spool::open(dir, Options::default()).expect("it opens")
}

fn accept(spool: &Spool, envelope: Envelope, content: &[u8]) -> MessageId {
    let mut staged = spool.stage();
    for piece in content.chunks(60_000) {
        staged.write(piece).expect("there is room");
    }
    assert_eq!(staged.len(), content.len() as u64);
    staged.commit(envelope, b"Received: by us\r\n".to_vec()).wait().expect("the disk works")
}

fn content_of(spool: &Spool, id: MessageId) -> Vec<u8> {
    let content = spool.message(id).expect("it is live").content;
    let mut whole = Vec::new();
    loop {
        let piece = content.read(whole.len() as u64, 70_000).expect("the disk works");
        if piece.is_empty() {
            assert_eq!(whole.len() as u64, content.len());
            return whole;
        }
        assert!(piece.len() <= 70_000);
        whole.extend_from_slice(&piece);
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered { reply: "250 2.0.0 OK".into(), time_ms: 1 }
}

fn with_trace(content: &[u8]) -> Vec<u8> {
    [b"Received: by us\r\n", content].concat()
}

fn bodies(dir: &Path) -> usize {
    fs::read_dir(dir.join("bodies")).expect("the folder is there").count()
}

#[test]
fn messages_small_and_large_are_the_same_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let (spool, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery { duration: recovery.duration, ..Recovery::default() });
    let large: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let contents = [&b""[..], b"Subject: hi\r\n\r\nhello\r\n", &large[..200_000], &large];
    let two = envelope(&["bob@contoso.com", "eve@[192.0.2.1]"]);
    let ids: Vec<_> = contents.iter().map(|content| accept(&spool, two.clone(), content)).collect();
    spool.settle(
        ids[1],
        vec![(0, delivered()), (1, Outcome::Deferred { reply: "451".into(), time_ms: 5, next_attempt_ms: 9 })],
    );
    let check = |spool: &Spool| {
        assert_eq!(spool.live(), ids);
        for (id, content) in ids.iter().zip(contents) {
            assert_eq!(content_of(spool, *id), with_trace(content));
            assert_eq!(*spool.message(*id).expect("it is live").envelope, two);
            assert_eq!(*spool.envelope(*id).expect("it is live").0, two);
        }
        let states = spool.message(ids[1]).expect("it is live").recipients;
        assert_eq!((states[0].state, states[0].attempts), (State::Delivered, 1));
        assert_eq!((states[1].state, states[1].last_reply.as_deref()), (State::Pending, Some("451")));
        assert_eq!((states[1].last_attempt_ms, states[1].next_attempt_ms), (5, 9));
        assert_eq!(spool.envelope(ids[1]).expect("it is live").1, states);
    };
    check(&spool);
    assert_eq!(bodies(dir.path()), 1);
    drop(spool);
    let (spool, recovery) = open(dir.path());
    assert_eq!((recovery.messages, spool.live()), (ids.len() as u64, ids.clone()));
    assert!(recovery.set_aside.is_empty() && recovery.torn_bytes == 0, "{recovery:?}");
    check(&spool);
    let next = accept(&spool, envelope(&["bob@contoso.com"]), b"later");
    assert!(next > ids[3], "numbers are never used again");
}

#[test]
fn a_settled_message_is_gone_with_its_body_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(dir.path());
    let id = accept(&spool, envelope(&["bob@contoso.com"]), &vec![b'x'; 600_000]);
    assert_eq!(spool.usage().messages, 1);
    spool.settle(id, vec![(0, delivered())]);
    assert!(!spool.is_live(id));
    assert!(matches!(spool.message(id), Err(ReadError::Unknown)));
    spool.close();
    spool.close();
    assert_eq!(bodies(dir.path()), 0);
    assert_eq!(open(dir.path()).1.messages, 0);
}

#[test]
fn what_is_discarded_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(dir.path());
    let mut staged = spool.stage();
    staged.write(&vec![b'x'; 600_000]).expect("there is room");
    assert_eq!(bodies(dir.path()), 1);
    drop(staged);
    assert_eq!(bodies(dir.path()), 0);
    // A crash leaves it for the next start.
    let mut staged = spool.stage();
    staged.write(&vec![b'x'; 600_000]).expect("there is room");
    spool.close();
    assert_eq!(open(dir.path()).1.removed_files, 1);
    assert_eq!(staged.commit(envelope(&["bob@contoso.com"]), Vec::new()).wait(), Err(CommitError::Closed));
}

#[test]
fn a_pipe_in_the_place_of_a_file_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).0.close();
    for name in ["FORMAT", "lock"] {
        let path = dir.path().join(name);
        let kept = fs::read(&path).expect("it is there");
        fs::remove_file(&path).expect("it goes");
        // No program: until it begins, a child holds the locks of spools that other tests have just closed.
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        let (tell, told) = std::sync::mpsc::channel();
        let folder = dir.path().to_path_buf();
        std::thread::spawn(move || tell.send(verify(&folder, |_| {}).is_ok()));
        let patience = std::time::Duration::from_secs(60);
        let is_read = told.recv_timeout(patience).unwrap_or_else(|_| panic!("{name}: still waiting"));
        assert_eq!(is_read, name == "lock", "{name}");
        fs::remove_file(&path).expect("it goes");
        fs::write(&path, kept).expect("it comes back");
    }
}

#[test]
fn a_second_server_is_refused_until_the_first_has_closed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (first, _) = open(dir.path());
    let refused = Spool::open(dir.path(), Options::default()).expect_err("it is locked");
    assert!(matches!(refused, OpenError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{refused:?}");
    assert!(refused.to_string().contains("in use by another server"), "{refused}");
    first.close();
    open(dir.path());
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).0.close();
    let format = dir.path().join("FORMAT");
    assert_eq!(fs::read_to_string(&format).expect("it was written"), "gatepost spool 1\n");
    fs::write(&format, "gatepost spool 2\n").expect("there is room");
    let refused = Spool::open(dir.path(), Options::default()).expect_err("it is newer");
    assert!(matches!(refused, OpenError::NewerFormat { found: 2, .. }), "{refused:?}");
    assert_eq!(fs::read_to_string(&format).expect("it is there"), "gatepost spool 2\n");
}

#[test]
fn the_reserve_is_made_once_and_again_when_it_is_missing() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("reserve");
    open(dir.path()).0.close();
    let first = fs::read(&path).expect("it was made");
    assert_eq!(first.len() as u64, Options::default().reserve_bytes);
    open(dir.path()).0.close();
    assert!(fs::read(&path).expect("it is there") == first, "it was left alone");
    fs::remove_file(&path).expect("it is there");
    fs::write(dir.path().join("reserve.tmp"), "half").expect("there is room");
    open(dir.path()).0.close();
    assert_eq!(fs::metadata(&path).expect("it was made").len(), first.len() as u64);
    assert!(!dir.path().join("reserve.tmp").exists());
}

#[test]
fn what_a_working_server_does_is_no_damage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options { inline_bytes_max: 1500, segment_bytes: 20_000, ..Options::default() };
    let (spool, _) = Spool::open(folder.path(), options).expect("it opens");
    let looks = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for i in 0..300_usize {
                let id = accept(&spool, envelope(&["r@contoso.com"]), &vec![b'x'; if i % 5 == 0 { 3000 } else { 400 }]);
                if i % 7 > 0 {
                    spool.settle(id, vec![(0, Outcome::Delivered { reply: "250 OK".into(), time_ms: 1 })]);
                }
            }
        });
        let mut looks = 0;
        while !writing.is_finished() {
            let verified = verify(folder.path(), |_| {}).expect("it can be read");
            assert!(verified.is_in_use && verified.is_sound() && verified.findings.is_empty(), "{verified:#?}");
            looks += 1;
        }
        looks
    });
    spool.close();
    let verified = verify(folder.path(), |_| {}).expect("it can be read");
    assert!(looks > 0 && verified.is_sound() && !verified.is_in_use, "{looks} looks, {verified:#?}");
    assert_eq!(verified.messages, 300 / 7 + 1);
}

#[test]
fn a_spool_is_found_in_its_folder_and_in_the_data_folder_and_nowhere_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = verify(folder.path(), |_| {}).expect_err("there is none");
    assert!(matches!(error, VerifyError::NoSpool(_)), "{error}");
    assert!(fs::read_dir(folder.path()).expect("it is readable").next().is_none(), "nothing was made");
    open(&folder.path().join("spool")).0.close();
    for dir in [folder.path().to_path_buf(), folder.path().join("spool")] {
        let verified = verify(&dir, |_| {}).expect("there is one");
        assert_eq!((verified.folder.as_path(), verified.messages), (folder.path().join("spool").as_path(), 0));
    }
}
