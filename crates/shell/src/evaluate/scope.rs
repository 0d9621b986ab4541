//! Scopes: where variables and functions live while a script runs.
//!
//! Names are looked up from the innermost scope outwards along the callers, as in the original: what a function sees depends
//! on who calls it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::source::Source;
use crate::syntax::{ScriptBlock, TypeName};
use crate::value::{List, Value};

/// What made a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    /// The session.
    Global,
    /// A script file: `$script:` means this one.
    Script,
    /// A function, or a block that is called.
    Function,
}

/// One variable.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    /// As it was written first.
    pub name: Rc<str>,
    /// What it holds.
    pub value: Value,
    /// `[int]$x`: what is assigned later is converted, too.
    pub type_name: Option<Rc<TypeName>>,
    /// It is `$null` because a pipeline yielded nothing: `@($x)` is empty then, and `$x | ...` passes nothing on.
    pub is_nothing: bool,
}

/// A function's name as written, and its body.
pub(crate) type Function = (Rc<str>, Rc<ScriptBlock>);

/// One scope.
#[derive(Debug)]
pub(crate) struct Scope {
    pub parent: Option<Rc<Scope>>,
    pub kind: ScopeKind,
    variables: RefCell<HashMap<Box<str>, Variable>>,
    functions: RefCell<HashMap<Box<str>, Function>>,
    /// Where errors and warnings are kept that are told within: `-ErrorVariable` and `-WarningVariable` of a function.
    pub listening: RefCell<Listening>,
    /// By what name, whose text, and whether it is a file: for `$MyInvocation`.
    pub called: RefCell<Option<(Rc<str>, Source, bool)>>,
}

/// Lists that listen to what is told within a scope.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    pub errors: Option<Rc<List>>,
    pub warnings: Option<Rc<List>>,
}

/// A name without its case.
pub(crate) fn key(name: &str) -> Box<str> {
    match name.is_ascii() {
        true => name.to_ascii_lowercase().into_boxed_str(),
        false => name.to_lowercase().into_boxed_str(),
    }
}

impl Scope {
    pub(crate) fn new(parent: Option<Rc<Scope>>, kind: ScopeKind) -> Rc<Scope> {
        Rc::new(Scope {
            parent,
            kind,
            variables: RefCell::default(),
            functions: RefCell::default(),
            listening: RefCell::default(),
            called: RefCell::default(),
        })
    }

    /// This scope and those of its callers.
    pub(crate) fn outwards(self: &Rc<Scope>) -> impl Iterator<Item = Rc<Scope>> {
        let mut next = Some(Rc::clone(self));
        std::iter::from_fn(move || {
            let scope = next.take()?;
            next.clone_from(&scope.parent);
            Some(scope)
        })
    }

    /// Tells of an error to whoever listens, here and along the callers.
    pub(crate) fn tell_error(self: &Rc<Scope>, error: &Value) {
        for scope in self.outwards() {
            if let Some(list) = &scope.listening.borrow().errors {
                list.values.borrow_mut().push(error.clone());
            }
        }
    }

    /// Tells of a warning to whoever listens, here and along the callers.
    pub(crate) fn tell_warning(self: &Rc<Scope>, text: &str) {
        for scope in self.outwards() {
            if let Some(list) = &scope.listening.borrow().warnings {
                list.values.borrow_mut().push(Value::text(text));
            }
        }
    }

    /// The nearest scope of this kind; the session's where there is none.
    pub(crate) fn nearest(self: &Rc<Scope>, kind: ScopeKind) -> Rc<Scope> {
        let mut scope = Rc::clone(self);
        while scope.kind != kind {
            let Some(parent) = scope.parent.clone() else { break };
            scope = parent;
        }
        scope
    }

    /// A variable of this scope alone.
    pub(crate) fn own(&self, name: &str) -> Option<Variable> {
        self.variables.borrow().get(&key(name)).cloned()
    }

    /// The value of the nearest variable of this name.
    pub(crate) fn find(self: &Rc<Scope>, name: &str) -> Option<Value> {
        let key = key(name);
        let mut scope = self;
        loop {
            if let Some(variable) = scope.variables.borrow().get(&key) {
                return Some(variable.value.clone());
            }
            scope = scope.parent.as_ref()?;
        }
    }

    /// Sets a variable of this scope; its type stays.
    pub(crate) fn set(&self, name: &str, value: Value) {
        let mut variables = self.variables.borrow_mut();
        match variables.get_mut(&key(name)) {
            // What was there goes after the borrow ends: it may be large, but it knows no scopes.
            Some(variable) => {
                variable.is_nothing = false;
                variable.value = value;
            }
            None => {
                let variable = Variable { name: name.into(), value, type_name: None, is_nothing: false };
                variables.insert(key(name), variable);
            }
        }
    }

    /// Says that a variable of this scope is `$null` for want of anything.
    pub(crate) fn set_nothing(&self, name: &str) {
        if let Some(variable) = self.variables.borrow_mut().get_mut(&key(name)) {
            variable.is_nothing = variable.value.is_null();
        }
    }

    /// Whether the nearest variable of this name is `$null` for want of anything.
    pub(crate) fn is_nothing(self: &Rc<Scope>, name: &str) -> bool {
        let key = key(name);
        self.outwards()
            .find_map(|scope| scope.variables.borrow().get(&key).map(|found| found.is_nothing))
            .unwrap_or(false)
    }

    /// Says what a variable of this scope is.
    pub(crate) fn set_type(&self, name: &str, type_name: Option<Rc<TypeName>>) {
        if let Some(variable) = self.variables.borrow_mut().get_mut(&key(name)) {
            variable.type_name = type_name;
        }
    }

    /// Takes a variable away.
    pub(crate) fn remove(&self, name: &str) -> Option<Variable> {
        self.variables.borrow_mut().remove(&key(name))
    }

    /// All variables of this scope.
    pub(crate) fn variables(&self) -> Vec<(String, Value)> {
        self.variables.borrow().values().map(|variable| (variable.name.to_string(), variable.value.clone())).collect()
    }

    /// A function of this scope alone.
    pub(crate) fn own_function(&self, name: &str) -> Option<Function> {
        self.functions.borrow().get(&key(name)).cloned()
    }

    /// The nearest function of this name.
    pub(crate) fn find_function(self: &Rc<Scope>, name: &str) -> Option<Function> {
        self.outwards().find_map(|scope| scope.own_function(name))
    }

    /// Defines a function.
    pub(crate) fn set_function(&self, name: &str, body: Rc<ScriptBlock>) {
        self.functions.borrow_mut().insert(key(name), (name.into(), body));
    }

    /// Takes a function away.
    pub(crate) fn remove_function(&self, name: &str) -> bool {
        self.functions.borrow_mut().remove(&key(name)).is_some()
    }

    /// The functions of this scope.
    pub(crate) fn functions(&self) -> Vec<Function> {
        self.functions.borrow().values().cloned().collect()
    }
}
