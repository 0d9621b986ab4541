//! Which objects a name means, where a noun has nothing but names: one, or those that a name with wildcards fits.

use gatepost_policy::settings::nearest;
use gatepost_shell::convert::wildcard;

use super::CommandError;

/// Those of `all` that `identity` means; all of them without one. `what` is the noun for errors, as `send connector`.
///
/// # Errors
/// [`CommandError::NotFound`] for a name that nothing has; wildcards that match nothing are no error.
/// [`CommandError::Wrong`] for an empty one: a script whose variable is empty must not mean all of them.
pub fn search<'a, T>(
    all: impl Iterator<Item = &'a T>,
    name_of: impl Fn(&T) -> String,
    identity: Option<&str>,
    what: &str,
) -> Result<Vec<&'a T>, CommandError> {
    let Some(identity) = identity else { return Ok(all.collect()) };
    let written = identity.trim();
    if written.is_empty() {
        return Err(CommandError::Wrong(format!("the identity is empty: write the name of a {what}")));
    }
    let all: Vec<&T> = all.collect();
    // `*.contoso.com` and `*` are names of domains, too: what is there by that very name is meant.
    let found: Vec<&T> = all.iter().copied().filter(|one| name_of(one).eq_ignore_ascii_case(written)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    if written.contains(['*', '?']) {
        return Ok(all.into_iter().filter(|one| wildcard::matches(written, &name_of(one), false)).collect());
    }
    let names: Vec<String> = all.iter().map(|one| name_of(one)).collect();
    let hint = nearest(written, names.iter().map(String::as_str)).map(|near| format!("; did you mean '{near}'?"));
    let written: String = written.chars().take(80).collect();
    Err(CommandError::NotFound(format!(
        "The operation couldn't be performed because the {what} '{}' couldn't be found{}",
        written.escape_debug(),
        hint.unwrap_or_else(|| ".".to_owned())
    )))
}

/// The one that `identity` means: whoever changes something names it, and a pattern is no name.
///
/// # Errors
/// [`CommandError`], as for [`search`].
pub fn find<'a, T>(
    all: impl Iterator<Item = &'a T>,
    name_of: impl Fn(&T) -> String,
    identity: &str,
    what: &str,
) -> Result<&'a T, CommandError> {
    let mut found = search(all, &name_of, Some(identity), what)?;
    let is_name = |one: &T| !identity.contains(['*', '?']) || name_of(one).eq_ignore_ascii_case(identity.trim());
    match (found.pop().filter(|one| is_name(one)), found.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => {
            let identity: String = identity.chars().take(80).collect();
            let error =
                format!("'{}' has to be the name of one {what}: wildcards are for Get-", identity.escape_debug());
            Err(CommandError::Wrong(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_one_names_it() {
        let all = ["contoso.com", "*.contoso.com"].map(str::to_owned);
        for (identity, expected) in [
            ("contoso.com", Some(0)),
            ("*.Contoso.com", Some(1)),
            ("c*", None),
            ("*", None),
            ("", None),
            ("fabrikam.com", None),
        ] {
            let found = find(all.iter(), String::clone, identity, "domain").ok();
            assert_eq!(found, expected.map(|place: usize| &all[place]), "{identity}");
        }
    }

    #[test]
    fn a_name_means_the_one_that_has_it_and_wildcards_those_that_fit() {
        let all = ["contoso.com", "*.contoso.com", "fabrikam.com"].map(str::to_owned);
        for (identity, expected) in [
            (None, Ok(vec![0, 1, 2])),
            (Some("Contoso.COM"), Ok(vec![0])),
            (Some("*.contoso.com"), Ok(vec![1])),
            (Some("*ab*"), Ok(vec![2])),
            (Some("x*"), Ok(vec![])),
            (Some(" "), Err("is empty")),
            (Some("fabricam.com"), Err("did you mean 'fabrikam.com'?")),
        ] {
            let found = search(all.iter(), String::clone, identity, "domain");
            match (found, expected) {
                (Ok(found), Ok(expected)) => {
                    let expected: Vec<&String> = expected.into_iter().map(|place: usize| &all[place]).collect();
                    assert_eq!(found, expected, "{identity:?}");
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, _) => panic!("{identity:?}: {found:?}"),
            }
        }
    }
}
