//! Time-based one-time codes (RFC 6238 over RFC 4226): six digits, every 30 seconds, HMAC-SHA-1, as every authenticator
//! app has them.
//!
//! Takes a secret and a time, hands on whether a code is right and of which step it is, so that its holder can refuse it
//! a second time. Reads no clock.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hmac, rand};

use super::SecretsError;

/// Bytes of a secret: as long as the hash (RFC 4226 section 4, R6).
const SECRET_BYTES: usize = 20;
const STEP_SECONDS: u64 = 30;
const DIGITS: usize = 6;
/// A code of the step before or after is right, too: clocks differ (RFC 6238 section 5.2).
const STEPS_ASIDE: u64 = 1;
/// RFC 4648 section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What an authenticator app and we both know. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; SECRET_BYTES]);

impl TotpSecret {
    /// A fresh one.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn fresh() -> Result<TotpSecret, SecretsError> {
        let mut bytes = [0; SECRET_BYTES];
        rand::fill(&mut bytes).map_err(|_| SecretsError::Randomness)?;
        Ok(TotpSecret(bytes))
    }

    /// Reads what [`TotpSecret::to_base32`] wrote.
    pub fn parse(text: &str) -> Option<TotpSecret> {
        let mut bytes = Vec::with_capacity(SECRET_BYTES);
        let (mut bits, mut count) = (0_u32, 0);
        for byte in text.bytes() {
            let digit = BASE32.iter().position(|digit| *digit == byte.to_ascii_uppercase())?;
            bits = bits << 5 | u32::try_from(digit).ok()?;
            count += 5;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count) as u8);
                bits &= (1 << count) - 1;
            }
        }
        Some(TotpSecret(bytes.try_into().ok()?))
    }

    /// As apps take it when it is typed.
    pub fn to_base32(&self) -> String {
        // 20 bytes are 32 digits without a rest.
        let mut text = String::with_capacity(SECRET_BYTES * 8 / 5);
        for group in self.0.chunks(5) {
            let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for place in (0..8).rev() {
                text.push(char::from(BASE32[(bits >> (place * 5) & 31) as usize]));
            }
        }
        text
    }

    /// As apps take it from a QR code: `otpauth://totp/...`. `server` and `name` are what the app shows.
    pub fn to_uri(&self, server: &str, name: &str) -> String {
        let mut uri = String::from("otpauth://totp/");
        for text in [server, ":", name] {
            for byte in text.bytes() {
                match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                        uri.push(char::from(byte))
                    }
                    _ => uri.push_str(&format!("%{byte:02X}")),
                }
            }
        }
        format!(
            "{uri}?secret={}&issuer=Gatepost&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}",
            self.to_base32()
        )
    }

    /// The step of a code that is right at this time and later than `after`: no code counts twice. Apps show a code in two
    /// groups, so spaces in it are none.
    pub fn step_of(&self, code: &str, now_ms: u64, after: Option<u64>) -> Option<u64> {
        let code: String = code.chars().filter(|letter| *letter != ' ').take(DIGITS + 1).collect();
        let now = now_ms / 1000 / STEP_SECONDS;
        let steps = now.saturating_sub(STEPS_ASIDE)..=now + STEPS_ASIDE;
        let mut right = None;
        for step in steps {
            // Each is compared, so that the time tells nothing.
            let is_right = verify_slices_are_equal(self.code(step).as_bytes(), code.as_bytes()).is_ok();
            if is_right && after.is_none_or(|after| step > after) {
                right = Some(step);
            }
        }
        right
    }

    /// The code of a time, as an app shows it.
    #[cfg(test)]
    pub fn code_at(&self, now_ms: u64) -> String {
        self.code(now_ms / 1000 / STEP_SECONDS)
    }

    /// RFC 4226 section 5.3.
    fn code(&self, step: u64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let hash = tag.as_ref();
        let offset = usize::from(hash[hash.len() - 1] & 15);
        let number = hash[offset..offset + 4].iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        format!("{:0DIGITS$}", (number & 0x7fff_ffff) % 1_000_000)
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(set)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_the_rfc() -> TotpSecret {
        TotpSecret(*b"12345678901234567890")
    }

    /// RFC 6238 appendix B, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(of_the_rfc().code(seconds / STEP_SECONDS), code);
            assert_eq!(of_the_rfc().step_of(code, seconds * 1000, None), Some(seconds / STEP_SECONDS));
        }
    }

    #[test]
    fn a_code_counts_once_and_for_a_step_before_and_after() {
        let (secret, at) = (of_the_rfc(), 1_111_111_111_000);
        let step = at / 1000 / STEP_SECONDS;
        for (of, is_right) in [(step - 2, false), (step - 1, true), (step, true), (step + 1, true), (step + 2, false)] {
            assert_eq!(secret.step_of(&secret.code(of), at, None).is_some(), is_right, "{of}");
        }
        let code = secret.code(step);
        assert_eq!(secret.step_of(&code, at, Some(step)), None);
        assert_eq!(secret.step_of(&code, at, Some(step - 1)), Some(step));
        let (left, right) = code.split_at(3);
        assert_eq!(secret.step_of(&format!(" {left} {right} "), at, None), Some(step));
        for wrong in ["", "0", "1234567", "abcdef", &format!("{code}0"), &" ".repeat(1_000)] {
            assert_eq!(secret.step_of(wrong, at, None), None);
        }
    }

    #[test]
    fn a_secret_is_written_and_read_as_base32() {
        assert_eq!(of_the_rfc().to_base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let fresh = TotpSecret::fresh().expect("randomness");
        assert_eq!(TotpSecret::parse(&fresh.to_base32().to_lowercase()), Some(fresh.clone()));
        assert!(
            fresh
                .to_uri("mail.contoso.com", "carol ann")
                .starts_with("otpauth://totp/mail.contoso.com:carol%20ann?secret=")
        );
        for wrong in ["", "GEZDGNBV", "1EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQAAAAAAAA"] {
            assert_eq!(TotpSecret::parse(wrong), None, "{wrong}");
        }
    }
}
