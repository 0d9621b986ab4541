//! Step 4 of 9 - permit: answers the engine's questions by asking `policy`, and says why in the log.
//!
//! Takes what the peer said, hands on the engine's [`Answer`]. Every yes and no comes from one function of `policy`;
//! this file only carries facts there and verdicts back.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{AuthAs, Mailbox, Recipient, Reply, ReversePath, trace};
use gatepost_policy::access_entry::Principal;
use gatepost_policy::permission::{Facts, HeaderSenders};
use gatepost_policy::receive_connector::{MessageRateSource, ReceiveConnector, select};
use gatepost_policy::route::MailSource;
use gatepost_policy::{
    Refusal, authentication, back_pressure, limits, peer_certificate, permission, permit, resolve, verification,
};
use gatepost_smtp::{Answer, BareLinefeed, Credentials, Hello, MailCommand, Profile, Question, RcptCommand, SizeOffer};

use super::permit::{Known, Permitted};
use super::record::Refused;
use super::visit::{OUT_OF_STEP, Transaction, Visit};
use crate::authenticate::Checked;
use crate::clock::{self, now_ms};
use crate::message_rates::Key;
use crate::state::count;
use crate::verify;

const AUTHENTICATION_BUSY: Reply = Reply::new(454, (4, 7, 0), "Temporary authentication failure");

impl Visit {
    /// Answers one question of the engine.
    pub async fn answer(&mut self, question: Question<'_>) -> Answer {
        match question {
            Question::Connect => self.connect(),
            Question::Hello(hello) => self.hello(hello),
            Question::Authenticate(credentials) => self.authenticate(credentials).await,
            Question::Mail(mail) => self.mail(mail),
            Question::Rcpt(rcpt) => self.rcpt(rcpt).await,
            Question::BeginContent => self.begin_content(),
            Question::EndContent => self.end_content().await,
        }
    }

    /// What the connector offers this peer now.
    pub fn profile(&self) -> Profile {
        let connector = &self.connector;
        let tls_active = self.tls.is_some();
        let authenticated = matches!(self.principal, Principal::User(_));
        let auth = if authenticated { &[][..] } else { authentication::auth_offered(connector, tls_active) };
        Profile {
            fqdn: connector.fqdn.to_string(),
            banner: connector.banner.clone(),
            greeting_date: trace::date(now_ms()),
            peer_ip: self.peer.ip(),
            size: size_offer(connector),
            pipelining: connector.pipelining_enabled,
            dsn: connector.delivery_status_notification_enabled,
            enhanced_status_codes: connector.enhanced_status_codes_enabled,
            starttls: authentication::starttls_offered(connector, tls_active)
                && self.revision.tls.is_ready_for(connector),
            eight_bit_mime: connector.eight_bit_mime_enabled,
            binary_mime: connector.binary_mime_enabled,
            chunking: connector.chunking_enabled,
            smtputf8: connector.smtp_utf8_enabled,
            long_addresses: connector.long_addresses_enabled,
            auth_after_tls: !authenticated && !authentication::auth_offered(connector, true).is_empty(),
            auth: auth.iter().copied().map(mechanism).collect(),
            require_hello_domain: connector.require_ehlo_domain,
            default_domain: connector.default_domain.clone(),
            protocol_errors_max: connector.max_protocol_errors,
            logon_failures_max: connector.max_logon_failures,
            bare_linefeed: if connector.bare_linefeed_rejection_enabled {
                BareLinefeed::Reject
            } else {
                BareLinefeed::Normalize
            },
            inactivity: connector.connection_inactivity_timeout,
            total: connector.connection_timeout,
            transcribe: self.transcript.is_some(),
        }
    }

    fn connect(&mut self) -> Answer {
        match self.refusal {
            None => Answer::Greet(self.profile()),
            Some(refusal) => {
                count(&self.running.counters.connections_refused);
                self.refuse(&Refused::Connect, refusal)
            }
        }
    }

    fn hello(&mut self, hello: Hello<'_>) -> Answer {
        self.hello = Some((hello.esmtp, hello.domain.into()));
        Answer::Accept
    }

    async fn authenticate(&mut self, credentials: Credentials<'_>) -> Answer {
        let user = credentials.user.to_owned();
        // Acting for somebody else than oneself is nothing that the model knows (RFC 4616 section 2).
        let for_oneself =
            credentials.authorization_id.is_empty() || credentials.authorization_id.eq_ignore_ascii_case(&user);
        let (settings, stored) = (&self.revision.settings, &self.revision.credentials);
        let checked = self.running.authenticator.check(settings, stored, &user, credentials.password).await;
        let name = match checked {
            Checked::Right(name) if for_oneself => name,
            Checked::Right(_) | Checked::Wrong => return self.refuse_logon(&user),
            Checked::Busy => {
                self.counted.authentication_busy();
                let (decision, reply) = self.record_busy(&user, AUTHENTICATION_BUSY);
                let decision = decision.map(tracing::field::display);
                tracing::warn!(peer = %self.peer, decision, "too many passwords wait to be checked: temporary failure");
                return Answer::Refuse(reply);
            }
        };
        let principal = Principal::User(name);
        let rights = permission::granted(&self.connector, &principal, &Facts::at(now_ms())).rights;
        // Right credentials without the right to submit fail here already (fact sheet section 2.1, event 1018).
        if permission::may_authenticate(rights).is_err() {
            return self.refuse_logon(&user);
        }
        self.become_principal(principal);
        tracing::info!(
            connector = &*self.connector.name, peer = %self.peer, principal = %self.principal,
            tls = self.tls.map(|(version, _)| version), verdict = "authenticated", "authenticated"
        );
        Answer::Authenticated { profile: self.profile() }
    }

