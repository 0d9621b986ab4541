//! A tree as one line of text, for tests.

use crate::syntax::*;

pub(super) fn script(block: &ScriptBlock) -> String {
    let mut parts = Vec::new();
    for attribute in &block.attributes {
        parts.push(self::attribute(attribute));
    }
    if !block.parameters.is_empty() {
        parts.push(format!("(param {})", list(&block.parameters, parameter)));
    }
    for catch in &block.traps {
        parts.push(format!("(trap {})", self::catch(catch)));
    }
    if let Some(begin) = &block.begin {
        parts.push(format!("(begin {})", self::block(begin)));
    }
    if let Some(process) = &block.process {
        parts.push(format!("(process {})", self::block(process)));
    }
    if !block.end.is_empty() {
        parts.push(block.end.iter().map(statement).collect::<Vec<_>>().join("; "));
    }
    parts.join(" ")
}

fn list<T>(of: &[T], dump: impl Fn(&T) -> String) -> String {
    of.iter().map(dump).collect::<Vec<_>>().join(" ")
}

fn block(block: &Block) -> String {
    format!("{{{}}}", block.iter().map(statement).collect::<Vec<_>>().join("; "))
}

fn catch(catch: &Catch) -> String {
    let types: String = catch.types.iter().map(|name| format!("[{}] ", type_name(name))).collect();
    format!("{types}{}", block(&catch.body))
}

fn attribute(attribute: &Attribute) -> String {
    let mut parts = vec![attribute.name.clone()];
    parts.extend(attribute.positional.iter().map(expression));
    for (name, value) in &attribute.named {
        parts.push(match value {
            Some(value) => format!("{name}={}", expression(value)),
            None => name.clone(),
        });
    }
    format!("[{}]", parts.join(" "))
}

fn parameter(parameter: &ParameterDeclaration) -> String {
    let attributes: String = parameter.attributes.iter().map(attribute).collect();
    let kind = parameter.type_name.as_ref().map(|name| format!("[{}]", type_name(name))).unwrap_or_default();
    let default = parameter.default.as_ref().map(|value| format!("={}", expression(value))).unwrap_or_default();
    format!("{attributes}{kind}${}{default}", parameter.name)
}

fn labelled(label: &Option<String>) -> String {
    label.as_ref().map(|label| format!(":{label} ")).unwrap_or_default()
}

fn maybe(statement: &Option<Box<Statement>>) -> String {
    statement.as_ref().map(|inner| self::statement(inner)).unwrap_or_else(|| "_".to_owned())
}

fn keyword(name: &str, value: &Option<Box<Statement>>) -> String {
    match value {
        Some(value) => format!("({name} {})", statement(value)),
        None => format!("({name})"),
    }
}

pub(super) fn statement(statement: &Statement) -> String {
    match &statement.kind {
        StatementKind::Pipeline(pipeline) => {
            let elements: Vec<String> = pipeline.elements.iter().map(element).collect();
            elements.join(" | ")
        }
        StatementKind::Assign { target, operator, value } => {
            let operator = match operator {
                AssignOperator::Set => "=",
                AssignOperator::Add => "+=",
                AssignOperator::Subtract => "-=",
                AssignOperator::Multiply => "*=",
                AssignOperator::Divide => "/=",
                AssignOperator::Remainder => "%=",
            };
            format!("({operator} {} {})", expression(target), self::statement(value))
        }
        StatementKind::If { arms, otherwise } => {
            let arms = list(arms, |(condition, body)| format!("{} {}", self::statement(condition), block(body)));
            let otherwise = otherwise.as_ref().map(|body| format!(" else {}", block(body))).unwrap_or_default();
            format!("(if {arms}{otherwise})")
        }
        StatementKind::ForEach { label, variable, values, body } => {
            format!(
                "({}foreach {} {} {})",
                labelled(label),
                self::variable(variable),
                self::statement(values),
                block(body)
            )
        }
        StatementKind::For { label, first, condition, step, body } => {
            format!("({}for {} {} {} {})", labelled(label), maybe(first), maybe(condition), maybe(step), block(body))
        }
        StatementKind::Loop { label, when, condition, body } => {
            format!("({}{when:?} {} {})", labelled(label), self::statement(condition), block(body))
        }
        StatementKind::Switch { label, mode, is_case_sensitive, is_file, value, clauses, default } => {
            let mut head = format!("{}switch {mode:?}", labelled(label));
            if *is_case_sensitive {
                head.push_str(" case");
            }
            if *is_file {
                head.push_str(" file");
            }
            let clauses = list(clauses, |(test, body)| format!("{} {}", expression(test), block(body)));
            let default = default.as_ref().map(|body| format!(" default {}", block(body))).unwrap_or_default();
            format!("({head} {} {clauses}{default})", self::statement(value))
        }
        StatementKind::Function { name, body } => format!("(function {name} {{{}}})", script(body)),
        StatementKind::Trapped { body, traps } => {
            let traps: String = traps.iter().map(|trap| format!(" (trap {})", catch(trap))).collect();
            format!("(trapped {}{traps})", block(body))
        }
        StatementKind::Try { body, catches, finally } => {
            let catches: String = catches.iter().map(|one| format!(" catch {}", catch(one))).collect();
            let finally = finally.as_ref().map(|body| format!(" finally {}", block(body))).unwrap_or_default();
            format!("(try {}{catches}{finally})", block(body))
        }
        StatementKind::Return(value) => keyword("return", value),
        StatementKind::Throw(value) => keyword("throw", value),
        StatementKind::Exit(value) => keyword("exit", value),
        StatementKind::Break(label) => {
            format!("(break{})", label.as_ref().map(|l| format!(" {l}")).unwrap_or_default())
        }
        StatementKind::Continue(label) => {
            format!("(continue{})", label.as_ref().map(|l| format!(" {l}")).unwrap_or_default())
        }
    }
}

