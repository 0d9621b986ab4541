//! How a recipient of any sort is made, changed and removed.
//!
//! Takes a sort and the keys that it alone has; hands on plans for the one way of changing settings. Whether the result is
//! legal is for the settings' own reader to say.

use gatepost_mail::Mailbox;
use gatepost_policy::Settings;
use gatepost_policy::directory::{KnownRecipient, RecipientKind};
use serde_json::Value as Json;

use super::super::amendment::{Plan, amend};
use super::super::keys::{self, Change, Idle, Lists, is_idle};
use super::super::{Answer, Arguments, CommandError, Invocation, waiting};
use super::addresses::{self, Addresses};
use super::{Sort, find, of_address, record, sort};
use crate::edit::{Edit, Key, Target, Value};

/// Properties of Exchange's that nothing here keeps.
const IDLE: [(&str, Idle); 13] = [
    ("EmailAddressPolicyEnabled", Idle::UnlessTrue),
    ("ForwardingAddress", Idle::Blank),
    ("ForwardingSmtpAddress", Idle::Blank),
    ("DeliverToMailboxAndForward", Idle::UnlessTrue),
    ("MaxSendSize", Idle::Only("unlimited")),
    ("MaxReceiveSize", Idle::Only("unlimited")),
    ("RecipientLimits", Idle::Only("unlimited")),
    ("AcceptMessagesOnlyFrom", Idle::Blank),
    ("RejectMessagesFrom", Idle::Blank),
    ("ModerationEnabled", Idle::UnlessTrue),
    ("ModeratedBy", Idle::Blank),
    ("ReportToManagerEnabled", Idle::UnlessTrue),
    ("ReportToOriginatorEnabled", Idle::UnlessFalse),
];

/// What is not taken as it is written.
const READ_HERE: [&str; 9] = [
    "Identity",
    "Name",
    "Alias",
    "DisplayName",
    "PrimarySmtpAddress",
    "EmailAddresses",
    "ExternalEmailAddress",
    "Members",
    "GroupType",
];

/// What one sort has beside the others.
pub type Own = fn(&Settings, &Arguments, Option<&KnownRecipient>) -> Result<Vec<Change>, CommandError>;

/// Makes one. `more` is made with it, given its primary address.
///
/// # Errors
/// [`CommandError`].
pub async fn new(
    invocation: &Invocation<'_>,
    wanted: &'static Sort,
    own: Own,
    more: impl Fn(&Settings, &Mailbox) -> Result<Vec<Edit>, CommandError> + Send + Sync,
) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let mut made = None;
    let mut answer = amend(invocation, wanted.shape, |settings| {
        let start = Addresses { primary: primary(settings, arguments)?, others: Vec::new() };
        let new = start.changed(arguments)?;
        for address in std::iter::once(&new.primary).chain(&new.others) {
            if let Some(known) = of_address(settings, address) {
                let error = format!(
                    "{address} already is an address of the {} {}: choose another one, or change that one by Set-",
                    sort(known).what,
                    known.address
                );
                return Err(CommandError::Conflict(error));
            }
        }
        let mut keys: Vec<Key> = vec![("address".into(), new.primary.to_string().into())];
        let mut changes =
            vec![("aliases", texts(&new.others)), ("display_name", display_name(arguments, &new.primary))];
        changes.extend(own(settings, arguments, None)?);
        changes.extend(shared(settings, wanted, arguments, None)?);
        keys.extend(keys::of_new(changes));
        let mut edits = vec![Edit::Insert { table: wanted.table.into(), keys, entries: Vec::new() }];
        edits.extend(more(settings, &new.primary)?);
        let title = format!("Creating the {} \"{}\"", wanted.what, new.primary);
        made = Some(new.primary);
        Ok(Plan::new(title, edits))
    })
    .await?;
    if let Some(address) = made.filter(|_| !invocation.is_what_if) {
        let settings = invocation.settings_now().await?;
        answer.output.extend(of_address(&settings, &address).map(|made| record(wanted.shape, made)));
    }
    Ok(answer)
}

