//! Reads CLIXML: values and bags of properties. No type of the file becomes a type of ours, no document type is read, size and
//! depth are bounded.

use std::borrow::Cow;
use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::DEPTH_MAX;
use crate::convert::{self, time};
use crate::fault::{Category, Fault};
use crate::value::{CUSTOM, Foreign, ListKind, Object, Table, Value};

/// The largest file that is read.
const BYTES_MAX: usize = 64 << 20;
/// Values in all.
const VALUES_MAX: usize = 2_000_000;

/// A value of a type that is not ours: its text and its properties.
#[derive(Debug)]
struct Imported {
    type_name: String,
    text: String,
    properties: Vec<(Cow<'static, str>, Value)>,
}

impl Foreign for Imported {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn text(&self) -> String {
        self.text.clone()
    }

    fn property(&self, name: &str) -> Option<Value> {
        self.properties.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }
}

/// An element that is being read.
#[derive(Default)]
struct Open {
    tag: String,
    name: Option<String>,
    text: String,
    /// What stands within: for lists and the file itself the values, for bags with names.
    values: Vec<(Option<String>, Value)>,
    type_name: Option<String>,
    to_string: Option<String>,
    id: Option<String>,
    list: Option<Value>,
}

/// Reads a file.
pub(super) fn parse(text: &str, now: &jiff::Zoned) -> Result<Vec<Value>, Fault> {
    let wrong = |because: String| {
        let mut fault = Fault::new(Category::InvalidArgument, format!("The file is no CLIXML: {because}."));
        fault.exception = "System.Xml.XmlException";
        fault
    };
    if text.len() > BYTES_MAX {
        return Err(wrong(format!("it is longer than {BYTES_MAX} bytes")));
    }
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut result = None;
    let mut count = 0;
    // Objects that were read, for references to them; and the names of types by theirs.
    let mut known: std::collections::HashMap<String, Value> = std::collections::HashMap::new();
    let mut types: std::collections::HashMap<String, String> = std::collections::HashMap::new();
    loop {
        let event = reader.read_event().map_err(|error| wrong(format!("byte {}: {error}", reader.error_position())))?;
        let (start, is_empty) = match event {
            Event::Start(start) => (start, false),
            Event::Empty(start) => (start, true),
            Event::End(_) => {
                let Some(done) = open.pop() else { return Err(wrong("an element ends that never began".to_owned())) };
                counted(&mut count).map_err(wrong)?;
                close(done, &mut open, &mut result, &mut known, &mut types, now).map_err(wrong)?;
                continue;
            }
            Event::Text(text) => {
                if let Some(last) = open.last_mut() {
                    last.text += &text.decode().map_err(|error| wrong(error.to_string()))?;
                }
                continue;
            }
            Event::CData(text) => {
                if let Some(last) = open.last_mut() {
                    last.text += &text.decode().map_err(|error| wrong(error.to_string()))?;
                }
                continue;
            }
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|error| wrong(error.to_string()))?;
                let sign = match reference.resolve_char_ref() {
                    Ok(Some(sign)) => sign.to_string(),
                    _ => match quick_xml::escape::resolve_predefined_entity(&name) {
                        Some(sign) => sign.to_owned(),
                        None => return Err(wrong(format!("the entity &{name}; is not known"))),
                    },
                };
                if let Some(last) = open.last_mut() {
                    last.text += &sign;
                }
                continue;
            }
            Event::DocType(_) => return Err(wrong("document types (DOCTYPE) are not read".to_owned())),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => continue,
            Event::Eof => break,
        };
        // An object takes up to three elements, one within the other.
        if open.len() > DEPTH_MAX * 3 {
            return Err(wrong(format!("it is deeper than {DEPTH_MAX} objects")));
        }
        let element = element(&start).map_err(wrong)?;
        if open.is_empty() && (element.tag != "Objs" || result.is_some()) {
            return Err(wrong(format!("it begins with <{}>, not with <Objs>", element.tag)));
        }
        if is_empty {
            counted(&mut count).map_err(wrong)?;
            close(element, &mut open, &mut result, &mut known, &mut types, now).map_err(wrong)?;
        } else {
            open.push(element);
        }
    }
    match (result, open.is_empty()) {
        (Some(result), true) => Ok(result),
        _ => Err(wrong("it ends too early".to_owned())),
    }
}