    fn refuse_logon(&mut self, user: &str) -> Answer {
        self.logon_failed = true;
        self.refuse(&Refused::Auth { user }, Refusal::AuthenticationFailed)
    }

    fn mail(&mut self, mail: MailCommand) -> Answer {
        self.offered_size = mail.size;
        let permitted = match self.permit_mail(&mail) {
            Ok(permitted) => permitted,
            Err(refusal) => return self.refuse(&Refused::Mail(&mail.reverse_path), refusal),
        };
        self.rights = permitted.rights;
        self.transaction = Some(Box::new(Transaction {
            mail,
            recipients: Vec::new(),
            known: HashMap::new(),
            end_count: 0,
            counted: permitted.counted,
            incoming: None,
            refused_at: None,
        }));
        Answer::Accept
    }

    fn permit_mail(&mut self, mail: &MailCommand) -> Result<Permitted<()>, Refusal> {
        self.is_still_heard()?;
        let (connector, settings) = (&self.connector, &self.revision.settings);
        peer_certificate::is_still(&self.principal, connector, settings, self.certificate.as_deref(), now_ms())?;
        authentication::tls_required(&self.connector, self.tls.is_some())?;
        let known = Known {
            reverse_path: &mail.reverse_path,
            header_senders: HeaderSenders::NotYet,
            recipient: None,
            counted: &[],
        };
        let size_bytes = mail.size.unwrap_or(0);
        let permitted =
            self.permit(&known, |rights| permit::mail(&self.peer(rights), &mail.reverse_path, size_bytes))?;
        // Last: what was refused for another reason is not counted.
        let room_and_rate = self.room_for_a_message().and_then(|held_back| {
            self.message_rate(&mail.reverse_path)?;
            Ok(held_back)
        });
        self.held_back = room_and_rate.inspect_err(|_| self.running.quotas.take_back(&permitted.counted))?;
        Ok(permitted)
    }

    /// Whether the server has room for one more message; how long its sender waits to hear that.
    fn room_for_a_message(&self) -> Result<Option<Duration>, Refusal> {
        match self.running.back_pressure.decide(&self.principal) {
            back_pressure::Verdict::Accept => Ok(None),
            back_pressure::Verdict::Tarpit(interval) => Ok(Some(interval)),
            back_pressure::Verdict::Refuse(refusal) => Err(refusal),
        }
    }

    /// Whether a peer that connected now would come to the same connector. A range that has expired since ends with the
    /// message that had begun: a connection that is kept open would outlive it by far.
    fn is_still_heard(&self) -> Result<(), Refusal> {
        let selected = select(&self.revision.settings.selector, self.local, self.peer.ip(), now_ms());
        match selected.is_some_and(|selected| Arc::ptr_eq(selected, &self.connector)) {
            true => Ok(()),
            false => Err(Refusal::SourceExpired),
        }
    }

    /// Counts a message of this user or address, if that is one that may be sent now. Whoever has not logged on is known
    /// by the sender address (fact sheet section 12).
    fn message_rate(&self, reverse_path: &ReversePath) -> Result<(), Refusal> {
        let Some(limit) = self.connector.message_rate_limit else { return Ok(()) };
        let user = || match &self.principal {
            Principal::User(name) => Key::User(&self.connector.name, name.to_lowercase()),
            _ => Key::Sender(&self.connector.name, reverse_path.to_string().to_lowercase()),
        };
        let address = || Key::Address(&self.connector.name, self.peer.ip());
        let permit = |paid_until, now| limits::message_rate(limit, paid_until, now);
        let (rates, now) = (&self.running.message_rates, clock::now());
        match self.connector.message_rate_source {
            MessageRateSource::None => Ok(()),
            MessageRateSource::User => rates.count(&[user()], now, permit),
            MessageRateSource::IpAddress => rates.count(&[address()], now, permit),
            MessageRateSource::All => rates.count(&[user(), address()], now, permit),
        }
    }

