//! Reads `[[receive_connector.permission]]`: who, what, and under which condition (fact sheet sections 2.1 to 2.4).

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::reader::{Collector, Fields, Wrong, nearest, shown};
use super::{notes, values};
use crate::access_entry::{Access, AccessEntry, PermissionGroup, Right, Rights, Source, Trustee, UserGroup};
use crate::condition::hours::{Window, zone_names};
use crate::condition::patterns::{PATTERN_BYTES_MAX, PATTERNS_MAX, Pattern};
use crate::condition::{Condition, Hours, HoursError, PatternError, Patterns};
use crate::permission;

/// Room for every way to write the hours of a week.
const WINDOWS_MAX: usize = 100;
/// More is no limit worth counting.
const MESSAGES_PER_HOUR_MAX: u32 = 1_000_000;

/// Whom entries can name, beside the well-known names.
#[derive(Clone, Copy)]
pub(super) struct Accounts<'a> {
    /// Lower-case name to name; `None` where `[[user]]` is wrong itself: names are not checked then.
    pub users: Option<&'a HashMap<String, Arc<str>>>,
    /// Lower-case name to group.
    pub groups: &'a HashMap<String, UserGroup>,
}

/// Reads one entry.
pub(super) fn read<'t>(
    collector: &mut Collector<'t>,
    table: &DeTable<'t>,
    span: Range<usize>,
    accounts: &Accounts<'_>,
) -> Option<AccessEntry> {
    let mut fields = Fields::new(collector, "[[receive_connector.permission]]", table, span.clone());
    let trustee = fields.required(
        "user",
        "write whom the rights are for: user = \"NT AUTHORITY\\\\ANONYMOUS LOGON\", or a user's or group's name",
        |value| trustee(values::string(value)?, accounts, remedy_for_user),
    );
    let names = fields.required_list(
        "extended_rights",
        "write what is granted: extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]",
        |value, _| {
            let names = values::flag_names(value)?;
            names.iter().map(|name| right(name)).collect::<Result<Rights, Wrong>>()
        },
    );
    let deny = fields.optional("deny", values::boolean).unwrap_or(false);
    let condition = condition(&mut fields);
    let note = notes::read(&mut fields);
    let rights = names.into_iter().fold(Rights::NONE, |all, (rights, _)| all | rights);
    let access = if deny { Access::Deny } else { Access::Allow };
    if let (Some(trustee), Some(condition)) = (&trustee, &condition) {
        check(&mut fields, trustee, access, rights, condition);
    }
    fields.finish(&[]);
    let condition = condition.map(Box::new);
    Some(AccessEntry { trustee: trustee?, access, rights, condition, note, source: Source::Extra, span })
}

/// `None` where no condition is given.
fn condition(fields: &mut Fields<'_, '_, '_>) -> Option<Condition> {
    let condition = Condition {
        senders: patterns(fields, "senders", "scan@contoso.com"),
        recipients: patterns(fields, "recipients", "*@partner.example"),
        hours: hours(fields),
        messages_per_hour: fields
            .optional("messages_per_hour", values::number(1, MESSAGES_PER_HOUR_MAX))
            .and_then(NonZeroU32::new),
    };
    (condition != Condition::default()).then_some(condition)
}

fn patterns(fields: &mut Fields<'_, '_, '_>, key: &'static str, example: &str) -> Option<Patterns> {
    let list = fields.list(key, |value, _| pattern(values::string(value)?, key))?;
    if list.len() > PATTERNS_MAX {
        fields.error_at(
            key,
            format!("`{key}` has {} patterns", list.len()),
            format!("write at most {PATTERNS_MAX}, or patterns that take in more: \"*.contoso.com\""),
        );
    }
    if list.is_empty() && !fields.is_bad(key) {
        fields.error_at(
            key,
            format!("`{key}` is empty, so the entry would never count"),
            format!("write {key} = [\"{example}\"], or leave it out: then there is no such condition"),
        );
    }
    Some(Patterns::new(list.into_iter().map(|(pattern, _)| pattern).collect()))
}

fn pattern(text: &str, key: &str) -> Result<Pattern, Wrong> {
    let pattern = Pattern::parse(text).map_err(|error| {
        let remedy = match error {
            PatternError::TooLong => format!("keep it below {PATTERN_BYTES_MAX} bytes"),
            PatternError::WildcardInLabel => {
                "write that label as it stands in the DNS, beginning with xn--, or `*` alone".to_owned()
            }
            PatternError::Empty | PatternError::LocalPart | PatternError::Domain => {
                "write \"scan@contoso.com\", \"contoso.com\", \"*.contoso.com\" or \"scan-*@contoso.com\"".to_owned()
            }
        };
        Wrong::new(format!("`{}` is no pattern for addresses: {error}", shown(text)), remedy)
    })?;
    if key == "recipients" && pattern.is_null() {
        return Err(Wrong::new("no recipient is ever `<>`", "remove it: only a reverse-path can be empty"));
    }
    Ok(pattern)
}

fn hours(fields: &mut Fields<'_, '_, '_>) -> Option<Hours> {
    const KEY: &str = "hours";
    let list = fields.list(KEY, |value, _| window(values::string(value)?))?;
    if list.len() > WINDOWS_MAX {
        fields.error_at(KEY, format!("`{KEY}` has {} entries", list.len()), format!("write at most {WINDOWS_MAX}"));
    }
    if list.is_empty() && !fields.is_bad(KEY) {
        fields.error_at(
            KEY,
            "`hours` is empty, so the entry would never count",
            "write hours = \"Mon-Fri 08:00-18:00 Europe/Berlin\", or leave it out: then it counts at every hour",
        );
    }
    Some(Hours::new(list.into_iter().map(|(window, _)| window).collect()))
}