/// Changes one.
///
/// # Errors
/// [`CommandError`].
pub async fn set(invocation: &Invocation<'_>, wanted: &'static Sort, own: Own) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    amend(invocation, wanted.shape, |settings| {
        let recipient = find(settings, Some(wanted), arguments.text("Identity").unwrap_or_default())?;
        let target = Target::named(wanted.table, recipient.address.to_string());
        let mut changes = own(settings, arguments, Some(recipient))?;
        changes.extend(shared(settings, wanted, arguments, Some(recipient))?);
        if let Some(name) = arguments.get("DisplayName").or_else(|| arguments.get("Name")) {
            changes.push(("display_name", name.as_str().filter(|name| !name.is_empty()).map(Value::from)));
        }
        let (before, after) = (Addresses::of(recipient), Addresses::of(recipient).changed(arguments)?);
        if before.others != after.others {
            changes.push(("aliases", texts(&after.others)));
        }
        let mut edits = keys::of_set(&target, changes);
        let mut warnings = Vec::new();
        // Last: what stands before it finds the recipient by its address.
        if before.primary != after.primary {
            edits.push(Edit::Set { target, key: "address".into(), value: after.primary.to_string().into() });
            if matches!(recipient.kind, RecipientKind::Mailbox(_))
                && addresses::key(&before.primary) != addresses::key(&after.primary)
            {
                warnings.push(format!(
                    "mail to {} goes to a folder of its own from now on: what {} has got so far stays where it is",
                    after.primary, before.primary
                ));
            }
        }
        let plan = Plan::new(format!("Setting the {} \"{}\"", wanted.what, recipient.address), edits);
        Ok(Plan { warnings, ..plan })
    })
    .await
}

/// Removes one, and takes it out of groups.
///
/// # Errors
/// [`CommandError`].
pub async fn remove(invocation: &Invocation<'_>, wanted: &'static Sort) -> Result<Answer, CommandError> {
    let identity = invocation.arguments.text("Identity").unwrap_or_default();
    let waiting = waiting::for_recipient(invocation, find(&invocation.settings, Some(wanted), identity)?).await;
    let answer = amend(invocation, wanted.shape, |settings| {
        let recipient = find(settings, Some(wanted), identity)?;
        let own: Vec<String> = recipient.addresses().map(addresses::key).collect();
        let mut edits = Vec::new();
        for group in settings.directory.recipients() {
            let RecipientKind::Group { members } = &group.kind else { continue };
            let gone = members.iter().filter(|member| own.contains(&addresses::key(member)));
            let values: Vec<Value> = gone.map(|member| member.to_string().into()).collect();
            if !values.is_empty() {
                let target = Target::named("distribution_group", group.address.to_string());
                edits.push(Edit::Take { target, key: "members".into(), values });
            }
        }
        edits.push(Edit::Remove(Target::named(wanted.table, recipient.address.to_string())));
        let plan = Plan::new(format!("Removing the {} \"{}\"", wanted.what, recipient.address), edits);
        let user = settings.users.iter().find(|user| recipient.addresses().any(|address| user.owns(address)));
        let warning = user.map(|user| {
            format!(
                "the user \"{}\" may still log on and write as {}: Remove-User ends that",
                user.name, recipient.address
            )
        });
        Ok(Plan { warnings: warning.into_iter().collect(), ..plan })
    })
    .await?;
    Ok(answer.with_notes(waiting.into_iter().collect()))
}

fn texts(addresses: &[Mailbox]) -> Option<Value> {
    (!addresses.is_empty()).then(|| Value::texts(addresses.iter().map(ToString::to_string)))
}