    async fn rcpt(&mut self, rcpt: RcptCommand) -> Answer {
        let Some(transaction) = &self.transaction else { return Answer::Refuse(OUT_OF_STEP) };
        let settings = &self.revision.settings;
        let mailbox = settings.recipient(&rcpt.forward_path);
        // Who is known here gets one copy, however often and by whichever address it was asked for: otherwise a single
        // message could fill the disk.
        let found = settings.directory.resolve(&mailbox, &settings.domains);
        let named_already = found.and_then(|found| transaction.known.get(&found.place()).copied());
        // Members take the place of their groups once the content is here; that there will be room is known now.
        let end_count = if named_already.is_some() { 0 } else { resolve::end_count(found) };
        let mut permitted = self.permit_recipient(transaction, &mailbox, end_count);
        if let Ok(Permitted { answer: Some(auth_as), counted, .. }) = &permitted {
            // Few are asked about: the question has no room in the state that each connection keeps.
            let source = MailSource {
                receive_connector: &self.connector.name,
                sender_domain: transaction.mail.reverse_path.mailbox().map(|sender| sender.domain()),
            };
            let verdict = Box::pin(verify::recipient(&self.running, &mailbox, source, self.peer.ip())).await;
            if let Err(refusal) = verification::decide(verdict, *auth_as) {
                // What is refused at the same command is not counted.
                self.running.quotas.take_back(counted);
                permitted = Err(refusal);
            }
        }
        let counted = match permitted {
            Ok(permitted) => permitted.counted,
            Err(refusal) => return self.refuse(&Refused::Rcpt(&mailbox), refusal),
        };
        let Some(transaction) = &mut self.transaction else { return Answer::Refuse(OUT_OF_STEP) };
        transaction.counted.extend(counted);
        if let Some(recipient) = named_already.and_then(|place| transaction.recipients.get_mut(place)) {
            recipient.notify = resolve::either(recipient.notify, rcpt.notify);
            return Answer::Accept;
        }
        transaction.end_count += end_count;
        transaction.known.extend(found.map(|found| (found.place(), transaction.recipients.len())));
        transaction.recipients.push(Recipient {
            mailbox,
            notify: rcpt.notify,
            original_recipient: rcpt.original_recipient,
        });
        Answer::Accept
    }

    /// Whether the transaction may have one more recipient, who leads to `end_count`. Answers with what the message counts
    /// as where the next hop is to be asked before that is certain.
    fn permit_recipient(
        &self,
        transaction: &Transaction,
        mailbox: &Mailbox,
        end_count: usize,
    ) -> Result<Permitted<Option<AuthAs>>, Refusal> {
        limits::recipients(&self.connector, transaction.recipients.len())?;
        limits::resolved_recipients(&self.connector, transaction.end_count, end_count)?;
        let known = Known {
            reverse_path: &transaction.mail.reverse_path,
            header_senders: HeaderSenders::NotYet,
            recipient: Some(mailbox),
            counted: &transaction.counted,
        };
        let auth = transaction.mail.auth.as_ref();
        let Permitted { answer: reason, rights, counted } =
            self.permit(&known, |rights| permit::recipient(&self.peer(rights), auth, mailbox))?;
        let is_due = verification::is_due(reason, mailbox, &self.revision.settings);
        let answer = is_due.then(|| permission::auth_as(rights, &self.principal, auth));
        Ok(Permitted { answer, rights, counted })
    }

    /// Logs a refusal, counts it, and hands on the words for the peer.
    pub(super) fn refuse(&mut self, refused: &Refused<'_>, refusal: Refusal) -> Answer {
        count(&self.running.counters.refusals);
        self.counted.refused(refused.command(), refusal);
        let (decision, reply) = self.record_refusal(refused, refusal);
        let (command, argument) = (refused.command(), refused.argument());
        let argument = &*legible(&argument);
        let decision = decision.map(tracing::field::display);
        let sender = self.transaction.as_ref().map(|transaction| transaction.mail.reverse_path.to_string());
        tracing::info!(
            connector = &*self.connector.name, peer = %self.peer, principal = %self.principal, command, argument,
            sender, reply = %refusal.reply(), reason = %refusal, decision, verdict = "refused", "refused"
        );
        if refusal.closes() { Answer::Close(reply) } else { Answer::Refuse(reply) }
    }
}

/// A name to log on with may hold anything. JSON keeps control characters beyond ASCII as they are, and a terminal that shows
/// the log would obey them.
fn legible(argument: &str) -> Cow<'_, str> {
    let is_legible = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if argument.chars().all(is_legible) { argument.into() } else { argument.escape_debug().to_string().into() }
}

fn size_offer(connector: &ReceiveConnector) -> SizeOffer {
    use gatepost_policy::receive_connector::SizeEnabled;
    match connector.size_enabled {
        SizeEnabled::Enabled => SizeOffer::Limit(connector.max_message_size),
        SizeEnabled::EnabledWithoutValue => SizeOffer::Bare,
        SizeEnabled::Disabled => SizeOffer::Absent,
    }
}

fn mechanism(mechanism: authentication::SaslMechanism) -> gatepost_smtp::Mechanism {
    match mechanism {
        authentication::SaslMechanism::Login => gatepost_smtp::Mechanism::Login,
        authentication::SaslMechanism::Plain => gatepost_smtp::Mechanism::Plain,
    }
}
