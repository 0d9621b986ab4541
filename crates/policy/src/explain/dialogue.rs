//! One dialogue, played against the functions that decide, in the order in which a session asks them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::header_senders::HeaderSenders;
use gatepost_mail::{ForwardPath, Mailbox, Reply, ReversePath};

use crate::authentication::{auth_offered, starttls_offered, tls_required};
use crate::certificate::PeerCertificate;
use crate::limits::{self, Saying};
use crate::peer_certificate::{Identified, Unidentified, identify};
use crate::permission::{self, Facts, Principal, Right, Rights, granted, initial_principal, may_authenticate};
use crate::permit::Peer;
use crate::receive_connector::{ReceiveConnector, SizeEnabled, select};
use crate::refusal::Refusal;
use crate::route::{self, MailSource, NextHop};
use crate::settings::Settings;
use crate::verification::{self, Verdict};
use crate::{permit, sender};

/// What is asked: would this message pass?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where the peer comes from.
    pub peer: IpAddr,
    /// The address and port that it connects to.
    pub local: SocketAddr,
    /// The name that it gives to AUTH, if it authenticates.
    pub user: Option<&'a str>,
    /// Whether it starts TLS.
    pub tls: bool,
    /// The certificate that it presents inside TLS, where it is asked for one.
    pub certificate: Option<&'a PeerCertificate>,
    /// The sender.
    pub reverse_path: &'a ReversePath,
    /// The recipient.
    pub forward_path: &'a ForwardPath,
    /// The size of the message in bytes, if that matters.
    pub size: Option<u64>,
    /// Whom the header names as its senders, if that is asked about.
    pub header: Option<&'a HeaderSenders>,
    /// When all this happens, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

impl Question<'_> {
    /// What conditions are held against, once all that is asked about is known. `recipient` is the forward-path's.
    pub(super) fn facts<'a>(&'a self, recipient: &'a Mailbox) -> Facts<'a> {
        let header_senders = match self.header {
            None => permission::HeaderSenders::NotYet,
            Some(header) if header.is_readable() => permission::HeaderSenders::Known(header.mailboxes()),
            Some(_) => permission::HeaderSenders::Uncertain,
        };
        Facts { header_senders, ..self.facts_before_content(recipient) }
    }

    /// The same before the header is known.
    fn facts_before_content<'a>(&'a self, recipient: &'a Mailbox) -> Facts<'a> {
        Facts { reverse_path: Some(self.reverse_path), recipient: Some(recipient), ..Facts::at(self.now_ms) }
    }
}

/// One thing that the peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// It connects.
    Connect,
    /// STARTTLS.
    StartTls,
    /// AUTH with the right password.
    Auth,
    /// MAIL, with the size where EHLO shows SIZE.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA and the content.
    Content,
}

/// Why it goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Obstacle {
    /// No connector hears this peer there: the connection is closed without a word.
    #[error("no receive connector hears this address there")]
    NoConnector,
    /// The connector does not offer STARTTLS.
    #[error("the receive connector does not offer STARTTLS")]
    TlsNotOffered,
    /// The connector offers no AUTH, or none that is left.
    #[error("the receive connector does not offer AUTH")]
    AuthNotOffered,
    /// The connector offers AUTH inside TLS only.
    #[error("the receive connector offers AUTH inside TLS only")]
    AuthNeedsTls,
    /// A decision.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A principal that the peer is at some moment, and its rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub principal: Principal,
    /// Its rights, for this message at this time.
    pub rights: Rights,
}

/// One command and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the peer does.
    pub command: Command,
    /// Whether it goes on.
    pub outcome: Result<(), Obstacle>,
    /// What the peer reads; `None` where the connection is closed without a word, and for the greeting, which is the
    /// connector's banner.
    pub reply: Option<Reply>,
    /// How long the reply is held back.
    pub held_back: Duration,
}

/// A next hop that is asked whether it takes the recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub next_hop: NextHop,
    /// What becomes of the recipient if there is no answer.
    pub unanswered: Result<(), Refusal>,
}

/// What the peer does and reads.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// Who hears the peer.
    pub connector: Option<Arc<ReceiveConnector>>,
    /// Who the peer is: at first, by its certificate, and after AUTH.
    pub holders: Vec<Holder>,
    /// Whether the session is inside TLS when it gets to AUTH and MAIL.
    pub inside_tls: bool,
    /// What came of the certificate, if the peer presents one inside TLS.
    pub identified: Option<Result<Identified, Unidentified>>,
    /// Who is asked at RCPT whether it takes the recipient, if anybody is: what it says is not known without traffic, so
    /// the dialogue goes on as if it were yes.
    pub asked: Option<Asked>,
    /// One after the other; only the last can have an obstacle.
    pub steps: Vec<Step>,
}

