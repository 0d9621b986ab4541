//! What Add- and Remove-ADPermission change in the settings document.

use gatepost_policy::Settings;
use gatepost_policy::permission::PermissionGroup;
use gatepost_policy::receive_connector::Mechanism;
use serde_json::Value as Json;

use super::super::amendment::Plan;
use super::super::{Arguments, CommandError};
use super::account;
use super::ace::{Ace, Holder, Origin};
use super::{is_meant, title, with_warnings};
use crate::edit::{Edit, Key, Value};

const LIST: &str = "permission";

/// The parameters that an entry keeps, with their keys.
pub(super) const CONDITIONS: [(&str, &str); 8] = [
    ("Senders", "senders"),
    ("Recipients", "recipients"),
    ("Hours", "hours"),
    ("MessagesPerHour", "messages_per_hour"),
    ("Expires", "expires"),
    ("EntryOwner", "owner"),
    ("Ticket", "ticket"),
    ("Comment", "comment"),
];

/// What Add-ADPermission does, and which rights are new by it.
///
/// # Errors
/// [`CommandError`].
pub(super) fn of_add(settings: &Settings, arguments: &Arguments) -> Result<(Plan, Vec<&'static str>), CommandError> {
    super::refuse_owner(arguments)?;
    let holder = Holder::find(settings, arguments.text("Identity").unwrap_or_default())?;
    let user = account::find(settings, arguments.text("User").unwrap_or_default())?;
    let rights = rights(holder, arguments)?;
    let identity = holder.identity(settings);
    let is_denied = arguments.is_set("Deny");
    let conditions = conditions(arguments);
    let aces = holder.aces();
    let alike: Vec<&Ace<'_>> =
        aces.iter().filter(|ace| *ace.trustee == user && ace.is_denied == is_denied && ace.is_plain()).collect();
    let mut new = rights;
    let mut warnings = Vec::new();
    if conditions.is_empty() {
        // An entry under a condition says less than one without, so it is there for nothing else than itself.
        new.retain(|right| {
            let is_there = alike.iter().any(|ace| ace.rights.contains(right));
            if is_there {
                warnings.push(format!(
                    "the appropriate access control entry is already present on the object \"{identity}\" for account \"{user}\": {right}"
                ));
            }
            !is_there
        });
    }
    let extended: Option<&&Ace<'_>> =
        alike.iter().find(|ace| matches!(ace.origin, Origin::Extra(_)) && ace.note.is_none() && conditions.is_empty());
    let edit = match extended.map(|ace| ace.origin) {
        _ if new.is_empty() => None,
        Some(Origin::Extra(place)) => Some(Edit::Add {
            target: holder.target().entry(LIST, place),
            key: "extended_rights".into(),
            values: new.iter().map(|right| Value::from(*right)).collect(),
        }),
        _ => {
            let mut keys: Vec<Key> = vec![
                ("user".into(), user.to_string().into()),
                ("extended_rights".into(), Value::texts(new.iter().copied())),
            ];
            if is_denied {
                keys.push(("deny".into(), true.into()));
            }
            keys.extend(conditions);
            Some(Edit::InsertEntry { target: holder.target(), list: LIST.into(), keys })
        }
    };
    let doing = if is_denied { "Adding the denial of" } else { "Adding" };
    let plan = Plan::new(title(doing, &identity, &user.to_string(), &new), edit.into_iter().collect());
    Ok((with_warnings(plan, warnings), new))
}

/// What Remove-ADPermission does. What a permission group gave goes, too: the group is replaced by what is left of it.
///
/// # Errors
/// [`CommandError`].
pub(super) fn of_remove(settings: &Settings, arguments: &Arguments) -> Result<Plan, CommandError> {
    let holder = Holder::find(settings, arguments.text("Identity").unwrap_or_default())?;
    let user = account::find(settings, arguments.text("User").unwrap_or_default())?;
    let rights = rights(holder, arguments)?;
    let identity = holder.identity(settings);
    let is_denied = arguments.is_set("Deny");
    let (mut edits, mut broken, mut gone, mut by_default) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let is_narrowed = CONDITIONS.iter().any(|(name, _)| arguments.get(name).is_some());
    for ace in holder.aces().iter().filter(|ace| *ace.trustee == user && ace.is_denied == is_denied) {
        let left: Vec<&'static str> = ace.rights.iter().copied().filter(|right| !rights.contains(right)).collect();
        // What a group or a default gives has no conditions by which somebody could mean it.
        let is_of_it = !is_narrowed || matches!(ace.origin, Origin::Extra(_)) && is_meant(ace, arguments);
        if left.len() == ace.rights.len() || !is_of_it {
            continue;
        }
        let lost = ace.rights.iter().copied().filter(|right| rights.contains(right));
        match ace.origin {
            Origin::Default => by_default.extend(lost),
            Origin::Group(group) => {
                gone.extend(lost);
                broken.push(group);
            }
            Origin::Extra(place) => {
                gone.extend(lost);
                let target = holder.target().entry(LIST, place);
                edits.push(match left.is_empty() {
                    true => Edit::Remove(target),
                    false => Edit::Set { target, key: "extended_rights".into(), value: Value::texts(left) },
                });
            }
        }
    }
    // From the last to the first: removing one moves those behind it.
    edits.reverse();
    let mut warnings = Vec::new();
    if let Holder::Receive(connector) = holder {
        let is_needed = |group: &PermissionGroup| {
            *group == PermissionGroup::ExchangeServers
                && connector.auth_mechanism.contains(Mechanism::ExternalAuthoritative)
        };
        if broken.iter().any(is_needed) {
            broken.retain(|group| !is_needed(group));
            let (edit, lost) = denial(holder, &user.to_string(), &gone);
            edits.extend(edit);
            if !lost.is_empty() {
                warnings.push(format!(
                    "ExternalAuthoritative needs the permission group ExchangeServers, so \"{identity}\" keeps it, and an \
                     entry that denies takes away from \"{user}\": {}",
                    lost.join(", ")
                ));
            }
        }
        edits.extend(without_groups(holder, connector, &broken, &user.to_string(), is_denied, &rights));
    }
    for right in &rights {
        if by_default.contains(right) {
            warnings.push(format!(
                "\"{user}\" holds {right} on every send connector: Add-ADPermission with -Deny takes it away on \"{identity}\""
            ));
        } else if !gone.contains(right) {
            warnings.push(format!(
                "can't remove the access control entry on the object \"{identity}\" for account \"{user}\", because there is none: {right}"
            ));
        }
    }
    gone.dedup();
    Ok(with_warnings(Plan::new(title("Removing", &identity, &user.to_string(), &gone), edits), warnings))
}

