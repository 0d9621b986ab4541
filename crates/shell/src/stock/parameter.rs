//! How the signatures of this module are written: a parameter a line.

use crate::command::{Changes, FromPipeline, Kind, Parameter, Signature};

/// A signature without anything, to be filled.
pub(super) const SIGNATURE: Signature =
    Signature { name: "", aliases: &[], synopsis: "", parameters: &[], changes: Changes::Nothing, examples: &[] };

/// Whatever is given.
pub(super) const ANY: Kind = Kind::Any;
/// A list of whatever is given.
pub(super) const VALUES: Kind = Kind::List(&Kind::Any);
/// A list of texts.
pub(super) const TEXTS: Kind = Kind::List(&Kind::Text);
/// All arguments that are left.
pub(super) const REST: Kind = Kind::Rest(&Kind::Any);

/// A parameter that is given by its name.
pub(super) const fn named(name: &'static str, kind: Kind, help: &'static str) -> Parameter {
    Parameter { name, aliases: &[], kind, position: None, is_mandatory: false, pipeline: FromPipeline::No, help }
}

/// One that may be given by its place.
pub(super) const fn at(position: u8, name: &'static str, kind: Kind, help: &'static str) -> Parameter {
    Parameter {
        name,
        aliases: &[],
        kind,
        position: Some(position),
        is_mandatory: false,
        pipeline: FromPipeline::No,
        help,
    }
}

/// A switch.
pub(super) const fn switch(name: &'static str, help: &'static str) -> Parameter {
    named(name, Kind::Switch, help)
}

/// `-InputObject`, which takes the objects of the pipeline.
pub(super) const fn input() -> Parameter {
    Parameter {
        pipeline: FromPipeline::Object,
        ..named("InputObject", Kind::Any, "The objects; they come by the pipeline.")
    }
}

/// The same parameter, mandatory.
pub(super) const fn needed(parameter: Parameter) -> Parameter {
    Parameter { is_mandatory: true, ..parameter }
}

/// The same parameter with other names.
pub(super) const fn also(aliases: &'static [&'static str], parameter: Parameter) -> Parameter {
    Parameter { aliases, ..parameter }
}

/// The same parameter, which also takes the objects of the pipeline.
pub(super) const fn piped(parameter: Parameter) -> Parameter {
    Parameter { pipeline: FromPipeline::Object, ..parameter }
}