fn redirections(of: &[Redirection]) -> String {
    of.iter()
        .map(|redirection| {
            let stream = redirection.stream.map_or("*".to_owned(), |stream| stream.to_string());
            match &redirection.target {
                RedirectionTarget::File { path, is_append } => {
                    format!(" {stream}{} {}", if *is_append { ">>" } else { ">" }, expression(path))
                }
                RedirectionTarget::Stream(target) => format!(" {stream}>&{target}"),
            }
        })
        .collect()
}

fn element(element: &PipelineElement) -> String {
    match element {
        PipelineElement::Expression(value, redirected) => expression(value) + &redirections(redirected),
        PipelineElement::Command(call) => {
            let invocation = match call.invocation {
                Invocation::Plain => "",
                Invocation::Call => "& ",
                Invocation::DotSource => ". ",
            };
            let name = match &call.name.kind {
                ExpressionKind::Text(name) if call.invocation == Invocation::Plain => name.clone(),
                _ => expression(&call.name),
            };
            let arguments: String = call
                .arguments
                .iter()
                .map(|argument| match argument {
                    Argument::Value(value) => format!(" {}", expression(value)),
                    Argument::Parameter { name, value: None, .. } => format!(" -{name}"),
                    Argument::Parameter { name, value: Some(value), .. } => format!(" -{name}:{}", expression(value)),
                    Argument::Splat { variable, .. } => format!(" @{}", &self::variable(variable)[1..]),
                    Argument::EndOfParameters => " --".to_owned(),
                })
                .collect();
            format!("<{invocation}{name}{arguments}{}>", redirections(&call.redirections))
        }
    }
}

fn variable(variable: &VariableName) -> String {
    match &variable.scope {
        Some(scope) => format!("${scope}:{}", variable.name),
        None => format!("${}", variable.name),
    }
}

fn type_name(name: &TypeName) -> String {
    let mut text = name.name.clone();
    if !name.arguments.is_empty() {
        text += &format!("[{}]", name.arguments.iter().map(type_name).collect::<Vec<_>>().join(","));
    }
    text + &"[]".repeat(name.array_depth.into())
}

pub(super) fn expression(value: &Expression) -> String {
    match &value.kind {
        ExpressionKind::Integer(number) => number.to_string(),
        ExpressionKind::Float(number) => format!("{number:?}"),
        ExpressionKind::Text(text) => format!("'{text}'"),
        ExpressionKind::BareNumber(text, number) => {
            let number = expression(number);
            if *text == number { format!("#{text}") } else { format!("#{text}={number}") }
        }
        ExpressionKind::Interpolated(parts) => {
            let parts = list(parts, |part| match part {
                TextPart::Text(text) => format!("'{text}'"),
                TextPart::Value(value) => expression(value),
            });
            format!("\"{parts}\"")
        }
        ExpressionKind::Variable(name) => variable(name),
        ExpressionKind::List(values) => format!("(, {})", list(values, expression)),
        ExpressionKind::ArrayOf(body) => format!("@{}", block(body)),
        ExpressionKind::SubExpression(body) => format!("${}", block(body)),
        ExpressionKind::Parenthesis(inner) => format!("({})", statement(inner)),
        ExpressionKind::Table(entries) => {
            format!("(table {})", list(entries, |(key, value)| format!("{}={}", expression(key), statement(value))))
        }
        ExpressionKind::ScriptBlock(inner) => format!("{{{}}}", script(inner)),
        ExpressionKind::Type(name) => format!("[{}]", type_name(name)),
        ExpressionKind::Cast(name, inner) => format!("([{}] {})", type_name(name), expression(inner)),
        ExpressionKind::Unary(operator, inner) => format!("({operator:?} {})", expression(inner)),
        ExpressionKind::Binary { operator, is_case_sensitive, left, right } => {
            let case = if *is_case_sensitive { "c" } else { "" };
            format!("({case}{operator:?} {} {})", expression(left), expression(right))
        }
        ExpressionKind::Increment { target, is_decrement, is_postfix } => {
            let sign = if *is_decrement { "--" } else { "++" };
            if *is_postfix {
                format!("({}{sign})", expression(target))
            } else {
                format!("({sign}{})", expression(target))
            }
        }
        ExpressionKind::Member { object, name, is_static } => {
            format!("({} {} {})", if *is_static { "::" } else { "." }, expression(object), expression(name))
        }
        ExpressionKind::Call { object, name, arguments, is_static } => {
            let arguments: String = arguments.iter().map(|argument| format!(" {}", expression(argument))).collect();
            format!(
                "({} {} {}(){arguments})",
                if *is_static { "::" } else { "." },
                expression(object),
                expression(name)
            )
        }
        ExpressionKind::Index { object, index } => format!("(index {} {})", expression(object), expression(index)),
    }
}
