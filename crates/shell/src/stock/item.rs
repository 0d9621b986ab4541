//! Files and folders as items: whether they are there, what their paths are, making and removing them.

use std::rc::Rc;

use crate::command::{Call, Changes, Kind, Parameter, Signature};
use crate::context::{Context, Stage, StockCommand, VariableScope};
use crate::convert::{self, wildcard};
use crate::fault::{Category, Fault, Severity};
use crate::path;
use crate::value::{CUSTOM, Object, Value, View};
use crate::world::Entry;

use super::file;
use super::parameter::{ANY, SIGNATURE, TEXTS, VALUES, also, at, named, needed, piped, switch};

/// Folders within folders that -Recurse goes down.
const DEPTH_MAX: usize = 64;
/// Files that one command hands on.
const FILES_MAX: usize = 1_000_000;

pub(super) const LITERAL: Parameter = also(&["PSPath"], named("LiteralPath", VALUES, "Paths without wildcards."));
const FORCE: Parameter = switch("Force", "Also what is protected or hidden.");
const RECURSE: Parameter = switch("Recurse", "With all that lies below.");
pub(super) const FILTER: Parameter = named("Filter", Kind::Text, "A wildcard for names.");
pub(super) const INCLUDE: Parameter = named("Include", TEXTS, "Wildcards of names.");
pub(super) const EXCLUDE: Parameter = named("Exclude", TEXTS, "Wildcards of names to leave out.");
pub(super) const PASS_THRU: Parameter = switch("PassThru", "Hands the item on.");
pub(super) const PATHS: Parameter = piped(at(0, "Path", VALUES, "The paths."));

static FILE: View =
    View { type_name: "System.IO.FileInfo", table: &["Mode", "LastWriteTime", "Length", "Name"], identity: "FullName" };
static FOLDER: View = View {
    type_name: "System.IO.DirectoryInfo",
    table: &["Mode", "LastWriteTime", "Length", "Name"],
    identity: "FullName",
};
fn info(context: &mut dyn Context, full: &str, entry: &Entry) -> Value {
    let zone = context.world().now().time_zone().clone();
    let modified = entry.modified.map(|stamp| Value::Time(stamp.to_zoned(zone))).unwrap_or_default();
    let name = path::leaf(full);
    let text = |text: &str| Value::text(text);
    let mut properties = vec![
        ("Name".into(), text(name)),
        (
            "Length".into(),
            if entry.is_folder { Value::Null } else { Value::Int(i64::try_from(entry.bytes).unwrap_or(i64::MAX)) },
        ),
        ("FullName".into(), text(full)),
        ("Extension".into(), text(path::extension(name))),
        ("BaseName".into(), text(if entry.is_folder { name } else { path::stem(name) })),
        ("Exists".into(), Value::Bool(true)),
        ("LastWriteTime".into(), modified.clone()),
        ("CreationTime".into(), modified.clone()),
        ("LastAccessTime".into(), modified),
        ("PSIsContainer".into(), Value::Bool(entry.is_folder)),
        ("Mode".into(), text(if entry.is_folder { "d-----" } else { "-a----" })),
        ("PSPath".into(), text(full)),
    ];
    if entry.is_folder {
        properties.push(("Parent".into(), above(full)));
    } else {
        properties.push(("DirectoryName".into(), text(path::parent(full))));
        properties.push(("Directory".into(), above(full)));
    }
    Value::Object(Rc::new(Object::new(if entry.is_folder { &FOLDER } else { &FILE }, properties)))
}

/// The folder in which something lies: text where text is wanted, with a name and a whole path.
fn above(full: &str) -> Value {
    let folder = path::parent(full);
    let text = |text: &str| Value::text(text);
    let properties = vec![
        ("Name".into(), text(path::leaf(folder))),
        ("FullName".into(), text(folder)),
        ("Exists".into(), Value::Bool(true)),
        ("Parent".into(), text(path::parent(folder))),
    ];
    Value::Object(Rc::new(Object::new(&FOLDER, properties)))
}

pub(super) fn full(context: &mut dyn Context, path: &str) -> String {
    let folder = context.world().current_folder();
    path::full(&folder, path)
}

pub(super) fn continuing(fault: Fault) -> Fault {
    fault.with_severity(Severity::Continuing)
}

