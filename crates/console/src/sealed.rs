//! Secrets that a form carries from one page to the next, so that nobody types a password twice: sealed with a key that this
//! process alone has, and that it forgets when it ends. What a browser holds of it is of no use to anybody but this server, in this
//! session, for a while.

use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;

use crate::text::now_ms;

/// How long a form may lie open before what it carries has to be typed again.
const LIFETIME_MS: u64 = 30 * 60 * 1_000;
const TIME_BYTES: usize = 8;

fn key() -> Option<&'static RandomizedNonceKey> {
    static KEY: OnceLock<Option<RandomizedNonceKey>> = OnceLock::new();
    let fresh = || {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok()
    };
    KEY.get_or_init(fresh).as_ref()
}

/// A secret that only [`open`] can read, for the same `purpose`: the proof of a session with the name of a field. Empty where there is
/// no randomness: then it has to be typed again.
pub fn seal(secret: &str, purpose: &str) -> String {
    seal_at(secret, purpose, now_ms()).unwrap_or_default()
}

fn seal_at(secret: &str, purpose: &str, now_ms: u64) -> Option<String> {
    let mut bytes = now_ms.to_be_bytes().to_vec();
    bytes.extend_from_slice(secret.as_bytes());
    let nonce = key()?.seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut bytes).ok()?;
    let all = nonce.as_ref().iter().chain(&bytes);
    Some(all.map(|byte| format!("{byte:02x}")).collect())
}

/// The secret, unless it was sealed for another purpose, by another process, or too long ago.
pub fn open(sealed: &str, purpose: &str) -> Option<String> {
    open_at(sealed, purpose, now_ms())
}

fn open_at(sealed: &str, purpose: &str, now_ms: u64) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = sealed.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect();
    let bytes = bytes?;
    let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut rest = rest.to_vec();
    let plain = key()?.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut rest).ok()?;
    let (time, secret) = plain.split_at_checked(TIME_BYTES)?;
    let sealed_ms = u64::from_be_bytes(time.try_into().ok()?);
    let is_fresh = now_ms.saturating_sub(sealed_ms) <= LIFETIME_MS;
    std::str::from_utf8(secret).ok().filter(|_| is_fresh).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_session_opens_it_for_the_same_field_and_not_for_ever() {
        let sealed = seal_at("hünter 2 ", "session field", 1_000).expect("sealed");
        assert!(!sealed.contains("h") && sealed != seal_at("hünter 2 ", "session field", 1_000).expect("sealed"));
        assert_eq!(open_at(&sealed, "session field", 1_000 + LIFETIME_MS).as_deref(), Some("hünter 2 "));
        assert_eq!(open_at(&sealed, "session field", 1_001 + LIFETIME_MS), None);
        assert_eq!(open_at(&sealed, "another field", 1_000), None);
        let last = if sealed.ends_with('0') { '1' } else { '0' };
        let changed = format!("{}{last}", &sealed[..sealed.len() - 1]);
        for wrong in ["", "0", "zz", "é", &sealed[2..], &sealed[..sealed.len() - 2], &changed, &"0".repeat(64)] {
            assert_eq!(open_at(wrong, "session field", 1_000), None, "{wrong}");
        }
    }
}
