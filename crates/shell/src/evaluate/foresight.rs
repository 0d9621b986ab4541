//! What can be known of a script before it runs: commands that exist nowhere, and those that are refused.
//!
//! The original runs a script until it calls such a command, and so does this shell: administrators have scripts whose last
//! third never ran. But they are told before the first line has changed anything. Only what is certain is told: nothing
//! within `try`, behind a question for the command (`Get-Command`), or in a script that takes in others.

use std::collections::HashSet;

use super::scope::key;
use crate::source::{Source, Span};
use crate::syntax::{
    Argument, Block, CommandCall, Expression, ExpressionKind, Invocation, Pipeline, PipelineElement, RedirectionTarget,
    ScriptBlock, Statement, StatementKind, TextPart,
};

/// What a command's name is known for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It runs something.
    Runs,
    /// There is no such command.
    Missing,
    /// This shell has it to refuse it, for this reason.
    Refused(&'static str),
}

/// A call of a command that exists nowhere, or is refused.
#[derive(Clone, Debug)]
pub struct FailingCommand {
    /// Why it is refused; `None`: it exists nowhere.
    pub why: Option<&'static str>,
    /// Its name as written.
    pub name: String,
    /// Whose text.
    pub source: Source,
    /// Where it is called first.
    pub span: Span,
}

/// Commands that a script calls, that it does not make itself, and that fail; each once, in order.
pub(crate) fn failing_commands(script: &ScriptBlock, standing: impl Fn(&str) -> Standing) -> Vec<FailingCommand> {
    let mut walk = Walk::new(script);
    walk.script(script);
    if walk.takes_in_others {
        return Vec::new();
    }
    let mut told = HashSet::new();
    walk.calls.retain_mut(|call| {
        let name = key(&call.name);
        let standing = standing(&call.name);
        if let Standing::Refused(why) = standing {
            call.why = Some(why);
        }
        standing != Standing::Runs && !walk.made.contains(&name) && told.insert(name)
    });
    walk.calls
}

struct Walk {
    source: Source,
    calls: Vec<FailingCommand>,
    /// Functions and aliases of the script.
    made: HashSet<Box<str>>,
    /// Something that may define commands: dot-sourcing, Invoke-Expression.
    takes_in_others: bool,
    /// `try` blocks and conditions that ask for a command.
    guards: usize,
    asks_for_command: bool,
}

impl Walk {
    fn new(script: &ScriptBlock) -> Walk {
        Walk {
            source: script.source.clone(),
            calls: Vec::new(),
            made: HashSet::new(),
            takes_in_others: false,
            guards: 0,
            asks_for_command: false,
        }
    }

    fn script(&mut self, script: &ScriptBlock) {
        let guards = self.guards;
        self.guards += usize::from(!script.traps.is_empty());
        for parameter in &script.parameters {
            parameter.default.iter().for_each(|default| self.expression(default));
        }
        for part in [&script.begin, &script.process].into_iter().flatten() {
            self.block(part);
        }
        self.block(&script.end);
        for trap in &script.traps {
            self.block(&trap.body);
        }
        self.guards = guards;
    }

    fn block(&mut self, block: &Block) {
        block.iter().for_each(|statement| self.statement(statement));
    }

    fn guarded(&mut self, work: impl FnOnce(&mut Walk)) {
        self.guards += 1;
        work(self);
        self.guards -= 1;
    }

