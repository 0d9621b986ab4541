//! Sessions: who has proven a password, and a code where one is asked for, need not do so at each request.
//!
//! In memory alone: a restart ends them. Bounded in number and time.

use std::collections::HashMap;

use crate::credentials::{PasswordHash, Secret, SecretHash};

/// A session ends so long after its last request.
const IDLE_MS_MAX: u64 = 30 * 60 * 1_000;
/// And so long after it began, whatever happens in it.
const LIFETIME_MS: u64 = 12 * 60 * 60 * 1_000;
/// At most so many of one administrator at once; for one more the one of theirs that was idle longest ends: nobody ends those of
/// others by beginning many.
const SESSIONS_OF_NAME_MAX: usize = 20;
/// At most so many at once; for one more the one that was idle longest ends.
const SESSIONS_MAX: usize = 1_000;

/// One session.
#[derive(Clone)]
pub struct Session {
    /// Whose.
    pub name: String,
    /// The password that it began with: a new one ends it.
    pub password: PasswordHash,
    began_ms: u64,
    last_ms: u64,
}

/// All that are open.
#[derive(Default)]
pub struct Sessions(HashMap<SecretHash, Session>);

impl Sessions {
    /// Begins one; whoever presents `secret` is in it. Says until when it lasts at most.
    pub fn begin(&mut self, secret: &Secret, name: String, password: PasswordHash, now_ms: u64) -> u64 {
        self.0.retain(|_, session| session.is_open(now_ms));
        if self.of(&name).count() >= SESSIONS_OF_NAME_MAX {
            let idle = idle_longest(self.of(&name));
            idle.map(|hash| self.0.remove(&hash));
        }
        if self.0.len() >= SESSIONS_MAX {
            let idle = idle_longest(self.0.iter());
            idle.map(|hash| self.0.remove(&hash));
        }
        self.0.insert(secret.hash(), Session { name, password, began_ms: now_ms, last_ms: now_ms });
        now_ms + LIFETIME_MS
    }

    fn of(&self, name: &str) -> impl Iterator<Item = (&SecretHash, &Session)> {
        self.0.iter().filter(move |(_, session)| session.name == name)
    }

    /// The session of a secret, which is not idle now.
    pub fn find(&mut self, presented: &SecretHash, now_ms: u64) -> Option<Session> {
        let session = self.0.get_mut(presented).filter(|session| session.is_open(now_ms))?;
        session.last_ms = session.last_ms.max(now_ms);
        Some(session.clone())
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

    #[test]
    fn a_session_ends_when_it_is_idle_when_it_is_old_and_when_it_is_told_to() {
        let password = PasswordHash::of("correct horse").expect("a password");
        let secret = Secret::fresh("gps").expect("randomness");
        let begin = || {
            let mut sessions = Sessions::default();
            assert_eq!(sessions.begin(&secret, "carol".to_owned(), password.clone(), 0), LIFETIME_MS);
            sessions
        };
        let hash = secret.hash();
        assert!(begin().find(&hash, IDLE_MS_MAX - 1).is_some());
        assert!(begin().find(&hash, IDLE_MS_MAX).is_none());
        let mut sessions = begin();
        for now in (0..LIFETIME_MS).step_by(IDLE_MS_MAX as usize / 2) {
            assert!(sessions.find(&hash, now).is_some(), "{now}");
        }
        assert!(sessions.find(&hash, LIFETIME_MS).is_none());
        let mut sessions = begin();
        assert!(sessions.end(&hash) && !sessions.end(&hash) && sessions.find(&hash, 1).is_none());
    }

    #[test]
    fn there_are_few_and_the_one_that_is_idle_longest_gives_way() {
        let password = PasswordHash::of("correct horse").expect("a password");
        let mut sessions = Sessions::default();
        let first = Secret::fresh("gps").expect("randomness");
        let second = Secret::fresh("gps").expect("randomness");
        for secret in [&first, &second] {
            sessions.begin(secret, "carol".to_owned(), password.clone(), 0);
        }
        assert!(sessions.find(&first.hash(), 5).is_some());
        for number in 2..=SESSIONS_MAX {
            let name = format!("dave {}", number / SESSIONS_OF_NAME_MAX);
            sessions.begin(&Secret::fresh("gps").expect("randomness"), name, password.clone(), 9);
        }
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
        assert!(sessions.find(&first.hash(), 9).is_some() && sessions.find(&second.hash(), 9).is_none());
    }

    #[test]
    fn who_begins_many_ends_their_own() {
        let password = PasswordHash::of("correct horse").expect("a password");
        let mut sessions = Sessions::default();
        let of_carol = Secret::fresh("gps").expect("randomness");
        sessions.begin(&of_carol, "carol".to_owned(), password.clone(), 0);
        for number in 0..3 * SESSIONS_OF_NAME_MAX as u64 {
            let secret = Secret::fresh("gps").expect("randomness");
            sessions.begin(&secret, "dave".to_owned(), password.clone(), 1 + number);
            assert!(sessions.find(&secret.hash(), 1 + number).is_some(), "the newest is never the one that ends");
        }
        assert_eq!(sessions.of("dave").count(), SESSIONS_OF_NAME_MAX);
        assert!(sessions.find(&of_carol.hash(), 100).is_some());
    }
}
