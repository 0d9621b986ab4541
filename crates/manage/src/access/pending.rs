//! Secrets for codes that wait for their first code: only who shows that an app has the secret is asked for codes from then on.
//!
//! Takes who makes a secret and for whom, hands on the secret once its first code is right. In memory alone and for minutes; one
//! for each administrator at most. Reads no clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::actor::{Actor, Source};
use super::session::Proven;
use crate::credentials::{Administrator, SecretHash, TotpSecret};

/// A secret waits so long for its first code.
pub const LIFETIME_MS: u64 = 10 * 60 * 1_000;

/// All that wait, by the lower-case name of the administrator.
#[derive(Default)]
pub struct Pending(HashMap<String, Waiting>);

struct Waiting {
    secret: TotpSecret,
    /// Nobody else puts it in force: they would be handed the right code by whoever looks over a shoulder.
    maker: Maker,
    /// What the administrator had to prove when it was made: another password means that somebody has taken the account back.
    proven: Proven,
    made_ms: u64,
}

/// Who has made a secret. One that was made in a session is of use in that session alone.
#[derive(PartialEq, Eq)]
enum Maker {
    Session(SecretHash),
    Password(String),
    Token(Arc<str>),
    Socket(Option<u32>),
    /// Neither the server itself nor a stranger makes any.
    Nobody,
}

impl Maker {
    fn of(actor: &Actor) -> Maker {
        match &actor.source {
            Source::Password { session: Some(session), .. } => Maker::Session(*session),
            Source::Password { session: None, .. } => Maker::Password(actor.name.to_lowercase()),
            Source::Token { id, .. } => Maker::Token(id.clone()),
            Source::Socket { uid } => Maker::Socket(*uid),
            Source::Server | Source::Nobody { .. } => Maker::Nobody,
        }
    }
}

/// Why a secret is not put in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unconfirmed {
    /// None waits: none was made, or too long ago, or by somebody else, or before the last change of the password.
    NoneWaits,
    /// It is not a code of that secret. It waits on.
    Wrong,
    /// Too many were not: not before this time has passed.
    Wait(Duration),
}

impl Pending {
    /// Begins to wait for the first code of `secret`, in place of one that was made before.
    pub fn begin(&mut self, of: &Administrator, secret: TotpSecret, by: &Actor, now_ms: u64) {
        self.0.retain(|_, waiting| waiting.is_open(now_ms));
        let waiting = Waiting { secret, maker: Maker::of(by), proven: Proven::of(of), made_ms: now_ms };
        self.0.insert(of.name.to_lowercase(), waiting);
    }

    /// The secret whose first code this is, which waits no longer; and the step of that code, so that it is good once.
    ///
    /// # Errors
    /// [`Unconfirmed`].
    pub fn confirm(
        &mut self,
        of: &Administrator,
        by: &Actor,
        code: &str,
        now_ms: u64,
    ) -> Result<(TotpSecret, u64), Unconfirmed> {
        let name = of.name.to_lowercase();
        let waiting = self.0.get(&name).filter(|waiting| waiting.is_open(now_ms));
        let waiting = waiting.filter(|waiting| waiting.maker == Maker::of(by) && waiting.proven == Proven::of(of));
        let waiting = waiting.ok_or(Unconfirmed::NoneWaits)?;
        let step = waiting.secret.step_of(code, now_ms, None).ok_or(Unconfirmed::Wrong)?;
        let waited = self.0.remove(&name).ok_or(Unconfirmed::NoneWaits)?;
        Ok((waited.secret, step))
    }
}

impl Waiting {
    fn is_open(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.made_ms) < LIFETIME_MS
    }
}

#[cfg(test)]
mod tests {
    use gatepost_policy::role::Roles;

    use super::*;
    use crate::credentials::{PasswordHash, Secret};

    const NOW: u64 = 1_111_111_111_000;

    fn carol() -> Administrator {
        Administrator {
            name: "Carol".to_owned(),
            password: PasswordHash::of("correct horse battery").expect("a password"),
            roles: Roles::ALL,
            totp: None,
            totp_since_ms: None,
            created_ms: 0,
        }
    }

    fn actor(source: Source) -> Actor {
        Actor { name: "carol".into(), source, ..Actor::nobody(None) }
    }

    fn in_session() -> Actor {
        let session = Some(Secret::fresh("gps").expect("randomness").hash());
        actor(Source::Password { address: None, session })
    }

    #[test]
    fn a_secret_is_in_force_once_its_first_code_came_in_time_from_who_has_made_it() {
        let (carol, maker) = (carol(), in_session());
        let secret = TotpSecret::fresh().expect("randomness");
        let code = |at_ms| secret.code_at(at_ms);
        let begin = || {
            let mut pending = Pending::default();
            pending.begin(&carol, secret.clone(), &maker, NOW);
            pending
        };
        let late = NOW + LIFETIME_MS;
        let changed = self::carol();
        let by_password = actor(Source::Password { address: None, session: None });
        for (of, by, code, at_ms, expected) in [
            (&carol, &maker, code(NOW), NOW, None),
            (&carol, &maker, code(late - 1), late - 1, None),
            (&carol, &maker, code(late), late, Some(Unconfirmed::NoneWaits)),
            (&carol, &maker, code(NOW - 3_600_000), NOW, Some(Unconfirmed::Wrong)),
            (&carol, &maker, String::new(), NOW, Some(Unconfirmed::Wrong)),
            (&carol, &in_session(), code(NOW), NOW, Some(Unconfirmed::NoneWaits)),
            (&carol, &by_password, code(NOW), NOW, Some(Unconfirmed::NoneWaits)),
            (&carol, &Actor::of_socket(Some(0), Roles::ALL), code(NOW), NOW, Some(Unconfirmed::NoneWaits)),
            (&changed, &maker, code(NOW), NOW, Some(Unconfirmed::NoneWaits)),
        ] {
            let confirmed = begin().confirm(of, by, &code, at_ms);
            assert_eq!(confirmed.err(), expected, "{by:?} {code} {at_ms}");
        }
        let mut pending = begin();
        assert_eq!(pending.confirm(&carol, &maker, "000000", NOW), Err(Unconfirmed::Wrong));
        assert!(pending.confirm(&carol, &maker, &code(NOW), NOW).is_ok(), "a mistake does not use it up");
        assert_eq!(pending.confirm(&carol, &maker, &code(NOW), NOW), Err(Unconfirmed::NoneWaits), "once");
    }

    #[test]
    fn another_secret_takes_the_place_of_the_one_that_waits_and_none_waits_for_good() {
        let (carol, maker) = (carol(), in_session());
        let [first, second] = [(); 2].map(|()| TotpSecret::fresh().expect("randomness"));
        let mut pending = Pending::default();
        pending.begin(&carol, first.clone(), &maker, NOW);
        pending.begin(&carol, second.clone(), &maker, NOW);
        assert_eq!(pending.confirm(&carol, &maker, &first.code_at(NOW), NOW), Err(Unconfirmed::Wrong));
        assert_eq!(pending.confirm(&carol, &maker, &second.code_at(NOW), NOW).map(|found| found.0), Ok(second));
        pending.begin(&carol, first, &maker, NOW);
        let dave = Administrator { name: "dave".to_owned(), ..carol };
        pending.begin(&dave, TotpSecret::fresh().expect("randomness"), &maker, NOW + LIFETIME_MS);
        assert_eq!(pending.0.len(), 1);
    }
}
