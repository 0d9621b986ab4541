//! The recipients that live here (fact sheet section 4.2), and postmaster, who always does (RFC 5321 section 4.5.1).
//!
//! Takes an address, hands on the local mailbox that it belongs to. Knows nothing of files but a safe folder name.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use gatepost_mail::{Domain, Mailbox};

use crate::accepted_domain::AcceptedDomains;

/// Longest folder name of a mailbox, in bytes: a file name has at most 255, and tools like to append to it.
pub const FOLDER_BYTES_MAX: usize = 240;

/// One `[[mailbox]]`, or the built-in one of postmaster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalMailbox {
    /// The address as declared.
    pub address: Mailbox,
    /// The name of its Maildir under `data_dir/mailboxes`: safe as one path component, unique per mailbox, at most
    /// [`FOLDER_BYTES_MAX`] bytes.
    pub folder: Box<str>,
    /// Where its address stands in the settings document, in bytes; empty for the built-in one.
    pub span: Range<usize>,
}

impl LocalMailbox {
    /// A mailbox, unless its folder name would be longer than [`FOLDER_BYTES_MAX`].
    pub fn new(address: Mailbox, span: Range<usize>) -> Option<LocalMailbox> {
        let folder = folder_name(&key(&address));
        (folder.len() <= FOLDER_BYTES_MAX).then(|| LocalMailbox { address, folder: folder.into(), span })
    }
}

/// All local mailboxes, ready to be looked up.
#[derive(Clone, Debug)]
pub struct Directory {
    mailboxes: HashMap<Box<str>, Arc<LocalMailbox>>,
    postmaster: Arc<LocalMailbox>,
    server: Domain,
}

impl Directory {
    /// Builds the table. Mail to postmaster at `server` or at an authoritative domain goes to `postmaster` if it is
    /// given, else to a mailbox of its own in the folder `postmaster`.
    pub fn new(
        mailboxes: impl IntoIterator<Item = LocalMailbox>,
        server: Domain,
        postmaster: Option<&Mailbox>,
    ) -> Directory {
        let mailboxes: HashMap<Box<str>, Arc<LocalMailbox>> =
            mailboxes.into_iter().map(|mailbox| (key(&mailbox.address).into_boxed_str(), Arc::new(mailbox))).collect();
        let postmaster = postmaster.and_then(|address| mailboxes.get(key(address).as_str())).cloned();
        let postmaster = postmaster.unwrap_or_else(|| {
            let address = Mailbox::new("postmaster", server.clone()).expect("postmaster is a legal local part");
            Arc::new(LocalMailbox { address, folder: "postmaster".into(), span: 0..0 })
        });
        Directory { mailboxes, postmaster, server }
    }

    /// The declared mailbox of this address, in any case of its local part.
    pub fn find(&self, address: &Mailbox) -> Option<&Arc<LocalMailbox>> {
        self.mailboxes.get(key(address).as_str())
    }

    /// Where mail to this address is delivered locally: its declared mailbox, or postmaster's if it is
    /// [`Directory::is_postmaster`].
    pub fn resolve(&self, address: &Mailbox, domains: &AcceptedDomains) -> Option<&Arc<LocalMailbox>> {
        self.find(address).or_else(|| self.is_postmaster(address, domains).then_some(&self.postmaster))
    }

    /// Whether this address is that of our postmaster: at the server's own name or at an authoritative domain.
    pub fn is_postmaster(&self, address: &Mailbox, domains: &AcceptedDomains) -> bool {
        address.local_part_key() == "postmaster"
            && (*address.domain() == self.server || domains.is_authoritative(address.domain()))
    }

    /// The mailbox that mail to postmaster goes to where postmaster has none of its own.
    pub fn postmaster(&self) -> &Arc<LocalMailbox> {
        &self.postmaster
    }

    /// Every local mailbox, in no particular order, without the built-in one of postmaster.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<LocalMailbox>> {
        self.mailboxes.values()
    }
}

/// Mailboxes are equal where these texts are.
fn key(address: &Mailbox) -> String {
    let mut key = address.local_part_key();
    key.push('@');
    key.push_str(address.domain().as_str());
    key
}

/// Percent-encodes everything that is not plainly safe in a file name; injective, since `%` is encoded too. It always
/// holds an `@`, so it is never `.`, `..` or `postmaster`.
fn folder_name(key: &str) -> String {
    use std::fmt::Write;
    let mut name = String::with_capacity(key.len());
    for (i, byte) in key.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'@' | b'_' | b'-' | b'+' | b'=' => name.push(byte.into()),
            // A dot in front would hide the folder.
            b'.' if i > 0 => name.push('.'),
            _ => write!(name, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    name
}