    fn statement(&mut self, statement: &Statement) {
        match &statement.kind {
            StatementKind::Pipeline(pipeline) => self.pipeline(pipeline),
            StatementKind::Assign { target, value, .. } => {
                self.expression(target);
                self.statement(value);
            }
            StatementKind::If { arms, otherwise } => {
                let outside = std::mem::take(&mut self.asks_for_command);
                for (condition, _) in arms {
                    self.statement(condition);
                }
                let guards = self.guards;
                // Whichever way the question is put, one of the branches runs only where the answer is as hoped.
                self.guards += usize::from(self.asks_for_command);
                for (_, body) in arms {
                    self.block(body);
                }
                otherwise.iter().for_each(|body| self.block(body));
                self.guards = guards;
                self.asks_for_command = outside;
            }
            StatementKind::ForEach { values, body, .. } => {
                self.statement(values);
                self.block(body);
            }
            StatementKind::For { first, condition, step, body, .. } => {
                [first, condition, step].into_iter().flatten().for_each(|part| self.statement(part));
                self.block(body);
            }
            StatementKind::Loop { condition, body, .. } => {
                self.statement(condition);
                self.block(body);
            }
            StatementKind::Switch { value, clauses, default, .. } => {
                self.statement(value);
                for (test, body) in clauses {
                    self.expression(test);
                    self.block(body);
                }
                default.iter().for_each(|body| self.block(body));
            }
            StatementKind::Function { name, body } => {
                let name = name.rsplit(':').next().unwrap_or(name);
                self.made.insert(key(name));
                let aliases = body.attributes.iter().filter(|one| one.name.eq_ignore_ascii_case("Alias"));
                for alias in aliases.flat_map(|one| &one.positional) {
                    if let ExpressionKind::Text(alias) = &alias.kind {
                        self.made.insert(key(alias));
                    }
                }
                self.script(body);
            }
            StatementKind::Try { body, catches, finally } => {
                self.guarded(|walk| walk.block(body));
                catches.iter().for_each(|catch| self.block(&catch.body));
                finally.iter().for_each(|finally| self.block(finally));
            }
            StatementKind::Trapped { body, traps } => {
                self.guarded(|walk| walk.block(body));
                traps.iter().for_each(|trap| self.block(&trap.body));
            }
            StatementKind::Return(value) | StatementKind::Throw(value) | StatementKind::Exit(value) => {
                value.iter().for_each(|value| self.statement(value));
            }
            StatementKind::Break(_) | StatementKind::Continue(_) => {}
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        for element in &pipeline.elements {
            match element {
                PipelineElement::Expression(expression, _) => self.expression(expression),
                PipelineElement::Command(call) => self.call(call),
            }
        }
    }

    fn call(&mut self, call: &CommandCall) {
        let name = match &call.name.kind {
            ExpressionKind::Text(name) => Some(name.as_str()),
            _ => None,
        };
        match (call.invocation, name, &call.name.kind) {
            // Blocks of this script are seen anyway.
            (Invocation::DotSource, None, ExpressionKind::ScriptBlock(_)) => {}
            (Invocation::DotSource, ..) => self.takes_in_others = true,
            _ => {}
        }
        self.expression(&call.name);
        if let Some(name) = name {
            match name.to_ascii_lowercase().as_str() {
                "invoke-expression" | "iex" => self.takes_in_others = true,
                "get-command" | "gcm" | "get-module" | "get-pssnapin" => self.asks_for_command = true,
                "set-alias" | "new-alias" | "sal" | "nal" => self.made.extend(call.arguments.iter().filter_map(alias)),
                _ => {}
            }
            let is_name = !name.contains(['/', '\\', '.', '*', '?']);
            if is_name && self.guards == 0 {
                self.calls.push(FailingCommand {
                    why: None,
                    name: name.to_owned(),
                    source: self.source.clone(),
                    span: call.name.span,
                });
            }
        }
        let mut is_filter = false;
        for argument in &call.arguments {
            // `-Filter {Name -like 'A*'}` is text in braces: a property stands where a command would.
            let was_filter = std::mem::replace(&mut is_filter, is_filter_name(argument));
            match argument {
                Argument::Value(Expression { kind: ExpressionKind::ScriptBlock(_), .. }) if was_filter => {}
                Argument::Value(value) | Argument::Parameter { value: Some(value), .. } => self.expression(value),
                _ => {}
            }
        }
        for redirection in &call.redirections {
            if let RedirectionTarget::File { path, .. } = &redirection.target {
                self.expression(path);
            }
        }
    }

    fn expression(&mut self, expression: &Expression) {
        match &expression.kind {
            ExpressionKind::Integer(_)
            | ExpressionKind::Float(_)
            | ExpressionKind::Text(_)
            | ExpressionKind::BareNumber(..)
            | ExpressionKind::Variable(_)
            | ExpressionKind::Type(_) => {}
            ExpressionKind::Interpolated(parts) => {
                for part in parts {
                    if let TextPart::Value(value) = part {
                        self.expression(value);
                    }
                }
            }
            ExpressionKind::List(values) => values.iter().for_each(|value| self.expression(value)),
            ExpressionKind::ArrayOf(block) | ExpressionKind::SubExpression(block) => self.block(block),
            ExpressionKind::Parenthesis(statement) => self.statement(statement),
            ExpressionKind::Table(entries) => {
                for (key, value) in entries {
                    self.expression(key);
                    self.statement(value);
                }
            }
            ExpressionKind::ScriptBlock(block) => self.script(block),
            ExpressionKind::Cast(_, value) | ExpressionKind::Unary(_, value) => self.expression(value),
            ExpressionKind::Binary { left, right, .. } => {
                self.expression(left);
                self.expression(right);
            }
            ExpressionKind::Increment { target, .. } => self.expression(target),
            ExpressionKind::Member { object, name, .. } => {
                self.expression(object);
                self.expression(name);
            }
            ExpressionKind::Call { object, name, arguments, .. } => {
                self.expression(object);
                self.expression(name);
                arguments.iter().for_each(|argument| self.expression(argument));
            }
            ExpressionKind::Index { object, index } => {
                self.expression(object);
                self.expression(index);
            }
        }
    }
}

fn is_filter_name(argument: &Argument) -> bool {
    matches!(argument, Argument::Parameter { name, value: None, .. } if name.eq_ignore_ascii_case("Filter"))
}

/// The text of an argument: one of them is the alias's name.
fn alias(argument: &Argument) -> Option<Box<str>> {
    match argument {
        Argument::Value(Expression { kind: ExpressionKind::Text(text), .. })
        | Argument::Parameter { value: Some(Expression { kind: ExpressionKind::Text(text), .. }), .. } => {
            Some(key(text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_told() {
        for (script, expected) in [
            ("Get-Known; Get-Mailbox; get-mailbox x | Set-Thing", "Get-Mailbox Set-Thing"),
            ("function Get-Mailbox { Inner }; Get-Mailbox", "Inner"),
            ("Later; function Later { }", ""),
            ("try { Get-Mailbox } catch { Oops }", "Oops"),
            ("if (Get-Command Get-Mailbox) { Get-Mailbox }", ""),
            ("if (!(Get-Command Get-Mailbox -EA 0)) { 'no' } else { Get-Mailbox }; Gone", "Gone"),
            (". .\\lib.ps1; Get-Mailbox", ""),
            (". { Get-Mailbox }", "Get-Mailbox"),
            ("Invoke-Expression $x; Get-Mailbox", ""),
            ("Set-Alias gm Get-Known; gm", ""),
            ("\"$(Get-Mailbox)\"; @{ a = Get-It }; $x = { Deep }", "Get-Mailbox Get-It Deep"),
            ("& $name; .\\run.ps1; & 'C:\\x.exe'", ""),
            ("trap { continue } Get-Mailbox", ""),
            ("Get-Known; Get-Refused; function Get-Service { }; Get-Service", "Get-Refused(far away)"),
            ("Get-Known -Filter {Name -like 'A*'}; Get-Known -Do {Gone}", "Gone"),
        ] {
            let script = crate::parse::parse(&Source::new("test", script)).expect("the script is well formed");
            let standing = |name: &str| match name.to_ascii_lowercase().as_str() {
                "get-known" | "get-command" | "invoke-expression" | "set-alias" => Standing::Runs,
                "get-refused" | "get-service" => Standing::Refused("far away"),
                _ => Standing::Missing,
            };
            let why = |why: Option<&str>| why.map(|why| format!("({why})")).unwrap_or_default();
            let names: Vec<String> =
                failing_commands(&script, standing).into_iter().map(|one| one.name + &why(one.why)).collect();
            assert_eq!(names.join(" "), expected, "{}", script.source.text());
        }
    }
}
