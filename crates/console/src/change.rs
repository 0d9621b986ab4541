//! A change of settings that a page prepares, shows and makes: one command, or several as one revision.
//!
//! Whoever applies a change applies what they were shown: it is looked at once more before, and where it would open or close
//! anything else by then, it is shown again.

use std::hash::{DefaultHasher, Hash, Hasher};

use gatepost_manage::command::form::Form;
use gatepost_manage::resource::{
    Amended, CommandAnswer, CommandCall, CommandRequest, ExposureChange, SettingsProblem, TransactionRequest,
};
use gatepost_manage::{ClientError, command};
use serde_json::{Map, Value};

use crate::exposure::Exposure;
use crate::lines::Lines;
use crate::shell_line::command_line;
use crate::visit::Visit;
use crate::wording::warning_in_words;

/// How often a change is looked at that others are faster than.
const LOOKS_MAX: usize = 4;

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

/// What a change would do.
#[derive(Debug, Default)]
pub struct Preview {
    /// What would become of what waits in queues or lies on the disk, each in a sentence.
    pub said: Vec<String>,
    /// What is legal but probably not meant.
    pub warnings: Vec<String>,
    /// Mail that takes another way; none: such changes lead no mail.
    pub rerouted: Option<Vec<String>>,
    /// Who gains and who loses what.
    pub exposure: Exposure,
    /// The lines of the settings document that come and go; none: nobody has the document in front of them.
    pub document: Option<Lines>,
    /// The commands as the shell takes them.
    pub lines: Vec<String>,
    /// Stands for all that is shown: the same change that opens the same has the same.
    pub mark: String,
    /// The revision of the settings that it was looked at on.
    pub base: Option<u64>,
}

impl Preview {
    /// What a document would change that takes the place of the one in force; `lines` are the commands that do the same.
    pub fn of_document(looked: &Amended, lines: Vec<String>) -> Preview {
        let warning = |SettingsProblem { line, message, remedy, .. }: &SettingsProblem| {
            format!("Line {line}: {message}; {remedy}")
        };
        Preview {
            warnings: looked.warnings.iter().map(warning).collect(),
            rerouted: Some(looked.rerouted.clone()).filter(|rerouted| !rerouted.is_empty()),
            exposure: Exposure::of(&looked.exposure, looked.exposure_total),
            document: Some(Lines::of(&looked.difference)),
            lines,
            mark: mark((&looked.difference, &looked.rerouted), &looked.exposure, looked.exposure_total),
            base: looked.base,
            ..Preview::default()
        }
    }

    /// The lines as they go to the clipboard.
    pub fn all_lines(&self) -> String {
        self.lines.join("\n")
    }

    /// Whether somebody should see it before: it opens or closes something, leads mail another way, or is about more than settings.
    pub fn is_felt(&self) -> bool {
        let reroutes = self.rerouted.as_ref().is_some_and(|rerouted| !rerouted.is_empty());
        !self.exposure.is_empty() || reroutes || !self.said.is_empty()
    }

    /// Whether it has to be said that nobody gains or loses anything: not where the ways of mail are what it is about.
    pub fn tells_exposure(&self) -> bool {
        !self.exposure.is_empty() || self.rerouted.is_none()
    }
}

