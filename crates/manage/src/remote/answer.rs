//! What a command answers, read as it stands in the body: each record becomes a value of the language and is handed on before
//! the next one is read. A listing of thousands is never whole in memory but as text.

use std::fmt;

use gatepost_shell::value::Value;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::record::Records;

/// Who takes the parts of an answer as they come. The server writes what is to be said of the records before them.
pub trait Taker {
    /// A record, or a line of text. Gives back whether to go on.
    fn value(&mut self, value: Value) -> bool;
    /// What is legal but probably not meant.
    fn warning(&mut self, text: &str);
    /// What would have changed, where that was the question.
    fn what_if(&mut self, text: &str);
    /// The revision of the settings that it made.
    fn revision(&mut self, revision: u64);
}

/// Hands the parts of an answer to `taker`, until it has enough.
///
/// # Errors
/// When it is none, and where.
pub fn read(body: &[u8], records: &Records, taker: &mut dyn Taker) -> serde_json::Result<()> {
    let mut has_enough = false;
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Answer { records, taker, has_enough: &mut has_enough }.deserialize(&mut json);
    // What comes behind is nobody's any more.
    if has_enough { Ok(()) } else { read.and_then(|()| json.end()) }
}

struct Answer<'a> {
    records: &'a Records,
    taker: &'a mut dyn Taker,
    has_enough: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for Answer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what a command answers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_what_if = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "warnings" => {
                    map.next_value::<Vec<String>>()?.iter().for_each(|warning| self.taker.warning(warning));
                }
                "what_if" => {
                    let text = map.next_value::<Option<String>>()?;
                    is_what_if = text.is_some();
                    text.iter().for_each(|text| self.taker.what_if(text));
                }
                // What would change says them, too.
                "notes" if !is_what_if => {
                    map.next_value::<Vec<String>>()?.iter().for_each(|note| self.taker.warning(note));
                }
                "revision" => {
                    map.next_value::<Option<u64>>()?.into_iter().for_each(|number| self.taker.revision(number));
                }
                "output" => map.next_value_seed(Output {
                    records: self.records,
                    taker: &mut *self.taker,
                    has_enough: &mut *self.has_enough,
                })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Output<'a> {
    records: &'a Records,
    taker: &'a mut dyn Taker,
    has_enough: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for Output<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Output<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records and lines")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(value) = seq.next_element_seed(self.records)? {
            if !self.taker.value(value) {
                *self.has_enough = true;
                return Err(A::Error::custom("the rest is not wanted"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::text_of::text;

    #[derive(Default)]
    struct Taken {
        said: Vec<String>,
        values_wanted: usize,
    }

    impl Taker for Taken {
        fn value(&mut self, value: Value) -> bool {
            self.said.push(text(&value));
            self.values_wanted -= 1;
            self.values_wanted > 0
        }

        fn warning(&mut self, text: &str) {
            self.said.push(format!("warning: {text}"));
        }

        fn what_if(&mut self, text: &str) {
            self.said.push(format!("what if: {text}"));
        }

        fn revision(&mut self, revision: u64) {
            self.said.push(format!("revision {revision}"));
        }
    }

    #[test]
    fn parts_come_as_they_stand_until_there_is_enough() {
        let body = r#"{"warnings":["w"],"what_if":null,"revision":7,"newer":{"a":[1]},"output":["one","two",3]}"#;
        for (body, values_wanted, expected) in [
            (body, 9, Ok("warning: w|revision 7|one|two|3")),
            (body, 2, Ok("warning: w|revision 7|one|two")),
            (r#"{"output":["one"],"warnings":["w"],"what_if":"x"}"#, 9, Ok("one|warning: w|what if: x")),
            (r#"{"notes":["n"],"output":["one"]}"#, 9, Ok("warning: n|one")),
            (r#"{"what_if":"x: n","notes":["n"],"output":[]}"#, 9, Ok("what if: x: n")),
            (r#"{"output":["one","#, 1, Ok("one")),
            (r#"{"output":["one","#, 9, Err("EOF")),
            (r#"{"output":"one"}"#, 9, Err("records and lines")),
            (r#"{"output":[]} x"#, 9, Err("trailing")),
            ("nonsense", 9, Err("expected")),
        ] {
            let mut taken = Taken { values_wanted, ..Taken::default() };
            let read = read(body.as_bytes(), &Records::default(), &mut taken);
            match (read, expected) {
                (Ok(()), Ok(expected)) => assert_eq!(taken.said.join("|"), expected, "{body}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{body}: {error}"),
                (read, _) => panic!("{body}: {read:?}, {:?}", taken.said),
            }
        }
    }
}
