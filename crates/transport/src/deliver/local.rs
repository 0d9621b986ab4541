//! Delivery into mailboxes of this server: Maildir folders under `data_dir/mailboxes`.
//!
//! Takes a message and a mailbox, hands on a reply as a next hop would. A message is in the mailbox only when its file
//! and its folder entry are flushed.

use std::io::{self, BufWriter, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost_mail::header_firewall::HeaderFirewall;
use gatepost_mail::{AuthAs, Mailbox, Reply, from_field};
use gatepost_policy::route::{self, MailSource, Route};
use gatepost_policy::{Settings, header_firewall};
use gatepost_spool::Message;
use gatepost_spool::disk::{Disk, File};

use super::{Next, Worker};
use crate::blocking;
use crate::report::{Attempt, OnSuccess};

/// How much of a message is read at once, in bytes.
const PIECE_BYTES: usize = 256 << 10;

const DELIVERED: Reply = Reply::new(250, (2, 1, 5), "Delivered to the mailbox");
const DISK_FULL: Reply = Reply::new(452, (4, 3, 1), "Insufficient system resources");
const DISK_FAILED: Reply = Reply::new(451, (4, 3, 0), "The mailbox cannot be written");

/// Works on local recipients until there is nothing to do.
pub async fn work(worker: &Worker) {
    while let Next::Lease(lease) = worker.next().await {
        let settings = worker.running.revision().settings.clone();
        let mut jobs = Vec::new();
        let pending = lease.pending();
        for index in &pending {
            let Some(recipient) = lease.message.envelope.recipients.get(*index as usize) else { continue };
            let question = route::Question {
                settings: &settings,
                recipient: &recipient.mailbox,
                message_bytes: 0,
                source: MailSource::of(&lease.message.envelope),
            };
            if let Route::Local { mailbox } = route::select(&question) {
                let folder = settings.server.data_dir.join("mailboxes").join(&*mailbox.folder);
                jobs.push((*index, folder, recipient.mailbox.clone()));
            }
        }
        if jobs.len() != pending.len() {
            lease.route_again();
            continue;
        }
        let message = lease.message.clone();
        let disk = worker.running.disk.clone();
        let deliver_all = move || -> Vec<Attempt> {
            jobs.into_iter()
                .map(|(index, folder, recipient)| {
                    let reply = match deliver(&*disk, &folder, &message, index, &recipient, &settings) {
                        Ok(()) => DELIVERED,
                        Err(error) => {
                            tracing::error!(folder = %folder.display(), %error, "cannot write into a mailbox");
                            if error.kind() == io::ErrorKind::StorageFull { DISK_FULL } else { DISK_FAILED }
                        }
                    };
                    Attempt { index, reply, remote: None, on_success: OnSuccess::Delivered }
                })
                .collect()
        };
        match blocking::run(deliver_all).await {
            Ok(attempts) => lease.conclude(attempts).await,
            // The lease puts its entry to rest.
            Err(error) => tracing::error!(%error, "local delivery failed by a fault of ours"),
        }
    }
}

/// Writes one message into a Maildir: tmp, flush, rename to new, flush the folder.
///
/// The name is made of the queue id and the recipient's number, so that an attempt repeated after a crash replaces its
/// own file instead of adding another.
fn deliver(
    disk: &dyn Disk,
    maildir: &Path,
    message: &Message,
    index: u32,
    recipient: &Mailbox,
    settings: &Arc<Settings>,
) -> io::Result<()> {
    make_folders(disk, maildir)?;
    let seconds = message.envelope.arrival.time_ms / 1000;
    let milliseconds = message.envelope.arrival.time_ms % 1000;
    let host = settings.server.name.as_str().replace(['/', ':'], "_");
    let name = format!("{seconds}.M{milliseconds}Q{}R{index}.{host}", message.id);
    let temporary: PathBuf = maildir.join("tmp").join(&name);
    let file = match disk.create(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // An attempt of a former run was cut short.
            disk.remove(&temporary)?;
            disk.create(&temporary)?
        }
        file => file?,
    };
    let written = write_message(file, message, recipient, settings);
    if let Err(error) = written.and_then(|()| disk.rename(&temporary, &maildir.join("new").join(&name))) {
        let _ = disk.remove(&temporary);
        return Err(error);
    }
    disk.flush_folder(&maildir.join("new"))
}

