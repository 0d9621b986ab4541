//! Names and values below each other, as Format-List lays them out.

use super::width;

/// The rows of a list: names with values, for each object.
#[derive(Debug, Default)]
pub struct ListPage {
    /// What Format-List's `-GroupBy` says over the objects.
    pub group: Option<String>,
    /// Each object's names and values.
    pub objects: Vec<Vec<(String, String)>>,
}

impl ListPage {
    pub(super) fn text(&self, columns: usize) -> String {
        /// Values have at least so many columns, however long the names are.
        const VALUE_LEAST: usize = 20;
        let mut out = String::from("\n");
        if let Some(group) = &self.group {
            out += &format!("   {group}\n\n");
        }
        for object in &self.objects {
            if object.is_empty() {
                continue;
            }
            let names = object.iter().map(|(name, _)| width::columns(name)).max().unwrap_or(0);
            let room = columns.saturating_sub(names + 3).max(VALUE_LEAST);
            for (name, value) in object {
                for (number, line) in width::wrap(value, room).iter().enumerate() {
                    let (head, sign) = if number == 0 { (name.as_str(), ':') } else { ("", ' ') };
                    let row = format!("{} {sign} {line}", width::padded(head, names, false));
                    out += row.trim_end_matches(|one: char| one == ' ' && number > 0);
                    out.push('\n');
                }
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_one_column_and_wrap_there() {
        let object = vec![
            ("Name".to_owned(), "Relay".to_owned()),
            ("RemoteIPRanges".to_owned(), "{10.0.0.1, 10.0.0.2, 10.0.0.3}".to_owned()),
        ];
        let page = ListPage { group: None, objects: vec![object] };
        assert_eq!(
            page.text(38),
            "\nName           : Relay\nRemoteIPRanges : {10.0.0.1, 10.0.0.2,\n                 10.0.0.3}\n\n"
        );
    }
}
