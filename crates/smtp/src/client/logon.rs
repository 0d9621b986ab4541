//! Logging on to a next hop (RFC 4954): which mechanism, and what is said in each step of it.
//!
//! Takes what the next hop offers and says, hands on lines for it. Knows when the next hop has to prove that it knows the
//! password as well, and believes no success without that.

mod scram;
mod md5;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use scram::{Hash, Scram};

use crate::logon_mechanism::{LogonMechanism, LogonMechanisms};

/// Bytes of randomness that a client's nonce is made of.
pub const NONCE_BYTES: usize = 18;

/// Who we are for a next hop.
#[derive(Clone, PartialEq, Eq)]
pub struct Logon {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
    /// Those that may be used.
    pub mechanisms: LogonMechanisms,
    /// Whether to log on where the connection is not inside TLS.
    pub may_be_in_clear: bool,
    /// Random, another one for each connection.
    pub nonce: [u8; NONCE_BYTES],
}

/// Without the password.
impl fmt::Debug for Logon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Logon { user, mechanisms, may_be_in_clear, .. } = self;
        let mut debug = f.debug_struct("Logon");
        debug.field("user", user).field("mechanisms", mechanisms).field("may_be_in_clear", may_be_in_clear);
        debug.finish_non_exhaustive()
    }
}

/// What a next hop said that ends a logon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It is not what the mechanism has here.
    #[error("its challenge makes no sense")]
    Challenge,
    /// The password would be too easy to guess from what is said in clear.
    #[error("it asks for too few iterations to protect a password that is not inside TLS")]
    TooWeak,
    /// It would keep us busy.
    #[error("it asks for more iterations than anybody needs")]
    TooCostly,
    /// It does not know the password.
    #[error("it has not proven that it knows the password: it may not be who it says it is")]
    Unproven,
}

/// One logon on its way.
pub(super) struct Attempt {
    pub mechanism: LogonMechanism,
    step: Step,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attempt").field(&self.mechanism).finish()
    }
}

enum Step {
    /// PLAIN has said everything.
    Said,
    LoginUser,
    LoginPassword,
    Cram,
    Scram(Box<Scram>),
    /// The server has proven that it knows the password.
    Proven,
}

impl Attempt {
    /// Begins; hands on the AUTH command.
    pub(super) fn begin(mechanism: LogonMechanism, logon: &Logon, is_in_tls: bool) -> (Attempt, String) {
        let scram = |hash| Step::Scram(Box::new(Scram::new(hash, logon, is_in_tls)));
        let step = match mechanism {
            LogonMechanism::ScramSha256 => scram(Hash::Sha256),
            LogonMechanism::ScramSha1 => scram(Hash::Sha1),
            LogonMechanism::Plain => Step::Said,
            LogonMechanism::Login => Step::LoginUser,
            LogonMechanism::CramMd5 => Step::Cram,
        };
        let first = match &step {
            Step::Said => Some(format!("\0{}\0{}", logon.user, logon.password)),
            Step::Scram(scram) => Some(scram.client_first()),
            _ => None,
        };
        let first = first.map_or_else(String::new, |first| format!(" {}", STANDARD.encode(first)));
        (Attempt { mechanism, step }, format!("AUTH {}{first}", mechanism.as_str()))
    }

    /// The answer to a challenge, which is the text of a 334.
    pub(super) fn answer(&mut self, challenge: &str, logon: &Logon) -> Result<String, Fault> {
        // Some servers put words behind a challenge that nobody reads.
        let decode = || STANDARD.decode(challenge.trim()).map_err(|_| Fault::Challenge);
        let (next, answer) = match std::mem::replace(&mut self.step, Step::Said) {
            // What the prompts say is not read: servers differ, and users speak many languages.
            Step::LoginUser => (Step::LoginPassword, STANDARD.encode(&logon.user)),
            Step::LoginPassword => (Step::Said, STANDARD.encode(&logon.password)),
            Step::Cram => {
                let digest = md5::hmac(logon.password.as_bytes(), &decode()?);
                (Step::Said, STANDARD.encode(format!("{} {}", logon.user, hexadecimal(&digest))))
            }
            Step::Scram(mut scram) => {
                let challenge = String::from_utf8(decode()?).map_err(|_| Fault::Challenge)?;
                match scram.answer(&challenge, &logon.password)? {
                    Some(client_final) => (Step::Scram(scram), STANDARD.encode(client_final)),
                    // The last challenge was the server's proof, and is answered by an empty line.
                    None => (Step::Proven, String::new()),
                }
            }
            Step::Said | Step::Proven => return Err(Fault::Challenge),
        };
        self.step = next;
        Ok(answer)
    }

    /// The next hop says that we are in.
    pub(super) fn succeed(self) -> Result<(), Fault> {
        match self.step {
            Step::Scram(_) => Err(Fault::Unproven),
            _ => Ok(()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