/// What takes `rights` away while a group goes on to give them; nothing where that is denied already. With the rights that
/// are newly denied.
fn denial(holder: Holder<'_>, user: &str, rights: &[&'static str]) -> (Option<Edit>, Vec<&'static str>) {
    let aces = holder.aces();
    let is_denied = |right: &&&'static str| {
        let mut denials = aces.iter().filter(|ace| ace.is_denied && ace.is_plain() && ace.trustee.to_string() == user);
        denials.any(|ace| ace.rights.contains(*right))
    };
    let lost: Vec<&'static str> = rights.iter().filter(|right| !is_denied(right)).copied().collect();
    if lost.is_empty() {
        return (None, lost);
    }
    let keys: Vec<Key> = vec![
        ("user".into(), user.into()),
        ("extended_rights".into(), Value::texts(lost.iter().copied())),
        ("deny".into(), true.into()),
    ];
    (Some(Edit::InsertEntry { target: holder.target(), list: LIST.into(), keys }), lost)
}

/// The `broken` groups are no longer ticked; what they gave is written out, without `rights` for `user`.
fn without_groups(
    holder: Holder<'_>,
    connector: &gatepost_policy::receive_connector::ReceiveConnector,
    broken: &[PermissionGroup],
    user: &str,
    is_denied: bool,
    rights: &[&'static str],
) -> Vec<Edit> {
    if broken.is_empty() {
        return Vec::new();
    }
    let kept = connector.permission_groups.iter().filter(|group| !broken.contains(group));
    let mut kept: Vec<&str> = kept.map(PermissionGroup::exchange_name).collect();
    if kept.is_empty() {
        // Said, so that no preset of the usage comes in its place.
        kept.push("None");
    }
    let value = Value::texts(kept);
    let mut edits = vec![Edit::Set { target: holder.target(), key: "permission_groups".into(), value }];
    let aces = holder.aces();
    let written = aces.iter().filter(|ace| matches!(ace.origin, Origin::Group(group) if broken.contains(&group)));
    for ace in written {
        let is_meant = ace.trustee.to_string() == user && ace.is_denied == is_denied;
        let left: Vec<&str> = ace.rights.iter().copied().filter(|right| !is_meant || !rights.contains(right)).collect();
        if left.is_empty() {
            continue;
        }
        let mut keys: Vec<Key> =
            vec![("user".into(), ace.trustee.to_string().into()), ("extended_rights".into(), Value::texts(left))];
        if ace.is_denied {
            keys.push(("deny".into(), true.into()));
        }
        edits.push(Edit::InsertEntry { target: holder.target(), list: LIST.into(), keys });
    }
    edits
}

/// The rights that are meant, each once.
fn rights(holder: Holder<'_>, arguments: &Arguments) -> Result<Vec<&'static str>, CommandError> {
    if arguments.get("Instance").is_some() {
        return Err(CommandError::Wrong("Instance can't be given here: write -User and -ExtendedRights".to_owned()));
    }
    for access in arguments.texts("AccessRights").unwrap_or_default() {
        if !access.trim().eq_ignore_ascii_case("ExtendedRight") {
            let access: String = access.chars().take(80).collect();
            let error = format!(
                "AccessRights: '{}' is about directory objects, and a connector here is none: write -ExtendedRights with \
                 the rights that are meant, such as ms-Exch-SMTP-Accept-Any-Recipient",
                access.escape_debug()
            );
            return Err(CommandError::Wrong(error));
        }
    }
    let names = arguments.texts("ExtendedRights").unwrap_or_default();
    let mut rights = Vec::new();
    for name in names.iter().flat_map(|names| names.split(',')).map(str::trim).filter(|name| !name.is_empty()) {
        let right = holder.right(name)?;
        if !rights.contains(&right) {
            rights.push(right);
        }
    }
    if rights.is_empty() {
        let error =
            "name the rights by -ExtendedRights: without it Exchange means all of them, which nobody wants by accident";
        return Err(CommandError::Wrong(error.to_owned()));
    }
    Ok(rights)
}

/// The keys of an entry that bind it, or say whose it is.
fn conditions(arguments: &Arguments) -> Vec<Key> {
    let mut keys = Vec::new();
    for (name, key) in CONDITIONS {
        let value = match arguments.get(name) {
            None | Some(Json::Null) => continue,
            Some(Json::Array(texts)) => Value::texts(texts.iter().filter_map(Json::as_str)),
            Some(Json::Number(number)) => number.as_i64().unwrap_or(i64::MAX).into(),
            Some(other) => other.as_str().unwrap_or_default().into(),
        };
        keys.push((key.into(), value));
    }
    keys
}