fn window(text: &str) -> Result<Window, Wrong> {
    Window::parse(text).map_err(|error| {
        let remedy = match &error {
            HoursError::Form | HoursError::ZoneMissing => {
                "write days, hours and time zone: \"Mon-Fri 08:00-18:00 Europe/Berlin\"".to_owned()
            }
            HoursError::Day(_) => "write Mon, Tue, Wed, Thu, Fri, Sat, Sun: \"Mon-Fri\", \"Mon,Wed,Fri\"".to_owned(),
            HoursError::Time(_) => {
                "write hours and minutes from 00:00 to 24:00: \"08:00-18:00\"; several are a list of such texts"
                    .to_owned()
            }
            HoursError::Empty => "for the whole day write 00:00-24:00".to_owned(),
            HoursError::Zone(name) => {
                let zones: Vec<String> = zone_names().collect();
                match nearest(name, zones.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => {
                        "write a name of the tz database, such as Europe/Berlin, America/New_York or UTC".to_owned()
                    }
                }
            }
        };
        let why = shown(&error.to_string());
        Wrong::new(format!("`{}` are no hours: {why}", shown(text)), remedy)
    })
}

/// Whether each right of the entry is asked for when what its condition needs is known.
fn check(fields: &mut Fields<'_, '_, '_>, trustee: &Trustee, access: Access, rights: Rights, condition: &Condition) {
    if access == Access::Deny && condition.messages_per_hour.is_some() {
        fields.error_at(
            "messages_per_hour",
            "`messages_per_hour` limits what is allowed; this entry denies",
            "remove it here, and write it on the entry that allows",
        );
    }
    for right in rights.iter() {
        let stage = permission::stage(right, trustee);
        let when = stage.asked_at;
        let given = [
            ("senders", condition.senders.is_some() && !stage.knows_senders),
            ("recipients", condition.recipients.is_some() && !stage.knows_recipient),
            ("messages_per_hour", condition.messages_per_hour.is_some() && !stage.knows_message),
        ];
        for (key, _) in given.into_iter().filter(|(_, is_unknown)| *is_unknown) {
            fields.error_at(
                key,
                format!("`{key}` is not known when {right} is asked for: {when}"),
                format!("grant {right} in an entry of its own, without `{key}`"),
            );
        }
    }
    let senders = [Right::AcceptAnySender, Right::AcceptAuthoritativeDomainSender];
    let is_about_senders = !rights.is_empty() && (rights & !Rights::of(&senders)).is_empty();
    if is_about_senders && condition.senders.as_ref().is_some_and(Patterns::is_null_only) {
        fields.error_at(
            "senders",
            "`senders` is `<>` alone, which needs no right to a sender: the entry would never count",
            "remove the entry: whoever may submit may send from <>",
        );
    }
}

/// What to write as the `user` of an entry.
fn remedy_for_user(name: &str) -> String {
    if name.eq_ignore_ascii_case(PermissionGroup::AnonymousUsers.exchange_name()) {
        return "write NT AUTHORITY\\\\ANONYMOUS LOGON: that is whom this permission group is for".to_owned();
    }
    let well_known: Vec<String> = Trustee::WELL_KNOWN.iter().map(Trustee::to_string).collect();
    format!(
        "declare the user in [[user]], name the group in a user's `groups`, or write one of {}",
        well_known.join(", ").escape_debug()
    )
}

/// Whom a name in the settings means: a well-known trustee, a user or a group of users. `remedy` says what else to write
/// where it is none and like none of them.
pub(super) fn trustee(
    name: &str,
    accounts: &Accounts<'_>,
    remedy: impl FnOnce(&str) -> String,
) -> Result<Trustee, Wrong> {
    if let Some(trustee) = Trustee::parse_well_known(name) {
        return Ok(trustee);
    }
    let account = name.rsplit_once('\\').map_or(name, |(_, account)| account);
    let Some(users) = accounts.users else { return Ok(Trustee::User(account.into())) };
    let key = account.to_lowercase();
    if let Some(user) = users.get(&key) {
        return Ok(Trustee::User(user.clone()));
    }
    if let Some(group) = accounts.groups.get(&key) {
        return Ok(Trustee::Group(group.clone()));
    }
    let well_known: Vec<String> = Trustee::WELL_KNOWN.iter().map(Trustee::to_string).collect();
    let groups = accounts.groups.values().map(|group| &**group.name());
    let known = well_known.iter().map(String::as_str).chain(users.values().map(|user| &**user)).chain(groups);
    let remedy = match nearest(name, known) {
        Some(meant) => format!("did you mean `{}`?", shown(meant)),
        None => remedy(name),
    };
    Err(Wrong::new(format!("there is no user or group `{}`", shown(name)), remedy))
}

fn right(name: &str) -> Result<Right, Wrong> {
    Right::parse(name).ok_or_else(|| {
        let on_send_connectors = name.to_ascii_lowercase().starts_with("ms-exch-send-");
        if on_send_connectors {
            return Wrong::new(
                format!("`{}` is a right on send connectors", shown(name)),
                "remove it: receive connectors have no use for it",
            );
        }
        values::unknown_name(name, Right::ALL.into_iter().map(Right::exchange_name))
    })
}