/// Makes what is missing of a Maildir. A new one is flushed together with the two folders above it before it is used:
/// mail is no safer than the folder that holds it. `cur` comes last and says that this was done.
fn make_folders(disk: &dyn Disk, maildir: &Path) -> io::Result<()> {
    for folder in ["tmp", "new"] {
        disk.create_folder(&maildir.join(folder))?;
    }
    if !disk.has_folder(&maildir.join("cur")) {
        for folder in maildir.ancestors().take(3) {
            disk.flush_folder(folder)?;
        }
        disk.create_folder(&maildir.join("cur"))?;
    }
    Ok(())
}

/// A file as [`Write`] wants it.
struct Appending(Arc<dyn File>);

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(&mut [IoSlice::new(bytes)]).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_message(
    file: Arc<dyn File>,
    message: &Message,
    recipient: &Mailbox,
    settings: &Arc<Settings>,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, Appending(file));
    // RFC 5321 section 4.4: the last server writes the reverse-path into the message.
    write!(out, "Return-Path: {}\nDelivered-To: {recipient}\n", message.envelope.reverse_path)?;
    let mut offset = 0;
    let mut after_cr = false;
    let mut firewall = firewall(message, settings);
    loop {
        let piece = message.content.read(offset, PIECE_BYTES)?;
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        firewall.push(&piece, |kept| write_with_lf(&mut out, kept, &mut after_cr))?;
    }
    firewall.finish(|kept| write_with_lf(&mut out, kept, &mut after_cr))?;
    if after_cr {
        out.write_all(b"\r")?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.0.flush()
}

/// Takes out what does not stay in a mailbox; shows a sender of ours by the name that the recipient directory has. What
/// came from strangers keeps the name they gave themselves: it is not ours to vouch for.
fn firewall(message: &Message, settings: &Arc<Settings>) -> HeaderFirewall {
    let firewall = HeaderFirewall::new(header_firewall::DELIVERED);
    let envelope = &message.envelope;
    if envelope.arrival.auth_as != AuthAs::Internal {
        return firewall;
    }
    let (settings, smtputf8) = (settings.clone(), envelope.smtputf8);
    let show_name = move |field: &[u8]| {
        let sender = from_field::sole_mailbox(field)?;
        from_field::write(settings.directory.display_name(&sender)?, &sender, smtputf8)
    };
    firewall.watching(&["From"], Box::new(show_name))
}

/// Maildir holds lines as the system writes them: CRLF becomes LF. A CR at the end of a piece waits for the next.
fn write_with_lf(out: &mut impl Write, piece: &[u8], after_cr: &mut bool) -> io::Result<()> {
    let mut rest = piece;
    if *after_cr && !rest.is_empty() {
        *after_cr = false;
        if rest[0] != b'\n' {
            out.write_all(b"\r")?;
        }
    }
    while let Some(cr) = memchr::memchr(b'\r', rest) {
        out.write_all(&rest[..cr])?;
        match rest.get(cr + 1) {
            None => {
                *after_cr = true;
                return Ok(());
            }
            Some(b'\n') => {}
            Some(_) => out.write_all(b"\r")?,
        }
        rest = &rest[cr + 1..];
    }
    out.write_all(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::write_with_lf;

    fn in_pieces(content: &[u8], sizes: &[usize]) -> Vec<u8> {
        let (mut out, mut after_cr, mut rest) = (Vec::new(), false, content);
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            write_with_lf(&mut out, piece, &mut after_cr).expect("a Vec takes everything");
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        if after_cr {
            out.push(b'\r');
        }
        out
    }

    proptest! {
        #[test]
        fn crlf_becomes_lf_however_the_content_is_cut(
            content in prop::collection::vec(prop::sample::select(vec![b'\r', b'\n', b'a', b'.']), 0..40),
            sizes in prop::collection::vec(1usize..5, 1..4),
        ) {
            let text = String::from_utf8(content.clone()).expect("ASCII");
            prop_assert_eq!(in_pieces(&content, &sizes), text.replace("\r\n", "\n").into_bytes());
        }
    }
}
