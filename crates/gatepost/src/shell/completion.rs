//! What may follow where somebody stopped typing: commands, parameters, values, variables, files.
//!
//! Takes the text before the cursor and what there is to offer; hands on what would stand there instead of the last word.

/// What there is to offer.
pub trait Offers {
    /// Names of commands, functions and aliases, with a word about each.
    fn commands(&mut self) -> Vec<Offer>;
    /// Parameters of a command, without dashes.
    fn parameters(&mut self, command: &str) -> Vec<Offer>;
    /// Values that begin with `prefix`, of the parameter of this name or, without one, of that at this position. `before` is
    /// all that stands before: names of properties depend on it.
    fn values(&mut self, command: &str, parameter: Wanted<'_>, prefix: &str, before: &str) -> Vec<String>;
    /// Members of what a variable holds or, behind it, a row of its properties; those of `$_` are known by the commands before.
    fn members(&mut self, of: &[&str], before: &str) -> Vec<Offer>;
    /// Names of variables, without `$`.
    fn variables(&mut self) -> Vec<String>;
    /// Paths that begin with `prefix`, as it is spelt.
    fn paths(&mut self, prefix: &str) -> Vec<String>;
}

/// Which parameter's values are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// The one of this name, or of this beginning.
    Named(&'a str),
    /// The one at this place among arguments without a name, from 0.
    Position(usize),
}

/// One thing to offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What is put in.
    pub text: String,
    /// What the list shows.
    pub shown: String,
}

impl Offer {
    /// What is shown as it is put in.
    pub fn plain(text: impl Into<String>) -> Offer {
        let text = text.into();
        Offer { shown: text.clone(), text }
    }
}

/// The most that is offered at once.
const OFFERS_MAX: usize = 500;

/// Where the word begins that is to be completed, and what may stand there.
pub fn complete(before: &str, offers: &mut dyn Offers) -> (usize, Vec<Offer>) {
    let words = words_of_last_command(before);
    let last = words.last().copied().unwrap_or(Word { start: before.len(), end: before.len(), is_quoted: false });
    let written = &before[last.start..];
    let (start, mut found) = match written {
        _ if member_of(written).is_some() => {
            let (of, begun) = member_of(written).unwrap_or_default();
            let mut members = offers.members(&of, &before[..last.start]);
            members.retain(|offer| begins(&offer.text, begun));
            (before.len() - begun.len(), members)
        }
        _ if variable_start(written).is_some() => {
            let dollar = last.start + variable_start(written).unwrap_or_default();
            let prefix = before[dollar + 1..].to_lowercase();
            let mut names = offers.variables();
            names.extend(
                ["true", "false", "null"]
                    .iter()
                    .filter(|name| !names.iter().any(|known| known == *name))
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>(),
            );
            names.retain(|name| name.to_lowercase().starts_with(&prefix));
            (dollar, names.into_iter().map(|name| Offer::plain(format!("${name}"))).collect())
        }
        _ if words.len() <= 1 && !last.is_quoted => {
            let mut commands = offers.commands();
            commands.retain(|offer| begins(&offer.text, written));
            if commands.is_empty() || written.contains(['/', '\\']) {
                commands = paths(offers, written);
            }
            (last.start, commands)
        }
        _ if is_parameter(written) && !last.is_quoted => match written.split_once(':') {
            Some((name, value)) => {
                let command = words[0].text(before);
                let begin = last.start + name.len() + 1;
                (begin, values(offers, command, Wanted::Named(&name[1..]), (value, before)))
            }
            None => {
                let mut parameters = offers.parameters(words[0].text(before));
                parameters.retain(|offer| begins(&offer.text, &written[1..]));
                let dash = &written[..1];
                let with_dash =
                    |offer: Offer| Offer { text: format!("{dash}{}", offer.text), shown: format!("-{}", offer.shown) };
                (last.start, parameters.into_iter().map(with_dash).collect())
            }
        },
        _ => argument(before, &words, last, offers),
    };
    found.truncate(OFFERS_MAX);
    (start, found)
}

/// Values for an argument: the last of a list with commas is what is completed.
fn argument(before: &str, words: &[Word], last: Word, offers: &mut dyn Offers) -> (usize, Vec<Offer>) {
    let mut start = last.start;
    let [command, earlier @ .., _] = words else { return (start, paths(offers, &before[start..])) };
    let command = command.text(before);
    let mut earlier = earlier;
    // `a, b` is one argument in two words, `a,b` one in one.
    while let [rest @ .., previous] = earlier
        && previous.text(before).ends_with(',')
        && !is_parameter(previous.text(before))
    {
        earlier = rest;
    }
    if !last.is_quoted
        && let Some(comma) = before[last.start..].rfind(',')
    {
        start = last.start + comma + 1;
    }
    let wanted = match earlier.last() {
        Some(previous) if is_parameter(previous.text(before)) && !previous.is_quoted => {
            Wanted::Named(&previous.text(before)[1..])
        }
        _ => {
            let is_value_of_name = |at: usize| at > 0 && is_parameter(earlier[at - 1].text(before));
            let is_positional = |at: &usize| !is_parameter(earlier[*at].text(before)) && !is_value_of_name(*at);
            Wanted::Position((0..earlier.len()).filter(is_positional).count())
        }
    };
    let found = values(offers, command, wanted, (&before[start..], before));
    let found = if found.is_empty() { paths(offers, &before[start..]) } else { found };
    (start, found)
}

