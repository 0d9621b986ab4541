//! Files as the commands read and write them: text with an encoding, wildcards in paths.

use crate::command::Call;
use crate::context::Context;
use crate::convert::encoding::{self, Encoding};
use crate::convert::{self, wildcard};
use crate::fault::{Category, Fault};
use crate::path;
use crate::value::Value;

/// The encoding that `-Encoding` names; UTF-8 without a mark when it is not given.
pub(super) fn encoding(call: &Call<'_>) -> Result<Encoding, Fault> {
    let Some(name) = call.argument("Encoding").map(convert::text) else { return Ok(Encoding::Utf8) };
    Encoding::named(&name).ok_or_else(|| {
        Fault::new(
            Category::InvalidArgument,
            format!("'{name}' is no encoding that is known here; write one of {}.", Encoding::NAMES.join(", ")),
        )
    })
}

/// A file's text: in the encoding that was said, else in what its first bytes tell.
pub(super) fn read(context: &mut dyn Context, call: &Call<'_>, path: &str) -> Result<String, Fault> {
    if matches!(context.world().entry(path), Ok(Some(entry)) if entry.is_folder) {
        return Err(path::failed(path, &std::io::Error::from(std::io::ErrorKind::PermissionDenied)));
    }
    let bytes = context.world().read_file(path, path::FILE_BYTES_MAX).map_err(|error| path::failed(path, &error))?;
    context.charge(bytes.len())?;
    Ok(match call.argument("Encoding") {
        Some(_) if encoding(call)? != Encoding::Utf8 => encoding(call)?.decode(&bytes),
        _ => encoding::decode_file(&bytes),
    })
}

/// Writes a file's text, with a mark at the beginning of a new file where the encoding has one.
pub(super) fn write(
    context: &mut dyn Context,
    path: &str,
    text: &str,
    encoding: Encoding,
    is_append: bool,
) -> Result<(), Fault> {
    let has_text = is_append && matches!(context.world().entry(path), Ok(Some(entry)) if entry.bytes > 0);
    let mut bytes = if has_text { Vec::new() } else { encoding.mark().to_vec() };
    bytes.extend(encoding.encode(text));
    context.world().write_file(path, &bytes, is_append).map_err(|error| failed_write(path, &error))
}

fn failed_write(path: &str, error: &std::io::Error) -> Fault {
    let mut fault = path::failed(path, error);
    if error.kind() == std::io::ErrorKind::NotFound {
        fault.message = format!("Could not find a part of the path '{path}'.");
        fault.exception = "System.IO.DirectoryNotFoundException";
    }
    fault
}

/// The paths of `-Path`, wildcards replaced by what they stand for, and of `-LiteralPath`.
///
/// A path without wildcards is handed on whether something lies there or not; a pattern that fits nothing yields nothing.
pub(super) fn paths(context: &mut dyn Context, call: &Call<'_>) -> Result<Vec<String>, Fault> {
    let mut all = Vec::new();
    for path in call.argument("Path").map(convert::elements).unwrap_or_default() {
        let path = path_text(&path);
        if wildcard::is_pattern(&path) && !matches!(context.world().entry(&path), Ok(Some(_))) {
            all.extend(expand(context, &path)?);
        } else {
            all.push(path);
        }
    }
    all.extend(call.argument("LiteralPath").map(convert::elements).unwrap_or_default().iter().map(path_text));
    Ok(all)
}

/// The path of a value: text, or a file that Get-ChildItem handed on.
pub(super) fn path_text(value: &Value) -> String {
    match value {
        Value::Object(object) => match object.get("FullName").or_else(|| object.get("Path")) {
            Some(full) => convert::text(&full),
            None => convert::text(value),
        },
        other => convert::text(other),
    }
}

/// What a path with wildcards stands for, in the order of names.
pub(super) fn expand(context: &mut dyn Context, pattern: &str) -> Result<Vec<String>, Fault> {
    let (above, name) = (path::parent(pattern), path::leaf(pattern));
    let folders = if wildcard::is_pattern(above) { expand(context, above)? } else { vec![above.to_owned()] };
    let mut found = Vec::new();
    for folder in folders {
        context.check()?;
        let here = if folder.is_empty() { "." } else { &folder };
        let Ok(entries) = context.world().folder(here) else { continue };
        let fitting = entries.iter().filter(|entry| wildcard::matches(name, &entry.name, false));
        found.extend(fitting.map(|entry| path::join(&folder, &entry.name)));
    }
    Ok(found)
}
