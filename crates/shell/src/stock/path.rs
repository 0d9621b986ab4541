//! Paths as text, and whether something lies there: Test-Path, Join-Path, Split-Path, Resolve-Path, Convert-Path.

use std::rc::Rc;

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand, VariableScope};
use crate::convert::{self, wildcard};
use crate::fault::{Category, Fault};
use crate::path;
use crate::value::{Object, Value, View};

use super::file;
use super::item::{EXCLUDE, FILTER, INCLUDE, LITERAL, PATHS, drive, entry, full};
use super::parameter::{REST, SIGNATURE, VALUES, also, at, named, needed, piped, switch};

static PATH_INFO: View =
    View { type_name: "System.Management.Automation.PathInfo", table: &["Path"], identity: "Path" };

/// Test-Path.
pub(super) const TEST_PATH: StockCommand = StockCommand {
    signature: &Signature {
        name: "Test-Path",
        synopsis: "Tells whether something lies at a path.",
        parameters: &[
            PATHS,
            LITERAL,
            also(&["Type"], named("PathType", Kind::OneOf(&["Any", "Container", "Leaf"]), "What has to lie there.")),
            switch("IsValid", "Whether it could be a path."),
            FILTER,
            INCLUDE,
            EXCLUDE,
            named("NewerThan", Kind::Time, "Written after this."),
            named("OlderThan", Kind::Time, "Written before this."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(TestPath),
};

struct TestPath;

impl Stage for TestPath {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let kind = call.argument("PathType").map(convert::text).unwrap_or_default();
        let given: Vec<Value> = ["Path", "LiteralPath"]
            .iter()
            .filter_map(|name| call.argument(name))
            .flat_map(|value| match value {
                Value::Null => vec![Value::text("")],
                other => convert::elements(other),
            })
            .collect();
        for path in given {
            let path = file::path_text(&path);
            if path.is_empty() {
                return Err(Fault::new(
                    Category::InvalidArgument,
                    "Cannot bind argument to parameter 'Path' because it is an empty string.",
                ));
            }
            if call.is_set("IsValid") {
                context.value(Value::Bool(!path.contains('\0')))?;
                continue;
            }
            if let Some((drive, name)) = drive(&path) {
                let is_there = match drive.as_str() {
                    "variable" => context.variable(VariableScope::Nearest, name).is_some(),
                    "env" => context.environment(name).is_some(),
                    "function" | "alias" => context.known_command(name).is_some(),
                    _ => false,
                };
                context.value(Value::Bool(is_there))?;
                continue;
            }
            let candidates = match context.world().entry(&path) {
                Ok(Some(_)) => vec![path],
                _ if wildcard::is_pattern(&path) && call.argument("Path").is_some() => file::expand(context, &path)?,
                _ => Vec::new(),
            };
            let mut is_there = false;
            for candidate in candidates {
                let Ok(Some(entry)) = context.world().entry(&candidate) else { continue };
                let time = |name: &str| match call.argument(name) {
                    Some(Value::Time(moment)) => Some(moment.timestamp()),
                    _ => None,
                };
                is_there |= (kind != "Container" || entry.is_folder)
                    && (kind != "Leaf" || !entry.is_folder)
                    && time("NewerThan").is_none_or(|limit| entry.modified.is_some_and(|modified| modified > limit))
                    && time("OlderThan").is_none_or(|limit| entry.modified.is_some_and(|modified| modified < limit));
            }
            context.value(Value::Bool(is_there))?;
        }
        Ok(())
    }
}

/// Join-Path.
pub(super) const JOIN_PATH: StockCommand = StockCommand {
    signature: &Signature {
        name: "Join-Path",
        synopsis: "Makes one path of two.",
        parameters: &[
            also(&["PSPath"], needed(piped(at(0, "Path", VALUES, "The folder.")))),
            needed(at(1, "ChildPath", Kind::Text, "What lies in it.")),
            named("AdditionalChildPath", REST, "What lies in that."),
            switch("Resolve", "The path as it is on the disk; an error when nothing lies there."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(JoinPath),
};

struct JoinPath;

impl Stage for JoinPath {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let mut below = vec![call.argument("ChildPath").map(convert::text).unwrap_or_default()];
        below.extend(
            call.argument("AdditionalChildPath").map(convert::elements).unwrap_or_default().iter().map(convert::text),
        );
        for folder in call.argument("Path").map(convert::elements).unwrap_or_default() {
            let folder = file::path_text(&folder);
            let mut whole = below.iter().fold(folder, |whole, part| path::join(&whole, part));
            if call.is_set("Resolve") {
                entry(context, &whole)?;
                whole = full(context, &whole);
            }
            context.value(Value::text(whole))?;
        }
        Ok(())
    }
}

/// Split-Path.
pub(super) const SPLIT_PATH: StockCommand = StockCommand {
    signature: &Signature {
        name: "Split-Path",
        synopsis: "Takes a part of a path; the folder if not told which.",
        parameters: &[
            PATHS,
            LITERAL,
            switch("Parent", "The folder."),
            switch("Leaf", "The last part."),
            switch("LeafBase", "The last part without its ending."),
            switch("Extension", "Its ending."),
            switch("Qualifier", "The drive."),
            switch("NoQualifier", "What follows the drive."),
            switch("IsAbsolute", "Whether it counts from a root."),
            switch("Resolve", "Taken, and of no consequence."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(SplitPath),
};

struct SplitPath;

impl Stage for SplitPath {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let given = call.argument("Path").or_else(|| call.argument("LiteralPath"));
        for one in given.map(convert::elements).unwrap_or_default() {
            let text = file::path_text(&one);
            let leaf = path::leaf(&text);
            let colon = text.find(':').map_or(0, |at| at + 1);
            context.value(if call.is_set("IsAbsolute") {
                Value::Bool(path::is_rooted(&text))
            } else {
                Value::text(match () {
                    () if call.is_set("Leaf") => leaf,
                    () if call.is_set("LeafBase") => path::stem(leaf),
                    () if call.is_set("Extension") => path::extension(leaf),
                    () if call.is_set("Qualifier") => &text[..colon],
                    () if call.is_set("NoQualifier") => &text[colon..],
                    () => path::parent(&text),
                })
            })?;
        }
        Ok(())
    }
}

/// Resolve-Path.
pub(super) const RESOLVE_PATH: StockCommand = StockCommand {
    signature: &Signature {
        name: "Resolve-Path",
        synopsis: "Tells the full paths of what lies at paths.",
        parameters: &[PATHS, LITERAL, switch("Relative", "Taken, and of no consequence.")],
        ..SIGNATURE
    },
    make: || Box::new(Resolve { is_text: false }),
};

/// Convert-Path.
pub(super) const CONVERT_PATH: StockCommand = StockCommand {
    signature: &Signature {
        name: "Convert-Path",
        synopsis: "Tells the full paths of what lies at paths, as text.",
        parameters: &[PATHS, LITERAL],
        ..SIGNATURE
    },
    make: || Box::new(Resolve { is_text: true }),
};

struct Resolve {
    is_text: bool,
}

/// A folder as `Get-Location` hands it on: text where text is wanted, with a `Path`.
pub(crate) fn path_info(path: &str) -> Value {
    Value::Object(Rc::new(Object::new(
        &PATH_INFO,
        vec![("Path".into(), Value::text(path)), ("ProviderPath".into(), Value::text(path))],
    )))
}

impl Stage for Resolve {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for path in file::paths(context, call)? {
            match entry(context, &path) {
                Ok(_) => {
                    let full = full(context, &path);
                    context.value(if self.is_text { Value::text(full) } else { path_info(&full) })?;
                }
                Err(fault) => context.error(fault)?,
            }
        }
        Ok(())
    }
}
