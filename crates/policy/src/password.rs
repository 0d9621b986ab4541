//! Whether a password is good enough: one decision for administrators and for users who log on by SMTP, with its reason.
//!
//! Takes what the password opens, whose it is, and the password; hands on yes, or the rule that it breaks. Knows nothing of how
//! passwords are kept, and of who may take a weak one all the same.
//!
//! Length counts (NIST SP 800-63B-4 section 3.1.1.2). Users may have shorter passwords of several kinds of characters besides,
//! as a directory with complexity rules asks for them: devices have short fields, and scripts have such literals.

use std::fmt;

/// Fewest characters, where it does not matter of which kind they are.
pub const CHARACTERS_MIN: usize = 12;
/// Fewest characters of a user's password that is of [`KINDS_MIN`] kinds.
pub const MIXED_CHARACTERS_MIN: usize = 8;
/// So many of small letters, capitals, digits and others make a mixed password.
const KINDS_MIN: usize = 3;
/// With fewer different characters it is a pattern, however long.
const DIFFERENT_MIN: usize = 5;
/// A name that is shorter says nothing about a password that it stands in.
const NAME_CHARACTERS_MIN: usize = 3;

/// Words that are tried first, with digits and signs around them or without, in any case.
const TRIED_FIRST: [&str; 60] = [
    "access",
    "admin",
    "administrator",
    "asdfghjkl",
    "autumn",
    "baseball",
    "changeit",
    "changeme",
    "company",
    "computer",
    "default",
    "dragon",
    "drucker",
    "exchange",
    "football",
    "freedom",
    "gatepost",
    "geheim",
    "guest",
    "hallo",
    "hello",
    "herbst",
    "iloveyou",
    "kennwort",
    "kopierer",
    "letmein",
    "login",
    "mailrelay",
    "master",
    "michael",
    "monkey",
    "newpassword",
    "nopassword",
    "passphrase",
    "password",
    "passwort",
    "princess",
    "printer",
    "qwerty",
    "qwertyuiop",
    "qwertz",
    "qwertzuiop",
    "scanner",
    "secret",
    "server",
    "shadow",
    "sommer",
    "spring",
    "starwars",
    "summer",
    "sunshine",
    "superman",
    "system",
    "test",
    "testtest",
    "trustno",
    "welcome",
    "willkommen",
    "winter",
    "zxcvbnm",
];

/// What a password opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// The management of the server.
    Administration,
    /// Logging on by SMTP, and writing as some addresses.
    Mail,
}

/// The rule that a password breaks. It reads on after "the password of ...", and says what to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Too short for the management.
    Short,
    /// Too short, or short and of few kinds of characters.
    ShortOrPlain,
    /// Little but the name.
    Name,
    /// Tried first by whoever guesses.
    TriedFirst,
    /// A row of neighbours, a repetition, or of few characters.
    Pattern,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weakness::Short => write!(f, "has at least {CHARACTERS_MIN} characters"),
            Weakness::ShortOrPlain => write!(
                f,
                "has at least {CHARACTERS_MIN} characters, or {MIXED_CHARACTERS_MIN} of {KINDS_MIN} kinds: small letters, \
                 capitals, digits, others"
            ),
            Weakness::Name => write!(f, "is not the name with little beside it"),
            Weakness::TriedFirst => {
                write!(f, "is none of the words that are tried first, with digits around it or without")
            }
            Weakness::Pattern => {
                write!(f, "is no row of neighbours, no repetition and of at least {DIFFERENT_MIN} characters")
            }
        }
    }
}

/// Whether `password` is good enough for `name`.
///
/// # Errors
/// The first rule that it breaks.
pub fn decide(opens: Opens, name: &str, password: &str) -> Result<(), Weakness> {
    let letters: Vec<char> = password.to_lowercase().chars().collect();
    let length = password.chars().count();
    if length < CHARACTERS_MIN {
        match opens {
            Opens::Administration => return Err(Weakness::Short),
            Opens::Mail if length < MIXED_CHARACTERS_MIN || kinds(password) < KINDS_MIN => {
                return Err(Weakness::ShortOrPlain);
            }
            Opens::Mail => {}
        }
    }
    if is_pattern(&letters) {
        return Err(Weakness::Pattern);
    }
    let lower = password.to_lowercase();
    if names(name).any(|name| is_little_beside(&lower, &name)) {
        return Err(Weakness::Name);
    }
    let word = lower.trim_matches(|letter: char| !letter.is_alphabetic());
    if TRIED_FIRST.contains(&word) {
        return Err(Weakness::TriedFirst);
    }
    Ok(())
}