/// What lies at a path, or the error that nothing does.
pub(super) fn entry(context: &mut dyn Context, path: &str) -> Result<Entry, Fault> {
    match context.world().entry(path) {
        Ok(Some(entry)) => Ok(entry),
        Ok(None) => Err(continuing(path::missing(path))),
        Err(error) => Err(continuing(path::failed(path, &error))),
    }
}

/// `variable:x`, `env:X`, `function:f`, `alias:a`: what the part before the colon means.
pub(super) fn drive(path: &str) -> Option<(String, &str)> {
    let (drive, name) = path.split_once(':')?;
    let drive = drive.to_ascii_lowercase();
    let is_known =
        matches!(drive.as_str(), "variable" | "env" | "function" | "alias" | "hklm" | "hkcu" | "cert" | "wsman" | "ad");
    is_known.then(|| (drive, name.trim_start_matches(['\\', '/'])))
}

/// Get-Item.
pub(super) const GET_ITEM: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Item",
        synopsis: "Tells of what lies at paths.",
        parameters: &[PATHS, LITERAL, FILTER, INCLUDE, EXCLUDE, FORCE],
        ..SIGNATURE
    },
    make: || Box::new(GetItem),
};

struct GetItem;

impl Stage for GetItem {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for path in file::paths(context, call)? {
            if let Some((drive, name)) = drive(&path) {
                let value = match drive.as_str() {
                    "env" => context.environment(name).map(Value::text),
                    "variable" => context.variable(VariableScope::Nearest, name),
                    _ => None,
                };
                match value {
                    Some(value) => {
                        let properties = vec![("Name".into(), Value::text(name)), ("Value".into(), value)];
                        context.value(Value::Object(Rc::new(Object::new(&CUSTOM, properties))))?;
                    }
                    None => context.error(continuing(path::missing(&path)))?,
                }
                continue;
            }
            match entry(context, &path) {
                Ok(entry) => {
                    let full = full(context, &path);
                    let one = info(context, &full, &entry);
                    context.value(one)?;
                }
                Err(fault) => context.error(fault)?,
            }
        }
        Ok(())
    }
}

/// Set-Item.
pub(super) const SET_ITEM: StockCommand = StockCommand {
    signature: &Signature {
        name: "Set-Item",
        synopsis: "Sets a variable or an environment variable: env:NAME, variable:name.",
        parameters: &[PATHS, at(1, "Value", ANY, "Its value."), LITERAL, FORCE],
        ..SIGNATURE
    },
    make: || Box::new(SetItem),
};

struct SetItem;

