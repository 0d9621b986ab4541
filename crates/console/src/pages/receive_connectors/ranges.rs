//! A list of remote ranges that is put together in a form: an address, a range, a subnet or an address with its mask is added,
//! a red x takes one away.

use std::net::SocketAddr;

use gatepost_policy::receive_connector::RemoteRange;

use crate::fields::Fields;

/// More are no list with a cross at each any more: the page would be too long.
pub const RANGES_MAX: usize = 300;
/// Everything that is told before anybody says otherwise (fact sheet section 9.2).
pub const EVERY_IPV4: &str = "0.0.0.0-255.255.255.255";
/// The same of IPv6, where a connector listens for it.
pub const EVERY_IPV6: &str = "::/0";
/// What is said where the first address takes the place of everybody.
pub const NO_LONGER_ALL: &str = "All IPv4 addresses were taken out, since you name some of them: whoever is not named is not heard by this connector. Add 0.0.0.0-255.255.255.255 again if everybody is to be heard.";
const NO_LONGER_ALL_OF_BOTH: &str = "All addresses were taken out, since you name some of them: whoever is not named is not heard by this connector. Add 0.0.0.0-255.255.255.255 and ::/0 again if everybody is to be heard.";

/// Every field of a form that is about them.
pub const FIELDS: &[&str] = &[
    "ranges",
    "range",
    "remove",
    "add",
    "new_address",
    "new_subnet",
    "new_first",
    "new_last",
    "new_base",
    "new_mask",
    "new_many",
];

/// The ranges so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<String>);

impl Ranges {
    /// These.
    pub fn of(ranges: Vec<String>) -> Ranges {
        Ranges(ranges)
    }

    /// Everybody who can come to these bindings.
    pub fn everybody(bindings: &[String]) -> Ranges {
        let bound: Vec<SocketAddr> = bindings.iter().filter_map(|binding| binding.parse().ok()).collect();
        let of_ipv4 = bound.is_empty() || bound.iter().any(SocketAddr::is_ipv4);
        let of_ipv6 = bound.iter().any(SocketAddr::is_ipv6);
        let families = [(of_ipv4, EVERY_IPV4), (of_ipv6, EVERY_IPV6)];
        Ranges(families.into_iter().filter(|(is_bound, _)| *is_bound).map(|(_, all)| all.to_owned()).collect())
    }

    /// Whether nobody is named, but everybody of one family or of both.
    pub fn is_everybody(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|range| is_whole(range))
    }

    /// Those that can come to a binding.
    pub fn of_family_of(&self, binding: &SocketAddr) -> Vec<&str> {
        let parsed = self.0.iter().filter_map(|range| Some((range, RemoteRange::parse(range, 0..0).ok()?)));
        parsed.filter(|(_, range)| range.first.is_ipv4() == binding.is_ipv4()).map(|(text, _)| text.as_str()).collect()
    }

    /// They, one each line.
    pub fn to_lines(&self) -> String {
        self.0.join("\n")
    }

    /// Those that a form carries.
    pub fn read(fields: &Fields) -> Ranges {
        Ranges(fields.all("range").take(RANGES_MAX).map(str::to_owned).collect())
    }

    /// They.
    pub fn list(&self) -> &[String] {
        &self.0
    }

    /// What is wrong with them.
    pub fn problem(&self) -> Option<String> {
        self.0.is_empty().then(|| "Add at least one address: a connector that hears nobody is none.".to_owned())
    }

    /// The fields that carry them.
    pub fn hidden(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.0.iter().map(|range| ("range", range.clone()))
    }

    /// Takes in what was typed to be added, and away what its x was pressed of. Where everybody was heard and nobody has asked for that, the
    /// first address takes the place of all of them: that is said.
    ///
    /// # Errors
    /// What is no range, with what to write; the others are taken in.
    pub fn take_in(&mut self, fields: &Fields) -> Result<Option<&'static str>, String> {
        if let Some(gone) = fields.get("remove") {
            self.0.retain(|range| range != gone);
        }
        let everybody = if self.is_everybody() { self.0.clone() } else { Vec::new() };
        let mut wrong = Vec::new();
        for text in typed(fields) {
            match RemoteRange::parse(&text, 0..0) {
                Err(error) => wrong.push(format!(
                    "“{text}”: {error}. Write 192.168.2.55, 192.168.2.1-192.168.2.99, 10.0.0.0/24 or 10.0.0.0(255.255.255.0)."
                )),
                Ok(range) if self.has(&range) => {}
                Ok(_) if self.0.len() >= RANGES_MAX => {
                    let error = format!("{RANGES_MAX} ranges are the most here: add the others in the shell, once the connector is there.");
                    return Err(error);
                }
                Ok(_) => self.0.push(text),
            }
        }
        let is_narrowed = !everybody.is_empty() && !self.is_everybody();
        if is_narrowed {
            self.0.retain(|range| !everybody.contains(range));
        }
        let said = if everybody == [EVERY_IPV4] { NO_LONGER_ALL } else { NO_LONGER_ALL_OF_BOTH };
        if wrong.is_empty() { Ok(is_narrowed.then_some(said)) } else { Err(wrong.join("\n")) }
    }

    /// Ranges are what they hold, not how they are written.
    fn has(&self, range: &RemoteRange) -> bool {
        let known = self.0.iter().filter_map(|known| RemoteRange::parse(known, 0..0).ok());
        known.into_iter().any(|known| (known.first, known.last) == (range.first, range.last))
    }
}

