//! What the server says, in the words of a dialog: labels in the place of parameters, and nothing of what stands in the settings document,
//! which nobody has in front of them.
//!
//! Takes texts and the form of a noun, hands on sentences.

use gatepost_manage::command::form::Form;

/// Whether a remedy is what to write into the settings document, which nobody has in front of them here.
pub fn is_of_the_document(remedy: &str) -> bool {
    remedy.contains(" = ") || remedy.contains("[[")
}

/// A warning in the words of the dialog, without what to write into the settings document.
pub fn warning_in_words(form: Option<&Form>, warning: &str) -> String {
    let ends: Vec<usize> = warning.match_indices(": ").map(|(end, _)| end).collect();
    let behind = |place: usize| &warning[ends[place] + 2..ends.get(place + 1).copied().unwrap_or(warning.len())];
    let place = (0..ends.len()).find(|place| is_of_the_document(behind(*place)));
    // A line of the document alone shows what is meant by the words before it.
    let place = place.map(|place| if is_line_of_the_document(behind(place)) { place.saturating_sub(1) } else { place });
    let end = place.map_or(warning.len(), |place| ends[place]);
    ended(in_words(form, &warning[..end], None))
}

/// Whether a text is no more than a line of the settings document.
fn is_line_of_the_document(text: &str) -> bool {
    let is_key = |key: &str| key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    text.starts_with("[[") || text.split_once(" = ").is_some_and(|(key, _)| is_key(key))
}

/// A sentence with its end.
pub fn ended(said: String) -> String {
    if said.ends_with(['.', '!', '?']) { said } else { said + "." }
}

/// A text with what people call things in the place of parameters. What stands at its field need not name it.
pub fn in_words(form: Option<&Form>, text: &str, at: Option<&str>) -> String {
    let mut text = text.to_owned();
    if let Some(at) = at {
        // `New-SendConnector needs the parameter Name: ...`, `the parameter Port: ...`, `` `Port`: ... ``, `Port: ...`.
        let ends = [format!("the parameter {at}: "), format!("`{at}`: "), format!("{at}: ")];
        let end = ends.iter().find_map(|end| text.find(end.as_str()).map(|start| (start, start + end.len())));
        if let Some((start, end)) = end.filter(|(start, _)| *start == 0 || text[..*start].ends_with("needs ")) {
            let lacks = start > 0;
            text = text.split_off(end);
            if lacks {
                text = format!("This is needed. {text}");
            }
        }
    }
    let mut words = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_alphanumeric()) {
        let end =
            rest[start..].find(|letter: char| !letter.is_ascii_alphanumeric()).map_or(rest.len(), |end| start + end);
        let word = &rest[start..end];
        let label = form.filter(|_| word.contains(char::is_uppercase)).and_then(|form| form.label_of(word));
        // One word that is also a word of its own stays as it is, unless it is marked as a parameter.
        let is_marked = rest[..start].ends_with('`') && rest[end..].starts_with('`');
        let is_certain = is_marked || word.chars().skip(1).any(char::is_uppercase);
        words.push_str(&rest[..start]);
        match label.filter(|_| is_certain) {
            Some(label) if is_marked => words.push_str(label),
            Some(label) => {
                // `-Port` is how the shell says it.
                let is_of_shell =
                    words.strip_suffix('-').is_some_and(|before| !before.ends_with(char::is_alphanumeric));
                if is_of_shell {
                    words.pop();
                }
                words.push('\u{201c}');
                words.push_str(label);
                words.push('\u{201d}');
            }
            None => words.push_str(word),
        }
        rest = &rest[end..];
    }
    words.push_str(rest);
    capitalized(&quoted(&words))
}

/// Backquotes as quotes.
pub fn quoted(text: &str) -> String {
    let mut is_open = false;
    let quote = |letter: char| {
        if letter != '`' {
            return letter;
        }
        is_open = !is_open;
        if is_open { '\u{201c}' } else { '\u{201d}' }
    };
    text.chars().map(quote).collect()
}

/// A sentence with its capital, unless it begins with a value, as an address: that stands as it was typed.
fn capitalized(text: &str) -> String {
    let first = text.split(' ').next().unwrap_or_default().trim_end_matches([',', ';', ':', '.']);
    if !first.chars().all(|letter| letter.is_alphabetic() || ['-', '\''].contains(&letter)) {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use gatepost_manage::command;

    use super::*;

    #[test]
    fn a_warning_says_what_is_odd_and_not_what_to_write_into_the_document() {
        let form = command::form_of("SendConnector");
        for (warning, expected) in [
            (
                "no send connector leads to a.example: declare [[send_connector]] with AddressSpaces = [\"a.example\"]",
                "No send connector leads to a.example.",
            ),
            (
                "`BasicAuth` says it in clear: write RequireTLS, or nothing",
                "\u{201c}BasicAuth\u{201d} says it in clear: write \u{201c}Require TLS\u{201d}, or nothing.",
            ),
            ("a mailbox: it stays.", "A mailbox: it stays."),
            (
                "`members`: a group with no members is nobody's address: mail to it is refused: write who gets its mail: \
                 members = [\"bob@contoso.com\"]",
                "\u{201c}members\u{201d}: a group with no members is nobody's address: mail to it is refused.",
            ),
            ("nobody@contoso.com is nobody", "nobody@contoso.com is nobody."),
            ("write less. -RequireTLS takes it", "Write less. \u{201c}Require TLS\u{201d} takes it."),
        ] {
            assert_eq!(warning_in_words(form, warning), expected);
        }
    }
}
