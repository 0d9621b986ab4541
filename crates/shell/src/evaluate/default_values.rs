//! `$PSDefaultParameterValues`: what a script gives to parameters of commands once and for all.
//!
//! A key is `command:parameter`, the command may have wildcards; a block as a value is run for each call. What a call names
//! itself wins, and an entry for a parameter that the command does not have is passed over. `Disabled = $true` switches all off.

use super::flow::Done;
use super::interpreter::Interpreter;
use crate::context::BlockScope;
use crate::convert::{self, wildcard};
use crate::value::Value;

impl Interpreter {
    /// Parameters with values for a command of these names, in the order of the table.
    pub(crate) fn default_values(&mut self, names: &[&str]) -> Done<Vec<(String, Value)>> {
        let Some(Value::Table(table)) = self.frame.scope.find("PSDefaultParameterValues") else {
            return Ok(Vec::new());
        };
        if table.borrow().is_empty() {
            return Ok(Vec::new());
        }
        if table.borrow().get_text("Disabled").is_some_and(|is_off| convert::truth(&is_off)) {
            return Ok(Vec::new());
        }
        let entries = table.borrow().entries().to_vec();
        let mut found = Vec::new();
        for (key, value) in entries {
            let key = convert::text(&key);
            let Some((command, parameter)) = key.split_once(':') else { continue };
            let command = command.trim().trim_matches(['"', '\'']);
            if !names.iter().any(|name| wildcard::matches(command, name, false)) {
                continue;
            }
            let value = match &value {
                Value::Block(block) => {
                    let values = self.collect(|it, out| it.call_block(block, BlockScope::Own, None, &[], out))?;
                    convert::gathered(values)
                }
                _ => value,
            };
            found.push((parameter.trim().to_owned(), value));
        }
        Ok(found)
    }
}