/// Whether a range is all of a family.
fn is_whole(range: &str) -> bool {
    let bounds = |text: &str| RemoteRange::parse(text, 0..0).map(|range| (range.first, range.last)).ok();
    bounds(range).is_some_and(|range| [EVERY_IPV4, EVERY_IPV6].iter().any(|whole| bounds(whole) == Some(range)))
}

/// What was typed, as one writes ranges.
fn typed(fields: &Fields) -> Vec<String> {
    let pair = |first: &str, last: &str, whole: fn(&str, &str) -> String| match (fields.get(first), fields.get(last)) {
        (None, None) => None,
        (first, last) => Some(whole(first.unwrap_or_default(), last.unwrap_or_default())),
    };
    let one = ["new_address", "new_subnet"].into_iter().filter_map(|name| fields.get(name).map(str::to_owned));
    let range = pair("new_first", "new_last", |first, last| format!("{first}-{last}"));
    let masked = pair("new_base", "new_mask", |base, mask| format!("{base}({mask})"));
    one.chain(range).chain(masked).chain(fields.list("new_many")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_dialog_adds_and_the_x_takes_away() {
        for (form, expected) in [
            ("range=10.0.0.1&new_address=10.0.0.2", Ok("10.0.0.1 10.0.0.2")),
            ("range=10.0.0.1&new_address=+10.0.0.1+", Ok("10.0.0.1")),
            ("new_first=10.0.0.1&new_last=10.0.0.9", Ok("10.0.0.1-10.0.0.9")),
            (
                "new_subnet=10.0.0.0%2F24&new_base=10.1.0.0&new_mask=255.255.0.0",
                Ok("10.0.0.0/24 10.1.0.0(255.255.0.0)"),
            ),
            ("range=10.0.0.0%2F24&new_base=10.0.0.0&new_mask=255.255.255.0", Ok("10.0.0.0/24")),
            ("range=0.0.0.0-255.255.255.255&range=10.0.0.1&remove=0.0.0.0-255.255.255.255", Ok("10.0.0.1")),
            ("new_many=10.0.0.1%0D%0A10.0.0.2%2C10.0.0.3", Ok("10.0.0.1 10.0.0.2 10.0.0.3")),
            ("new_first=10.0.0.9&new_last=10.0.0.1", Err("higher")),
            ("new_first=10.0.0.9", Err("no IP address")),
            ("new_address=printer", Err("“printer”")),
            ("", Ok("")),
        ] {
            let fields = Fields::read(form.as_bytes());
            let mut ranges = Ranges::read(&fields);
            match (ranges.take_in(&fields), expected) {
                (Ok(_), Ok(expected)) => assert_eq!(ranges.list().join(" "), expected, "{form}"),
                (Err(error), Err(said)) => assert!(error.contains(said), "{form}: {error}"),
                (other, _) => panic!("{form}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_first_address_takes_the_place_of_all_of_them_and_that_is_said() {
        for (form, expected, is_said) in [
            ("range=0.0.0.0-255.255.255.255&new_address=10.0.0.1", "10.0.0.1", true),
            ("range=0.0.0.0-255.255.255.255&new_many=10.0.0.1%0D%0A10.0.0.2", "10.0.0.1 10.0.0.2", true),
            // Whoever adds it again means it.
            ("range=10.0.0.1&new_first=0.0.0.0&new_last=255.255.255.255", "10.0.0.1 0.0.0.0-255.255.255.255", false),
            (
                "range=10.0.0.1&range=0.0.0.0-255.255.255.255&new_address=10.0.0.2",
                "10.0.0.1 0.0.0.0-255.255.255.255 10.0.0.2",
                false,
            ),
            ("range=0.0.0.0-255.255.255.255", "0.0.0.0-255.255.255.255", false),
            // The other family is nobody by name.
            ("range=0.0.0.0-255.255.255.255&new_subnet=%3A%3A%2F0", "0.0.0.0-255.255.255.255 ::/0", false),
            ("range=0.0.0.0-255.255.255.255&range=%3A%3A%2F0&new_address=10.0.0.1", "10.0.0.1", true),
            ("range=0.0.0.0-255.255.255.255&range=%3A%3A%2F0&remove=%3A%3A%2F0", "0.0.0.0-255.255.255.255", false),
        ] {
            let fields = Fields::read(form.as_bytes());
            let mut ranges = Ranges::read(&fields);
            let said = ranges.take_in(&fields).expect(form);
            assert_eq!((ranges.list().join(" ").as_str(), said.is_some()), (expected, is_said), "{form}");
        }
    }

    #[test]
    fn everybody_is_all_of_the_families_that_are_listened_for() {
        for (bindings, expected) in [
            (&["0.0.0.0:25"][..], "0.0.0.0-255.255.255.255"),
            (&["0.0.0.0:587", "[::]:587"], "0.0.0.0-255.255.255.255 ::/0"),
            (&["[fd00::1]:25"], "::/0"),
            (&[], "0.0.0.0-255.255.255.255"),
        ] {
            let bindings: Vec<String> = bindings.iter().map(|binding| (*binding).to_owned()).collect();
            let everybody = Ranges::everybody(&bindings);
            assert_eq!(everybody.list().join(" "), expected);
            assert!(everybody.is_everybody());
        }
        let ranges = Ranges::of(["10.0.0.1", "fd00::/8"].map(str::to_owned).to_vec());
        assert!(!ranges.is_everybody() && !Ranges::default().is_everybody());
        assert_eq!(ranges.of_family_of(&"[::]:25".parse().expect("a binding")), ["fd00::/8"]);
    }

    #[test]
    fn there_is_an_end_to_what_the_wizard_carries() {
        let many: Vec<String> = (0..RANGES_MAX).map(|host| format!("10.0.{}.{}", host / 200, host % 200)).collect();
        let mut ranges = Ranges::of(many);
        assert!(ranges.take_in(&Fields::read(b"new_address=10.9.9.9")).is_err_and(|error| error.contains("shell")));
        assert_eq!(ranges.take_in(&Fields::read(b"new_address=10.0.0.1")), Ok(None));
    }

    #[test]
    fn what_is_right_is_taken_in_though_something_else_is_wrong() {
        let fields = Fields::read(b"new_many=10.0.0.1%0Anonsense");
        let mut ranges = Ranges::default();
        assert!(ranges.take_in(&fields).is_err());
        assert_eq!(ranges.list(), ["10.0.0.1"]);
    }
}
