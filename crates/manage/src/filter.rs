//! What picks queues and messages: `Status -eq 'Retry' -and MessageCount -gt 100`, by Exchange's property names and operators
//! (fact sheet section 4.8), and in which order they stand: `+MessageCount,-Identity`.
//!
//! Takes text and the properties that there are, hands on a filter or what to write instead; then asks for values and says
//! yes or no. Pure: knows nothing of queues.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Longest text of a filter, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;

/// One property, by Exchange's name.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
}

/// What the values of a property are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; case does not count.
    Text,
    /// A number, or a size.
    Number,
    /// A point in time.
    Time,
}

/// The value of one property.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// There is none.
    Nothing,
    /// Text.
    Text(String),
    /// Several: any of them may be meant.
    Texts(Vec<String>),
    /// A number.
    Number(f64),
    /// Unix time in milliseconds.
    Time(u64),
}

/// What has properties.
pub trait Properties {
    /// Those that there are.
    const ALL: &'static [Property];

    /// The value of the property at this place in [`Properties::ALL`].
    fn value(&self, property: usize) -> Value;
}

/// A filter: every term has to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Vec<Term>);

#[derive(Clone, Debug, PartialEq)]
struct Term {
    property: usize,
    operator: Operator,
    operand: Operand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    Like,
    NotLike,
}

const OPERATORS: [(&str, Operator); 8] = [
    ("-eq", Operator::Eq),
    ("-ne", Operator::Ne),
    ("-gt", Operator::Gt),
    ("-ge", Operator::Ge),
    ("-lt", Operator::Lt),
    ("-le", Operator::Le),
    ("-like", Operator::Like),
    ("-notlike", Operator::NotLike),
];

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Nothing,
    /// In lower case.
    Text(String),
    Number(f64),
    Time(u64),
}

/// In which order they stand: properties, and whether the highest comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order(Vec<(usize, bool)>);

/// Why a text is no filter, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {remedy}")]
pub struct Mistake {
    what: String,
    remedy: String,
}

fn mistake<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake { what: what.into(), remedy: remedy.into() })
}

impl Filter {
    /// Reads a filter over the properties of `P`.
    ///
    /// # Errors
    /// [`Mistake`].
    pub fn parse<P: Properties>(text: &str) -> Result<Filter, Mistake> {
        Filter::parse_over(text, P::ALL)
    }

    /// Reads a filter over properties that are known when the program runs.
    ///
    /// # Errors
    /// [`Mistake`].
    pub fn parse_over(text: &str, known: &[Property]) -> Result<Filter, Mistake> {
        if text.len() > TEXT_BYTES_MAX {
            return mistake("the filter is too long", format!("write at most {TEXT_BYTES_MAX} bytes"));
        }
        let mut words = Words(text);
        let mut terms = Vec::new();
        loop {
            let Some((name, _)) = words.next()? else {
                return mistake("a property is missing", example(known));
            };
            let property = find(known, &name)?;
            let operator = operator(&mut words, &name)?;
            let Some((value, is_quoted)) = words.next()? else {
                return mistake(format!("there is no value after {name}"), example(known));
            };
            terms.push(Term { property, operator, operand: operand(&known[property], operator, &value, is_quoted)? });
            match words.next()? {
                None => return Ok(Filter(terms)),
                Some((word, false)) if word.eq_ignore_ascii_case("-and") => {}
                Some((word, _)) => {
                    return mistake(
                        format!("`{word}` stands where the filter should end or go on with -and"),
                        "join conditions by -and alone; values with spaces need quotes; ask twice in place of -or",
                    );
                }
            }
        }
    }

    /// Whether every term holds for it.
    pub fn matches<P: Properties>(&self, subject: &P) -> bool {
        self.matches_with(|property| subject.value(property))
    }

    /// Whether every term holds where the properties have these values, by their places.
    pub fn matches_with(&self, value: impl Fn(usize) -> Value) -> bool {
        self.0.iter().all(|term| term.holds(&value(term.property)))
    }

    /// Whether a property is asked for.
    pub fn asks_for<P: Properties>(&self, name: &str) -> bool {
        self.0.iter().any(|term| P::ALL[term.property].name == name)
    }
}