fn values(offers: &mut dyn Offers, command: &str, wanted: Wanted<'_>, (written, before): (&str, &str)) -> Vec<Offer> {
    let prefix = written.trim_start_matches(is_quote);
    let values = offers.values(command, wanted, prefix, before);
    values.into_iter().filter(|value| begins(value, prefix)).map(|value| quoted(value, written)).collect()
}

fn paths(offers: &mut dyn Offers, written: &str) -> Vec<Offer> {
    let prefix = written.trim_start_matches(is_quote);
    offers.paths(prefix).into_iter().map(|path| quoted(path, written)).collect()
}

/// A value as an argument: in the quotes that were begun, or in some where it needs them.
fn quoted(value: String, written: &str) -> Offer {
    let begun = written.chars().next().filter(|&character| is_quote(character));
    let needs_quotes = value.is_empty()
        || (value.contains(|character: char| character.is_whitespace() || "|;,(){}&<>'\"`#".contains(character)))
        || value.contains('$') && !matches!(value.as_str(), "$true" | "$false" | "$null")
        || value.starts_with(['@', '-']);
    let text = match begun {
        Some('"') if !value.contains(['"', '$', '`']) => format!("\"{value}\""),
        Some(_) => format!("'{}'", value.replace('\'', "''")),
        None if needs_quotes => format!("'{}'", value.replace('\'', "''")),
        None => value.clone(),
    };
    Offer { text, shown: value }
}

fn begins(text: &str, prefix: &str) -> bool {
    text.to_lowercase().starts_with(&prefix.to_lowercase())
}

fn is_quote(character: char) -> bool {
    matches!(character, '"' | '\'')
}

fn is_parameter(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|name| name.chars().next().is_none_or(char::is_alphabetic))
}

/// Where the name of a variable begins that a word ends in.
fn variable_start(word: &str) -> Option<usize> {
    let dollar = word.rfind('$')?;
    let name = &word[dollar + 1..];
    name.chars().all(|character| character.is_alphanumeric() || matches!(character, '_' | ':')).then_some(dollar)
}

/// What a word asks the members of, as `$x.Name.` does, from the variable on, and what of a member's name stands there.
fn member_of(word: &str) -> Option<(Vec<&str>, &str)> {
    let dollar = word.rfind('$')?;
    let (path, begun) = word[dollar + 1..].rsplit_once('.')?;
    let is_name = |name: &str| {
        // `[0]` picks one of several, which are alike.
        let name = name.split_once('[').filter(|(_, index)| index.ends_with(']')).map_or(name, |(name, _)| name);
        !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || matches!(character, '_' | ':'))
    };
    let of: Vec<&str> = path.split('.').map(|name| name.split('[').next().unwrap_or(name)).collect();
    (path.split('.').all(is_name) && begun.chars().all(char::is_alphanumeric)).then_some((of, begun))
}

/// A word before the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    start: usize,
    end: usize,
    is_quoted: bool,
}

impl Word {
    fn text(self, of: &str) -> &str {
        &of[self.start..self.end]
    }
}

