//! Which of the records of a listing are answered, in which order, from which place.

use serde::Deserialize;

use crate::object::{Record, Shape};
use crate::picking::pick;

/// Records in one answer, unless more or fewer are asked for.
const LIMIT_DEFAULT: usize = 100;
/// At most so many records in one answer.
pub const LIMIT_MAX: usize = 10_000;

/// What the query of a listing takes.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Narrowing {
    /// At most so many: 1 to 10,000, by default 100.
    pub limit: Option<usize>,
    /// Where the page before this one ended, as its `next` said.
    pub from: Option<String>,
    /// Which, by Exchange's property names: `Enabled -eq 'True' -and Name -like 'Rel*'`.
    pub filter: Option<String>,
}

/// One page.
pub struct Page {
    /// What is on it.
    pub records: Vec<Record>,
    /// How many there are in all.
    pub total: usize,
    /// Where the next one begins.
    pub next: Option<String>,
}

impl Narrowing {
    /// Where the page begins, and how long it is at most.
    ///
    /// # Errors
    /// What is wrong with the question.
    pub fn place(&self) -> Result<(usize, usize), String> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 || limit > LIMIT_MAX {
            return Err(format!("limit is from 1 to {LIMIT_MAX}: ask for the next page with `from`"));
        }
        let unknown_page = || "`from` is no place where a page ended: pass on what `next` said".to_owned();
        let from = self.from.as_deref().map(|from| from.parse::<usize>().map_err(|_| unknown_page())).transpose()?;
        Ok((from.unwrap_or(0), limit))
    }
}

impl Page {
    /// What stands from a place on, of so many.
    pub fn at(from: usize, records: Vec<Record>, total: usize) -> Page {
        let end = from.saturating_add(records.len());
        Page { next: (end < total && !records.is_empty()).then(|| end.to_string()), records, total }
    }
}

/// The page of `records` that is asked for.
///
/// # Errors
/// What is wrong with the question.
pub fn narrow(shape: &'static Shape, mut records: Vec<Record>, asked: &Narrowing) -> Result<Page, String> {
    let (from, limit) = asked.place()?;
    if let Some(text) = &asked.filter {
        pick(shape, &mut records, text)?;
    }
    let total = records.len();
    Ok(Page::at(from, records.into_iter().skip(from).take(limit).collect(), total))
}
