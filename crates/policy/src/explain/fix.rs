//! The smallest change that lets a refused message pass, and what it opens besides.
//!
//! Each offer is tried: the dialogue is played again under the changed settings, and what they open is
//! `audit::difference`'s answer. To a public address no right to relay is ever offered, only authentication.

use std::sync::Arc;

use gatepost_mail::header_senders::{HeaderSenders, SenderField};
use gatepost_mail::{Domain, Mailbox, ReversePath};

use super::candidate::{Candidate, Effect, Fate, Part, candidates, effect};
use super::dialogue::{Dialogue, Holder, Obstacle, Question, missing_right, play};
use crate::audit::{self, Whom};
use crate::certificate::PeerCertificate;
use crate::directory::{KnownRecipient, LocalMailbox, RecipientKind};
use crate::limits::MESSAGE_BYTES_MAX;
use crate::permission::{self, Access, AccessEntry, PermissionGroup, Principal, Right, Rights, Source, Trustee};
use crate::public_address::is_public;
use crate::receive_connector::{Mechanism, ReceiveConnector, RemoteRange, Selector};
use crate::refusal::Refusal;
use crate::sender;
use crate::settings::{Settings, User};

/// How many users and connectors are looked at for one that would do.
const TRIED_MAX: usize = 1000;
/// How many of those that would do are compared for what they open.
const COMPARED_MAX: usize = 10;
/// More recipients than this are not opened for one message.
const OPENED_MAX: usize = 3;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The peer authenticates as this user, inside TLS if so said.
    Authenticate {
        /// As whom.
        user: Arc<str>,
        /// Whether it has to start TLS.
        tls: bool,
        /// The sender address to use instead, where the user may not use the one that was asked about.
        sender: Option<Mailbox>,
    },
    /// The peer starts TLS.
    StartTls,
    /// The peer presents a certificate that proves it to be this domain of `tls_receive_domain_secure_list`.
    PresentCertificate(Domain),
    /// The peer uses this sender address, in the envelope and in the header.
    SendAs(Mailbox),
    /// The peer names its sender in the header so that nobody can read it differently.
    ClearHeader,
    /// A user is declared, with this name if one was asked about.
    AddUser(Option<Box<str>>),
    /// The connector offers authentication inside TLS, and users may submit there.
    OfferAuthentication {
        /// Where.
        connector: Arc<str>,
    },
    /// The connector offers STARTTLS.
    OfferTls {
        /// Where.
        connector: Arc<str>,
    },
    /// An entry of this connector that has expired is renewed.
    RenewEntry {
        /// Where.
        connector: Arc<str>,
        /// Whose it is.
        trustee: Trustee,
        /// When it expired, in milliseconds since 1970 UTC.
        expired_ms: u64,
        /// Where the entry stands in the document, in bytes.
        at: usize,
    },
    /// A range of this connector that has expired is renewed.
    RenewRange {
        /// Where.
        connector: Arc<str>,
        /// As it is written.
        range: Box<str>,
        /// When it expired, in milliseconds since 1970 UTC.
        expired_ms: u64,
        /// Where the range stands in the document, in bytes.
        at: usize,
    },
    /// The condition of an entry of this connector takes the message in.
    WidenCondition {
        /// Where.
        connector: Arc<str>,
        /// Whose entry it is.
        trustee: Trustee,
        /// Which parts do not take it in.
        parts: Vec<Part>,
        /// Where the entry stands in the document, in bytes.
        at: usize,
    },
    /// The peer's address is added to the ranges of this connector.
    AddRange {
        /// Which.
        connector: Arc<str>,
    },
    /// A connector for the peer's address alone, like this one, with these rights besides.
    NewConnector {
        /// Which one it is like.
        like: Arc<str>,
        /// To whom.
        trustee: Trustee,
        /// What is granted.
        rights: Rights,
    },
    /// An entry on this connector grants these rights; where an entry denies them, that goes.
    Grant {
        /// Where.
        connector: Arc<str>,
        /// To whom.
        trustee: Trustee,
        /// What.
        rights: Rights,
    },
    /// The user is granted Send-As on these recipients.
    GrantSendAs {
        /// To whom.
        user: Arc<str>,
        /// Their primary addresses.
        recipients: Vec<Mailbox>,
    },
    /// A mailbox is declared.
    AddMailbox(Mailbox),
    /// These recipients, by their primary addresses, take mail from outside the organization.
    OpenRecipients(Vec<Mailbox>),
    /// The connector takes recipients in reserved domains.
    TakeReservedDomains {
        /// Which.
        connector: Arc<str>,
    },
    /// The connector takes messages of this size.
    RaiseSizeLimit {
        /// Which.
        connector: Arc<str>,
        /// In bytes.
        bytes: u64,
    },
}