impl Dialogue {
    /// What it ended at, if not with an accepted message.
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.steps.last().and_then(|step| step.outcome.err())
    }

    /// Who the peer is at the end.
    pub fn last_holder(&self) -> Option<&Holder> {
        self.holders.last()
    }
}

/// Plays the dialogue up to the first refusal.
pub fn play(settings: &Settings, question: &Question<'_>) -> Dialogue {
    let Some(connector) = select(&settings.selector, question.local, question.peer, question.now_ms) else {
        let step = Step {
            command: Command::Connect,
            outcome: Err(Obstacle::NoConnector),
            reply: None,
            held_back: Duration::ZERO,
        };
        return Dialogue {
            connector: None,
            holders: Vec::new(),
            inside_tls: false,
            identified: None,
            asked: None,
            steps: vec![step],
        };
    };
    let principal = initial_principal(connector);
    let recipient = settings.recipient(question.forward_path);
    // No condition can ask for more than is known when its right is asked for: what holds in the end holds then, but for
    // what the header changes.
    let rights = granted(connector, &principal, &question.facts_before_content(&recipient)).rights;
    let dialogue = Dialogue {
        connector: Some(connector.clone()),
        holders: vec![Holder { principal: principal.clone(), rights }],
        inside_tls: connector.implicit_tls,
        identified: None,
        asked: None,
        steps: Vec::new(),
    };
    let mut playing = Playing { settings, question, connector, recipient: &recipient, principal, rights, dialogue };
    // The obstacle stands in the last step.
    let _ = playing.run();
    playing.dialogue
}

/// The right whose absence is this obstacle, given those that are held.
pub fn missing_right(obstacle: Obstacle, rights: Rights) -> Option<Right> {
    let Obstacle::Refused(refusal) = obstacle else { return None };
    match refusal {
        Refusal::NotAuthenticated | Refusal::SubmitDenied => Some(Right::Submit),
        Refusal::AnonymousSendAsDenied
        | Refusal::SendAsDenied
        | Refusal::AnonymousHeaderSendAsDenied(_)
        | Refusal::HeaderSendAsDenied(_)
        | Refusal::HeaderUnreadable(_) => Some(match rights.contains(Right::AcceptAnySender) {
            true => Right::AcceptAuthoritativeDomainSender,
            false => Right::AcceptAnySender,
        }),
        Refusal::UnableToRelay => Some(Right::AcceptAnyRecipient),
        Refusal::SenderNotAuthenticated => Some(Right::AcceptAuthenticationFlag),
        _ => None,
    }
}

struct Playing<'a> {
    settings: &'a Settings,
    question: &'a Question<'a>,
    connector: &'a ReceiveConnector,
    recipient: &'a Mailbox,
    principal: Principal,
    rights: Rights,
    dialogue: Dialogue,
}

