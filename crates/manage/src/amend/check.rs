//! The first step of a change: the document edited, parsed, checked and compared.
//!
//! Takes the settings in force or a draft with edits or another text; hands on what may be put in force, and what it opens
//! and closes. Changes nothing.

use std::collections::HashSet;
use std::sync::Arc;

use gatepost_policy::Settings;
use gatepost_policy::audit;
use gatepost_policy::rerouting;
use gatepost_policy::role::Role;
use gatepost_policy::settings::Problem;

use super::blocking::blocking;
use super::error::AmendError;
use crate::access::{Act, Actor, permit};
use crate::clock::now_ms;
use crate::document::Document;
use crate::edit::{self, Edit, Outline, Target};
use crate::line_difference::{LineDifference, NOT_SHOWN};
use crate::resource::{Amended, CHANGES_MAX, ExposureChange, SettingsProblem};
use crate::smart_host_passwords;

/// Whatever the command was: `[management]` says who may administer.
const ACCESS_CHANGE: Act<'static> = Act { name: "changing [management]", role: Role::SecurityOfficer };

/// A change that may be put in force.
pub struct Checked {
    pub outline: Outline,
    pub document: Arc<Document>,
    pub amended: Amended,
    pub changed: bool,
}

/// What a change begins with.
pub struct Before {
    /// Its sections, where they may be those of what comes out.
    pub outline: Option<Outline>,
    pub document: Arc<Document>,
    /// The number of the settings in force; a draft's is that which it began with.
    pub revision: u64,
}

/// How far a document is checked.
#[derive(Clone, Copy)]
pub enum Read {
    /// To be put in force.
    Whole,
    /// To be changed further.
    Draft,
    /// The same, by the same call: nobody is told what this step alone would open.
    Step,
}

/// Step 1 for edits.
pub async fn check(before: Before, edits: Vec<Edit>, actor: &Actor, read: Read) -> Result<Checked, AmendError> {
    let mut outline = before.outline.clone().unwrap_or_default();
    let outline = blocking(move || {
        edits.iter().try_for_each(|edit| edit::apply(&mut outline, edit))?;
        Ok(outline)
    })
    .await?;
    check_text(outline, before, actor, read).await
}

/// Step 1 for a whole document.
pub async fn check_text(outline: Outline, before: Before, actor: &Actor, read: Read) -> Result<Checked, AmendError> {
    let may_administer_access = permit(actor, ACCESS_CHANGE);
    blocking(move || {
        let Before { outline: old_outline, document: before, revision } = before;
        let text = outline.text();
        if text == before.text {
            return Ok(Checked {
                outline,
                document: before,
                amended: Amended { base: Some(revision), ..Amended::default() },
                changed: false,
            });
        }
        let kept = old_outline.map_or(Vec::new(), |old| outline.kept_since(&old));
        let document = match read {
            Read::Whole => before.parse_again(text, &kept)?,
            Read::Draft | Read::Step => before.draft_again(text, &kept)?,
        };
        if document.settings.management != before.settings.management {
            may_administer_access.map_err(AmendError::Forbidden)?;
        }
        let (changes, difference) = match read {
            Read::Step => Default::default(),
            Read::Whole | Read::Draft => {
                let changes = audit::difference(&before.settings, &document.settings, now_ms());
                (changes, LineDifference::between(&before.text, &document.text))
            }
        };
        let known: HashSet<&str> = before.settings.warnings.iter().map(|known| known.message.as_str()).collect();
        let is_new = |warning: &&Problem| !known.contains(warning.message.as_str());
        let warnings = document.settings.warnings.iter().filter(is_new).map(SettingsProblem::from).collect();
        let amended = Amended {
            base: Some(revision),
            is_changed: true,
            exposure: changes.iter().take(CHANGES_MAX).map(ExposureChange::from).collect(),
            exposure_total: changes.len() as u64,
            // Of a step of several nobody reads it.
            rerouted: match read {
                Read::Step => Vec::new(),
                Read::Whole | Read::Draft => rerouting::told(&before.settings, &document.settings),
            },
            warnings,
            difference: difference.to_text(&before.text),
            ..Amended::default()
        };
        Ok(Checked { outline, document: Arc::new(document), amended, changed: true })
    })
    .await
}

/// A document of earlier times with the passwords of today.
pub fn with_passwords_of(settings: &Settings, text: &str) -> Result<Outline, AmendError> {
    let mut outline = Outline::of(text);
    let places = outline.sections().iter().flat_map(|section| section.places.iter());
    let users: Vec<String> = places
        .filter(|place| &*place.table == "user")
        .filter_map(|place| place.name.as_deref().map(str::to_owned))
        .collect();
    for user in users {
        let known = settings.users.iter().find(|known| known.name.to_lowercase() == user);
        let target = Target::named("user", user);
        let key = "password".into();
        let edit = match known.and_then(|known| known.password.as_ref()) {
            Some(hash) => Edit::Set { target, key, value: hash.as_str().into() },
            None => Edit::Unset { target, key },
        };
        edit::apply(&mut outline, &edit)?;
    }
    smart_host_passwords::of_today(settings, text).iter().try_for_each(|edit| edit::apply(&mut outline, edit))?;
    Ok(outline)
}

/// A document in which hashes are left out, with those of the settings in force.
pub fn with_hashes_of(settings: &Settings, text: &str) -> Result<Outline, AmendError> {
    let mut outline = Outline::of(text);
    let with_gaps = outline.sections().iter().filter(|section| section.text.contains(NOT_SHOWN));
    let users: Vec<String> = with_gaps
        .flat_map(|section| section.places.iter())
        .filter(|place| &*place.table == "user")
        .filter_map(|place| place.name.as_deref().map(str::to_owned))
        .collect();
    for name in users {
        let known = settings.users.iter().find(|known| known.name.to_lowercase() == name);
        // Whoever is not known keeps the gap, and the check of the document says that it is no hash.
        if let Some(hash) = known.and_then(|known| known.password.as_ref()) {
            let target = Target::named("user", name);
            edit::apply(&mut outline, &Edit::Set { target, key: "password".into(), value: hash.as_str().into() })?;
        }
    }
    Ok(outline)
}

#[cfg(test)]
mod tests {
    use gatepost_policy::settings;

    use super::*;
    use crate::document::defaults;

    #[test]
    fn a_document_that_leaves_hashes_out_keeps_those_in_force() {
        const HASH: &str =
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        let with = |password: &str, more: &str| {
            format!(
                "[server]\nname = \"mail.contoso.com\"\n\n[[user]] # \"alice\"\nname = \"Alice\"\npassword = \"{password}\" # hers\n\
                 addresses = [\"alice@contoso.com\"]\n\n[[accepted_domain]]\nname = \"contoso.com\"\n{more}"
            )
        };
        let in_force = settings::parse(&with(HASH, ""), &defaults()).expect("settings");
        let edited = with(NOT_SHOWN, "# more\n");
        let outline = with_hashes_of(&in_force, &edited).expect("an outline");
        assert_eq!(outline.text(), with(HASH, "# more\n"));
        // Whoever is not known has no hash to keep, and a text that is no document stays as it is, for its check.
        for text in [edited.replace("Alice", "Mallory"), "password = (not shown)\n[".to_owned()] {
            assert_eq!(with_hashes_of(&in_force, &text).expect("an outline").text(), text);
        }
    }
}
