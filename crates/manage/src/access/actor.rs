//! Who does something, and from where.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use gatepost_policy::role::Roles;

use crate::credentials::SecretHash;
use crate::refusal::{Refusal, refuse};

/// Who does something. A handler that takes one gets whom its request is from: the gate has put it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What people call them: an administrator's name, a token's note, `uid 1000`.
    pub name: Arc<str>,
    /// How and from where they came.
    pub source: Source,
    /// What they may do.
    pub roles: Roles,
    /// Which of that a token is for, as `Get-*`; all of it where there are none.
    pub commands: Box<[Box<str>]>,
}

/// How and from where somebody came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Through the Unix socket, as this user of the system; `None` where the kernel does not say.
    Socket {
        /// The user's number.
        uid: Option<u32>,
    },
    /// With the password of an administrator.
    Password {
        /// From this address; `None` through the Unix socket.
        address: Option<IpAddr>,
        /// The session that they are in; `None` where the request itself has brought the password.
        session: Option<SecretHash>,
    },
    /// With a token.
    Token {
        /// The token's id, which is no secret.
        id: Arc<str>,
        /// From this address; `None` through the Unix socket.
        address: Option<IpAddr>,
    },
    /// The server itself: its start, or a signal.
    Server,
    /// Somebody who has proven nothing yet.
    Nobody {
        /// From this address; `None` through the Unix socket.
        address: Option<IpAddr>,
    },
}

impl Actor {
    /// The server itself, for this reason: `SIGHUP`, `start`.
    pub fn server(why: &str) -> Actor {
        Actor { name: why.into(), source: Source::Server, roles: Roles::ALL, commands: Box::default() }
    }

    /// Somebody who has proven nothing, and may do nothing.
    pub fn nobody(address: Option<IpAddr>) -> Actor {
        Actor {
            name: "nobody".into(),
            source: Source::Nobody { address },
            roles: Roles::NONE,
            commands: Box::default(),
        }
    }

    /// A user of the system at the other end of the Unix socket.
    pub fn of_socket(uid: Option<u32>, roles: Roles) -> Actor {
        let name = uid.map_or_else(|| "unknown user".to_owned(), |uid| format!("uid {uid}"));
        Actor { name: name.into(), source: Source::Socket { uid }, roles, commands: Box::default() }
    }

    /// The address that they came from, where there is one.
    pub fn address(&self) -> Option<IpAddr> {
        match &self.source {
            Source::Password { address, .. } | Source::Token { address, .. } | Source::Nobody { address } => *address,
            Source::Socket { .. } | Source::Server => None,
        }
    }

    /// The session that they are in.
    pub fn session(&self) -> Option<SecretHash> {
        match &self.source {
            Source::Password { session, .. } => *session,
            _ => None,
        }
    }
}

/// For log lines and records: `uid 0`, `carol from 192.0.2.7`, `token 4f2a91c0 (backup) from 192.0.2.7`.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Token { id, .. } if self.name.is_empty() => write!(f, "token {id}")?,
            Source::Token { id, .. } => write!(f, "token {id} ({})", self.name)?,
            _ => f.write_str(&self.name)?,
        }
        match self.address() {
            Some(address) => write!(f, " from {address}"),
            None => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Actor, Refusal> {
        // Only a route outside the gate has none, and nobody may do anything there.
        let unknown = || refuse(StatusCode::FORBIDDEN, "nobody has said who asks");
        parts.extensions.get::<Actor>().cloned().ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_reads_as_people_would_say_it() {
        let address = Some("192.0.2.7".parse().expect("an address"));
        let actor = |name: &str, source| Actor { name: name.into(), source, ..Actor::nobody(None) };
        for (actor, said) in [
            (Actor::of_socket(Some(0), Roles::ALL), "uid 0"),
            (Actor::of_socket(None, Roles::NONE), "unknown user"),
            (Actor::server("SIGHUP"), "SIGHUP"),
            (Actor::nobody(address), "nobody from 192.0.2.7"),
            (actor("carol", Source::Password { address, session: None }), "carol from 192.0.2.7"),
            (actor("backup", Source::Token { id: "4f2a".into(), address }), "token 4f2a (backup) from 192.0.2.7"),
        ] {
            assert_eq!(actor.to_string(), said);
        }
    }
}
