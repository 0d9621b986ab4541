//! Compress-Archive and Expand-Archive.

use std::collections::HashSet;

use crate::command::{Call, Changes, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::fault::{Category, Fault, Severity};
use crate::member::archive::{self, Packing};
use crate::path;
use crate::value::Value;

use super::file;
use super::item::{LITERAL, PATHS};
use super::parameter::{ANY, SIGNATURE, at, named, switch};

/// Compress-Archive.
pub(super) const COMPRESS: StockCommand = StockCommand {
    signature: &Signature {
        name: "Compress-Archive",
        synopsis: "Packs files and folders into a ZIP archive.",
        parameters: &[
            PATHS,
            at(1, "DestinationPath", ANY, "The archive; .zip is added where it has no ending."),
            LITERAL,
            named(
                "CompressionLevel",
                Kind::OneOf(&["Optimal", "Fastest", "NoCompression"]),
                "Taken, and of no consequence.",
            ),
            switch("Update", "Adds to the archive that is there, in place of what has the same name."),
            switch("Force", "Replaces the archive that is there."),
        ],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(Compress(Packing::default())),
};

struct Compress(Packing);

fn target(call: &Call<'_>) -> Result<String, Fault> {
    let name = call.argument("DestinationPath").map(file::path_text).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Err(Fault::new(Category::InvalidArgument, "Write -DestinationPath and the name of the archive."));
    };
    Ok(if path::extension(path::leaf(&name)).is_empty() { name + ".zip" } else { name })
}

impl Stage for Compress {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for found in file::paths(context, call)? {
            // Several come through the pipeline: each is packed when it comes, all are written at the end.
            let name = path::leaf(&found).to_owned();
            archive::add(context, &mut self.0, &found, &name)?;
        }
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let target = target(call)?;
        let is_there = matches!(context.world().entry(&target), Ok(Some(_)));
        if is_there && !call.is_set("Force") && !call.is_set("Update") {
            return Err(Fault::new(
                Category::ResourceExists,
                format!(
                    "The archive file {target} already exists. Use the -Update parameter to update the existing archive \
                     file or use the -Force parameter to overwrite the existing archive file."
                ),
            )
            .with_severity(Severity::Continuing));
        }
        if !context.should_process(call, "Compress-Archive", &target)? {
            return Ok(());
        }
        let mut files = if is_there && call.is_set("Update") { archive::read(context, &target)? } else { Vec::new() };
        let new: HashSet<&str> = self.0.files.iter().map(|file| file.name.as_str()).collect();
        files.retain(|old| !new.contains(old.name.as_str()));
        files.append(&mut self.0.files);
        archive::write(context, &target, &files)
    }
}

/// Expand-Archive.
pub(super) const EXPAND: StockCommand = StockCommand {
    signature: &Signature {
        name: "Expand-Archive",
        synopsis: "Unpacks a ZIP archive into a folder.",
        parameters: &[
            PATHS,
            at(1, "DestinationPath", ANY, "The folder; if not given one with the archive's name."),
            LITERAL,
            switch("Force", "Replaces files that are there."),
        ],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(Expand),
};

struct Expand;

impl Stage for Expand {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for source in file::paths(context, call)? {
            let folder = match call.argument("DestinationPath").map(file::path_text) {
                Some(folder) if !folder.is_empty() => folder,
                _ => path::stem(path::leaf(&source)).to_owned(),
            };
            if context.should_process(call, "Expand-Archive", &source)? {
                archive::unpack(context, &source, &folder, call.is_set("Force"))?;
            }
        }
        Ok(())
    }
}