impl Change {
    /// Whether the peer changes, not the settings.
    pub fn is_for_the_peer(&self) -> bool {
        matches!(
            self,
            Change::Authenticate { .. }
                | Change::StartTls
                | Change::PresentCertificate(_)
                | Change::SendAs(_)
                | Change::ClearHeader
        )
    }
}

/// A change and its price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What to do.
    pub change: Change,
    /// Who gains or loses which right by it; empty: nothing else opens.
    pub opens: Vec<audit::Change>,
}

/// What can be offered, the smallest first: at most one change for the peer and one of the settings.
pub fn fixes(settings: &Settings, question: &Question<'_>, dialogue: &Dialogue) -> Vec<Fix> {
    let Some(obstacle) = dialogue.obstacle() else { return Vec::new() };
    let trial = Trial { settings, question, dialogue, obstacle };
    let for_the_peer = trial.peer_changes().map(|change| Fix { change, opens: Vec::new() });
    // With authentication at hand, a public address needs nothing else.
    let of_the_settings = if for_the_peer.is_some() && trial.is_public() { None } else { trial.settings_change() };
    for_the_peer.into_iter().chain(of_the_settings).collect()
}

struct Trial<'a> {
    settings: &'a Settings,
    question: &'a Question<'a>,
    dialogue: &'a Dialogue,
    obstacle: Obstacle,
}

