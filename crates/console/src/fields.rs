//! The fields of a form or a query, as HTML sends them (application/x-www-form-urlencoded).

use form_urlencoded::{Serializer, parse};

/// More are no form of ours.
const FIELDS_MAX: usize = 10_000;

/// Names and values in their order; a name may come more than once, as check boxes do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads them. Line ends become `\n`.
    pub fn read(body: &[u8]) -> Fields {
        let pairs = parse(body).take(FIELDS_MAX);
        Fields(pairs.map(|(name, value)| (name.into_owned(), value.replace("\r\n", "\n"))).collect())
    }

    /// All of them, for a page that carries them on.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of this name, without blanks around it; `None` where it is empty or not there.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.trim());
        found.filter(|value| !value.is_empty())
    }

    /// The same, empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// The value as it was typed: a password, a document.
    pub fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// Whether a box is ticked, or a button was the one.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found == name)
    }

    /// Every value of this name, without those that are empty.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(found, _)| found == name)
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// What stands in a text area or a line as a list: one item each line, comma or semicolon.
    pub fn list(&self, name: &str) -> Vec<String> {
        let items = self.all(name).flat_map(|value| value.split(['\n', ',', ';']));
        items.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// The fields without those of these names: without what was said once, for addresses that are used again.
    pub fn without(&self, names: &[&str]) -> Fields {
        Fields(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
    }

    /// The same fields with more behind them.
    pub fn and(mut self, more: impl Iterator<Item = (String, String)>) -> Fields {
        self.0.extend(more);
        self
    }

    /// The same fields as a query.
    pub fn to_query(&self) -> String {
        Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// The same fields as a query, with one of them set anew: for links to the next page, another order.
    pub fn with(&self, name: &str, value: &str) -> String {
        let kept = self.0.iter().filter(|(found, _)| found != name);
        let mut query = Serializer::new(String::new());
        query.extend_pairs(kept);
        if !value.is_empty() {
            query.append_pair(name, value);
        }
        query.finish()
    }
}

/// Something as a part of a path: everything but unreserved characters as `%XX`.
pub fn path_part(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A path of ours that somebody may be sent to: nothing that a browser takes for another host.
pub fn place(wanted: &str) -> &str {
    let is_path = wanted.starts_with('/') && !wanted.starts_with("//") && !wanted.contains(['\\', '\r', '\n', '\t']);
    if is_path { wanted } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_as_they_were_typed() {
        let fields = Fields::read(b"name=+CRM+&group=a&group=b&list=10.0.0.1%0D%0A10.0.0.2%2C+10.0.0.3&empty=");
        assert_eq!(fields.get("name"), Some("CRM"));
        assert_eq!(fields.raw("name"), " CRM ");
        assert_eq!(fields.all("group").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(fields.list("list"), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(fields.get("empty"), None);
        assert!(fields.has("empty"));
        assert_eq!(fields.with("group", "c&d"), "name=+CRM+&list=10.0.0.1%0A10.0.0.2%2C+10.0.0.3&empty=&group=c%26d");
        assert_eq!(fields.without(&["name", "list", "empty"]).to_query(), "group=a&group=b");
        assert_eq!(path_part("SERVER\\a b/ü"), "SERVER%5Ca%20b%2F%C3%BC");
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        for (wanted, expected) in [
            ("/queues?x=1", "/queues?x=1"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/\t/evil.example", "/"),
            ("https://evil.example/", "/"),
            ("javascript:alert(1)", "/"),
        ] {
            assert_eq!(place(wanted), expected, "{wanted}");
        }
    }
}
