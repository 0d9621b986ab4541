//! Reads `error_policies` of a send connector, and the codes that its custom failures are (fact sheet section 4.4).

use toml::de::DeValue;

use super::reader::{Fields, Wrong, shown};
use super::values;
use crate::error_policy::{ErrorPolicies, FailureCode};

const KEY: &str = "error_policies";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    AtTheirWord,
    DowngradeDns,
    DowngradeCustom,
    UpgradeCustom,
}

const POLICIES: [(&str, Policy); 4] = [
    ("Default", Policy::AtTheirWord),
    ("DowngradeDnsFailures", Policy::DowngradeDns),
    ("DowngradeCustomFailures", Policy::DowngradeCustom),
    ("UpgradeCustomFailures", Policy::UpgradeCustom),
];

pub(super) fn read(fields: &mut Fields<'_, '_, '_>) -> ErrorPolicies {
    let named = fields.list(KEY, |value, _| {
        let names = values::flag_names(value)?;
        let policy = |name: &String| {
            let found = POLICIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found
                .map(|(_, policy)| *policy)
                .ok_or_else(|| values::unknown_name(name, POLICIES.iter().map(|(name, _)| *name)))
        };
        names.iter().map(policy).collect::<Result<Vec<_>, Wrong>>()
    });
    let policies: Vec<Policy> = named.into_iter().flatten().flat_map(|(policies, _)| policies).collect();
    let has = |policy| policies.contains(&policy);
    if has(Policy::AtTheirWord) && policies.iter().any(|policy| *policy != Policy::AtTheirWord) {
        fields.error_at(KEY, "`Default` takes every failure at its word", "remove `Default`, or everything beside it");
    }
    ErrorPolicies {
        downgrade_dns_failures: has(Policy::DowngradeDns),
        downgrade: codes(fields, "downgrade_codes", 5, ("DowngradeCustomFailures", has(Policy::DowngradeCustom))),
        upgrade: codes(fields, "upgrade_codes", 4, ("UpgradeCustomFailures", has(Policy::UpgradeCustom))),
    }
}

fn codes(
    fields: &mut Fields<'_, '_, '_>,
    key: &'static str,
    class: u16,
    (policy, is_on): (&str, bool),
) -> Vec<FailureCode> {
    let given = fields.list(key, |value, _| code(value, class));
    match (&given, is_on) {
        (Some(_), false) if !fields.is_bad(KEY) => {
            let remedy = format!("write error_policies = [\"{policy}\"], or remove {key}");
            fields.error_at(key, format!("`{key}` has no effect without {policy}"), remedy);
        }
        (None, true) => {
            let example = if class == 5 { "[\"552\", \"5.2.2\", \"550 5.7.1\"]" } else { "[\"450 4.2.1\"]" };
            fields.lacks(key, &format!("write which failures {policy} is about: {key} = {example}"));
        }
        _ => {}
    }
    given.unwrap_or_default().into_iter().map(|(code, _)| code).collect()
}

fn code(value: &DeValue<'_>, class: u16) -> Result<FailureCode, Wrong> {
    let text = match value {
        DeValue::Integer(number) => number.as_str().to_owned(),
        value => values::string(value)?.trim().to_owned(),
    };
    let wrong = |message| {
        let remedy = format!(
            "write a reply code, a status code or both: \"{class}50\", \"{class}.7.1\", \"{class}50 {class}.7.1\""
        );
        Wrong::new(message, remedy)
    };
    let code = FailureCode::parse(&text, class)
        .ok_or_else(|| wrong(format!("`{}` is no failure of class {class}", shown(&text))))?;
    if code.code() == Some(421) {
        return Err(wrong("421 says that the connection ends, and nothing about a message".to_owned()));
    }
    Ok(code)
}
