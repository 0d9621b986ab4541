//! Sessions: who has proven a password, and a code where one is asked for, need not do so at each request.
//!
//! Takes the hash of what a request presents, the time, and who has asked, hands on the session. In memory alone: a restart
//! ends them. Bounded in number and time.

use std::collections::HashMap;

use crate::credentials::{Administrator, PasswordHash, Secret, SecretHash, TotpSecret};

/// A session ends so long after the last request that somebody made in it.
const IDLE_MS_MAX: u64 = 30 * 60 * 1_000;
/// And so long after it began, whatever happens in it.
const LIFETIME_MS: u64 = 12 * 60 * 60 * 1_000;
/// At most so many of one administrator at once; for one more the one of theirs that was idle longest ends: nobody ends those of
/// others by beginning many.
const SESSIONS_OF_NAME_MAX: usize = 20;
/// At most so many at once; for one more the one that was idle longest ends.
const SESSIONS_MAX: usize = 1_000;

/// Who has asked for something. An extension of the request; without one, it is somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskedBy {
    /// A person, or a program of theirs.
    #[default]
    Somebody,
    /// A page that lies open, to show what has changed. Nobody need sit before it, so it keeps no session alive.
    OpenPage,
}

/// What a session began with: another password ends it, and so do other codes.
#[derive(Clone, PartialEq, Eq)]
pub struct Proven {
    password: PasswordHash,
    totp: Option<TotpSecret>,
}

impl Proven {
    /// What `administrator` has to prove today.
    pub fn of(administrator: &Administrator) -> Proven {
        Proven { password: administrator.password.clone(), totp: administrator.totp.clone() }
    }
}

/// One session.
#[derive(Clone)]
pub struct Session {
    /// Whose.
    pub name: String,
    /// What it began with.
    pub proven: Proven,
    began_ms: u64,
    last_ms: u64,
}

/// All that are open.
#[derive(Default)]
pub struct Sessions(HashMap<SecretHash, Session>);

impl Sessions {
    /// Begins one; whoever presents `secret` is in it. Says until when it lasts at most.
    pub fn begin(&mut self, secret: &Secret, name: String, proven: Proven, now_ms: u64) -> u64 {
        self.0.retain(|_, session| session.is_open(now_ms));
        if self.of(&name).count() >= SESSIONS_OF_NAME_MAX {
            let idle = idle_longest(self.of(&name));
            idle.map(|hash| self.0.remove(&hash));
        }
        if self.0.len() >= SESSIONS_MAX {
            let idle = idle_longest(self.0.iter());
            idle.map(|hash| self.0.remove(&hash));
        }
        self.0.insert(secret.hash(), Session { name, proven, began_ms: now_ms, last_ms: now_ms });
        now_ms + LIFETIME_MS
    }

    fn of(&self, name: &str) -> impl Iterator<Item = (&SecretHash, &Session)> {
        self.0.iter().filter(move |(_, session)| session.name == name)
    }

    /// The session of a secret, which is not idle now if somebody has asked.
    pub fn find(&mut self, presented: &SecretHash, now_ms: u64, asked_by: AskedBy) -> Option<Session> {
        let session = self.0.get_mut(presented).filter(|session| session.is_open(now_ms))?;
        if asked_by == AskedBy::Somebody {
            session.last_ms = session.last_ms.max(now_ms);
        }
        Some(session.clone())
    }

    /// Goes on with a session after a change of what its owner has to prove, and ends their others.
    pub fn keep(&mut self, presented: &SecretHash, proven: Proven) {
        let Some(session) = self.0.remove(presented) else { return };
        self.0.retain(|_, other| other.name != session.name);
        self.0.insert(*presented, Session { proven, ..session });
    }

    /// Gives a session another secret: who has learned the old one is in it no longer. Says until when it lasts at most.
    pub fn renew(&mut self, presented: &SecretHash, secret: &Secret) -> Option<u64> {
        let session = self.0.remove(presented)?;
        let expires_ms = session.began_ms + LIFETIME_MS;
        self.0.insert(secret.hash(), session);
        Some(expires_ms)
    }

    /// Ends one.
    pub fn end(&mut self, presented: &SecretHash) -> bool {
        self.0.remove(presented).is_some()
    }
}

fn idle_longest<'a>(sessions: impl Iterator<Item = (&'a SecretHash, &'a Session)>) -> Option<SecretHash> {
    sessions.min_by_key(|(_, session)| session.last_ms).map(|(hash, _)| *hash)
}

impl Session {
    fn is_open(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) < IDLE_MS_MAX && now_ms.saturating_sub(self.began_ms) < LIFETIME_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven() -> Proven {
        Proven { password: PasswordHash::of("correct horse").expect("a password"), totp: None }
    }

