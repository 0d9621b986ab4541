//! Lists that are shown a page at a time, in an order that the heads of their columns choose.
//!
//! Which page and which order are wanted stands in the address (`page`, `sort`), so that a link to it can be shared.

use crate::fields::Fields;
use crate::text::count;

/// Rows on a page.
pub const ROWS: usize = 50;
/// Further pages are asked for by a filter.
const PAGE_MAX: usize = 1_000_000;
/// What a page says once, which addresses that are used again are without.
const ONCE: [&str; 2] = ["done", "seal"];

/// What a list is asked: the query of its address, without what was said once.
pub fn asked(query: &Fields) -> Fields {
    query.without(&ONCE)
}

/// How many rows are passed over.
pub fn offset(query: &Fields) -> usize {
    (page(query) - 1) * ROWS
}

fn page(query: &Fields) -> usize {
    query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, PAGE_MAX)
}

/// The links to the pages beside this one.
#[derive(Debug, PartialEq, Eq)]
pub struct Pager {
    /// Which rows these are: `51–100 of 1 234`.
    pub said: String,
    /// The page before, as a query.
    pub previous: Option<String>,
    /// The page after, as a query.
    pub next: Option<String>,
}

impl Pager {
    /// Of a list of which `shown` rows are shown, and `total` are there.
    pub fn of(query: &Fields, shown: usize, total: u64) -> Pager {
        let (first, end) = (offset(query) as u64 + 1, (offset(query) + shown) as u64);
        let said = match shown {
            0 => format!("none of {}", count(total)),
            _ => format!("{}–{} of {}", count(first), count(end), count(total)),
        };
        Pager { said, ..Pager::steps(query, end < total) }
    }

    /// Of a list whose length nobody knows.
    pub fn open(query: &Fields, shown: usize, has_more: bool) -> Pager {
        let said = match shown {
            0 => "none here".to_owned(),
            _ => format!("{}–{}", count(offset(query) as u64 + 1), count((offset(query) + shown) as u64)),
        };
        Pager { said, ..Pager::steps(query, has_more) }
    }

    fn steps(query: &Fields, has_more: bool) -> Pager {
        let (query, page) = (asked(query), page(query));
        let to = |page: usize| query.with("page", &page.to_string());
        Pager { said: String::new(), previous: (page > 1).then(|| to(page - 1)), next: has_more.then(|| to(page + 1)) }
    }

    /// Whether there is any other page.
    pub fn is_needed(&self) -> bool {
        self.previous.is_some() || self.next.is_some()
    }
}

/// The head of a column.
#[derive(Debug, PartialEq, Eq)]
pub struct Heading {
    /// What it says.
    pub name: &'static str,
    /// The list in the order of this column, as a query; none: it cannot be ordered by it.
    pub order: Option<String>,
    /// `ascending` or `descending` where the list is in its order.
    pub sorted: Option<&'static str>,
    /// Whether numbers stand in it.
    pub is_number: bool,
}

impl Heading {
    /// The head of a column that shows the property `property`; a second choice turns the order round.
    pub fn of(query: &Fields, name: &'static str, property: &str, is_number: bool) -> Heading {
        if property.is_empty() {
            return Heading { name, order: None, sorted: None, is_number };
        }
        let sort = query.text("sort");
        let (sorted, next) = match sort.strip_prefix('-').unwrap_or(sort) == property {
            true if sort.starts_with('-') => (Some("descending"), property.to_owned()),
            true => (Some("ascending"), format!("-{property}")),
            false => (None, property.to_owned()),
        };
        Heading { name, order: Some(asked(query).without(&["page"]).with("sort", &next)), sorted, is_number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_pages_beside_and_keep_what_else_is_asked() {
        let query = Fields::read(b"filter=x&page=2&done=Yes&seal=1");
        let pager = Pager::of(&query, 50, 120);
        assert_eq!(pager.said, "51–100 of 120");
        assert_eq!(pager.previous.as_deref(), Some("filter=x&page=1"));
        assert_eq!(pager.next.as_deref(), Some("filter=x&page=3"));
        assert_eq!(offset(&query), 50);
        assert!(!Pager::of(&Fields::default(), 3, 3).is_needed());
        for wrong in ["page=0", "page=-1", "page=x", "page="] {
            assert_eq!(offset(&Fields::read(wrong.as_bytes())), 0, "{wrong}");
        }
        assert!(offset(&Fields::read(b"page=18446744073709551615")) > 0);
    }

    #[test]
    fn a_column_orders_the_list_and_then_turns_it_round() {
        for (query, sorted, order) in [
            ("page=4", None, "sort=Size"),
            ("sort=Size", Some("ascending"), "sort=-Size"),
            ("sort=-Size&filter=x", Some("descending"), "filter=x&sort=Size"),
        ] {
            let heading = Heading::of(&Fields::read(query.as_bytes()), "Size", "Size", true);
            assert_eq!((heading.sorted, heading.order.as_deref()), (sorted, Some(order)), "{query}");
        }
    }
}