impl Trial<'_> {
    fn is_public(&self) -> bool {
        is_public(self.question.peer)
    }

    fn peer_changes(&self) -> Option<Change> {
        let question = *self.question;
        let passes = |question: &Question<'_>| passes(self.settings, question);
        if !question.tls && passes(&Question { tls: true, ..question }) {
            return Some(Change::StartTls);
        }
        if let Some(domain) = self.domain_to_prove() {
            return Some(Change::PresentCertificate(domain));
        }
        let is_unclear = matches!(self.obstacle, Obstacle::Refused(Refusal::HeaderUnreadable(_)));
        if is_unclear && passes(&Question { header: None, ..question }) {
            return Some(Change::ClearHeader);
        }
        if let Some(own) = self.own_address(question.user)
            && passes_as(self.settings, &question, &own)
        {
            return Some(Change::SendAs(own));
        }
        let Some(user) = question.user else { return authentication(self.settings, &question) };
        let user = self.settings.find_user(user)?;
        let own = user.addresses.first()?;
        passes_as(self.settings, &Question { tls: true, ..question }, own).then(|| Change::Authenticate {
            user: user.name.clone(),
            tls: true,
            sender: Some(own.clone()),
        })
    }

    /// The sender's domain, where the message would pass if the peer proved to be it.
    fn domain_to_prove(&self) -> Option<Domain> {
        let is_unproven = matches!(self.obstacle, Obstacle::Refused(Refusal::SenderDomainNotSecured));
        let domain = self.question.reverse_path.mailbox().filter(|_| is_unproven)?.domain();
        let certificate = PeerCertificate::of_domain(domain.clone());
        let question = Question { tls: true, certificate: Some(&certificate), ..*self.question };
        passes(self.settings, &question).then(|| domain.clone())
    }

    fn own_address(&self, user: Option<&str>) -> Option<Mailbox> {
        self.settings.find_user(user?)?.addresses.first().cloned()
    }

    fn settings_change(&self) -> Option<Fix> {
        self.renewed_range().or_else(|| self.repaired_entry()).or_else(|| self.wider_change())
    }

    /// A range that has expired would still have let the message pass.
    fn renewed_range(&self) -> Option<Fix> {
        let question = self.question;
        let expired = candidates(self.settings, question.local, question.peer, question.now_ms).into_iter();
        let mut offers = expired.filter_map(|Candidate { connector, fate }| {
            let Fate::Expired(range) = fate else { return None };
            let expired_ms = range.note.as_ref()?.expires_ms?;
            let mut changed = (*connector).clone();
            for known in changed.remote_ip_ranges.iter_mut().filter(|known| known.span == range.span) {
                known.note = None;
            }
            // Renewing is granting anew: a public address gets no trust by it.
            let principal = permission::initial_principal(&connector);
            if self.is_public() && trusts(permission::granted_at_worst(&connector, &principal, question.now_ms)) {
                return None;
            }
            let (name, at) = (connector.name.clone(), range.span.start);
            let change = Change::RenewRange { connector: name, range: range.text.clone(), expired_ms, at };
            self.if_it_passes(change, &self.with(&connector, changed))
        });
        offers.next()
    }

    /// An entry that has expired would still have let the message pass, or one whose condition does not take it in.
    fn repaired_entry(&self) -> Option<Fix> {
        let connector = self.dialogue.connector.as_ref()?;
        let principal = self.principal()?;
        let recipient = self.settings.recipient(self.question.forward_path);
        let facts = self.question.facts(&recipient);
        connector.entries.iter().enumerate().take(TRIED_MAX).find_map(|(place, entry)| {
            let is_own = entry.access == Access::Allow && entry.trustee.covers(&principal);
            if !is_own || (self.is_public() && trusts(entry.rights)) {
                return None;
            }
            let mut changed = (**connector).clone();
            let repaired = &mut changed.entries[place];
            let (name, trustee, at) = (connector.name.clone(), entry.trustee.clone(), entry.span.start);
            let change = match effect(entry, &facts) {
                Effect::Counts => return None,
                Effect::Expired(expired_ms) => {
                    repaired.note = None;
                    Change::RenewEntry { connector: name, trustee, expired_ms, at }
                }
                Effect::Unmet(_) => {
                    let condition = repaired.condition.as_deref_mut()?;
                    let parts: Vec<Part> =
                        Part::ALL.into_iter().filter(|part| part.is_unmet(condition, &facts)).collect();
                    parts.iter().for_each(|part| part.remove(condition));
                    Change::WidenCondition { connector: name, trustee, parts, at }
                }
            };
            self.if_it_passes(change, &self.with(connector, changed))
        })
    }

    /// Who lacks rights: the user who logs on, else whom the certificate makes of the peer, else whoever comes.
    fn principal(&self) -> Option<Principal> {
        match self.question.user.and_then(|user| self.settings.find_user(user)) {
            Some(user) => Some(Principal::User(user.name.clone())),
            None => Some(self.dialogue.last_holder()?.principal.clone()),
        }
    }

    fn wider_change(&self) -> Option<Fix> {
        let Some(connector) = &self.dialogue.connector else { return self.heard() };
        let fix = |change, changed: &Settings| self.if_it_passes(change, changed);
        let name = connector.name.clone();
        match self.obstacle {
            Obstacle::NoConnector => self.heard(),
            Obstacle::TlsNotOffered | Obstacle::Refused(Refusal::TlsRequired) => {
                let mut changed = (**connector).clone();
                changed.auth_mechanism.insert(Mechanism::Tls);
                fix(Change::OfferTls { connector: name }, &self.with(connector, changed))
            }
            Obstacle::AuthNotOffered | Obstacle::AuthNeedsTls => self.offer_authentication(connector),
            Obstacle::Refused(Refusal::AuthenticationFailed) => match self.question.user {
                Some(user) if self.settings.find_user(user).is_none() => {
                    Some(Fix { change: Change::AddUser(Some(user.into())), opens: Vec::new() })
                }
                _ => self.granted(connector),
            },
            Obstacle::Refused(Refusal::RecipientNotFound) => self.declared(),
            Obstacle::Refused(
                Refusal::ReservedTopLevelDomain | Refusal::ReservedSecondLevelDomain | Refusal::SingleLabelDomain,
            ) => {
                let mut changed = (**connector).clone();
                changed.reject_reserved_top_level_recipient_domains = false;
                changed.reject_reserved_second_level_recipient_domains = false;
                changed.reject_single_label_recipient_domains = false;
                fix(Change::TakeReservedDomains { connector: name }, &self.with(connector, changed))
            }
            Obstacle::Refused(Refusal::MessageTooLarge) => {
                let bytes = self.question.size.filter(|bytes| *bytes <= MESSAGE_BYTES_MAX)?;
                let mut changed = (**connector).clone();
                changed.max_message_size = bytes;
                fix(Change::RaiseSizeLimit { connector: name, bytes }, &self.with(connector, changed))
            }
            Obstacle::Refused(Refusal::SendAsDenied | Refusal::HeaderSendAsDenied(_)) if self.is_user() => {
                self.granted_send_as().or_else(|| self.granted(connector))
            }
            Obstacle::Refused(Refusal::SenderNotAuthenticated) if !self.is_public() => {
                self.opened().or_else(|| self.gate(connector))
            }
            Obstacle::Refused(_) => match self.dialogue.last_holder().map(|holder| &holder.principal) {
                Some(Principal::User(_)) => self.granted(connector),
                _ if self.is_public() => self.offer_authentication(connector),
                _ => self.gate(connector),
            },
        }
    }

    /// Users can log on where they could not; asked for where the peer is public, or wants to log on.
    fn offer_authentication(&self, connector: &Arc<ReceiveConnector>) -> Option<Fix> {
        if self.settings.users.is_empty() {
            return Some(Fix { change: Change::AddUser(None), opens: Vec::new() });
        }
        if connector.auth_mechanism.contains(Mechanism::ExternalAuthoritative) {
            return None;
        }
        let mut changed = (**connector).clone();
        for mechanism in [Mechanism::Tls, Mechanism::BasicAuth, Mechanism::BasicAuthRequireTls] {
            changed.auth_mechanism.insert(mechanism);
        }
        if !changed.permission_groups.contains(PermissionGroup::ExchangeUsers) {
            changed.permission_groups.insert(PermissionGroup::ExchangeUsers);
            changed.entries.extend(PermissionGroup::ExchangeUsers.entries());
        }
        let has_them = changed.auth_mechanism == connector.auth_mechanism
            && changed.permission_groups == connector.permission_groups;
        if has_them {
            return None;
        }
        let changed = self.with(connector, changed);
        let question = Question { tls: true, ..*self.question };
        let helps = match question.user {
            Some(_) => passes(&changed, &question),
            None => authentication(&changed, &question).is_some(),
        };
        let change = Change::OfferAuthentication { connector: connector.name.clone() };
        helps.then(|| self.fix(change, &changed))
    }

    /// No connector hears the peer: one that would let the message pass shall.
    fn heard(&self) -> Option<Fix> {
        if self.is_public() { None } else { self.smallest(self.wider_ranges()) }
    }

    /// An unauthenticated peer lacks rights: it gets a gate of its own, or a place in one that is there.
    fn gate(&self, connector: &Arc<ReceiveConnector>) -> Option<Fix> {
        let mut offers = self.wider_ranges();
        if let Some((trustee, rights, entries)) = self.entries_needed(connector) {
            let mut narrow = (**connector).clone();
            narrow.name = format!("Gate for {}", self.question.peer).into();
            narrow.remote_ip_ranges = vec![self.own_range()];
            narrow.entries.clone_from(&entries);
            let change = Change::NewConnector { like: connector.name.clone(), trustee: trustee.clone(), rights };
            if !self.has_own_range(connector) {
                offers.extend(self.if_it_passes(change, &self.and(narrow)));
            }
            let wide = ReceiveConnector { entries, ..(**connector).clone() };
            let change = Change::Grant { connector: connector.name.clone(), trustee, rights };
            offers.extend(self.if_it_passes(change, &self.with(connector, wide)));
        }
        self.smallest(offers)
    }

    /// A user lacks rights. To relay from a public address is nothing to grant, not even to users.
    fn granted(&self, connector: &Arc<ReceiveConnector>) -> Option<Fix> {
        let (trustee, rights, entries) = self.entries_needed(connector)?;
        if self.is_public() && rights.contains(Right::AcceptAnyRecipient) {
            return None;
        }
        let changed = ReceiveConnector { entries, ..(**connector).clone() };
        let change = Change::Grant { connector: connector.name.clone(), trustee, rights };
        self.if_it_passes(change, &self.with(connector, changed))
    }

    /// A user may not write as a recipient that is known here: it is granted for that recipient alone.
    fn granted_send_as(&self) -> Option<Fix> {
        let Holder { principal, rights } = self.dialogue.last_holder()?;
        let Principal::User(user) = principal else { return None };
        let settings = self.settings;
        let header = self.question.header.map_or(&[][..], HeaderSenders::mailboxes);
        let mut changed = settings.clone();
        let mut recipients: Vec<Mailbox> = Vec::new();
        for address in self.question.reverse_path.mailbox().into_iter().chain(header) {
            let reverse_path = &ReversePath::Mailbox(address.clone());
            let asked = sender::Question { rights: *rights, principal, reverse_path, settings: &changed };
            if sender::decide(&asked).is_ok() {
                continue;
            }
            let grant = |recipient: &mut KnownRecipient| recipient.send_as.push(Trustee::User(user.clone()));
            changed.directory = changed.directory.with_changed(address, grant, &settings.domains)?;
            recipients.push(settings.directory.find(address)?.address.clone());
        }
        self.if_it_passes(Change::GrantSendAs { user: user.clone(), recipients }, &changed)
    }

    fn is_user(&self) -> bool {
        self.dialogue.last_holder().is_some_and(|holder| matches!(holder.principal, Principal::User(_)))
    }

    /// The entries of `connector` with what the peer still needs, found by asking until nothing is missing.
    fn entries_needed(&self, connector: &Arc<ReceiveConnector>) -> Option<(Trustee, Rights, Vec<AccessEntry>)> {
        let principal = self.principal()?;
        let trustee = match &principal {
            Principal::Anonymous => Trustee::AnonymousLogon,
            Principal::ExternallySecured => Trustee::ExternallySecuredServers,
            Principal::User(name) => Trustee::User(name.clone()),
            Principal::Server(_) => Trustee::ExchangeServers,
            Principal::Partner(_) => Trustee::PartnerServers,
            Principal::LegacyServer => return None,
        };
        let (mut needed, mut changed) = (Rights::NONE, (**connector).clone());
        // No more rights than there are can be missing.
        for _ in Right::ALL {
            let settings = self.with(connector, changed.clone());
            let dialogue = play(&settings, self.question);
            let Some(obstacle) = dialogue.obstacle() else {
                return Some((trustee, needed, changed.entries));
            };
            let held = dialogue.last_holder().map_or(Rights::NONE, |holder| holder.rights);
            let right = match obstacle {
                Obstacle::Refused(Refusal::AuthenticationFailed) => Right::Submit,
                obstacle => missing_right(obstacle, held)?,
            };
            needed.insert(right);
            for entry in changed.entries.iter_mut().filter(|entry| entry.access == Access::Deny) {
                if entry.trustee.covers(&principal) {
                    entry.rights = entry.rights & !Rights::from(right);
                }
            }
            changed.entries.push(AccessEntry {
                trustee: trustee.clone(),
                access: Access::Allow,
                rights: right.into(),
                source: Source::Extra,
                span: 0..0,
                condition: None,
                note: None,
            });
        }
        None
    }

    /// Every other connector whose ranges could take the peer in as well.
    fn wider_ranges(&self) -> Vec<Fix> {
        if self.dialogue.connector.as_ref().is_some_and(|connector| self.has_own_range(connector)) {
            return Vec::new();
        }
        let mut alone = self.settings.clone();
        let mut offers = Vec::new();
        for connector in self.settings.receive_connectors.iter().take(TRIED_MAX) {
            let mut changed = (**connector).clone();
            changed.remote_ip_ranges.push(self.own_range());
            // Played before all connectors are put together: most would not help.
            alone.selector = Selector::new(&[Arc::new(changed.clone())]);
            if offers.len() < COMPARED_MAX && passes(&alone, self.question) {
                let change = Change::AddRange { connector: connector.name.clone() };
                offers.extend(self.if_it_passes(change, &self.with(connector, changed)));
            }
        }
        offers
    }

    /// Whether the peer's address alone is a range of the connector: settings with two such would be refused.
    fn has_own_range(&self, connector: &ReceiveConnector) -> bool {
        let own = self.own_range();
        let is_own = |range: &RemoteRange| range.first == own.first && range.last == own.last;
        connector.remote_ip_ranges.iter().any(is_own)
    }

    fn own_range(&self) -> RemoteRange {
        let peer = self.question.peer.to_canonical();
        RemoteRange { first: peer, last: peer, text: peer.to_string().into(), note: None, span: 0..0 }
    }

    fn declared(&self) -> Option<Fix> {
        let address = self.settings.recipient(self.question.forward_path);
        // A group that nobody is in has it: nobody else can.
        let mut declared = self.settings.directory.recipients().iter().flat_map(|recipient| recipient.addresses());
        if declared.any(|known| known.is_same_mailbox(&address)) {
            return None;
        }
        let mailbox = RecipientKind::Mailbox(Arc::new(LocalMailbox::new(address.clone())?));
        let declared = KnownRecipient::new(address.clone(), mailbox);
        let mut changed = self.settings.clone();
        changed.directory = changed.directory.with(declared, &changed.domains);
        self.if_it_passes(Change::AddMailbox(address), &changed)
    }

    /// The recipient, and whoever behind it is closed, take mail from outside the organization. Less than to let the peer
    /// count as internal, as long as that opens them to our own hosts only: where strangers may write, they all could.
    fn opened(&self) -> Option<Fix> {
        if audit::strangers_may_submit(self.settings, self.question.now_ms) {
            return None;
        }
        let address = self.settings.recipient(self.question.forward_path);
        let mut changed = self.settings.clone();
        let mut opened = Vec::new();
        while let Some(closed) = changed.directory.resolve(&address, &changed.domains)?.closed_by() {
            if opened.len() >= OPENED_MAX {
                return None;
            }
            let closed = closed.address.clone();
            let open = |recipient: &mut KnownRecipient| recipient.require_sender_authentication = false;
            changed.directory = changed.directory.with_changed(&closed, open, &changed.domains)?;
            opened.push(closed);
        }
        self.if_it_passes(Change::OpenRecipients(opened), &changed)
    }

    /// The offer that opens least: internal standing weighs most, then relaying, then the number of addresses. Of equals
    /// the first: a place in a gate that is there, although it may come with a right or two more.
    fn smallest(&self, offers: Vec<Fix>) -> Option<Fix> {
        offers.into_iter().min_by_key(|fix| {
            let gains = || fix.opens.iter().filter(|change| !change.gained.is_empty());
            let strangers_gain =
                |right| gains().any(|change| change.gained.contains(right) && change.whom == Whom::Unauthenticated);
            let is_internal = strangers_gain(Right::AcceptAuthenticationFlag);
            let may_relay = strangers_gain(Right::AcceptAnyRecipient);
            let addresses = gains().map(|change| change.sources.count()).fold(0, u128::saturating_add);
            (is_internal, may_relay, addresses)
        })
    }

    /// The settings with `changed` in the place of `connector`.
    fn with(&self, connector: &Arc<ReceiveConnector>, changed: ReceiveConnector) -> Settings {
        let mut settings = self.settings.clone();
        let place = settings.receive_connectors.iter().position(|other| Arc::ptr_eq(other, connector));
        if let Some(place) = place {
            settings.receive_connectors[place] = Arc::new(changed);
        }
        settings.selector = Selector::new(&settings.receive_connectors);
        settings
    }

    /// The settings with one more connector.
    fn and(&self, connector: ReceiveConnector) -> Settings {
        let mut settings = self.settings.clone();
        settings.receive_connectors.push(Arc::new(connector));
        settings.selector = Selector::new(&settings.receive_connectors);
        settings
    }

    fn if_it_passes(&self, change: Change, changed: &Settings) -> Option<Fix> {
        passes(changed, self.question).then(|| self.fix(change, changed))
    }

    fn fix(&self, change: Change, changed: &Settings) -> Fix {
        Fix { change, opens: audit::difference(self.settings, changed, self.question.now_ms) }
    }
}

