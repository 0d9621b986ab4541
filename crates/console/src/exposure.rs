//! Who gains and who loses what by a change, as pages show it before anybody applies it.

use gatepost_manage::exposure_text::{listeners_text, sources_text, terms_of, when, whom};
use gatepost_manage::resource::{AlteredRights, ExposureChange};

/// More rows than this are counted, not shown.
const ROWS_MAX: usize = 40;

/// The exposure of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// The first of them.
    pub rows: Vec<Row>,
    /// How many more there are.
    pub more: u64,
}

/// Some addresses that gain or lose rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where they come from, and from when until when.
    pub sources: String,
    /// Where they come to.
    pub listeners: String,
    /// Who they are.
    pub whom: String,
    /// The rights that are new, each with its terms; none: it holds whatever comes.
    pub gained: Vec<(String, Option<String>)>,
    /// The rights that are gone.
    pub lost: Vec<(String, Option<String>)>,
    /// The rights that are held under other terms.
    pub altered: Vec<AlteredRights>,
}

impl Exposure {
    /// What an answer tells: the first of `total` changes.
    pub fn of(changes: &[ExposureChange], total: u64) -> Exposure {
        let row = |shown: &ExposureChange| {
            let with_terms = |rights: &[String]| {
                let terms = |right: &String| terms_of(&shown.limited, right).map(str::to_owned);
                rights.iter().map(|right| (right.clone(), terms(right))).collect()
            };
            Row {
                sources: sources_text(&shown.source_set()) + &when(shown),
                listeners: listeners_text(&shown.listeners),
                whom: whom(shown),
                gained: with_terms(&shown.gained),
                lost: with_terms(&shown.lost),
                altered: shown.altered.clone(),
            }
        };
        let rows: Vec<Row> = changes.iter().take(ROWS_MAX).map(row).collect();
        Exposure { more: total.max(changes.len() as u64) - rows.len() as u64, rows }
    }

    /// Whether nobody gains or loses anything.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether somebody holds rights under other terms than before.
    pub fn alters(&self) -> bool {
        self.rows.iter().any(|row| !row.altered.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use gatepost_manage::resource::{AddressRange, LimitedRights};

    use super::*;

    #[test]
    fn a_change_is_told_in_words_and_many_are_counted() {
        let address = "192.168.2.55".parse().expect("an address");
        let change = ExposureChange {
            whom: "unauthenticated".to_owned(),
            user: None,
            gained: vec!["ms-Exch-SMTP-Submit".to_owned(), "ms-Exch-SMTP-Accept-Any-Sender".to_owned()],
            lost: Vec::new(),
            limited: vec![LimitedRights {
                rights: vec!["ms-Exch-SMTP-Accept-Any-Sender".to_owned()],
                terms: "only from scan@contoso.com".to_owned(),
            }],
            altered: Vec::new(),
            listeners: vec!["0.0.0.0:25".parse().expect("a listener")],
            sources: vec![AddressRange { first: address, last: address }],
            from_ms: None,
            until_ms: None,
        };
        let exposure = Exposure::of(std::slice::from_ref(&change), 1);
        let row = &exposure.rows[0];
        assert_eq!(
            (row.sources.as_str(), row.listeners.as_str(), row.whom.as_str()),
            ("192.168.2.55", "0.0.0.0:25", "without logging in")
        );
        let terms: Vec<Option<&str>> = row.gained.iter().map(|(_, terms)| terms.as_deref()).collect();
        assert_eq!(terms, [None, Some("only from scan@contoso.com")]);
        assert!(!exposure.alters());
        let many = vec![change; ROWS_MAX + 2];
        let exposure = Exposure::of(&many, many.len() as u64);
        assert_eq!((exposure.rows.len(), exposure.more), (ROWS_MAX, 2));
        // The server does not tell all of many thousands, but how many they are.
        assert_eq!(Exposure::of(&many, 30_040).more, 30_000);
        assert!(Exposure::of(&[], 0).is_empty());
    }
}