impl Order {
    /// Reads an order over the properties of `P`: `+MessageCount,-Identity`; a name without a sign counts as `+`.
    ///
    /// # Errors
    /// [`Mistake`].
    pub fn parse<P: Properties>(text: &str) -> Result<Order, Mistake> {
        let mut keys = Vec::new();
        for key in text.split(',').map(str::trim) {
            let (name, is_descending) = match key.strip_prefix('-') {
                Some(name) => (name, true),
                None => (key.strip_prefix('+').unwrap_or(key), false),
            };
            keys.push((find(P::ALL, name)?, is_descending));
        }
        Ok(Order(keys))
    }

    /// Which of two comes first.
    pub fn compare<P: Properties>(&self, a: &P, b: &P) -> Ordering {
        let compare = |(property, is_descending): &(usize, bool)| {
            let order = compare(&a.value(*property), &b.value(*property));
            if *is_descending { order.reverse() } else { order }
        };
        self.0.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Whether a property is asked for.
    pub fn asks_for<P: Properties>(&self, name: &str) -> bool {
        self.0.iter().any(|(property, _)| P::ALL[*property].name == name)
    }
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Nothing, Value::Nothing) => Ordering::Equal,
        (Value::Nothing, _) => Ordering::Less,
        (_, Value::Nothing) => Ordering::Greater,
        (a, b) => texts(a).cmp(&texts(b)),
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Text(text) => vec![text.to_lowercase()],
        Value::Texts(texts) => texts.iter().map(|text| text.to_lowercase()).collect(),
        Value::Nothing | Value::Number(_) | Value::Time(_) => Vec::new(),
    }
}

impl Term {
    fn holds(&self, value: &Value) -> bool {
        match (&self.operand, value) {
            (Operand::Nothing, value) => {
                let is_nothing = *value == Value::Nothing || *value == Value::Texts(Vec::new());
                is_nothing == (self.operator == Operator::Eq)
            }
            (Operand::Number(wanted), Value::Number(number)) => self.operator.holds(number.total_cmp(wanted)),
            (Operand::Time(wanted), Value::Time(time)) => self.operator.holds(time.cmp(wanted)),
            (Operand::Text(wanted), value) => {
                let texts = texts(value);
                match self.operator {
                    Operator::Ne => texts.iter().all(|text| text != wanted),
                    Operator::Like => texts.iter().any(|text| is_like(text, wanted)),
                    Operator::NotLike => texts.iter().all(|text| !is_like(text, wanted)),
                    operator => texts.iter().any(|text| operator.holds(text.as_str().cmp(wanted))),
                }
            }
            // What is not there is not like anything, and neither before nor behind it.
            _ => self.operator == Operator::Ne,
        }
    }
}

impl Operator {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Operator::Eq | Operator::Like => order.is_eq(),
            Operator::Ne | Operator::NotLike => order.is_ne(),
            Operator::Gt => order.is_gt(),
            Operator::Ge => order.is_ge(),
            Operator::Lt => order.is_lt(),
            Operator::Le => order.is_le(),
        }
    }
}

/// Whether a text matches a pattern in which `*` stands for anything; both in lower case.
pub fn is_like(text: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(first) = pieces.next() else { return text.is_empty() };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

fn find(known: &[Property], name: &str) -> Result<usize, Mistake> {
    let found = known.iter().position(|known| known.name.eq_ignore_ascii_case(name));
    let names = || known.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
    match found {
        Some(property) => Ok(property),
        None if name.starts_with('-') => mistake(format!("`{name}` stands where a property should"), example(known)),
        None => mistake(format!("there is no property `{name}`"), format!("write one of {}", names())),
    }
}

fn example(known: &[Property]) -> String {
    let name = known.iter().find(|known| known.name == "Status").or(known.first()).map_or("Status", |known| known.name);
    format!("write a property, an operator and a value, as in {name} -eq 'Retry'")
}

fn operator(words: &mut Words<'_>, name: &str) -> Result<Operator, Mistake> {
    let known = || OPERATORS.map(|(word, _)| word).join(", ");
    match words.next()? {
        None => mistake(format!("there is no operator after {name}"), format!("write one of {}", known())),
        Some((word, is_quoted)) => {
            let found = OPERATORS.iter().find(|(known, _)| !is_quoted && known.eq_ignore_ascii_case(&word));
            match found {
                Some((_, operator)) => Ok(*operator),
                None => mistake(format!("`{word}` is no operator"), format!("write one of {}", known())),
            }
        }
    }
}

fn operand(property: &Property, operator: Operator, value: &str, is_quoted: bool) -> Result<Operand, Mistake> {
    let Property { name, kind } = property;
    let is_pattern = matches!(operator, Operator::Like | Operator::NotLike);
    if !is_quoted && value.eq_ignore_ascii_case("$null") {
        return match operator {
            Operator::Eq | Operator::Ne => Ok(Operand::Nothing),
            _ => mistake("$null is neither more nor less than anything", "compare with it by -eq or -ne"),
        };
    }
    match kind {
        Kind::Text => Ok(Operand::Text(value.to_lowercase())),
        _ if is_pattern => mistake(format!("{name} is no text, and -like is for texts"), "write -eq, -gt or -lt"),
        Kind::Number => match number(value) {
            Some(number) => Ok(Operand::Number(number)),
            None => mistake(format!("`{value}` is no number, and {name} is one"), "write 100, or a size as 250 KB"),
        },
        Kind::Time => match time(value) {
            Some(time) => Ok(Operand::Time(time)),
            None => mistake(
                format!("`{value}` is no point in time"),
                "write it as 2026-11-22, '2026-11-22 06:30' or 2026-11-22T06:30:00Z; without a zone it is UTC",
            ),
        },
    }
}

/// A number, or a size with a unit.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(number) => number.is_finite().then_some(number),
        Err(_) => gatepost_policy::settings::parse_size(text).map(|bytes| bytes as f64),
    }
}