/// Whether these rights make a relay, or internal of what comes.
fn trusts(rights: Rights) -> bool {
    rights.contains(Right::AcceptAnyRecipient) || rights.contains(Right::AcceptAuthenticationFlag)
}

fn passes(settings: &Settings, question: &Question<'_>) -> bool {
    play(settings, question).obstacle().is_none()
}

/// Whether the message would pass with `own` as its sender, in the header too if that is asked about.
fn passes_as(settings: &Settings, question: &Question<'_>, own: &Mailbox) -> bool {
    let header = HeaderSenders::naming(SenderField::From, own.clone());
    let reverse_path = &ReversePath::Mailbox(own.clone());
    passes(settings, &Question { reverse_path, header: question.header.map(|_| &header), ..*question })
}

/// A user as whom the message would pass: whoever owns the sender address first, then whoever may use it, then somebody
/// with an address of their own.
fn authentication(settings: &Settings, question: &Question<'_>) -> Option<Change> {
    let owns = |user: &User| question.reverse_path.mailbox().is_some_and(|path| user.owns(path));
    let owners = settings.users.iter().filter(|user| owns(user));
    let others = settings.users.iter().filter(|user| !owns(user)).take(TRIED_MAX);
    for tls in [false, true] {
        if question.tls && !tls {
            continue;
        }
        let as_asked = |name: &str| passes(settings, &Question { user: Some(name), tls, ..*question });
        if let Some(user) = owners.clone().chain(others.clone()).find(|user| as_asked(&user.name)) {
            return Some(Change::Authenticate { user: user.name.clone(), tls, sender: None });
        }
        for user in others.clone() {
            let Some(own) = user.addresses.first() else { continue };
            if passes_as(settings, &Question { user: Some(&user.name), tls, ..*question }, own) {
                return Some(Change::Authenticate { user: user.name.clone(), tls, sender: Some(own.clone()) });
            }
        }
    }
    None
}
