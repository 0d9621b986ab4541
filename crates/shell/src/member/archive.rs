//! Files packed and unpacked: what Compress-Archive, Expand-Archive and `[System.IO.Compression.ZipFile]` share.
//!
//! Takes paths, reads and writes through the world. The format of archives is `crate::zip`'s.

use jiff::tz::TimeZone;

use crate::context::Context;
use crate::fault::{Category, Fault, Severity};
use crate::path;
use crate::zip::{self, File};

use super::arguments::Arguments;
use crate::value::Value;

/// Folders within folders that are packed.
const DEPTH_MAX: usize = 100;

/// What shall be packed.
#[derive(Debug)]
pub struct Packing {
    /// The files, in the order in which they were found.
    pub files: Vec<File>,
    /// Bytes that there is still room for.
    left: usize,
}

impl Default for Packing {
    fn default() -> Packing {
        Packing { files: Vec::new(), left: zip::BYTES_MAX }
    }
}

fn wrong(message: String) -> Fault {
    let mut fault = Fault::new(Category::InvalidArgument, message);
    fault.exception = "System.IO.IOException";
    fault.with_severity(Severity::Terminating)
}

/// Adds what lies at a path: a file under `name`, a folder with all that lies in it.
///
/// # Errors
/// When something cannot be read, or it is too much.
pub fn add(context: &mut dyn Context, packing: &mut Packing, path: &str, name: &str) -> Result<(), Fault> {
    add_below(context, packing, path, name, DEPTH_MAX)
}

/// Adds what lies in a folder, without the folder itself.
///
/// # Errors
/// When something cannot be read, or it is too much.
pub fn add_inside(context: &mut dyn Context, packing: &mut Packing, folder: &str) -> Result<(), Fault> {
    let entries = context.world().folder(folder).map_err(|error| path::failed(folder, &error))?;
    for entry in entries {
        add(context, packing, &path::join(folder, &entry.name), &entry.name)?;
    }
    Ok(())
}

fn add_below(
    context: &mut dyn Context,
    packing: &mut Packing,
    path: &str,
    name: &str,
    deeper: usize,
) -> Result<(), Fault> {
    context.check()?;
    let entry = match context.world().entry(path) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Err(path::missing(path)),
        Err(error) => return Err(path::failed(path, &error)),
    };
    if packing.files.len() >= zip::ENTRIES_MAX || deeper == 0 {
        return Err(wrong(format!("'{path}' holds more than an archive can.")));
    }
    let zone = context.world().now().time_zone().clone();
    let modified = entry.modified.unwrap_or_default().to_zoned(zone).datetime();
    if !entry.is_folder {
        let bytes = context.world().read_file(path, packing.left).map_err(|error| path::failed(path, &error))?;
        context.charge(bytes.len())?;
        packing.left = packing.left.saturating_sub(bytes.len());
        packing.files.push(File { name: name.to_owned(), bytes, modified });
        return Ok(());
    }
    packing.files.push(File { name: format!("{name}/"), bytes: Vec::new(), modified });
    let entries = context.world().folder(path).map_err(|error| path::failed(path, &error))?;
    for entry in entries {
        let within = format!("{name}/{}", entry.name);
        add_below(context, packing, &path::join(path, &entry.name), &within, deeper - 1)?;
    }
    Ok(())
}

/// Writes an archive of these files.
///
/// # Errors
/// When it is too large, holds two files of one name, or cannot be written.
pub fn write(context: &mut dyn Context, target: &str, files: &[File]) -> Result<(), Fault> {
    let archive = zip::pack(files).map_err(wrong)?;
    context.charge(archive.len())?;
    context.world().write_file(target, &archive, false).map_err(|error| path::failed(target, &error))
}

/// The files of an archive.
///
/// # Errors
/// When it cannot be read or is none.
pub fn read(context: &mut dyn Context, source: &str) -> Result<Vec<File>, Fault> {
    let archive = context.world().read_file(source, zip::BYTES_MAX).map_err(|error| path::failed(source, &error))?;
    context.charge(archive.len())?;
    let files = zip::unpack(&archive).map_err(|why| wrong(format!("{source}: {why}")))?;
    context.charge(files.iter().map(|file| file.bytes.len()).sum())?;
    Ok(files)
}

/// Unpacks an archive into a folder, which is made where it is not there.
///
/// # Errors
/// When a file is there already, or comes twice, and may not be replaced; when something cannot be read or written.
pub fn unpack(context: &mut dyn Context, source: &str, folder: &str, may_replace: bool) -> Result<(), Fault> {
    let files = read(context, source)?;
    if let Some(name) = zip::twice(&files).filter(|_| !may_replace) {
        return Err(wrong(format!("{source}: The archive holds two files that are called {name}.")));
    }
    for file in &files {
        let target = path::join(folder, &file.name);
        let is_folder = file.name.ends_with('/');
        if !is_folder && !may_replace && matches!(context.world().entry(&target), Ok(Some(_))) {
            return Err(wrong(format!("The file '{target}' already exists.")));
        }
    }
    context.world().make_folder(folder).map_err(|error| path::failed(folder, &error))?;
    let zone = context.world().now().time_zone().clone();
    for file in &files {
        context.check()?;
        let target = path::join(folder, file.name.trim_end_matches('/'));
        let above = if file.name.ends_with('/') { target.as_str() } else { path::parent(&target) };
        context.world().make_folder(above).map_err(|error| path::failed(above, &error))?;
        if file.name.ends_with('/') {
            continue;
        }
        context.world().write_file(&target, &file.bytes, false).map_err(|error| path::failed(&target, &error))?;
        // A file system that keeps no times keeps the files all the same.
        if let Ok(moment) = zone_time(file, &zone) {
            let _ = context.world().set_modified(&target, moment);
        }
    }
    Ok(())
}

fn zone_time(file: &File, zone: &TimeZone) -> Result<jiff::Timestamp, jiff::Error> {
    Ok(file.modified.to_zoned(zone.clone())?.timestamp())
}

/// Calls a function of `[System.IO.Compression.ZipFile]`.
pub(super) fn call_static(
    context: &mut dyn Context,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Value, Fault>> {
    let both = || -> Result<(String, String), Fault> { Ok((arguments.text(0)?, arguments.text(1)?)) };
    Some(match lower {
        "createfromdirectory" => both().and_then(|(folder, target)| {
            if matches!(context.world().entry(&target), Ok(Some(_))) {
                return Err(wrong(format!("The file '{target}' already exists.")));
            }
            let mut packing = Packing::default();
            match arguments.values.get(3) {
                Some(Value::Bool(true)) => add(context, &mut packing, &folder, path::leaf(&folder))?,
                _ => add_inside(context, &mut packing, &folder)?,
            }
            write(context, &target, &packing.files).map(|()| Value::Null)
        }),
        "extracttodirectory" => both().and_then(|(source, folder)| {
            let may_replace = matches!(arguments.values.last(), Some(Value::Bool(true)));
            unpack(context, &source, &folder, may_replace).map(|()| Value::Null)
        }),
        _ => return None,
    })
}
