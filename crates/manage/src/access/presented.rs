//! What a request presents to prove whom it is from: the Authorization field (RFC 9110 section 11.6.2), and a code.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The field that carries the code of an authenticator app beside a password.
pub const CODE_FIELD: &str = "gatepost-code";
/// What every token begins with.
pub const TOKEN_WORD: &str = "gpt";
/// What every session's secret begins with.
pub const SESSION_WORD: &str = "gps";
/// Longer ones are none.
const AUTHORIZATION_BYTES_MAX: usize = 4 * 1024;

/// What somebody presents. No `Debug`: it is secret.
pub enum Presented {
    /// A token, or the secret of a session (RFC 6750).
    Bearer(String),
    /// A name and a password (RFC 7617), and the code of an authenticator app.
    Password {
        /// Whose.
        name: String,
        /// The password.
        password: String,
        /// Six digits.
        code: Option<String>,
    },
}

impl Presented {
    /// Reads the fields; `None` where nothing is presented.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(headers: &HeaderMap) -> Result<Option<Presented>, &'static str> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let Some(field) = fields.next() else { return Ok(None) };
        if fields.next().is_some() {
            return Err("there are two Authorization fields");
        }
        let text = field.to_str().ok().filter(|text| text.len() <= AUTHORIZATION_BYTES_MAX);
        let text = text.ok_or("the Authorization field is not understood")?;
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("Bearer") {
            return Ok(Some(Presented::Bearer(rest.to_owned())));
        }
        if !scheme.eq_ignore_ascii_case("Basic") {
            return Err("the Authorization field names neither Bearer nor Basic");
        }
        let pair = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
        let (name, password) =
            pair.ok_or("the Authorization field is no Basic one: base64 of name:password in UTF-8")?;
        let code = headers.get(CODE_FIELD).and_then(|code| code.to_str().ok()).map(|code| code.trim().to_owned());
        Ok(Some(Presented::Password { name: name.to_owned(), password: password.to_owned(), code }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: header::HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        Ok(match Presented::read(&headers)? {
            None => "nothing".to_owned(),
            Some(Presented::Bearer(token)) => format!("bearer {token}"),
            Some(Presented::Password { name, password, code }) => format!("{name} {password} {code:?}"),
        })
    }

    #[test]
    fn names_passwords_and_tokens_are_read() {
        let basic = |text: &str| format!("basic {}", STANDARD.encode(text));
        assert_eq!(read(&[]), Ok("nothing".into()));
        assert_eq!(read(&[("authorization", "BEARER  gpt_1 ")]), Ok("bearer gpt_1".into()));
        assert_eq!(read(&[("authorization", &basic("carol:a:b ü"))]), Ok("carol a:b ü None".into()));
        let with_code = [("authorization", basic("carol:x")), ("gatepost-code", " 123456 ".to_owned())];
        let with_code = with_code.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(read(&with_code), Ok("carol x Some(\"123456\")".into()));
    }

    #[test]
    fn what_is_not_understood_is_refused_not_passed_over() {
        let long = format!("Bearer {}", "x".repeat(AUTHORIZATION_BYTES_MAX));
        for fields in [
            &[("authorization", "Digest x")][..],
            &[("authorization", "Basic !!!")],
            &[("authorization", "Basic eHg=")],
            &[("authorization", "Basic")],
            &[("authorization", &long)],
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
        ] {
            assert!(read(fields).is_err(), "{fields:?}");
        }
    }
}
