//! The recipients that are known here: mailboxes, contacts and distribution groups with all their addresses
//! (fact sheet sections 4.1 and 4.2), and postmaster, who always is (RFC 5321 section 4.5.1).
//!
//! Takes an address, hands on the recipient that it belongs to and what mail to it leads to. A look-up allocates nothing.
//! Knows nothing of files but a safe folder name.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use gatepost_mail::{Domain, Mailbox};
use hashbrown::HashTable;

use crate::accepted_domain::AcceptedDomains;
use crate::access_entry::Trustee;

mod reach;

use reach::Reach;
pub use reach::{End, RECIPIENTS_MAX};

/// Longest folder name of a mailbox, in bytes: a file name has at most 255, and tools like to append to it.
pub const FOLDER_BYTES_MAX: usize = 240;
/// The folder of the built-in mailbox; that of every other holds an `@`.
const BUILT_IN_FOLDER: &str = "postmaster";

/// One `[[mailbox]]`, `[[contact]]` or `[[distribution_group]]`, or the built-in mailbox of postmaster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRecipient {
    /// The primary address, as declared.
    pub address: Mailbox,
    /// How people see it.
    pub display_name: Option<Box<str>>,
    /// Its other addresses.
    pub aliases: Vec<Mailbox>,
    /// Whether only senders inside the organization may write to it.
    pub require_sender_authentication: bool,
    /// Who may write as it: users and groups of users.
    pub send_as: Vec<Trustee>,
    /// Who may write on its behalf: users and groups of users.
    pub send_on_behalf: Vec<Trustee>,
    /// What it is.
    pub kind: RecipientKind,
}

impl KnownRecipient {
    /// A recipient with nothing but an address.
    pub fn new(address: Mailbox, kind: RecipientKind) -> KnownRecipient {
        KnownRecipient {
            address,
            display_name: None,
            aliases: Vec::new(),
            require_sender_authentication: false,
            send_as: Vec::new(),
            send_on_behalf: Vec::new(),
            kind,
        }
    }

    /// Whether nobody declared it: the mailbox that postmaster has where it is nobody else's.
    pub fn is_built_in(&self) -> bool {
        self.mailbox().is_some_and(|mailbox| &*mailbox.folder == BUILT_IN_FOLDER)
    }

    /// All its addresses, the primary one first.
    pub fn addresses(&self) -> impl Iterator<Item = &Mailbox> {
        std::iter::once(&self.address).chain(&self.aliases)
    }

    /// Its mailbox, if it has one here.
    pub fn mailbox(&self) -> Option<&Arc<LocalMailbox>> {
        match &self.kind {
            RecipientKind::Mailbox(mailbox) => Some(mailbox),
            RecipientKind::Contact { .. } | RecipientKind::Group { .. } => None,
        }
    }
}

/// What a known recipient is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientKind {
    /// A mailbox here.
    Mailbox(Arc<LocalMailbox>),
    /// Somebody elsewhere.
    Contact {
        /// Where.
        external_address: Mailbox,
    },
    /// A distribution group.
    Group {
        /// Addresses of recipients here or anywhere, as declared.
        members: Vec<Mailbox>,
    },
}

/// A mailbox of this server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalMailbox {
    /// The primary address of its recipient.
    pub address: Mailbox,
    /// The name of its Maildir under `data_dir/mailboxes`: safe as one path component, unique per mailbox, at most
    /// [`FOLDER_BYTES_MAX`] bytes.
    pub folder: Box<str>,
}

impl LocalMailbox {
    /// A mailbox, unless its folder name would be longer than [`FOLDER_BYTES_MAX`].
    pub fn new(address: Mailbox) -> Option<LocalMailbox> {
        let folder = folder_name(&address.key());
        (folder.len() <= FOLDER_BYTES_MAX).then(|| LocalMailbox { address, folder: folder.into() })
    }
}

