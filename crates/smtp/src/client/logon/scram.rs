//! The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding: no other server speaks that of TLS 1.3 yet.
//!
//! Takes challenges, hands on answers. The password never leaves, and the server's last word is checked.

use aws_lc_rs::digest::{self, digest};
use aws_lc_rs::{hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Fault, Logon};

/// RFC 5802 section 4 and RFC 7677 section 4: fewer are too easy to try passwords against.
const ITERATIONS_MIN: u32 = 4_096;
/// More than that is a server's mistake, or its way to keep us busy: this many take a tenth of a second.
const ITERATIONS_MAX: u32 = 250_000;
/// Longest salt, in bytes.
const SALT_BYTES_MAX: usize = 1_024;
/// The header of a client without channel binding; its base64 is `biws`.
const GS2_HEADER: &str = "n,,";

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha1,
    Sha256,
}

pub struct Scram {
    hash: Hash,
    is_in_tls: bool,
    nonce: String,
    /// The client's first message without its header.
    first_bare: String,
    /// What the server has to say in the end, once that is known.
    server_signature: Option<Vec<u8>>,
}

impl Scram {
    pub fn new(hash: Hash, logon: &Logon, is_in_tls: bool) -> Scram {
        let nonce = STANDARD.encode(logon.nonce);
        let user = logon.user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={nonce}");
        Scram { hash, is_in_tls, nonce, first_bare, server_signature: None }
    }

    pub fn client_first(&self) -> String {
        format!("{GS2_HEADER}{}", self.first_bare)
    }

    /// The answer to the server's message; `None` to its last.
    pub fn answer(&mut self, message: &str, password: &str) -> Result<Option<String>, Fault> {
        match self.server_signature.take() {
            None => self.client_final(message, password).map(Some),
            Some(expected) => {
                let said = message.split(',').next().and_then(|first| first.strip_prefix("v="));
                let said = said.and_then(|said| STANDARD.decode(said).ok()).ok_or(Fault::Unproven)?;
                match aws_lc_rs::constant_time::verify_slices_are_equal(&said, &expected) {
                    Ok(()) => Ok(None),
                    Err(_) => Err(Fault::Unproven),
                }
            }
        }
    }

    fn client_final(&mut self, server_first: &str, password: &str) -> Result<String, Fault> {
        let mut attributes = server_first.split(',');
        let mut attribute = |name| attributes.next().and_then(|text| text.strip_prefix(name)).ok_or(Fault::Challenge);
        // One that begins with `m=` asks for an extension that we do not know, and ends here as it has to.
        let (nonce, salt, iterations) = (attribute("r=")?, attribute("s=")?, attribute("i=")?);
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(Fault::Challenge);
        }
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty() && salt.len() <= SALT_BYTES_MAX);
        let salt = salt.ok_or(Fault::Challenge)?;
        let iterations: u32 = iterations.parse().map_err(|_| Fault::Challenge)?;
        if iterations > ITERATIONS_MAX {
            return Err(Fault::TooCostly);
        }
        if iterations < ITERATIONS_MIN && !self.is_in_tls {
            return Err(Fault::TooWeak);
        }
        let salted = self.salted_password(password, &salt, iterations)?;
        let client_key = self.hmac(&salted, b"Client Key");
        let stored_key = digest(self.digest_algorithm(), &client_key);
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(GS2_HEADER));
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_signature = self.hmac(stored_key.as_ref(), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&client_signature).map(|(key, signature)| key ^ signature).collect();
        let server_key = self.hmac(&salted, b"Server Key");
        self.server_signature = Some(self.hmac(&server_key, signed.as_bytes()));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    /// Passwords and names beyond ASCII go as they are: most servers do not normalise them either (SASLprep, RFC 4013).
    fn salted_password(&self, password: &str, salt: &[u8], iterations: u32) -> Result<Vec<u8>, Fault> {
        let (algorithm, length) = match self.hash {
            Hash::Sha1 => (pbkdf2::PBKDF2_HMAC_SHA1, digest::SHA1_OUTPUT_LEN),
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN),
        };
        let iterations = iterations.try_into().map_err(|_| Fault::Challenge)?;
        let mut salted = vec![0; length];
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        Ok(salted)
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = match self.hash {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
    }

    fn digest_algorithm(&self) -> &'static digest::Algorithm {
        match self.hash {
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &digest::SHA256,
        }
    }
}

#[cfg(test)]
impl Scram {
    /// With a nonce of another length than ours, as an example of a standard has it.
    pub fn use_nonce(&mut self, user: &str, nonce: &str) {
        nonce.clone_into(&mut self.nonce);
        self.first_bare = format!("n={user},r={nonce}");
    }
}