    #[test]
    fn a_session_ends_when_it_is_idle_when_it_is_old_and_when_it_is_told_to() {
        let proven = proven();
        let secret = Secret::fresh("gps").expect("randomness");
        let begin = || {
            let mut sessions = Sessions::default();
            assert_eq!(sessions.begin(&secret, "carol".to_owned(), proven.clone(), 0), LIFETIME_MS);
            sessions
        };
        let hash = secret.hash();
        assert!(begin().find(&hash, IDLE_MS_MAX - 1, AskedBy::Somebody).is_some());
        assert!(begin().find(&hash, IDLE_MS_MAX, AskedBy::Somebody).is_none());
        let mut sessions = begin();
        for now in (0..LIFETIME_MS).step_by(IDLE_MS_MAX as usize / 2) {
            assert!(sessions.find(&hash, now, AskedBy::Somebody).is_some(), "{now}");
        }
        assert!(sessions.find(&hash, LIFETIME_MS, AskedBy::Somebody).is_none());
        let mut sessions = begin();
        assert!(sessions.end(&hash) && !sessions.end(&hash) && sessions.find(&hash, 1, AskedBy::Somebody).is_none());
    }

    #[test]
    fn a_page_that_lies_open_keeps_no_session_alive() {
        const MINUTE_MS: u64 = 60 * 1_000;
        let secret = Secret::fresh("gps").expect("randomness");
        let mut sessions = Sessions::default();
        sessions.begin(&secret, "carol".to_owned(), proven(), 0);
        for minute in 1..30 {
            let found = sessions.find(&secret.hash(), minute * MINUTE_MS, AskedBy::OpenPage);
            assert!(found.is_some(), "it finds the session as long as there is one: {minute}");
        }
        let mut looked_at = Sessions(sessions.0.clone());
        assert!(sessions.find(&secret.hash(), 30 * MINUTE_MS, AskedBy::OpenPage).is_none());
        assert!(
            sessions.find(&secret.hash(), 30 * MINUTE_MS, AskedBy::Somebody).is_none(),
            "nor does anybody revive it"
        );
        assert!(looked_at.find(&secret.hash(), 29 * MINUTE_MS, AskedBy::Somebody).is_some());
        assert!(looked_at.find(&secret.hash(), 58 * MINUTE_MS, AskedBy::OpenPage).is_some(), "by what somebody asked");
    }

    #[test]
    fn a_session_goes_on_alone_and_under_another_secret() {
        let fresh = || Secret::fresh("gps").expect("randomness");
        let (own, other, of_dave, renewed) = (fresh(), fresh(), fresh(), fresh());
        let mut sessions = Sessions::default();
        for (secret, name) in [(&own, "carol"), (&other, "carol"), (&of_dave, "dave")] {
            sessions.begin(secret, name.to_owned(), proven(), 5);
        }
        let newly_proven = proven();
        sessions.keep(&own.hash(), newly_proven.clone());
        let kept = sessions.find(&own.hash(), 6, AskedBy::Somebody).expect("it goes on");
        assert!(kept.proven == newly_proven);
        assert!(sessions.find(&other.hash(), 6, AskedBy::Somebody).is_none());
        assert_eq!(sessions.renew(&own.hash(), &renewed), Some(5 + LIFETIME_MS), "and not for longer than before");
        let mut open = |secret: &Secret| sessions.find(&secret.hash(), 7, AskedBy::Somebody).is_some();
        assert_eq!([&own, &renewed, &of_dave].map(&mut open), [false, true, true]);
        assert_eq!(sessions.renew(&own.hash(), &fresh()), None);
    }

    #[test]
    fn there_are_few_and_the_one_that_is_idle_longest_gives_way() {
        let proven = proven();
        let mut sessions = Sessions::default();
        let first = Secret::fresh("gps").expect("randomness");
        let second = Secret::fresh("gps").expect("randomness");
        for secret in [&first, &second] {
            sessions.begin(secret, "carol".to_owned(), proven.clone(), 0);
        }
        assert!(sessions.find(&first.hash(), 5, AskedBy::Somebody).is_some());
        for number in 2..=SESSIONS_MAX {
            let name = format!("dave {}", number / SESSIONS_OF_NAME_MAX);
            sessions.begin(&Secret::fresh("gps").expect("randomness"), name, proven.clone(), 9);
        }
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
        assert!(
            sessions.find(&first.hash(), 9, AskedBy::Somebody).is_some()
                && sessions.find(&second.hash(), 9, AskedBy::Somebody).is_none()
        );
    }

    #[test]
    fn who_begins_many_ends_their_own() {
        let proven = proven();
        let mut sessions = Sessions::default();
        let of_carol = Secret::fresh("gps").expect("randomness");
        sessions.begin(&of_carol, "carol".to_owned(), proven.clone(), 0);
        for number in 0..3 * SESSIONS_OF_NAME_MAX as u64 {
            let secret = Secret::fresh("gps").expect("randomness");
            sessions.begin(&secret, "dave".to_owned(), proven.clone(), 1 + number);
            assert!(
                sessions.find(&secret.hash(), 1 + number, AskedBy::Somebody).is_some(),
                "the newest is never the one that ends"
            );
        }
        assert_eq!(sessions.of("dave").count(), SESSIONS_OF_NAME_MAX);
        assert!(sessions.find(&of_carol.hash(), 100, AskedBy::Somebody).is_some());
    }
}
