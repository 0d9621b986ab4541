//! The server's side of the dialogue: [`Session`].

mod question;

use std::time::Instant;

use gatepost_mail::Reply;

pub use question::{Answer, BareLinefeed, Credentials, Hello, MailCommand, Output, Profile, Question, RcptCommand};

/// One connection's dialogue, the server's side.
#[derive(Debug)]
pub struct Session {}

#[allow(clippy::unimplemented, unused_variables, missing_docs)]
impl Session {
    pub fn new(now: Instant) -> Session {
        unimplemented!()
    }
    pub fn receive<'b>(&'b mut self, now: Instant, bytes: &'b [u8]) -> (usize, Output<'b>) {
        unimplemented!()
    }
    pub fn answer(&mut self, now: Instant, answer: Answer) {
        unimplemented!()
    }
    pub fn tls_started(&mut self, now: Instant, profile: Profile) {
        unimplemented!()
    }
    pub fn timeout(&mut self, now: Instant) {
        unimplemented!()
    }
    pub fn deadline(&self) -> Option<Instant> {
        unimplemented!()
    }
    /// Says `reply` (a 421) and closes; for the service's own stop.
    pub fn close(&mut self, now: Instant, reply: Reply) {
        unimplemented!()
    }
    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        unimplemented!()
    }
}