/// Why an address belongs to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FoundBy {
    /// It is the primary address.
    Address,
    /// It is one of the aliases.
    Alias,
    /// It is that of postmaster, who has no recipient of that address.
    Postmaster,
    /// Nobody in its domain has it, and the domain has a recipient for such mail.
    CatchAll,
}

/// The recipient of an address, with what mail to it leads to.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Who.
    pub recipient: &'a Arc<KnownRecipient>,
    /// Why.
    pub by: FoundBy,
    directory: &'a Directory,
    place: u32,
}

impl<'a> Found<'a> {
    /// Its number among the recipients of the directory: equal where the recipients are.
    pub fn place(&self) -> u32 {
        self.place
    }

    /// Where its address stands in the settings document, in bytes; empty where it stands nowhere.
    pub fn span(&self) -> Range<usize> {
        self.directory.spans.get(self.place as usize).cloned().unwrap_or_default()
    }

    /// How many recipients mail to it has at its end: 1 for a mailbox or a contact, for a group those of all its members,
    /// each counted once. At most [`RECIPIENTS_MAX`] in settings that were accepted; not counted further than one more.
    pub fn end_count(&self) -> usize {
        match self.recipient.kind {
            RecipientKind::Mailbox(_) => 1,
            RecipientKind::Contact { .. } | RecipientKind::Group { .. } => self.directory.end_count_of(self.place),
        }
    }

    /// Whether mail to it ends anywhere: groups can lead to nothing but each other. Always so in settings that were
    /// accepted.
    pub fn leads_somewhere(&self) -> bool {
        self.directory.reach[self.place as usize].leads_somewhere
    }

    /// Itself or the nearest recipient behind it that senders outside the organization may not write to.
    pub fn closed_by(&self) -> Option<&'a Arc<KnownRecipient>> {
        let place = self.directory.reach[self.place as usize].closed_by?;
        Some(&self.directory.recipients[place as usize])
    }

    /// Where mail to it ends: mailboxes here and addresses elsewhere, each once, members in the place of their group. The
    /// second value says whether the way there leads through a group.
    pub fn ends(&self) -> Vec<(End<'a>, bool)> {
        self.directory.ends_of(self.place)
    }
}

/// All known recipients, ready to be looked up.
#[derive(Clone, Debug)]
pub struct Directory {
    /// As declared; behind them the built-in postmaster, if there is no other.
    recipients: Vec<Arc<KnownRecipient>>,
    /// Where the declared ones stand. Apart from them: a line more in the document makes no other recipients.
    spans: Vec<Range<usize>>,
    /// For each of `recipients`.
    reach: Vec<Reach>,
    /// Places of recipients, by each of their addresses.
    places: HashTable<Address>,
    hasher: RandomState,
    /// Whether an address may be declared twice.
    may_have_twins: bool,
    postmaster: u32,
    server: Domain,
}

/// An address of a recipient. A look-up touches the table and the key, and nothing of the recipient itself: in a large
/// directory little else is in the processor's cache.
#[derive(Clone, Debug)]
struct Address {
    /// Kept, so that the table grows without another look at the key.
    hash: u64,
    /// Equal for addresses of the same mailbox.
    key: Box<str>,
    place: u32,
    /// 0: the primary address, else the alias before this.
    number: u32,
}

