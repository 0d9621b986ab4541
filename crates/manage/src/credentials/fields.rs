//! Reading and writing one table of the file of secrets, without ever showing a value.

use std::fmt::Write;

use gatepost_policy::role::{Role, Roles};
use toml::de::{DeTable, DeValue};

use super::toml_string;

/// One table being read. What nobody asked for is unknown.
pub struct Entry<'d, 't> {
    table: &'d DeTable<'t>,
    asked: Vec<&'static str>,
}

impl<'d, 't> Entry<'d, 't> {
    /// A table of which nothing is read.
    pub fn new(table: &'d DeTable<'t>) -> Entry<'d, 't> {
        Entry { table, asked: Vec::new() }
    }

    /// Whether the key is written, so that what is wrong can be told from what is left out.
    pub fn is_given(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<&'d str> {
        self.value(key)?.as_str()
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let list = self.value(key)?.as_array()?;
        list.iter().map(|value| value.get_ref().as_str().map(str::to_owned)).collect()
    }

    /// A whole number that is not negative.
    pub fn number(&mut self, key: &'static str) -> Option<u64> {
        match self.value(key)? {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        }
    }

    /// Roles by their names.
    pub fn roles(&mut self, key: &'static str) -> Option<Roles> {
        self.texts(key)?.iter().map(|name| Role::parse(name)).collect()
    }

    /// A key that nobody asked for.
    pub fn unknown(&self) -> Option<String> {
        let keys = self.table.iter().map(|(key, _)| key.get_ref().to_string());
        keys.into_iter().find(|key| !self.asked.iter().any(|asked| asked == key))
    }

    fn value(&mut self, key: &'static str) -> Option<&'d DeValue<'t>> {
        self.asked.push(key);
        self.table.get(key).map(|value| value.get_ref())
    }
}

/// Writes one line `key = "text"`.
pub fn write_text(into: &mut String, key: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(into, "{key} = {}", toml_string(text));
}

/// Writes one line `key = ["text", ...]`.
pub fn write_texts<'a>(into: &mut String, key: &str, texts: impl IntoIterator<Item = &'a str>) {
    let texts: Vec<String> = texts.into_iter().map(toml_string).collect();
    let _ = writeln!(into, "{key} = [{}]", texts.join(", "));
}

/// Writes one line `key = number`.
pub fn write_number(into: &mut String, key: &str, number: u64) {
    let _ = writeln!(into, "{key} = {number}");
}
