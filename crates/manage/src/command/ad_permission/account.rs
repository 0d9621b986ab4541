//! Whom an entry is for: well-known names, security identifiers, users, groups of users.

use gatepost_policy::Settings;
use gatepost_policy::permission::Trustee;
use gatepost_policy::settings::nearest;

use super::super::CommandError;

/// The security identifiers that scripts write instead of names (fact sheet section 2.2).
const IDENTIFIERS: [(&str, Trustee); 8] = [
    ("S-1-5-7", Trustee::AnonymousLogon),
    ("S-1-5-11", Trustee::AuthenticatedUsers),
    ("S-1-1-0", Trustee::Everyone),
    ("S-1-9-1419165041-1139599005-3936102811-1022490595-10", Trustee::PartnerServers),
    ("S-1-9-1419165041-1139599005-3936102811-1022490595-21", Trustee::HubTransportServers),
    ("S-1-9-1419165041-1139599005-3936102811-1022490595-22", Trustee::EdgeTransportServers),
    ("S-1-9-1419165041-1139599005-3936102811-1022490595-23", Trustee::ExternallySecuredServers),
    ("S-1-9-1419165041-1139599005-3936102811-1022490595-24", Trustee::LegacyExchangeServers),
];

/// The account of this name: well-known, a user (`CONTOSO\alice`, an address), a group that users say they belong to.
///
/// # Errors
/// [`CommandError::NotFound`] with the nearest name.
pub fn find(settings: &Settings, name: &str) -> Result<Trustee, CommandError> {
    let name = name.trim();
    if let Some(known) = Trustee::parse_well_known(name) {
        return Ok(known);
    }
    if let Some((_, known)) = IDENTIFIERS.iter().find(|(identifier, _)| identifier.eq_ignore_ascii_case(name)) {
        return Ok(known.clone());
    }
    if let Some(user) = settings.find_user(name) {
        return Ok(Trustee::User(user.name.clone()));
    }
    let account = name.rsplit_once('\\').map_or(name, |(_, account)| account).to_lowercase();
    let groups = || settings.users.iter().flat_map(|user| user.groups.iter().map(move |group| (group, user)));
    if let Some((group, _)) = groups().find(|(group, _)| group.to_lowercase() == account) {
        let members = groups().filter(|(other, _)| other.to_lowercase() == account).map(|(_, user)| user.name.clone());
        return Ok(Trustee::Group(gatepost_policy::permission::UserGroup::new(group.clone(), members.collect())));
    }
    let well_known: Vec<String> = Trustee::WELL_KNOWN.iter().map(Trustee::to_string).collect();
    let users = settings.users.iter().map(|user| &*user.name);
    let groups: Vec<&str> = groups().map(|(group, _)| &**group).collect();
    let known = well_known.iter().map(String::as_str).chain(users).chain(groups.iter().copied());
    let hint = nearest(name, known).map(|meant| format!("; did you mean '{meant}'?"));
    let name: String = name.chars().take(80).collect();
    let error = format!(
        "User or group '{}' wasn't found{}",
        name.escape_debug(),
        hint.unwrap_or_else(
            || ": declare it, or name a well-known one such as NT AUTHORITY\\ANONYMOUS LOGON".to_owned()
        )
    );
    Err(CommandError::NotFound(error))
}