/// The words of the command that the cursor stands in; the last one is empty behind a space.
fn words_of_last_command(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    // Commands around this one, which go on behind its parenthesis.
    let mut outside: Vec<Vec<Word>> = Vec::new();
    let mut quote = None;
    let mut is_in_word = false;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        let end = at + character.len_utf8();
        if let Some(open) = quote {
            if character == open {
                quote = None;
            }
            words.iter_mut().next_back().into_iter().for_each(|word| word.end = end);
            continue;
        }
        let is_separator = match character {
            '|' | ';' | '\n' | '&' | '=' if !is_in_word || character != '=' => {
                words.clear();
                true
            }
            '(' | '{' => {
                // A parenthesis that follows a word without a space belongs to a method or a type.
                outside.push(std::mem::take(&mut words));
                true
            }
            ')' | '}' => {
                words = outside.pop().unwrap_or_default();
                let empty = Word { start: at, end, is_quoted: false };
                words.push(empty);
                is_in_word = true;
                continue;
            }
            _ => character.is_whitespace(),
        };
        if is_separator {
            is_in_word = false;
            continue;
        }
        if !is_in_word {
            words.push(Word { start: at, end, is_quoted: is_quote(character) });
            is_in_word = true;
        }
        if is_quote(character) {
            quote = Some(character);
        }
        if character == '`' {
            characters.next();
        }
        words.iter_mut().next_back().into_iter().for_each(|word| word.end = end);
    }
    if !is_in_word {
        words.push(Word { start: text.len(), end: text.len(), is_quoted: false });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Some_;

    impl Offers for Some_ {
        fn commands(&mut self) -> Vec<Offer> {
            ["Get-ReceiveConnector", "Get-Queue", "Set-ReceiveConnector", "select"].map(Offer::plain).into()
        }

        fn parameters(&mut self, command: &str) -> Vec<Offer> {
            match command {
                "Set-ReceiveConnector" => ["Identity", "RemoteIPRanges", "RequireTLS"].map(Offer::plain).into(),
                _ => Vec::new(),
            }
        }

        fn members(&mut self, of: &[&str], before: &str) -> Vec<Offer> {
            match (of, before.contains("Get-Queue")) {
                (["connector"], _) => ["Name", "RemoteIPRanges", "Remove("].map(Offer::plain).into(),
                (["connector", "RemoteIPRanges"], _) => ["Count", "LowerBound"].map(Offer::plain).into(),
                (["_"], true) => ["MessageCount", "Status"].map(Offer::plain).into(),
                _ => Vec::new(),
            }
        }

        fn values(&mut self, command: &str, parameter: Wanted<'_>, _: &str, _: &str) -> Vec<String> {
            let values: &[&str] = match (command, parameter) {
                ("Set-ReceiveConnector", Wanted::Named("Identity") | Wanted::Position(0)) => &["Relay", "Default MX1"],
                ("Set-ReceiveConnector", Wanted::Named("PermissionGroups")) => &["AnonymousUsers", "ExchangeUsers"],
                ("Set-ReceiveConnector", Wanted::Named("Enabled")) => &["$true", "$false"],
                _ => &[],
            };
            values.iter().map(|value| (*value).to_owned()).collect()
        }

        fn variables(&mut self) -> Vec<String> {
            vec!["connector".to_owned(), "count".to_owned(), "x".to_owned()]
        }

        fn paths(&mut self, prefix: &str) -> Vec<String> {
            ["ranges.txt", "old ranges.txt"]
                .iter()
                .filter(|path| path.starts_with(prefix))
                .map(|path| (*path).to_owned())
                .collect()
        }
    }

    #[test]
    fn what_may_follow_is_offered_where_it_may() {
        for (before, expected) in [
            ("get-r", "0: Get-ReceiveConnector"),
            ("Get-Q", "0: Get-Queue"),
            ("x | sel", "4: select"),
            ("$a = set", "5: Set-ReceiveConnector"),
            ("if ($x) { Get-Q", "10: Get-Queue"),
            ("foo (Get-Q", "5: Get-Queue"),
            ("Set-ReceiveConnector -Re", "21: -RemoteIPRanges -RequireTLS"),
            ("Set-ReceiveConnector Relay -req", "27: -RequireTLS"),
            ("Set-ReceiveConnector ", "21: Relay 'Default MX1'"),
            ("Set-ReceiveConnector r", "21: Relay"),
            ("Set-ReceiveConnector -Identity d", "31: 'Default MX1'"),
            ("Set-ReceiveConnector -Identity \"De", "31: \"Default MX1\""),
            ("Set-ReceiveConnector \"Default M", "21: \"Default MX1\""),
            ("Set-ReceiveConnector -Enabled $true re", "36: Relay"),
            ("Set-ReceiveConnector Relay -PermissionGroups AnonymousUsers,Ex", "60: ExchangeUsers"),
            ("Set-ReceiveConnector Relay -PermissionGroups AnonymousUsers, Ex", "61: ExchangeUsers"),
            ("Set-ReceiveConnector Relay -PermissionGroups:An", "45: AnonymousUsers"),
            ("Set-ReceiveConnector Relay -Enabled:$t", "36: $true"),
            ("Set-ReceiveConnector (Get-Content r) -req", "37: -RequireTLS"),
            ("Get-Content ran", "12: ranges.txt"),
            ("Get-Content 'old", "12: 'old ranges.txt'"),
            ("Get-Content old", "12: 'old ranges.txt'"),
            ("Write-Host $co", "11: $connector $count"),
            ("\"text $cou", "6: $count"),
            ("$connector.re", "11: RemoteIPRanges Remove("),
            ("Write-Host $connector.RemoteIPRanges.", "37: Count LowerBound"),
            ("$connector.RemoteIPRanges[0].l", "29: LowerBound"),
            ("Get-Queue | ? { $_.m", "19: MessageCount"),
            ("\"text $($connector.N", "19: Name"),
            ("$nothing.N", "9:"),
            ("", "0: Get-ReceiveConnector Get-Queue Set-ReceiveConnector select"),
            ("nothing-like-it", "0:"),
        ] {
            let (start, offers) = complete(before, &mut Some_);
            let texts: String = offers.iter().map(|offer| format!(" {}", offer.text)).collect();
            assert_eq!(format!("{start}:{texts}"), expected, "{before}");
        }
    }

    #[test]
    fn no_text_is_too_odd_to_complete() {
        for text in [
            "'",
            "\"",
            "(((",
            ")))",
            "}",
            "a`",
            "`",
            "|",
            "-",
            "-:",
            "a -",
            ", ",
            "ä -ö:ü",
            "a,",
            "$",
            "a $",
            "=",
            "a=",
            "é'ü",
        ] {
            for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
                let (start, _) = complete(&text[..end], &mut Some_);
                assert!(start <= end && text.is_char_boundary(start), "{text}");
            }
        }
    }
}
