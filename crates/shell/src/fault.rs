//! What went wrong, as administrators see it: one error record.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::source::{Source, Span};

/// Whether a script goes on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It is written to the error stream, and what comes next is done; `-ErrorAction Stop` makes it [`Severity::Terminating`].
    Continuing,
    /// The statement ends; `try` catches it.
    Terminating,
    /// The script ends, whatever it says: Ctrl-C, a limit of the shell, a construct that it does not know.
    Final,
}

/// What kind of thing went wrong (Exchange administrators see it as `CategoryInfo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// No command of that name.
    CommandNotFound,
    /// An argument cannot be bound.
    InvalidArgument,
    /// There is no such object, file, variable.
    ObjectNotFound,
    /// There is one already.
    ResourceExists,
    /// Not allowed.
    PermissionDenied,
    /// A member, index or operator that the value does not have.
    InvalidOperation,
    /// The disk, the server.
    ResourceUnavailable,
    /// `throw`.
    Thrown,
    /// A limit of the shell.
    LimitExceeded,
    /// Ctrl-C.
    Stopped,
    /// The text of the script.
    Parser,
    /// Any other.
    NotSpecified,
}

/// One error. `Display` is its message alone.
#[derive(Clone, Debug)]
pub struct Fault {
    /// A sentence: what is wrong, where it counts what to write instead.
    pub message: String,
    /// What kind.
    pub category: Category,
    /// Whether the script goes on.
    pub severity: Severity,
    /// The .NET type that `catch [Type]` compares, as `System.Management.Automation.ItemNotFoundException`.
    pub exception: &'static str,
    /// The command that raised it; empty: none.
    pub command: String,
    /// What it was about, as text.
    pub target: Option<String>,
    /// What a script gave to an error of its own.
    pub made: Option<Box<Made>>,
    /// Where in the script.
    pub place: Option<(Source, Span)>,
    /// `throw`, and what `-ErrorAction Stop` made an end of: not only the statement ends but the script, unless it is caught.
    pub ends_script: bool,
}

impl Fault {
    /// Bytes of a message: it may tell of values, which may be errors that told of values.
    pub const MESSAGE_BYTES_MAX: usize = 8 << 10;

    /// An error that ends the statement. A message that is too long is cut.
    pub fn new(category: Category, message: impl Into<String>) -> Fault {
        let mut message = message.into();
        if message.len() > Fault::MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(Fault::MESSAGE_BYTES_MAX));
            message.push_str("...");
            message.shrink_to_fit();
        }
        Fault {
            message,
            category,
            severity: Severity::Terminating,
            exception: "System.Management.Automation.RuntimeException",
            command: String::new(),
            target: None,
            made: None,
            place: None,
            ends_script: false,
        }
    }

    /// The same, of another severity.
    pub fn with_severity(mut self, severity: Severity) -> Fault {
        self.severity = severity;
        self
    }

    /// The same, raised at `span` of `source`, unless it has a place already.
    pub fn at(mut self, source: &Source, span: Span) -> Fault {
        self.place.get_or_insert_with(|| (source.clone(), span));
        self
    }

    /// The same, raised by `command`, unless one is known already.
    pub fn by(mut self, command: &str) -> Fault {
        if self.command.is_empty() {
            self.command = command.to_owned();
        }
        self
    }
}

/// What a script gives to an error that it makes or throws.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// What it was about: a value of the script, which this module knows nothing of.
    pub object: Option<Held>,
    /// What it is called; `None`: what the original would call such an error.
    pub id: Option<Rc<str>>,
    /// Its category, one of the original's; `None`: that of the error.
    pub category: Option<&'static str>,
    /// The [`Fault`] that led to it.
    pub inner: Option<Held>,
}

/// Something that an error holds on to: a value of the script, or another error.
#[derive(Clone, Debug)]
pub struct Held(Option<Rc<dyn Any>>);

impl Held {
    /// Holds this.
    pub fn new(what: Rc<dyn Any>) -> Held {
        Held(Some(what))
    }

    /// What is held, where it is a `T`.
    pub fn get<T: Any>(&self) -> Option<Rc<T>> {
        self.0.clone().and_then(|what| what.downcast().ok())
    }
}

thread_local! {
    /// What is let go of meanwhile, while something that was held is dropped.
    static LET_GO: RefCell<Option<Vec<Rc<dyn Any>>>> = const { RefCell::new(None) };
}

impl Drop for Held {
    /// Errors may tell of errors that tell of errors: they go one after the other, not one within the other, however many they are.
    fn drop(&mut self) {
        let Some(what) = self.0.take() else { return };
        let first = LET_GO.with_borrow_mut(|waiting| match waiting {
            Some(waiting) => {
                waiting.push(what);
                None
            }
            None => {
                *waiting = Some(Vec::new());
                Some(what)
            }
        });
        let mut next = first;
        while let Some(what) = next {
            drop(what);
            next = LET_GO.with_borrow_mut(|waiting| {
                let one = waiting.as_mut().and_then(Vec::pop);
                if one.is_none() {
                    *waiting = None;
                }
                one
            });
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
