//! `[System.IO.Path]`, `[System.IO.File]`, `[System.IO.Directory]`: through the world's files.

use crate::context::Context;
use crate::convert;
use crate::convert::encoding::{self, Encoding};
use crate::fault::{Category, Fault};
use crate::member::arguments::{Arguments, invalid};
use crate::member::stream;
use crate::member::tool::{TextEncoding, bytes, bytes_value};
use crate::path;
use crate::value::Value;

/// Calls a function of one of the three.
pub(super) fn call(
    context: &mut dyn Context,
    full: &str,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Value, Fault>> {
    match full {
        "System.IO.Path" => of_path(context, lower, arguments),
        "System.IO.File" => of_file(context, lower, arguments),
        _ => of_folder(context, lower, arguments),
    }
}

fn of_path(context: &mut dyn Context, lower: &str, arguments: &Arguments<'_>) -> Option<Result<Value, Fault>> {
    let random = |context: &mut dyn Context| format!("{:011x}.tmp", context.world().random() & 0xFFF_FFFF_FFFF);
    let temporary = |context: &mut dyn Context| {
        let folder = context.environment("TEMP").or_else(|| context.environment("TMPDIR"));
        folder.unwrap_or_else(|| "/tmp".to_owned())
    };
    Some(match lower {
        "combine" | "join" => {
            let parts: Vec<String> =
                arguments.values.iter().flat_map(convert::elements).map(|one| convert::text(&one)).collect();
            Ok(Value::text(parts.iter().skip(1).fold(parts.first().cloned().unwrap_or_default(), |whole, part| {
                if path::is_rooted(part) { part.clone() } else { path::join(&whole, part) }
            })))
        }
        "getfilename" => arguments.text(0).map(|text| Value::text(path::leaf(&text))),
        "getfilenamewithoutextension" => arguments.text(0).map(|text| Value::text(path::stem(path::leaf(&text)))),
        "getextension" => arguments.text(0).map(|text| Value::text(path::extension(path::leaf(&text)))),
        "getdirectoryname" => arguments.text(0).map(|text| Value::text(path::parent(&text))),
        "hasextension" => arguments.text(0).map(|text| Value::Bool(!path::extension(path::leaf(&text)).is_empty())),
        "changeextension" => arguments.text(0).and_then(|text| {
            let new = arguments.text(1)?;
            let extension = path::extension(path::leaf(&text)).len();
            let dot = if new.is_empty() || new.starts_with('.') { "" } else { "." };
            Ok(Value::text(format!("{}{dot}{new}", &text[..text.len() - extension])))
        }),
        "ispathrooted" => arguments.text(0).map(|text| Value::Bool(path::is_rooted(&text))),
        "getfullpath" => arguments.text(0).map(|text| {
            let folder = context.world().current_folder();
            Value::text(path::full(&folder, &text))
        }),
        "gettemppath" => Ok(Value::text(temporary(context))),
        "getrandomfilename" => Ok(Value::text(random(context))),
        "gettempfilename" => {
            let path = path::join(&temporary(context), &random(context));
            written(context, &path, b"", false).map(|_| Value::text(path))
        }
        "getinvalidfilenamechars" | "getinvalidpathchars" => {
            Ok(Value::array("\"<>|\0:*?\\/".chars().map(Value::Char).collect()))
        }
        _ => return None,
    })
}

fn of_file(context: &mut dyn Context, lower: &str, arguments: &Arguments<'_>) -> Option<Result<Value, Fault>> {
    let path = match arguments.text(0) {
        Ok(path) => path,
        Err(fault) => return Some(Err(fault)),
    };
    let chosen = |at: usize| match arguments.values.get(at) {
        Some(value) => match value.downcast::<TextEncoding>() {
            Some(encoding) => encoding.0,
            None => Encoding::named(&convert::text(value)).unwrap_or(Encoding::Utf8),
        },
        None => Encoding::Utf8,
    };
    let lines =
        |value: &Value| convert::elements(value).iter().map(|line| convert::text(line) + "\n").collect::<String>();
    Some(match lower {
        "exists" => Ok(Value::Bool(matches!(context.world().entry(&path), Ok(Some(entry)) if !entry.is_folder))),
        "readalltext" => text(context, &path).map(Value::text),
        "readalllines" | "readlines" => text(context, &path).and_then(|text| {
            context.charge(text.len() * 2)?;
            Ok(Value::array(text.lines().map(Value::text).collect()))
        }),
        "readallbytes" => read(context, &path).and_then(|bytes| {
            context.charge(bytes.len() * size_of::<Value>())?;
            Ok(bytes_value(&bytes))
        }),
        "opentext" => stream::file_reader(context, &path),
        "createtext" | "appendtext" => stream::file_writer(context, &path, lower == "appendtext", Encoding::Utf8),
        "writealltext" | "appendalltext" => {
            arguments.text(1).and_then(|text| save(context, &path, &text, chosen(2), lower == "appendalltext"))
        }
        "writealllines" | "appendalllines" => arguments
            .need(2)
            .and_then(|values| save(context, &path, &lines(&values[1]), chosen(2), lower == "appendalllines")),
        "writeallbytes" => arguments.need(2).and_then(|values| written(context, &path, &bytes(&values[1])?, false)),
        "delete" => match context.world().entry(&path) {
            Ok(None) => Ok(Value::Null),
            _ => context.world().remove(&path).map(|()| Value::Null).map_err(|error| failed(&path, &error)),
        },
        "copy" => arguments.text(1).and_then(|to| {
            let bytes = read(context, &path)?;
            let may_replace = matches!(arguments.values.get(2), Some(Value::Bool(true)));
            if !may_replace && matches!(context.world().entry(&to), Ok(Some(_))) {
                return Err(invalid(format!("The file '{to}' already exists.")));
            }
            written(context, &to, &bytes, false)
        }),
        "move" => arguments.text(1).and_then(|to| {
            if matches!(context.world().entry(&to), Ok(Some(_))) {
                return Err(invalid("Cannot create a file when that file already exists."));
            }
            context.world().rename(&path, &to).map(|()| Value::Null).map_err(|error| failed(&path, &error))
        }),
        "getlastwritetime" | "getcreationtime" => match context.world().entry(&path) {
            Ok(Some(entry)) => {
                let zone = context.world().now().time_zone().clone();
                Ok(entry.modified.map(|stamp| Value::Time(stamp.to_zoned(zone))).unwrap_or_default())
            }
            _ => Err(path::missing(&path)),
        },
        _ => return None,
    })
}

fn of_folder(context: &mut dyn Context, lower: &str, arguments: &Arguments<'_>) -> Option<Result<Value, Fault>> {
    if lower == "getcurrentdirectory" {
        return Some(Ok(Value::text(context.world().current_folder())));
    }
    let path = match arguments.text(0) {
        Ok(path) => path,
        Err(fault) => return Some(Err(fault)),
    };
    Some(match lower {
        "exists" => Ok(Value::Bool(matches!(context.world().entry(&path), Ok(Some(entry)) if entry.is_folder))),
        "createdirectory" => {
            context.world().make_folder(&path).map(|()| Value::text(&path)).map_err(|error| failed(&path, &error))
        }
        "delete" => context.world().remove(&path).map(|()| Value::Null).map_err(|error| failed(&path, &error)),
        "getfiles" | "getdirectories" | "getfilesystementries" => {
            let pattern = match arguments.values.get(1) {
                Some(pattern) => convert::text(pattern),
                None => "*".to_owned(),
            };
            context.world().folder(&path).map_err(|error| failed(&path, &error)).map(|entries| {
                let wanted = entries.into_iter().filter(|entry| {
                    (lower == "getfilesystementries" || entry.is_folder == (lower == "getdirectories"))
                        && convert::wildcard::matches(&pattern, &entry.name, false)
                });
                Value::array(wanted.map(|entry| Value::text(path::join(&path, &entry.name))).collect())
            })
        }
        _ => return None,
    })
}

fn read(context: &mut dyn Context, path: &str) -> Result<Vec<u8>, Fault> {
    let bytes = context.world().read_file(path, path::FILE_BYTES_MAX).map_err(|error| failed(path, &error))?;
    context.charge(bytes.len())?;
    Ok(bytes)
}

fn text(context: &mut dyn Context, path: &str) -> Result<String, Fault> {
    read(context, path).map(|bytes| encoding::decode_file(&bytes))
}

fn save(
    context: &mut dyn Context,
    path: &str,
    text: &str,
    encoding: Encoding,
    is_append: bool,
) -> Result<Value, Fault> {
    let is_new = !is_append || !matches!(context.world().entry(path), Ok(Some(entry)) if entry.bytes > 0);
    let mut bytes = if is_new { encoding.mark().to_vec() } else { Vec::new() };
    bytes.extend(encoding.encode(text));
    written(context, path, &bytes, is_append)
}

fn written(context: &mut dyn Context, path: &str, bytes: &[u8], is_append: bool) -> Result<Value, Fault> {
    context.world().write_file(path, bytes, is_append).map(|()| Value::Null).map_err(|error| failed(path, &error))
}

fn failed(path: &str, error: &std::io::Error) -> Fault {
    let mut fault = path::failed(path, error);
    if fault.category == Category::ObjectNotFound {
        fault.exception = "System.IO.FileNotFoundException";
        fault.message = format!("Could not find file '{path}'.");
    }
    // Shown as what a method raised.
    fault.category = Category::InvalidArgument;
    fault
}
