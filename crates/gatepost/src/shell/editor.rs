//! Lines as somebody types them: edited, completed, remembered.
//!
//! What has to do with passwords is not remembered. The history is a file in the user's state folder that nobody else reads.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::rc::Rc;

use gatepost_shell::parse::is_incomplete;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::history::{DefaultHistory, MemHistory};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, CompletionType, Config, Context, Helper};

use super::completion::{self, Offers};

/// Lines that the history keeps.
const HISTORY_LINES_MAX: usize = 5_000;

/// Words that make a line one that is not remembered.
const SECRETS: [&str; 5] = ["password", "secret", "token", "securestring", "credential"];

/// What came of asking for a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line; several, where a construct was not closed on the first.
    Line(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D.
    End,
}

impl Typed {
    fn of(outcome: Result<String, ReadlineError>) -> io::Result<Typed> {
        match outcome {
            Ok(line) => Ok(Typed::Line(line)),
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupted),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(ReadlineError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }
}

/// The editor of command lines.
pub struct Editor {
    editor: rustyline::Editor<Assistant, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    /// An editor that completes by `offers`.
    ///
    /// # Errors
    /// What the terminal says.
    pub fn new(offers: Rc<RefCell<dyn Offers>>, may_colour: bool) -> io::Result<Editor> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(|error| io::Error::other(error.to_string()))?
            .completion_type(CompletionType::List)
            .color_mode(color_mode(may_colour))
            .auto_add_history(false)
            .build();
        let mut editor = rustyline::Editor::with_config(config).map_err(|error| io::Error::other(error.to_string()))?;
        editor.set_helper(Some(Assistant { offers, hints: HistoryHinter::new(), may_colour }));
        let history = history_file();
        if let Some(file) = &history {
            // A history that cannot be read, or not yet, is an empty one.
            let _ = editor.load_history(file);
        }
        Ok(Editor { editor, history })
    }

    /// Asks for a line.
    ///
    /// # Errors
    /// What the terminal says.
    pub fn read(&mut self, prompt: &str) -> io::Result<Typed> {
        let typed = Typed::of(self.editor.readline(prompt))?;
        if let Typed::Line(line) = &typed
            && !line.trim().is_empty()
            && !is_secret(line)
        {
            // What cannot be remembered can be typed again.
            let _ = self.editor.add_history_entry(line.as_str());
            if let Some(file) = &self.history {
                let _ = self.editor.append_history(file);
            }
        }
        Ok(typed)
    }
}

/// Asks for one answer, shown as it is typed or not at all. Answers are not remembered.
///
/// # Errors
/// What the terminal says.
pub fn ask(prompt: &str, is_secret: bool, may_colour: bool) -> io::Result<Typed> {
    // What is typed is hidden by painting over it, which has to be on for that.
    let color_mode = if is_secret { ColorMode::Forced } else { color_mode(may_colour) };
    let config = Config::builder().color_mode(color_mode).auto_add_history(false).build();
    let mut editor = rustyline::Editor::<Answer, MemHistory>::with_history(config, MemHistory::new())
        .map_err(|error| io::Error::other(error.to_string()))?;
    editor.set_helper(Some(Answer { is_secret }));
    // The editor draws the last line of a prompt; those above are written before.
    let last = match prompt.rsplit_once('\n') {
        Some((above, last)) => {
            io::Write::write_all(&mut io::stdout(), format!("{above}\n").as_bytes())?;
            last
        }
        None => prompt,
    };
    Typed::of(editor.readline(last))
}

fn color_mode(may_colour: bool) -> ColorMode {
    if may_colour { ColorMode::Enabled } else { ColorMode::Disabled }
}

fn is_secret(line: &str) -> bool {
    let line = line.to_lowercase();
    SECRETS.iter().any(|word| line.contains(word))
}

/// The file of the history, made readable to its owner alone. `None`: there is no place for one.
fn history_file() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let folder = state.join("gatepost");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    let file = folder.join("shell-history");
    OpenOptions::new().create(true).append(true).mode(0o600).open(&file).ok()?;
    Some(file)
}

/// What helps while a command line is typed.
struct Assistant {
    offers: Rc<RefCell<dyn Offers>>,
    hints: HistoryHinter,
    may_colour: bool,
}

impl Helper for Assistant {}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, offers) = completion::complete(&line[..at], &mut *self.offers.borrow_mut());
        let pairs = offers.into_iter().map(|offer| Pair { display: offer.shown, replacement: offer.text });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, at: usize, context: &Context<'_>) -> Option<String> {
        if line.is_empty() { None } else { self.hints.hint(line, at, context) }
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.may_colour { Cow::Owned(format!("\x1b[90m{hint}\x1b[0m")) } else { Cow::Borrowed(hint) }
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_incomplete(context.input()) {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

/// What shows an answer, or hides it.
struct Answer {
    is_secret: bool,
}

impl Helper for Answer {}
impl Completer for Answer {
    type Candidate = Pair;
}
impl Hinter for Answer {
    type Hint = String;
}
impl Validator for Answer {}

impl Highlighter for Answer {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.is_secret { Cow::Owned("*".repeat(line.chars().count())) } else { Cow::Borrowed(line) }
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        self.is_secret && kind != CmdKind::MoveCursor
    }
}
