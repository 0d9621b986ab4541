//! A change of settings that a page prepares, shows and makes: one command, or several as one revision.
//!
//! Whoever applies a change applies what they were shown: it is looked at once more before, and where it would open or close
//! anything else by then, it is shown again.

use std::hash::{DefaultHasher, Hash, Hasher};

use gatepost_manage::ClientError;
use gatepost_manage::resource::{CommandAnswer, CommandCall, CommandRequest, ExposureChange, TransactionRequest};
use serde_json::{Map, Value};

use crate::exposure::Exposure;
use crate::shell_line::command_line;
use crate::visit::Visit;

/// One command with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Verb-Noun.
    pub name: &'static str,
    /// By their names.
    pub parameters: Map<String, Value>,
}

impl Call {
    /// A command; `parameters` is an object.
    pub fn new(name: &'static str, parameters: Value) -> Call {
        let parameters = match parameters {
            Value::Object(parameters) => parameters,
            _ => Map::new(),
        };
        Call { name, parameters }
    }

    /// The same for the shell.
    pub fn line(&self) -> String {
        command_line(self.name, &self.parameters)
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Change(pub Vec<Call>);

/// What it would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Who gains and who loses what.
    pub exposure: Exposure,
    /// What is legal but probably not meant.
    pub warnings: Vec<String>,
    /// The commands as the shell takes them.
    pub lines: Vec<String>,
    /// Stands for all that is shown: the same change that opens the same has the same.
    pub mark: String,
}

impl Preview {
    /// The lines as they go to the clipboard.
    pub fn all_lines(&self) -> String {
        self.lines.join("\n")
    }
}

/// What a form carries of what was shown: the same text with the same exposure, of which `total` changes there are, has the same.
pub fn mark(shown: impl Hash, exposure: &[ExposureChange], total: u64) -> String {
    let mut hasher = DefaultHasher::new();
    (shown, total).hash(&mut hasher);
    serde_json::to_string(exposure).unwrap_or_default().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

impl Change {
    /// The change that one command makes.
    pub fn of(name: &'static str, parameters: Value) -> Change {
        Change(vec![Call::new(name, parameters)])
    }

    /// The lines that do the same in the shell.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.0.iter().map(Call::line);
        match self.0.len() {
            0 | 1 => lines.collect(),
            _ => ["Start-Transaction".to_owned()]
                .into_iter()
                .chain(lines)
                .chain(["Complete-Transaction".to_owned()])
                .collect(),
        }
    }

    /// What it would do; nothing is changed.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub async fn look(&self, visit: &Visit) -> Result<Preview, ClientError> {
        let answer = self.run(visit, true).await?;
        Ok(Preview {
            exposure: Exposure::of(&answer.exposure, answer.exposure_total),
            warnings: answer.warnings,
            lines: self.lines(),
            mark: mark(self.lines(), &answer.exposure, answer.exposure_total),
        })
    }

    /// Does it.
    ///
    /// # Errors
    /// Why it was not done; then nothing is changed.
    pub async fn make(&self, visit: &Visit) -> Result<CommandAnswer, ClientError> {
        self.run(visit, false).await
    }

    /// Several commands are one request: nothing stays open where the browser hangs up in between.
    async fn run(&self, visit: &Visit, what_if: bool) -> Result<CommandAnswer, ClientError> {
        if let [call] = &self.0[..] {
            let request = CommandRequest { parameters: call.parameters.clone(), what_if, ..CommandRequest::default() };
            return visit.client.command(call.name, &request).await;
        }
        let command = |call: &Call| CommandCall { command: call.name.to_owned(), parameters: call.parameters.clone() };
        let commands = self.0.iter().map(command).collect();
        visit.client.commands(&TransactionRequest { commands, what_if, reason: None }).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mark_stands_for_all_that_is_shown() {
        let change: ExposureChange = serde_json::from_value(json!({
            "sources": [], "listeners": [], "whom": "unauthenticated", "gained": ["ms-Exch-SMTP-Submit"], "lost": []
        }))
        .unwrap();
        let change = [change];
        assert_eq!(mark("a", &change, 1), mark("a", &change, 1));
        assert_ne!(mark("a", &change, 1), mark("a", &change, 2));
        assert_ne!(mark("a", &change, 1), mark("a", &[], 0));
        assert_ne!(mark("a", &[], 0), mark("b", &[], 0));
    }

    #[test]
    fn several_commands_are_one_transaction_in_the_shell() {
        let one = Call::new("Set-ReceiveConnector", json!({"Identity": "Relay", "Enabled": true}));
        let line = "Set-ReceiveConnector \"Relay\" -Enabled $true";
        assert_eq!(Change(vec![one.clone()]).lines(), [line]);
        assert_eq!(Change(vec![one.clone(), one]).lines(), ["Start-Transaction", line, line, "Complete-Transaction"]);
    }
}
