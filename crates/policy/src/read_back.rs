//! What Exchange would show as the permission groups of a connector (fact sheet section 2.2): the groups whose entries
//! are all there, and `Custom` where there is more, or less, than those groups are.
//!
//! Takes entries, hands on a value that is shown and never taken: `Custom` is what is read back, not what is written.

use std::fmt;

use crate::access_entry::{AccessEntry, PermissionGroup, PermissionGroups, Right, Rights};

/// What is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// The groups that are there as a whole.
    pub groups: PermissionGroups,
    /// Whether an entry says something that these groups do not say.
    pub is_custom: bool,
}

impl ReadBack {
    /// The names, as Exchange lists them.
    pub fn names(self) -> Vec<&'static str> {
        let groups = self.groups.iter().map(PermissionGroup::exchange_name);
        groups.chain(self.is_custom.then_some("Custom")).collect()
    }
}

/// `AnonymousUsers, Custom`; `None` where there is nothing.
impl fmt::Display for ReadBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        if names.is_empty() { f.write_str("None") } else { f.write_str(&names.join(", ")) }
    }
}

/// Reads the groups back from the `entries` of a connector, wherever each entry came from.
pub fn read_back(entries: &[AccessEntry]) -> ReadBack {
    let says = |wanted: &AccessEntry| {
        let alike = entries.iter().filter(|entry| entry.trustee == wanted.trustee && entry.access == wanted.access);
        let said = alike.fold(Rights::NONE, |all, entry| all | entry.rights);
        wanted.rights & !said == Rights::NONE
    };
    let mut groups = PermissionGroups::NONE;
    let mut explained: Vec<AccessEntry> = Vec::new();
    for group in PermissionGroup::ALL {
        let wanted = group.entries();
        if wanted.iter().all(says) {
            groups.insert(group);
            explained.extend(wanted);
        }
    }
    let is_explained = |entry: &AccessEntry, right: Right| {
        let mut alike = explained.iter().filter(|known| known.trustee == entry.trustee && known.access == entry.access);
        alike.any(|known| known.rights.contains(right))
    };
    let is_custom =
        entries.iter().any(|entry| !is_plain(entry) || entry.rights.iter().any(|right| !is_explained(entry, right)));
    ReadBack { groups, is_custom }
}

/// Whether the entry is one that Exchange knows: without condition and without end.
fn is_plain(entry: &AccessEntry) -> bool {
    entry.condition.is_none() && !entry.expires()
}