fn kinds(password: &str) -> usize {
    let is_other = |letter: char| !letter.is_lowercase() && !letter.is_uppercase() && !letter.is_numeric();
    let has = |is_of_kind: &dyn Fn(char) -> bool| password.chars().any(is_of_kind);
    let kinds = [has(&char::is_lowercase), has(&char::is_uppercase), has(&char::is_numeric), has(&is_other)];
    kinds.into_iter().filter(|has| *has).count()
}

fn is_pattern(letters: &[char]) -> bool {
    let mut different = letters.to_vec();
    different.sort_unstable();
    different.dedup();
    // A neighbour is the next letter or digit, up or down.
    let is_step = |pair: &[char]| u32::from(pair[0]).abs_diff(u32::from(pair[1])) <= 1;
    let steps = letters.windows(2).filter(|pair| is_step(pair)).count();
    let is_row = letters.len() > 1 && steps * 4 >= (letters.len() - 1) * 3;
    let is_repeated =
        |piece: usize| letters.len() >= 2 * piece && letters.iter().skip(piece).eq(&letters[..letters.len() - piece]);
    different.len() < DIFFERENT_MIN || is_row || (1..MIXED_CHARACTERS_MIN + 1).any(is_repeated)
}

/// The name, and what of it stands for the person: `CONTOSO\bob` and `bob@contoso.com` are bob.
fn names(name: &str) -> impl Iterator<Item = String> {
    let name = name.to_lowercase();
    let after = name.rsplit_once('\\').map(|(_, after)| after.to_owned());
    let before = name.split_once('@').map(|(before, _)| before.to_owned());
    [Some(name), after, before].into_iter().flatten()
}

/// Whether what is left of a password without a name would be no password.
fn is_little_beside(password: &str, name: &str) -> bool {
    name.chars().count() >= NAME_CHARACTERS_MIN
        && password.contains(name)
        && password.replace(name, "").chars().count() < MIXED_CHARACTERS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_users_are_long_or_mixed_and_not_what_everybody_tries() {
        use Weakness::{Name, Pattern, ShortOrPlain, TriedFirst};
        for (name, password, expected) in [
            ("scanner3", "abc", Err(ShortOrPlain)),
            ("scanner3", "", Err(ShortOrPlain)),
            ("scanner3", "Aa1!Bb2", Err(ShortOrPlain)),
            ("scanner3", "Sc4nFloor", Ok(())),
            ("scanner3", "sc4nfloor", Err(ShortOrPlain)),
            ("scanner3", "12345678", Err(ShortOrPlain)),
            // As scripts have them.
            ("scanner3", "P@ssw0rd1", Ok(())),
            ("scanner3", "Pa$$word1", Ok(())),
            ("scanner3", "Unsaid4u", Ok(())),
            ("scanner3", "correct horse", Ok(())),
            ("scanner3", "Printer, Kopierer", Ok(())),
            ("scanner3", "schöne grüße", Ok(())),
            ("scanner3", "839201746153", Ok(())),
            ("scanner3", "Password1", Err(TriedFirst)),
            ("scanner3", "!!Willkommen2026!!", Err(TriedFirst)),
            ("scanner3", "Summer2026!", Err(TriedFirst)),
            ("scanner3", "Scanner3!", Err(Name)),
            ("scanner3", "scanner3scanner3x", Err(Name)),
            ("scanner3", "scanner3 on the third floor", Ok(())),
            ("CONTOSO\\bob", "Bob.2026!", Err(Name)),
            ("bob@contoso.com", "bob-bob-1234", Err(Name)),
            ("al", "Alabama1!", Ok(())),
            ("scanner3", "123456789012", Err(Pattern)),
            ("scanner3", "Abcdefg1", Err(Pattern)),
            ("scanner3", "aaaaaaaaaaaaaaaa", Err(Pattern)),
            ("scanner3", "Aa1Aa1Aa1Aa1", Err(Pattern)),
            ("scanner3", "passwordpassword", Err(Pattern)),
            ("scanner3", "9876543210ZYX", Err(Pattern)),
        ] {
            assert_eq!(decide(Opens::Mail, name, password), expected, "{name} {password}");
        }
    }

    #[test]
    fn passwords_of_administrators_are_long() {
        for (password, expected) in [
            ("P@ssw0rd1", Err(Weakness::Short)),
            ("correct horse battery", Ok(())),
            ("carol carol 1", Err(Weakness::Name)),
            ("administrator", Err(Weakness::TriedFirst)),
            ("111111111111", Err(Weakness::Pattern)),
        ] {
            assert_eq!(decide(Opens::Administration, "carol", password), expected, "{password}");
        }
    }
}