impl Directory {
    /// Builds the table of recipients with the places of their addresses. Mail to postmaster at `server` or at an authoritative domain goes to the mailbox of `postmaster` if
    /// there is one, else to a mailbox of its own in the folder `postmaster`. Of two recipients with the same address the
    /// first counts; the settings reader refuses the second.
    pub fn new(
        declared: impl IntoIterator<Item = (Arc<KnownRecipient>, Range<usize>)>,
        server: Domain,
        postmaster: Option<&Mailbox>,
        domains: &AcceptedDomains,
    ) -> Directory {
        let (recipients, spans) = declared.into_iter().unzip();
        let mut directory = Directory {
            recipients,
            spans,
            reach: Vec::new(),
            places: HashTable::new(),
            hasher: RandomState::default(),
            may_have_twins: false,
            postmaster: 0,
            server,
        };
        // As many as there are primary ones, at least.
        directory.places.reserve(directory.recipients.len(), |slot| slot.hash);
        for place in 0..directory.recipients.len() {
            directory.insert(place as u32);
        }
        let declared = postmaster.and_then(|address| directory.place_of(address));
        let declared = declared.filter(|address| directory.recipients[address.place as usize].mailbox().is_some());
        directory.postmaster = match declared {
            Some(Address { place, .. }) => *place,
            None => {
                let address = Mailbox::new("postmaster", directory.server.clone()).expect("a legal local part");
                let mailbox = Arc::new(LocalMailbox { address: address.clone(), folder: BUILT_IN_FOLDER.into() });
                let built_in = KnownRecipient::new(address, RecipientKind::Mailbox(mailbox));
                directory.recipients.push(Arc::new(built_in));
                directory.spans.len() as u32
            }
        };
        directory.reach = reach::of_all(&directory, domains);
        directory
    }

    /// The same with one recipient more.
    pub fn with(&self, recipient: KnownRecipient, domains: &AcceptedDomains) -> Directory {
        let postmaster = self.postmaster().address.clone();
        let declared = self.declared().chain([(Arc::new(recipient), 0..0)]);
        Directory::new(declared, self.server.clone(), Some(&postmaster), domains)
    }

    /// The same with one recipient changed: the declared one that has this address, if there is one.
    pub fn with_changed(
        &self,
        address: &Mailbox,
        change: impl FnOnce(&mut KnownRecipient),
        domains: &AcceptedDomains,
    ) -> Option<Directory> {
        let postmaster = self.postmaster().address.clone();
        let mut declared: Vec<_> = self.declared().collect();
        let (recipient, _) = declared.get_mut(self.place_of(address)?.place as usize)?;
        change(Arc::make_mut(recipient));
        Some(Directory::new(declared, self.server.clone(), Some(&postmaster), domains))
    }

    /// The declared recipient that has this address as its primary one or as an alias, in any case of its local part.
    pub fn find(&self, address: &Mailbox) -> Option<&Arc<KnownRecipient>> {
        self.place_of(address).map(|found| &self.recipients[found.place as usize])
    }

