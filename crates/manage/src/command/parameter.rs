//! Short ways to write the parameters of a signature.

use gatepost_shell::command::{FromPipeline, Kind, Parameter};

/// A parameter that is given by its name.
pub const fn named(name: &'static str, kind: Kind, help: &'static str) -> Parameter {
    Parameter { name, aliases: &[], kind, position: None, is_mandatory: false, pipeline: FromPipeline::No, help }
}

/// The same at a place among arguments without a name.
pub const fn at(position: u8, parameter: Parameter) -> Parameter {
    Parameter { position: Some(position), ..parameter }
}

/// The same where the command cannot do without.
pub const fn needed(parameter: Parameter) -> Parameter {
    Parameter { is_mandatory: true, ..parameter }
}

/// The same with other names.
pub const fn also(aliases: &'static [&'static str], parameter: Parameter) -> Parameter {
    Parameter { aliases, ..parameter }
}

/// Which object, at the first place or from the pipeline.
pub const fn identity(help: &'static str) -> Parameter {
    Parameter { pipeline: FromPipeline::Object, ..at(0, named("Identity", Kind::Identity, help)) }
}

/// What Exchange asks for and nothing here needs: which domain controller.
pub const DOMAIN_CONTROLLER: Parameter =
    named("DomainController", Kind::Text, "Taken and ignored: there is no directory apart from the server.");

/// Switches that Exchange has for callers who know what they do.
pub const FORCE: Parameter = named("Force", Kind::Switch, "Does not ask.");

/// Two tables as one.
///
/// # Panics
/// When the program is built, where `N` is not the sum of both.
pub const fn joined<const A: usize, const B: usize, const N: usize>(
    first: [Parameter; A],
    second: [Parameter; B],
) -> [Parameter; N] {
    assert!(A + B == N, "the length of both tables");
    let mut all = [DOMAIN_CONTROLLER; N];
    let mut place = 0;
    while place < N {
        all[place] = if place < A { first[place] } else { second[place - A] };
        place += 1;
    }
    all
}