fn time(text: &str) -> Option<u64> {
    let text = text.trim();
    let civil = || text.parse::<DateTime>().ok().or_else(|| Some(text.parse::<Date>().ok()?.at(0, 0, 0, 0)));
    let timestamp = text.parse::<Timestamp>().ok();
    let timestamp = timestamp.or_else(|| Some(civil()?.to_zoned(TimeZone::UTC).ok()?.timestamp()));
    u64::try_from(timestamp?.as_millisecond()).ok()
}

/// The words of a filter; those in quotes are told apart.
struct Words<'t>(&'t str);

impl Words<'_> {
    fn next(&mut self) -> Result<Option<(String, bool)>, Mistake> {
        let rest = self.0.trim_start();
        let Some(first) = rest.chars().next() else { return Ok(None) };
        if first == '(' || first == '{' {
            return mistake(
                format!("`{first}` is not for filters"),
                "leave it out: conditions are joined by -and alone",
            );
        }
        if first != '\'' && first != '"' {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, rest) = rest.split_at(end);
            self.0 = rest;
            return Ok(Some((word.to_owned(), false)));
        }
        // A quote within quotes is written twice, as in the shell.
        let (mut word, mut after) = (String::new(), &rest[1..]);
        loop {
            let Some(at) = after.find(first) else {
                return mistake("a quote is not closed", format!("write {first} behind the value"));
            };
            word.push_str(&after[..at]);
            after = &after[at + 1..];
            match after.strip_prefix(first) {
                Some(more) => {
                    word.push(first);
                    after = more;
                }
                None => break,
            }
        }
        self.0 = after;
        Ok(Some((word, true)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Row(&'static str, f64, Option<u64>, Vec<&'static str>);

    impl Properties for Row {
        const ALL: &'static [Property] = &[
            Property { name: "Status", kind: Kind::Text },
            Property { name: "MessageCount", kind: Kind::Number },
            Property { name: "NextRetryTime", kind: Kind::Time },
            Property { name: "Recipients", kind: Kind::Text },
        ];

        fn value(&self, property: usize) -> Value {
            match property {
                0 => Value::Text(self.0.to_owned()),
                1 => Value::Number(self.1),
                2 => self.2.map_or(Value::Nothing, Value::Time),
                _ => Value::Texts(self.3.iter().map(|text| (*text).to_owned()).collect()),
            }
        }
    }

    fn row() -> Row {
        Row("Retry", 150.0, Some(1_795_000_000_000), vec!["a@contoso.com", "b@fabrikam.com"])
    }

    #[test]
    fn filters_pick_by_every_operator() {
        for (text, expected) in [
            ("Status -eq 'Retry' -and MessageCount -gt 100", true),
            ("status -EQ retry", true),
            ("Status -ne 'Retry'", false),
            ("Status -like 'Re*'", true),
            ("Status -like '*try'", true),
            ("Status -like '*et*y'", true),
            ("Status -like 'et*'", false),
            ("Status -notlike 'et*'", true),
            ("Status -like \"Retry\"", true),
            ("MessageCount -ge 150 -and MessageCount -le 150", true),
            ("MessageCount -lt 150", false),
            ("MessageCount -gt '0.1 KB'", true),
            ("MessageCount -ne 150", false),
            ("NextRetryTime -gt 2026-11-18", true),
            ("NextRetryTime -lt '2026-11-18 00:00'", false),
            ("NextRetryTime -lt 2030-01-01T00:00:00Z", true),
            ("NextRetryTime -eq $null", false),
            ("NextRetryTime -ne $null", true),
            ("Recipients -eq 'B@fabrikam.com'", true),
            ("Recipients -like '*@contoso.com'", true),
            ("Recipients -ne 'a@contoso.com'", false),
            ("Recipients -ne 'c@contoso.com'", true),
            ("Recipients -like 'c*'", false),
        ] {
            let filter = Filter::parse::<Row>(text).unwrap_or_else(|mistake| panic!("{text}: {mistake}"));
            assert_eq!(filter.matches(&row()), expected, "{text}");
        }
        let none = Row("Ready", 0.0, None, Vec::new());
        for (text, expected) in [
            ("NextRetryTime -eq $null", true),
            ("NextRetryTime -gt 2026-01-01", false),
            ("NextRetryTime -ne 2026-01-01", true),
            ("Recipients -eq $null", true),
        ] {
            assert_eq!(Filter::parse::<Row>(text).expect("a filter").matches(&none), expected, "{text}");
        }
    }

    #[test]
    fn a_mistake_says_what_to_write_instead() {
        for (text, expected) in [
            ("", "a property is missing: write a property, an operator and a value, as in Status -eq 'Retry'"),
            (
                "Colour -eq 'red'",
                "there is no property `Colour`: write one of Status, MessageCount, NextRetryTime, Recipients",
            ),
            ("-eq 3", "`-eq` stands where a property should"),
            ("Status", "there is no operator after Status: write one of -eq, -ne"),
            ("Status = Retry", "`=` is no operator: write one of -eq"),
            ("Status -eq", "there is no value after Status"),
            ("Status -eq 'Retry", "a quote is not closed: write ' behind the value"),
            ("Status -eq 'Retry' -or MessageCount -gt 1", "ask twice in place of -or"),
            ("(Status -eq 'Retry')", "`(` is not for filters"),
            ("MessageCount -gt many", "`many` is no number, and MessageCount is one"),
            ("MessageCount -like 1*", "-like is for texts"),
            ("NextRetryTime -gt yesterday", "`yesterday` is no point in time"),
            ("NextRetryTime -gt $null", "neither more nor less"),
        ] {
            let told = Filter::parse::<Row>(text).expect_err(text).to_string();
            assert!(told.contains(expected), "{text}: {told}");
        }
    }

    #[test]
    fn an_order_goes_by_its_properties_in_turn() {
        let mut rows = [Row("b", 1.0, None, vec![]), Row("a", 2.0, Some(1), vec![]), Row("a", 1.0, None, vec![])];
        let order = Order::parse::<Row>("+Status,-MessageCount").expect("an order");
        rows.sort_by(|a, b| order.compare(a, b));
        assert_eq!(rows.each_ref().map(|row| (row.0, row.1)), [("a", 2.0), ("a", 1.0), ("b", 1.0)]);
        assert!(Order::parse::<Row>("Status,Colour").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = Filter::parse::<Row>(&text);
            let _ = Order::parse::<Row>(&text);
        }

        #[test]
        fn a_quoted_value_is_taken_as_it_stands(value in "[^\u{0}]{0,20}") {
            let text = format!("Status -eq '{}'", value.replace('\'', "''"));
            let filter = Filter::parse::<Row>(&text).expect("a filter");
            prop_assert_eq!(&filter.0[0].operand, &Operand::Text(value.to_lowercase()));
        }

        #[test]
        fn likeness_agrees_with_a_plain_search(text in "[ab]{0,6}", pattern in "[ab*]{0,5}") {
            fn plain(text: &[u8], pattern: &[u8]) -> bool {
                match pattern.first() {
                    None => text.is_empty(),
                    Some(b'*') => (0..=text.len()).any(|from| plain(&text[from..], &pattern[1..])),
                    Some(byte) => text.first() == Some(byte) && plain(&text[1..], &pattern[1..]),
                }
            }
            prop_assert_eq!(is_like(&text, &pattern), plain(text.as_bytes(), pattern.as_bytes()));
        }
    }
}