impl Playing<'_> {
    fn run(&mut self) -> Result<(), Obstacle> {
        self.step(Command::Connect, limits::connections(self.connector, 0, 0).map_err(Obstacle::from))?;
        if self.question.tls && !self.connector.implicit_tls {
            let offered = starttls_offered(self.connector, false);
            self.step(Command::StartTls, if offered { Ok(()) } else { Err(Obstacle::TlsNotOffered) })?;
            self.dialogue.inside_tls = true;
        }
        self.present_certificate();
        if let Some(user) = self.question.user {
            let admitted = self.authenticate(user);
            let outcome = admitted.as_ref().map(drop).map_err(|obstacle| *obstacle);
            if let Ok(holder) = admitted {
                self.principal = holder.principal.clone();
                self.rights = holder.rights;
                self.dialogue.holders.push(holder);
            }
            self.step(Command::Auth, outcome)?;
        }
        self.step(Command::Mail, self.mail().map_err(Obstacle::from))?;
        let decided = self.rcpt();
        self.step(Command::Rcpt, decided.map_err(Obstacle::from))?;
        let decided = self.content();
        self.step(Command::Content, decided.map_err(Obstacle::from))
    }

    /// Whom the certificate makes of the peer, decided behind the handshake.
    fn present_certificate(&mut self) {
        let Some(certificate) = self.question.certificate.filter(|_| self.dialogue.inside_tls) else { return };
        let identified = identify(self.connector, self.settings, certificate, self.question.now_ms);
        if let Ok(Identified { principal, .. }) = &identified {
            let facts = self.question.facts_before_content(self.recipient);
            self.rights = granted(self.connector, principal, &facts).rights;
            self.principal = principal.clone();
            self.dialogue.holders.push(Holder { principal: principal.clone(), rights: self.rights });
        }
        self.dialogue.identified = Some(identified);
    }

    fn authenticate(&self, user: &str) -> Result<Holder, Obstacle> {
        let inside_tls = self.dialogue.inside_tls;
        if auth_offered(self.connector, inside_tls).is_empty() {
            let is_later = !inside_tls && !auth_offered(self.connector, true).is_empty();
            return Err(if is_later { Obstacle::AuthNeedsTls } else { Obstacle::AuthNotOffered });
        }
        let user = self.settings.find_user(user).ok_or(Refusal::AuthenticationFailed)?;
        let principal = Principal::User(user.name.clone());
        // The message is not known yet.
        may_authenticate(granted(self.connector, &principal, &Facts::at(self.question.now_ms)).rights)?;
        let rights = granted(self.connector, &principal, &self.question.facts_before_content(self.recipient)).rights;
        Ok(Holder { principal, rights })
    }

    fn mail(&self) -> Result<(), Refusal> {
        tls_required(self.connector, self.dialogue.inside_tls)?;
        // Only where EHLO shows SIZE can the peer tell the size this early.
        let is_told = self.connector.size_enabled != SizeEnabled::Disabled;
        let told = self.question.size.filter(|_| is_told).unwrap_or(0);
        permit::mail(&self.peer(), self.question.reverse_path, told)
    }

    fn rcpt(&mut self) -> Result<(), Refusal> {
        let (settings, recipient) = (self.settings, self.recipient);
        limits::recipients(self.connector, 0)?;
        let reason = permit::recipient(&self.peer(), None, recipient)?;
        if !verification::is_due(reason, recipient, settings) {
            return Ok(());
        }
        let auth_as = permission::auth_as(self.rights, &self.principal, None);
        let unanswered = verification::decide(Verdict::NoAnswer, auth_as);
        let source = MailSource {
            receive_connector: &self.connector.name,
            sender_domain: self.question.reverse_path.mailbox().map(|sender| sender.domain()),
        };
        let Some((_, next_hop)) = route::way_out(settings, recipient.domain(), Some(source)) else {
            return unanswered;
        };
        self.dialogue.asked = Some(Asked { next_hop, unanswered });
        Ok(())
    }

    fn peer(&self) -> Peer<'_> {
        Peer { connector: self.connector, principal: &self.principal, rights: self.rights, settings: self.settings }
    }

    /// With the header known, everything is decided again, as a session does it.
    fn content(&mut self) -> Result<(), Refusal> {
        if let Some(senders) = self.question.header {
            let facts = self.question.facts(self.recipient);
            self.rights = granted(self.connector, &self.principal, &facts).rights;
            if let Some(holder) = self.dialogue.holders.last_mut() {
                holder.rights = self.rights;
            }
            self.mail()?;
            sender::decide_header(&sender::HeaderQuestion {
                rights: self.rights,
                principal: &self.principal,
                senders: Some(senders),
                settings: self.settings,
            })?;
            self.rcpt()?;
        }
        limits::message_size(self.connector, self.rights, self.question.size.unwrap_or(0))
    }

    fn step(&mut self, command: Command, outcome: Result<(), Obstacle>) -> Result<(), Obstacle> {
        let reply = match outcome {
            Ok(()) => accepted(command),
            Err(Obstacle::NoConnector) => None,
            Err(Obstacle::TlsNotOffered) => Some(Reply::new(502, (5, 3, 3), "Command not implemented")),
            Err(Obstacle::AuthNotOffered) => Some(Reply::new(504, (5, 7, 4), "Unrecognized authentication type")),
            Err(Obstacle::AuthNeedsTls) => Some(Reply::new(530, (5, 7, 0), "Must issue a STARTTLS command first")),
            Err(Obstacle::Refused(refusal)) => Some(refusal.reply()),
        };
        let saying = match (outcome, &reply) {
            (Err(Obstacle::Refused(Refusal::AuthenticationFailed)), _) => Some(Saying::LogonFailed),
            (_, reply) => reply.as_ref().map(|reply| Saying::Reply(reply.code)),
        };
        let held_back = saying.map_or(Duration::ZERO, |saying| limits::tarpit(self.connector, &self.principal, saying));
        self.dialogue.steps.push(Step { command, outcome, reply, held_back });
        outcome
    }
}

/// What a peer reads that may go on. The last reply names the message, which there is none of.
fn accepted(command: Command) -> Option<Reply> {
    Some(match command {
        Command::Connect => return None,
        Command::StartTls => Reply::new(220, (2, 0, 0), "SMTP server ready"),
        Command::Auth => Reply::new(235, (2, 7, 0), "Authentication successful"),
        Command::Mail => Reply::new(250, (2, 1, 0), "Sender OK"),
        Command::Rcpt => Reply::new(250, (2, 1, 5), "Recipient OK"),
        Command::Content => Reply::new(250, (2, 6, 0), "Queued mail for delivery"),
    })
}
