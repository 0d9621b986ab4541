//! Rights on send connectors: what a next hop may be sent (fact sheet section 2.1, second table).
//!
//! Takes names as Exchange writes them, hands on values and sets. Decides nothing: `send_permission::granted` does.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not, Range};

use crate::access_entry::{Access, Principal, Trustee};
use crate::note::Note;

/// One extended right on a send connector. It belongs to whom the next hop is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SendRight {
    /// `X-MS-Exchange-Organization-*` fields stay in what is sent.
    HeadersOrganization,
    /// `X-MS-Exchange-Forest-*` fields stay in what is sent.
    HeadersForest,
    /// Received and `Resent-*` fields stay in what is sent.
    HeadersRouting,
    /// The legacy property blob is sent. We have none.
    Exch50,
    /// Shadow redundancy. We have none.
    XShadow,
}

impl SendRight {
    /// Every right.
    pub const ALL: [SendRight; 5] = [
        SendRight::HeadersOrganization,
        SendRight::HeadersForest,
        SendRight::HeadersRouting,
        SendRight::Exch50,
        SendRight::XShadow,
    ];

    /// The right's name in the directory, as it is written in settings.
    pub const fn exchange_name(self) -> &'static str {
        match self {
            SendRight::HeadersOrganization => "ms-Exch-Send-Headers-Organization",
            SendRight::HeadersForest => "ms-Exch-Send-Headers-Forest",
            SendRight::HeadersRouting => "ms-Exch-Send-Headers-Routing",
            SendRight::Exch50 => "ms-Exch-SMTP-Send-Exch50",
            SendRight::XShadow => "ms-Exch-SMTP-Send-XShadow",
        }
    }

    /// Reads a right by its Exchange name in any case.
    pub fn parse(name: &str) -> Option<SendRight> {
        SendRight::ALL.into_iter().find(|right| right.exchange_name().eq_ignore_ascii_case(name))
    }
}

/// The Exchange name.
impl fmt::Display for SendRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.exchange_name())
    }
}

/// A set of rights on a send connector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SendRights(u8);

impl SendRights {
    /// No right.
    pub const NONE: SendRights = SendRights(0);
    /// Every right.
    pub const ALL: SendRights = SendRights((1 << SendRight::ALL.len()) - 1);

    /// What a principal holds on every send connector.
    pub const fn by_default(principal: &Principal) -> SendRights {
        const ROUTING: SendRights = SendRights(1 << SendRight::HeadersRouting as u8);
        const EXCH50: SendRights = SendRights(1 << SendRight::Exch50 as u8);
        match principal {
            Principal::Server(_) => SendRights::ALL,
            Principal::ExternallySecured | Principal::LegacyServer => SendRights(ROUTING.0 | EXCH50.0),
            Principal::Anonymous | Principal::Partner(_) => ROUTING,
            // No next hop logs on as a user.
            Principal::User(_) => SendRights::NONE,
        }
    }

    /// Whether `right` is in the set.
    pub const fn contains(self, right: SendRight) -> bool {
        self.0 & (1 << right as u8) != 0
    }
}

impl FromIterator<SendRight> for SendRights {
    fn from_iter<I: IntoIterator<Item = SendRight>>(rights: I) -> SendRights {
        rights.into_iter().fold(SendRights::NONE, |set, right| set | SendRights(1 << right as u8))
    }
}

impl BitOr for SendRights {
    type Output = SendRights;
    fn bitor(self, other: SendRights) -> SendRights {
        SendRights(self.0 | other.0)
    }
}

impl BitOrAssign for SendRights {
    fn bitor_assign(&mut self, other: SendRights) {
        self.0 |= other.0;
    }
}

impl BitAnd for SendRights {
    type Output = SendRights;
    fn bitand(self, other: SendRights) -> SendRights {
        SendRights(self.0 & other.0)
    }
}

impl Not for SendRights {
    type Output = SendRights;
    fn not(self) -> SendRights {
        SendRights(!self.0 & SendRights::ALL.0)
    }
}

/// One access-control entry of a send connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendEntry {
    /// Whom it speaks of: a well-known principal.
    pub trustee: Trustee,
    /// Grant or take away.
    pub access: Access,
    /// What.
    pub rights: SendRights,
    /// Whose it is and until when it counts.
    pub note: Option<Box<Note>>,
    /// Where it stands in the settings document, in bytes.
    pub span: Range<usize>,
}