/// The primary address of a new recipient: what is said, else its alias, or its name without what an address cannot have, at
/// the default domain.
fn primary(settings: &Settings, arguments: &Arguments) -> Result<Mailbox, CommandError> {
    for parameter in ["PrimarySmtpAddress", "UserPrincipalName"] {
        if let Some(written) = arguments.text(parameter).filter(|text| !text.trim().is_empty()) {
            return Ok(addresses::address(parameter, written)?.1);
        }
    }
    let name = arguments.text("Name").unwrap_or_default();
    if let Ok(address) = Mailbox::parse(name.trim()) {
        return Ok(address);
    }
    let is_fit = |c: &char| c.is_ascii_alphanumeric() || "._-+".contains(*c);
    let written = arguments.text("Alias").unwrap_or(name);
    let local_part: String = written.chars().filter(is_fit).collect();
    let unfit = || {
        let written: String = written.chars().take(80).collect();
        CommandError::Wrong(format!(
            "\"{}\" makes no address: write -PrimarySmtpAddress name@contoso.com",
            written.escape_debug()
        ))
    };
    let domain = settings.domains.default_domain().ok_or_else(unfit)?;
    Mailbox::new(local_part.trim_matches('.'), domain.clone()).map_err(|_| unfit())
}

/// What a new recipient is called, where its address does not say the same.
fn display_name(arguments: &Arguments, primary: &Mailbox) -> Option<Value> {
    let said = |name| arguments.text(name).map(str::trim).filter(|text: &&str| !text.is_empty());
    let is_new = |text: &&str| {
        // `IT` with it@contoso.com is called as it was written.
        *text != primary.local_part() && !text.eq_ignore_ascii_case(&primary.to_string())
    };
    said("DisplayName").or_else(|| said("Name").filter(is_new)).map(Value::from)
}

/// What all sorts have.
fn shared(
    settings: &Settings,
    wanted: &'static Sort,
    arguments: &Arguments,
    recipient: Option<&KnownRecipient>,
) -> Result<Vec<Change>, CommandError> {
    let users = Users { settings, recipient };
    let passed_over = |name: &str, given: &Json| {
        READ_HERE.contains(&name) || ["GrantSendOnBehalfTo", "SendAs"].contains(&name) || is_idle(&IDLE, name, given)
    };
    let mut changes = keys::changes(wanted.shape, arguments, &users, passed_over)?;
    for (name, key) in [("GrantSendOnBehalfTo", "grant_send_on_behalf_to"), ("SendAs", "send_as")] {
        if let Some(given) = arguments.get(name) {
            let listed = keys::list(name, given, &users)?;
            let listed: Vec<String> = listed.iter().map(|user| users.known(user)).collect();
            changes.push((key, (!listed.is_empty()).then(|| Value::texts(listed))));
        }
    }
    Ok(changes)
}

/// Who may write as a recipient: users, whom Exchange would call by their mailbox.
struct Users<'a> {
    settings: &'a Settings,
    recipient: Option<&'a KnownRecipient>,
}

impl Users<'_> {
    /// A user's name for what may be an address of one, or for a mailbox; what is neither is for the settings' reader.
    fn known(&self, written: &str) -> String {
        let is_name = self.settings.users.iter().any(|user| {
            user.name.eq_ignore_ascii_case(written)
                || user.groups.iter().any(|group| group.eq_ignore_ascii_case(written))
        });
        if is_name {
            return written.to_owned();
        }
        let by_mailbox = || find(self.settings, None, written).ok().map(|recipient| recipient.address.to_string());
        let user = self.settings.find_user(written);
        let user = user.or_else(|| self.settings.find_user(&by_mailbox()?));
        user.map_or_else(|| written.to_owned(), |user| user.name.to_string())
    }
}

impl Lists for Users<'_> {
    fn current(&self, property: &str) -> Vec<String> {
        let Some(recipient) = self.recipient else { return Vec::new() };
        let users = match property {
            "SendAs" => &recipient.send_as,
            "GrantSendOnBehalfTo" => &recipient.send_on_behalf,
            _ => return Vec::new(),
        };
        users.iter().map(ToString::to_string).collect()
    }

    fn meant(&self, _property: &str, written: &str) -> String {
        self.known(written).to_ascii_lowercase()
    }
}
