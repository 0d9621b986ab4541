//! Content that is arriving: scanned, filtered and staged in one pass.
//!
//! Takes slices as the peer sends them. Hands on, at the end, what was staged without the header fields that the peer may
//! not bring, and what its header says as the peer sent it, so that no hop is missed. After a fault nothing is kept, and the
//! fault is told at the end, when the peer listens.

use gatepost_mail::header::{Header, Scanner};
use gatepost_mail::header_firewall::{Edit, HeaderFirewall, Organization, Rules};
use gatepost_mail::organization::Brought;
use gatepost_mail::rewrite::SENDER_FIELDS;
use gatepost_policy::access_entry::Rights;
use gatepost_policy::receive_connector::ReceiveConnector;
use gatepost_policy::{Refusal, limits};
use gatepost_spool::{StageError, Staged};

/// Content that is arriving.
pub struct Incoming {
    /// What is on the way to the disk, until a fault is found.
    staged: Result<Staged, Fault>,
    scanner: Scanner,
    /// What the peer may bring.
    rules: Rules,
    firewall: HeaderFirewall,
    size_bytes: u64,
}

/// Why the content will not be taken.
#[derive(Clone, Copy)]
pub enum Fault {
    Refused(Refusal),
    Disk(StageError),
}

/// Content that is complete.
pub struct Content {
    pub staged: Staged,
    pub header: Header,
    /// The organization headers that it brings and may bring.
    pub brought: Brought,
    /// How much the peer has sent.
    pub size_bytes: u64,
}

impl Incoming {
    /// Nothing has come yet.
    pub fn new(staged: Staged, scanner: Scanner, rules: Rules) -> Incoming {
        Incoming { staged: Ok(staged), scanner, rules, firewall: HeaderFirewall::new(rules), size_bytes: 0 }
    }

    /// The same, but sender fields go through `edit`.
    pub fn repairing(self, edit: Edit) -> Incoming {
        Incoming { firewall: self.firewall.watching(SENDER_FIELDS, edit), ..self }
    }

    /// How much the peer has sent, until a fault was found.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The next piece of the content.
    pub fn push(&mut self, bytes: &[u8], connector: &ReceiveConnector, rights: Rights) {
        let Ok(staged) = &mut self.staged else { return };
        self.size_bytes += bytes.len() as u64;
        self.scanner.push(bytes);
        let taken = match limits::message_size(connector, rights, self.size_bytes) {
            Err(refusal) => Err(Fault::Refused(refusal)),
            Ok(()) if self.scanner.is_too_large() => Err(Fault::Refused(Refusal::HeaderTooLarge)),
            Ok(()) => self.firewall.push(bytes, |kept| staged.write(kept)).map_err(Fault::Disk),
        };
        if let Err(fault) = taken {
            // What was staged is of no use any more: its room is given back at once.
            self.staged = Err(fault);
        }
    }

    /// The content is complete.
    ///
    /// # Errors
    /// The first fault that was found.
    pub fn finish(self) -> Result<Content, Fault> {
        let Incoming { staged, scanner, rules, firewall, size_bytes } = self;
        let mut staged = staged?;
        firewall.finish(|kept| staged.write(kept)).map_err(Fault::Disk)?;
        let header = scanner.finish();
        if header.too_large {
            return Err(Fault::Refused(Refusal::HeaderTooLarge));
        }
        let brought = if rules.organization == Organization::All { header.organization } else { Brought::default() };
        Ok(Content { staged, header, brought, size_bytes })
    }
}