/// Counts a value, up to the most that a file may have.
fn counted(count: &mut usize) -> Result<(), String> {
    *count += 1;
    if *count > VALUES_MAX { Err(format!("it has more than {VALUES_MAX} values")) } else { Ok(()) }
}

fn element(start: &BytesStart<'_>) -> Result<Open, String> {
    let mut one = Open { tag: String::from_utf8_lossy(start.local_name().as_ref()).into_owned(), ..Open::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = String::from_utf8_lossy(&attribute.value).into_owned();
        let value = quick_xml::escape::unescape(&value).map_err(|error| error.to_string())?.into_owned();
        match attribute.key.local_name().as_ref() {
            b"N" => one.name = Some(decoded(&value)),
            b"RefId" => one.id = Some(value),
            _ => {}
        }
    }
    Ok(one)
}

/// What an element is, put where it belongs.
fn close(
    done: Open,
    open: &mut [Open],
    result: &mut Option<Vec<Value>>,
    known: &mut std::collections::HashMap<String, Value>,
    types: &mut std::collections::HashMap<String, String>,
    now: &jiff::Zoned,
) -> Result<(), String> {
    let is_nested = open.iter().filter(|one| one.tag == "Obj").count() > 0;
    let Some(parent) = open.last_mut() else {
        *result = Some(done.values.into_iter().map(|(_, value)| value).collect());
        return Ok(());
    };
    let text = || decoded(&done.text);
    let value = match done.tag.as_str() {
        "S" | "SBK" | "URI" | "Version" | "G" | "XD" | "SS" => Value::text(text()),
        "Nil" => Value::Null,
        "B" => Value::Bool(done.text.trim().eq_ignore_ascii_case("true")),
        "By" | "SB" | "I16" | "U16" | "I32" | "U32" | "I64" | "U64" | "Db" | "Sg" | "D" => {
            convert::number::parse(&done.text).ok_or_else(|| format!("<{}> holds no number", done.tag))?
        }
        "C" => {
            let sign = done.text.trim().parse::<u32>().ok().and_then(char::from_u32);
            Value::Char(sign.ok_or_else(|| "<C> holds no character".to_owned())?)
        }
        "DT" => match time::parse(&done.text, now) {
            Some(moment) => Value::Time(moment),
            None => Value::text(text()),
        },
        "TS" => span(&done.text).map_or_else(|| Value::text(text()), Value::Span),
        "BA" => Value::text(text()),
        "Obj" => {
            let value = object(done, is_nested, known);
            parent.values.push(value);
            return Ok(());
        }
        "Ref" => done.id.as_ref().and_then(|id| known.get(id)).cloned().unwrap_or_default(),
        "LST" | "IE" | "STK" | "QUE" => {
            parent.list = Some(Value::array(done.values.into_iter().map(|(_, value)| value).collect()));
            return Ok(());
        }
        "DCT" => {
            let mut entries = done.values.into_iter();
            let mut table = Table::default();
            while let (Some((_, key)), Some((_, value))) = (entries.next(), entries.next()) {
                table.set(key, value);
            }
            parent.list = Some(Value::Table(Rc::new(std::cell::RefCell::new(table))));
            return Ok(());
        }
        "En" => {
            let find = |name: &str| {
                done.values.iter().find(|(known, _)| known.as_deref() == Some(name)).map(|(_, value)| value.clone())
            };
            let (key, value) = (find("Key").unwrap_or_default(), find("Value").unwrap_or_default());
            parent.values.push((None, key));
            parent.values.push((None, value));
            return Ok(());
        }
        "MS" | "Props" => {
            parent.values.extend(done.values);
            return Ok(());
        }
        "TN" => {
            if let (Some(id), Some(name)) = (done.id, &done.type_name) {
                types.insert(id, name.clone());
            }
            parent.type_name = done.type_name;
            return Ok(());
        }
        "TNRef" => {
            parent.type_name = done.id.and_then(|id| types.get(&id).cloned());
            return Ok(());
        }
        "T" => {
            // The first is the type itself, the others those that it comes from.
            parent.type_name.get_or_insert_with(|| decoded(&done.text));
            return Ok(());
        }
        "ToString" => {
            parent.to_string = Some(text());
            return Ok(());
        }
        other => return Err(format!("the element <{other}> is not known")),
    };
    // A simple value may have properties of its own around it; the value is what counts.
    parent.values.push((done.name, value));
    Ok(())
}