impl Stage for SetItem {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let value = call.argument("Value").cloned().unwrap_or_default();
        for path in file::paths(context, call)? {
            match drive(&path) {
                Some((drive, name)) if drive == "env" => {
                    let text = convert::text(&value);
                    context.set_environment(name, (!text.is_empty()).then_some(text));
                }
                Some((drive, name)) if drive == "variable" => {
                    context.set_variable(VariableScope::Nearest, name, value.clone())?;
                }
                _ => {
                    return Err(Fault::new(
                        Category::InvalidOperation,
                        format!("Set-Item sets env:NAME and variable:name here; '{path}' is written by Set-Content."),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Get-ChildItem.
pub(super) const GET_CHILD_ITEM: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-ChildItem",
        synopsis: "Tells of what lies in folders.",
        parameters: &[
            PATHS,
            at(1, "Filter", Kind::Text, "A wildcard for names."),
            LITERAL,
            INCLUDE,
            EXCLUDE,
            also(&["s"], RECURSE),
            named("Depth", Kind::Int, "So many folders within folders."),
            also(&["af"], switch("File", "Files only.")),
            also(&["ad"], switch("Directory", "Folders only.")),
            switch("Name", "Names as text."),
            switch("Hidden", "Taken, and of no consequence."),
            named("Attributes", Kind::Text, "Taken, and of no consequence."),
            FORCE,
        ],
        ..SIGNATURE
    },
    make: || Box::new(GetChildItem { count: 0 }),
};

struct GetChildItem {
    count: usize,
}

impl Stage for GetChildItem {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let is_given = call.argument("Path").is_some() || call.argument("LiteralPath").is_some();
        let paths = if is_given { file::paths(context, call)? } else { vec![context.world().current_folder()] };
        let deepest = match call.argument("Depth") {
            Some(depth) => usize::try_from(convert::integer(depth)?).unwrap_or(0),
            None if call.is_set("Recurse") => DEPTH_MAX,
            None => 0,
        };
        for path in paths {
            if let Some((drive, _)) = drive(&path) {
                if drive == "variable" {
                    for (name, value) in context.variables() {
                        let properties = vec![("Name".into(), Value::text(name)), ("Value".into(), value)];
                        context.value(Value::Object(Rc::new(Object::new(&CUSTOM, properties))))?;
                    }
                }
                continue;
            }
            match entry(context, &path) {
                Ok(entry) if entry.is_folder => {
                    let whole = full(context, &path);
                    self.walk(context, call, &whole, deepest)?;
                }
                Ok(entry) => {
                    let whole = full(context, &path);
                    self.tell(context, call, &whole, &entry)?;
                }
                // With -Recurse or -Include the last part may be a pattern for what lies below.
                Err(fault) => context.error(fault)?,
            }
        }
        Ok(())
    }
}

impl GetChildItem {
    fn walk(&mut self, context: &mut dyn Context, call: &Call<'_>, folder: &str, deeper: usize) -> Result<(), Fault> {
        context.check()?;
        let entries = match context.world().folder(folder) {
            Ok(entries) => entries,
            Err(error) => return context.error(continuing(path::failed(folder, &error))),
        };
        for entry in &entries {
            self.tell(context, call, &path::join(folder, &entry.name), entry)?;
        }
        if deeper > 0 {
            for entry in entries.iter().filter(|entry| entry.is_folder) {
                self.walk(context, call, &path::join(folder, &entry.name), deeper - 1)?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, context: &mut dyn Context, call: &Call<'_>, full: &str, entry: &Entry) -> Result<(), Fault> {
        let name = path::leaf(full);
        let fits = |key: &str| {
            let patterns = convert::elements(call.argument(key).unwrap_or(&Value::Null));
            patterns.iter().any(|pattern| wildcard::matches(&convert::text(pattern), name, false))
        };
        let is_hidden = name.starts_with('.') && !call.is_set("Force");
        let is_left_out = call.is_set("File") && entry.is_folder
            || call.is_set("Directory") && !entry.is_folder
            || is_hidden
            || call.argument("Filter").is_some() && !fits("Filter")
            || call.argument("Include").is_some() && !fits("Include")
            || fits("Exclude");
        if is_left_out {
            return Ok(());
        }
        self.count += 1;
        if self.count > FILES_MAX {
            return Err(Fault::new(Category::LimitExceeded, format!("More than {FILES_MAX} files are not listed.")));
        }
        let one = if call.is_set("Name") { Value::text(name) } else { info(context, full, entry) };
        context.value(one)
    }
}

/// New-Item.
pub(super) const NEW_ITEM: StockCommand = StockCommand {
    signature: &Signature {
        name: "New-Item",
        synopsis: "Makes a file or a folder.",
        parameters: &[
            piped(at(0, "Path", VALUES, "The path.")),
            named("Name", Kind::Text, "What lies in it."),
            also(&["Type"], named("ItemType", Kind::Text, "File or Directory.")),
            also(&["Target"], named("Value", ANY, "The file's text.")),
            FORCE,
        ],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(NewItem),
};

struct NewItem;

impl Stage for NewItem {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let mut paths: Vec<String> =
            call.argument("Path").map(convert::elements).unwrap_or_default().iter().map(file::path_text).collect();
        if let Some(name) = call.argument("Name").map(convert::text) {
            if paths.is_empty() {
                paths.push(".".to_owned());
            }
            paths = paths.iter().map(|path| path::join(path, &name)).collect();
        }
        if paths.is_empty() {
            return Err(Fault::new(Category::InvalidArgument, "New-Item wants a path."));
        }
        let kind = call.argument("ItemType").map(convert::text).unwrap_or_default().to_ascii_lowercase();
        for path in paths {
            // `mkdir x` makes a folder: so does a path without an ending for which nobody said what it is.
            let is_folder = match kind.as_str() {
                "directory" | "container" | "dir" | "folder" | "d" => true,
                "file" | "f" => false,
                "" => call.argument("Value").is_none() && path::extension(path::leaf(&path)).is_empty(),
                other => {
                    return Err(Fault::new(
                        Category::InvalidArgument,
                        format!("New-Item -ItemType {other} is not known here; write File or Directory."),
                    ));
                }
            };
            let there = context.world().entry(&path).map_err(|error| path::failed(&path, &error))?;
            if there.is_some() && !call.is_set("Force") {
                let error = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
                let whole = full(context, &path);
                context.error(continuing(path::failed(&whole, &error)))?;
                continue;
            }
            let action = if is_folder { "Create Directory" } else { "Create File" };
            if !context.should_process(call, action, &format!("Destination: {path}"))? {
                continue;
            }
            if is_folder {
                context.world().make_folder(&path).map_err(|error| continuing(path::failed(&path, &error)))?;
            } else {
                if call.is_set("Force") && !path::parent(&path).is_empty() {
                    let above = path::parent(&path).to_owned();
                    context.world().make_folder(&above).map_err(|error| continuing(path::failed(&path, &error)))?;
                }
                let text = call.argument("Value").map(convert::text).unwrap_or_default();
                file::write(context, &path, &text, convert::encoding::Encoding::Utf8, false).map_err(continuing)?;
            }
            if let Ok(entry) = entry(context, &path) {
                let full = full(context, &path);
                let one = info(context, &full, &entry);
                context.value(one)?;
            }
        }
        Ok(())
    }
}

/// Remove-Item.
pub(super) const REMOVE_ITEM: StockCommand = StockCommand {
    signature: &Signature {
        name: "Remove-Item",
        synopsis: "Removes files and folders.",
        parameters: &[PATHS, LITERAL, also(&["r"], RECURSE), FORCE, FILTER, INCLUDE, EXCLUDE],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(RemoveItem),
};

struct RemoveItem;

impl Stage for RemoveItem {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for path in file::paths(context, call)? {
            if let Some((drive, name)) = drive(&path) {
                match drive.as_str() {
                    "variable" => drop(context.remove_variable(name)),
                    "function" => drop(context.remove_function(name)),
                    "env" if context.environment(name).is_some() => context.set_environment(name, None),
                    _ => context.error(continuing(path::missing(&path)))?,
                }
                continue;
            }
            let entry = match entry(context, &path) {
                Ok(entry) => entry,
                Err(fault) => {
                    context.error(fault)?;
                    continue;
                }
            };
            let action = if entry.is_folder { "Remove Directory" } else { "Remove File" };
            if !context.should_process(call, action, &path)? {
                continue;
            }
            let below = if entry.is_folder {
                context.world().folder(&path).map_err(|error| continuing(path::failed(&path, &error)))?
            } else {
                Vec::new()
            };
            if !below.is_empty() && !call.is_set("Recurse") {
                context.error(continuing(Fault::new(
                    Category::InvalidOperation,
                    format!("The folder '{path}' is not empty; write -Recurse to remove it with all that lies in it."),
                )))?;
                continue;
            }
            remove(context, &path, entry.is_folder, DEPTH_MAX)?;
        }
        Ok(())
    }
}

fn remove(context: &mut dyn Context, path: &str, is_folder: bool, deeper: usize) -> Result<(), Fault> {
    context.check()?;
    if is_folder {
        if deeper == 0 {
            return Err(Fault::new(Category::LimitExceeded, format!("'{path}' lies too deep to be removed.")));
        }
        let entries = context.world().folder(path).map_err(|error| continuing(path::failed(path, &error)))?;
        for entry in entries {
            remove(context, &path::join(path, &entry.name), entry.is_folder, deeper - 1)?;
        }
    }
    context.world().remove(path).map_err(|error| continuing(path::failed(path, &error)))
}

const DESTINATION: Parameter = at(1, "Destination", ANY, "Whereto.");

/// Where something goes: into a folder that is there, else to that name.
fn destination(context: &mut dyn Context, call: &Call<'_>, from: &str) -> Result<String, Fault> {
    let to = match call.argument("Destination").map(file::path_text) {
        Some(to) if !to.is_empty() => to,
        _ => context.world().current_folder(),
    };
    Ok(match context.world().entry(&to) {
        Ok(Some(entry)) if entry.is_folder => path::join(&to, path::leaf(from)),
        _ => to,
    })
}

/// Copy-Item.
pub(super) const COPY_ITEM: StockCommand = StockCommand {
    signature: &Signature {
        name: "Copy-Item",
        synopsis: "Copies files and folders.",
        parameters: &[
            PATHS,
            DESTINATION,
            LITERAL,
            RECURSE,
            FORCE,
            PASS_THRU,
            FILTER,
            INCLUDE,
            EXCLUDE,
            switch("Container", "Taken, and of no consequence."),
        ],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(CopyItem),
};

struct CopyItem;

impl Stage for CopyItem {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for from in file::paths(context, call)? {
            let entry = match entry(context, &from) {
                Ok(entry) => entry,
                Err(fault) => {
                    context.error(fault)?;
                    continue;
                }
            };
            let to = destination(context, call, &from)?;
            if context.should_process(call, "Copy File", &format!("Item: {from} Destination: {to}"))? {
                let deeper = if call.is_set("Recurse") { DEPTH_MAX } else { 1 };
                copy(context, &from, &to, entry.is_folder, deeper)?;
                if call.is_set("PassThru") {
                    let (full, entry) = (full(context, &to), self::entry(context, &to)?);
                    let one = info(context, &full, &entry);
                    context.value(one)?;
                }
            }
        }
        Ok(())
    }
}

fn copy(context: &mut dyn Context, from: &str, to: &str, is_folder: bool, deeper: usize) -> Result<(), Fault> {
    context.check()?;
    if !is_folder {
        let bytes = context
            .world()
            .read_file(from, path::FILE_BYTES_MAX)
            .map_err(|error| continuing(path::failed(from, &error)))?;
        return context.world().write_file(to, &bytes, false).map_err(|error| continuing(path::failed(to, &error)));
    }
    context.world().make_folder(to).map_err(|error| continuing(path::failed(to, &error)))?;
    if deeper <= 1 {
        return Ok(());
    }
    let entries = context.world().folder(from).map_err(|error| continuing(path::failed(from, &error)))?;
    for entry in entries {
        copy(context, &path::join(from, &entry.name), &path::join(to, &entry.name), entry.is_folder, deeper - 1)?;
    }
    Ok(())
}

/// Move-Item.
pub(super) const MOVE_ITEM: StockCommand = StockCommand {
    signature: &Signature {
        name: "Move-Item",
        synopsis: "Moves files and folders.",
        parameters: &[PATHS, DESTINATION, LITERAL, FORCE, PASS_THRU, FILTER, INCLUDE, EXCLUDE],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(MoveItem),
};

struct MoveItem;

impl Stage for MoveItem {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for from in file::paths(context, call)? {
            if let Err(fault) = entry(context, &from) {
                context.error(fault)?;
                continue;
            }
            let to = destination(context, call, &from)?;
            relocate(context, call, &from, &to)?;
        }
        Ok(())
    }
}

fn relocate(context: &mut dyn Context, call: &Call<'_>, from: &str, to: &str) -> Result<(), Fault> {
    if !context.should_process(call, "Move File", &format!("Item: {from} Destination: {to}"))? {
        return Ok(());
    }
    if matches!(context.world().entry(to), Ok(Some(_))) && !call.is_set("Force") {
        return context.error(continuing(Fault::new(
            Category::ResourceExists,
            format!("Cannot create a file when that file already exists: '{to}'."),
        )));
    }
    context.world().rename(from, to).map_err(|error| continuing(path::failed(from, &error)))?;
    if call.is_set("PassThru") {
        let (full, entry) = (full(context, to), entry(context, to)?);
        let one = info(context, &full, &entry);
        context.value(one)?;
    }
    Ok(())
}

/// Rename-Item.
pub(super) const RENAME_ITEM: StockCommand = StockCommand {
    signature: &Signature {
        name: "Rename-Item",
        synopsis: "Gives a file or a folder another name.",
        parameters: &[PATHS, needed(at(1, "NewName", Kind::Text, "The name.")), LITERAL, FORCE, PASS_THRU],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(RenameItem),
};

struct RenameItem;

impl Stage for RenameItem {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let name = call.argument("NewName").map(convert::text).unwrap_or_default();
        for from in file::paths(context, call)? {
            if let Err(fault) = entry(context, &from) {
                context.error(fault)?;
                continue;
            }
            let to = if path::parent(&name).is_empty() { path::join(path::parent(&from), &name) } else { name.clone() };
            relocate(context, call, &from, &to)?;
        }
        Ok(())
    }
}