    /// Who gets mail to this address, if that is somebody known here: the declared recipient, else postmaster if it is
    /// [`Directory::is_postmaster`], else the catch-all recipient of its domain.
    pub fn resolve(&self, address: &Mailbox, domains: &AcceptedDomains) -> Option<Found<'_>> {
        if let Some(Address { place, number, .. }) = self.place_of(address) {
            return Some(self.found(*place, if *number == 0 { FoundBy::Address } else { FoundBy::Alias }));
        }
        if self.is_postmaster(address, domains) {
            return Some(self.found(self.postmaster, FoundBy::Postmaster));
        }
        let catch_all = domains.find(address.domain())?.catch_all_recipient.as_ref()?;
        Some(self.found(self.place_of(catch_all)?.place, FoundBy::CatchAll))
    }

    /// How people see the recipient of this address.
    pub fn display_name(&self, address: &Mailbox) -> Option<&str> {
        self.find(address)?.display_name.as_deref()
    }

    /// Whether this address is that of our postmaster: at the server's own name or at an authoritative domain.
    pub fn is_postmaster(&self, address: &Mailbox, domains: &AcceptedDomains) -> bool {
        address.has_local_part_key("postmaster")
            && (*address.domain() == self.server || domains.is_authoritative(address.domain()))
    }

    /// The recipient that mail to postmaster goes to where postmaster has none of its own; it has a mailbox.
    pub fn postmaster(&self) -> &Arc<KnownRecipient> {
        &self.recipients[self.postmaster as usize]
    }

    /// The declared recipients: mailboxes, contacts, groups, each in the order of the document.
    pub fn recipients(&self) -> &[Arc<KnownRecipient>] {
        &self.recipients[..self.spans.len()]
    }

    /// Where the address of each of them stands in the settings document, in bytes.
    pub fn spans(&self) -> &[Range<usize>] {
        &self.spans
    }

    fn declared(&self) -> impl Iterator<Item = (Arc<KnownRecipient>, Range<usize>)> {
        self.recipients.iter().cloned().zip(self.spans.iter().cloned())
    }

    /// Whether two declared recipients may have the same address. Where it is false none have.
    pub fn may_have_twins(&self) -> bool {
        self.may_have_twins
    }

    /// The recipients that have more than [`RECIPIENTS_MAX`] at their end.
    pub fn too_large(&self) -> impl Iterator<Item = Found<'_>> {
        let is_possible = self.ends_in_all() > RECIPIENTS_MAX;
        self.iter().filter(move |found| is_possible && found.end_count() > RECIPIENTS_MAX)
    }

    /// The declared recipients with what lies behind them, in the same order.
    pub fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        (0..self.spans.len() as u32).map(|place| self.found(place, FoundBy::Address))
    }

    /// The declared recipients that lead to an address elsewhere which is sought, in the same order. Every member of every
    /// group is looked at once, however they are nested.
    pub fn leading_to(&self, is_sought: impl Fn(&Mailbox) -> bool) -> impl Iterator<Item = Found<'_>> {
        let leads = self.lead_to(is_sought);
        self.iter().zip(leads).filter_map(|(found, leads)| leads.then_some(found))
    }

    fn found(&self, place: u32, by: FoundBy) -> Found<'_> {
        Found { recipient: &self.recipients[place as usize], by, directory: self, place }
    }

    fn insert(&mut self, place: u32) {
        let recipient = self.recipients[place as usize].clone();
        // Mail to a group that nobody is in would vanish: its addresses are nobody's until somebody is.
        if matches!(&recipient.kind, RecipientKind::Group { members } if members.is_empty()) {
            self.may_have_twins = true;
            return;
        }
        for (number, address) in (0..).zip(recipient.addresses()) {
            let hash = hash_of(&self.hasher, address);
            if self.places.find(hash, |slot| is_key_of(&slot.key, address)).is_some() {
                self.may_have_twins = true;
                continue;
            }
            let key = address.key().into_boxed_str();
            self.places.insert_unique(hash, Address { hash, key, place, number }, |slot| slot.hash);
        }
    }

    fn place_of(&self, address: &Mailbox) -> Option<&Address> {
        self.places.find(hash_of(&self.hasher, address), |slot| is_key_of(&slot.key, address))
    }
}

/// Whether `key` is that of `address`, which is not put together for a look-up.
fn is_key_of(key: &str, address: &Mailbox) -> bool {
    let local_part = key.strip_suffix(address.domain().as_str()).and_then(|rest| rest.strip_suffix('@'));
    local_part.is_some_and(|local_part| address.has_local_part_key(local_part))
}

/// Equal for addresses of the same mailbox. The local part is lowered on its way into the hash; it is cut by what it says
/// alone, since the hash depends on where it is cut.
fn hash_of(hasher: &RandomState, address: &Mailbox) -> u64 {
    const PIECE_BYTES: usize = 64;
    let mut hasher = hasher.build_hasher();
    let mut piece = [0; PIECE_BYTES];
    let mut filled = 0;
    match address.plain_local_part() {
        Some(plain) if plain.len() <= PIECE_BYTES - 4 => {
            filled = plain.len();
            piece[..filled].copy_from_slice(plain.as_bytes());
            piece[..filled].make_ascii_lowercase();
        }
        _ => {
            for c in address.local_part_key_chars() {
                // A character has at most four bytes.
                if filled + 4 > PIECE_BYTES {
                    hasher.write(&piece[..filled]);
                    filled = 0;
                }
                filled += c.encode_utf8(&mut piece[filled..]).len();
            }
        }
    }
    hasher.write(&piece[..filled]);
    hasher.write_u8(b'@');
    hasher.write(address.domain().as_str().as_bytes());
    hasher.finish()
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