fn object(
    done: Open,
    is_nested: bool,
    known: &mut std::collections::HashMap<String, Value>,
) -> (Option<String>, Value) {
    let type_name = done.type_name.unwrap_or_default();
    let value = if let Some(list) = done.list {
        match &list {
            // What a command's object had several of prints as it did.
            Value::List(values) if type_name.contains("MultiValuedProperty") => {
                Value::list(values.values.borrow().clone(), ListKind::MultiValued)
            }
            _ => list,
        }
    } else {
        let mut unnamed = None;
        let mut properties: Vec<(Cow<'static, str>, Value)> = Vec::new();
        for (name, value) in done.values {
            match name {
                Some(name) => properties.push((Cow::Owned(name), value)),
                None => unnamed = Some(value),
            }
        }
        match (unnamed, done.to_string) {
            // A simple value with a type of its own: a name of an enumeration with its number.
            (Some(_), Some(text)) if properties.is_empty() => Value::text(text),
            (Some(value), _) => value,
            (None, Some(text)) if is_nested || properties.is_empty() => {
                if properties.is_empty() && type_name.is_empty() {
                    Value::text(text)
                } else {
                    Value::foreign(Imported { type_name: format!("Deserialized.{type_name}"), text, properties })
                }
            }
            _ => Value::Object(Rc::new(Object::new(&CUSTOM, properties))),
        }
    };
    if let Some(id) = done.id {
        known.insert(id, value.clone());
    }
    (done.name, value)
}

/// `PT1H30M5.25S`, `P1DT2H`.
fn span(text: &str) -> Option<crate::value::TimeSpan> {
    let text = text.trim();
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let rest = text.strip_prefix('P')?;
    let (days, clock) = rest.split_once('T').map_or((rest, ""), |(days, clock)| (days, clock));
    let mut seconds = 0.0;
    for (part, units) in [(days, &[('D', 86_400.0)][..]), (clock, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)][..])] {
        let mut rest = part;
        while !rest.is_empty() {
            let at = rest.find(|sign: char| sign.is_ascii_alphabetic())?;
            let number: f64 = rest[..at].parse().ok()?;
            let unit = rest[at..].chars().next()?;
            seconds += number * units.iter().find(|(known, _)| *known == unit)?.1;
            rest = &rest[at + 1..];
        }
    }
    Some(time::seconds(if is_negative { -seconds } else { seconds }))
}