/// What a form carries of what was shown: the same text with the same exposure, of which `total` changes there are, has the same.
fn mark(shown: impl Hash, exposure: &[ExposureChange], total: u64) -> String {
    let mut hasher = DefaultHasher::new();
    (shown, total).hash(&mut hasher);
    serde_json::to_string(exposure).unwrap_or_default().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Makes a change on the revision on which `shown` is what it does, as long as there is one.
async fn as_shown<L, M>(
    shown: &Preview,
    look: impl Fn() -> L,
    make: impl Fn(Option<u64>) -> M,
) -> Result<CommandAnswer, ClientError>
where
    L: Future<Output = Result<Preview, ClientError>>,
    M: Future<Output = Result<CommandAnswer, ClientError>>,
{
    let mut base = shown.base;
    let mut looks = 1;
    loop {
        match make(base).await {
            Err(late) if is_late(&late) && looks < LOOKS_MAX => {
                let now = look().await?;
                if now.mark != shown.mark {
                    return Err(late);
                }
                base = now.base;
                looks += 1;
            }
            done => return done,
        }
    }
}

/// Whether somebody else changed the settings since they were looked at (RFC 9110 section 15.5.13).
pub fn is_late(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { status: 412, .. })
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
        let answer = self.run(visit, true, None).await?;
        let lines = self.lines();
        // How many messages wait is another number each moment, so what is noted is no part of it.
        let shown = (&lines, &answer.rerouted, &answer.warnings);
        Ok(Preview {
            mark: mark(shown, &answer.exposure, answer.exposure_total),
            said: answer.notes,
            warnings: answer.warnings,
            rerouted: Some(answer.rerouted).filter(|rerouted| !rerouted.is_empty()),
            exposure: Exposure::of(&answer.exposure, answer.exposure_total),
            document: None,
            lines,
            base: answer.base,
        })
    }

    /// Does it, whatever it does.
    ///
    /// # Errors
    /// Why it was not done; then nothing is changed.
    pub async fn make(&self, visit: &Visit) -> Result<CommandAnswer, ClientError> {
        self.run(visit, false, None).await
    }

    /// Does what was shown. Where somebody else changed the settings since it was looked at, it is looked at once more: it goes
    /// on where it would do the same still.
    ///
    /// # Errors
    /// Why it was not done; then nothing is changed.
    pub async fn make_as_shown(&self, visit: &Visit, shown: &Preview) -> Result<CommandAnswer, ClientError> {
        as_shown(shown, || self.look(visit), |base| self.run(visit, false, base)).await
    }

    /// The dialog in whose words it is told.
    fn form(&self) -> Option<&'static Form> {
        self.0.iter().find_map(|call| command::form_of(call.name.split_once('-')?.1))
    }

    /// Several commands are one request: nothing stays open where the browser hangs up in between.
    async fn run(&self, visit: &Visit, what_if: bool, base: Option<u64>) -> Result<CommandAnswer, ClientError> {
        let answered = match &self.0[..] {
            [call] => {
                let parameters = call.parameters.clone();
                let request = CommandRequest { parameters, what_if, base, ..CommandRequest::default() };
                visit.client.command(call.name, &request).await
            }
            calls => {
                let command =
                    |call: &Call| CommandCall { command: call.name.to_owned(), parameters: call.parameters.clone() };
                let commands = calls.iter().map(command).collect();
                visit.client.commands(&TransactionRequest { commands, what_if, reason: None, base }).await
            }
        };
        let mut answer = answered?;
        let form = self.form();
        answer.warnings.iter_mut().for_each(|warning| *warning = warning_in_words(form, warning));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use gatepost_manage::resource::Refused;
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

    /// A server whose settings somebody else changes after each of these looks, and what the change would do by then.
    struct Busy {
        /// By each revision.
        marks: Vec<&'static str>,
        newest: Cell<usize>,
        /// Revisions that were asked to change.
        asked: RefCell<Vec<Option<u64>>>,
    }

    impl Busy {
        fn look(&self) -> Preview {
            let seen = self.newest.get();
            self.newest.set((seen + 1).min(self.marks.len() - 1));
            Preview { mark: self.marks[seen].to_owned(), base: Some(seen as u64), ..Preview::default() }
        }

        fn make(&self, base: Option<u64>) -> Result<CommandAnswer, ClientError> {
            self.asked.borrow_mut().push(base);
            let newest = self.newest.get() as u64;
            match base == Some(newest) {
                true => Ok(CommandAnswer { revision: Some(newest + 1), ..CommandAnswer::default() }),
                false => Err(ClientError::Refused { status: 412, refused: Box::new(Refused::new("late".to_owned())) }),
            }
        }
    }

    #[test]
    fn of_two_administrators_the_second_changes_what_they_were_shown_or_nothing() {
        for (marks, made, asked) in [
            // Nobody else is there.
            (&["a"][..], Some(1), &[0][..]),
            // A colleague changes something that has nothing to do with it, once and twice.
            (&["a", "a"], Some(2), &[0, 1]),
            (&["a", "a", "a"], Some(3), &[0, 1, 2]),
            // By the colleague's change it would open something else.
            (&["a", "b"], None, &[0]),
            (&["a", "a", "b"], None, &[0, 1]),
            // Others are always faster.
            (&["a", "a", "a", "a", "a", "a"], None, &[0, 1, 2, 3]),
        ] {
            let (newest, asked_for) = (Cell::new(0), RefCell::default());
            let server = Busy { marks: marks.to_vec(), newest, asked: asked_for };
            let shown = server.look();
            let done = as_shown(&shown, async || Ok(server.look()), async |base| server.make(base));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let done = runtime.block_on(done);
            assert_eq!(done.ok().and_then(|answer| answer.revision), made, "{marks:?}");
            let asked: Vec<_> = asked.iter().copied().map(Some).collect();
            assert_eq!(*server.asked.borrow(), asked, "{marks:?}");
        }
    }

    #[test]
    fn several_commands_are_one_transaction_in_the_shell() {
        let one = Call::new("Set-ReceiveConnector", json!({"Identity": "Relay", "Enabled": true}));
        let line = "Set-ReceiveConnector \"Relay\" -Enabled $true";
        assert_eq!(Change(vec![one.clone()]).lines(), [line]);
        assert_eq!(Change(vec![one.clone(), one]).lines(), ["Start-Transaction", line, line, "Complete-Transaction"]);
    }
}
