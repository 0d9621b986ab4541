//! Transcripts: all that goes to the console goes to a file as well.

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert::{self, time};
use crate::fault::{Category, Fault, Severity};
use crate::path;
use crate::value::Value;

use super::file;
use super::parameter::{ANY, SIGNATURE, also, at, named, switch};

/// Start-Transcript.
pub(super) const START_TRANSCRIPT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Start-Transcript",
        synopsis: "Writes all that goes to the console to a file as well.",
        parameters: &[
            also(&["LiteralPath", "PSPath"], at(0, "Path", ANY, "The file.")),
            named("OutputDirectory", Kind::Text, "A folder for a file of a new name."),
            switch("Append", "Adds to the file's end."),
            switch("Force", "Taken, and of no consequence."),
            also(&["NoOverwrite"], switch("NoClobber", "Refuses when there is such a file.")),
            switch("IncludeInvocationHeader", "Taken, and of no consequence."),
            switch("UseMinimalHeader", "Taken, and of no consequence."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(StartTranscript),
};

struct StartTranscript;

impl Stage for StartTranscript {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let now = context.world().now();
        let path = match call.argument("Path").map(file::path_text) {
            Some(path) if !path.is_empty() => path,
            _ => {
                let name = format!("PowerShell_transcript.{}.txt", time::format(&now, "yyyyMMddHHmmss")?);
                let folder = match call.argument("OutputDirectory").map(convert::text) {
                    Some(folder) => folder,
                    None => context.world().current_folder(),
                };
                path::join(&folder, &name)
            }
        };
        let is_there = matches!(context.world().entry(&path), Ok(Some(_)));
        if call.is_set("NoClobber") && is_there && !call.is_set("Append") {
            return Err(path::failed(&path, &std::io::Error::from(std::io::ErrorKind::AlreadyExists)));
        }
        context.show(None)?;
        let stars = "*".repeat(22);
        let header =
            format!("{stars}\nTranscript start\nStart time: {}\n{stars}\n", time::format(&now, "yyyyMMddHHmmss")?);
        file::write(context, &path, &header, convert::encoding::Encoding::Utf8, call.is_set("Append"))?;
        context.set_transcript(Some(path.clone()));
        context.value(Value::text(format!("Transcript started, output file is {path}")))
    }
}

/// Stop-Transcript.
pub(super) const STOP_TRANSCRIPT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Stop-Transcript",
        synopsis: "Ends what Start-Transcript began.",
        parameters: &[],
        ..SIGNATURE
    },
    make: || Box::new(StopTranscript),
};

struct StopTranscript;

impl Stage for StopTranscript {
    fn process(&mut self, context: &mut dyn Context, _call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        context.show(None)?;
        match context.set_transcript(None) {
            Some(path) => context.value(Value::text(format!("Transcript stopped, output file is {path}"))),
            None => Err(Fault::new(
                Category::InvalidOperation,
                "An error occurred stopping transcription: The host is not currently transcribing.",
            )
            .with_severity(Severity::Continuing)),
        }
    }
}