/// The same backwards.
fn decoded(text: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("_x") {
        units.extend(rest[..at].encode_utf16());
        let code = rest.get(at + 2..at + 6).filter(|_| rest.as_bytes().get(at + 6) == Some(&b'_'));
        match code.and_then(|code| u16::from_str_radix(code, 16).ok()) {
            Some(unit) => {
                units.push(unit);
                rest = &rest[at + 7..];
            }
            None => {
                units.extend("_x".encode_utf16());
                rest = &rest[at + 2..];
            }
        }
    }
    units.extend(rest.encode_utf16());
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stock::clixml::coded;

    fn now() -> jiff::Zoned {
        "2026-11-22T09:07:14[UTC]".parse().expect("a time")
    }

    #[test]
    fn what_the_original_writes_is_read() {
        let text = r#"<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">
  <Obj RefId="0">
    <TN RefId="0"><T>Microsoft.Exchange.Data.Directory.SystemConfiguration.ReceiveConnector</T><T>System.Object</T></TN>
    <ToString>MX1\Relay</ToString>
    <Props>
      <Obj N="AuthMechanism" RefId="1"><TN RefId="1"><T>Microsoft.Exchange.AuthMechanisms</T></TN><ToString>Tls, BasicAuth</ToString><I32>3</I32></Obj>
      <S N="Name">Relay_x000A_two &amp; more</S>
      <Obj N="RemoteIPRanges" RefId="2"><TN RefId="2"><T>Microsoft.Exchange.Data.MultiValuedProperty`1</T></TN>
        <LST><Obj RefId="3"><TNRef RefId="1"/><ToString>10.0.0.1</ToString><Props><S N="Expression">10.0.0.1</S></Props></Obj><Obj RefId="4"><TNRef RefId="1"/><ToString>10.0.0.2</ToString><Props/></Obj></LST></Obj>
      <B N="Enabled">true</B><Nil N="Banner"/><TS N="Timeout">PT10M</TS><DT N="When">2026-01-02T03:04:05Z</DT>
      <Ref N="Same" RefId="3"/>
    </Props>
  </Obj>
</Objs>"#;
        let values = parse(text, &now()).expect("CLIXML");
        let [Value::Object(object)] = values.as_slice() else { panic!("{values:?}") };
        let text = |name: &str| convert::joined(&object.get(name).unwrap_or_default(), "|");
        assert_eq!(text("AuthMechanism"), "Tls, BasicAuth");
        assert_eq!(text("Name"), "Relay\ntwo & more");
        assert_eq!(text("RemoteIPRanges"), "10.0.0.1|10.0.0.2");
        assert_eq!(text("Timeout"), "00:10:00");
        assert_eq!(text("When"), "01/02/2026 03:04:05");
        assert_eq!(text("Same"), "10.0.0.1");
        assert!(
            matches!(object.get("Enabled"), Some(Value::Bool(true)))
                && matches!(object.get("Banner"), Some(Value::Null))
        );
    }

    #[test]
    fn what_is_dangerous_or_none_is_refused() {
        let deep = format!("<Objs>{}", "<Obj><LST>".repeat(200));
        let many = format!("<Objs>{}", "<Nil/>".repeat(VALUES_MAX + 1));
        for (text, word) in [
            ("", "too early"),
            ("<x/>", "begins with"),
            ("<Objs><S>x</Objs>", "byte"),
            ("<!DOCTYPE x [<!ENTITY a 'b'>]><Objs><S>&a;</S></Objs>", "DOCTYPE"),
            ("<Objs><S>&a;</S></Objs>", "entity"),
            ("<Objs><Evil/></Objs>", "not known"),
            ("<Objs><I32>x</I32></Objs>", "no number"),
            (deep.as_str(), "deeper"),
            (many.as_str(), "more than"),
        ] {
            let fault = parse(text, &now()).expect_err(text);
            assert!(fault.message.contains(word), "{text}: {}", fault.message);
        }
    }

    proptest! {
        #[test]
        fn text_survives(text in "\\PC{0,40}|[\\x00-\\x7f]{0,20}|(_x000A_|_x|_){0,5}") {
            let file = format!("<Objs><S>{}</S></Objs>", coded(&text));
            let values = parse(&file, &now()).expect("what was written");
            prop_assert_eq!(convert::text(&values[0]), text);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(<|>|/|Objs|Obj|LST|DCT|En|S|I32|Ref|TN|T|Nil| RefId='1'| N='a'|&amp;|1){0,30}") {
            let _ = parse(&text, &now());
            let _ = parse(&format!("<Objs>{text}</Objs>"), &now());
        }
    }
}
