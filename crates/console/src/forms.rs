//! What each form needs: asked before a form is shown, and again before one is read.
//!
//! The commands of the registry say which role they need; a form needs what its command needs. The gate decides when the
//! command is run: this keeps people from filling in what is refused afterwards.

use std::collections::BTreeMap;

use gatepost_manage::command;
use gatepost_policy::role::Role;

/// One form.
pub struct Form {
    route: String,
    role: Role,
    is_whole_page: bool,
}

impl Form {
    /// The form that is sent to `route`, as `/receive-connectors/{name}`, and runs this command.
    ///
    /// # Panics
    /// Where the registry has no such command: a mistake of ours, which a test finds.
    pub fn running(route: impl Into<String>, command: &str) -> Form {
        let entry = command::find(command).unwrap_or_else(|| panic!("the registry has no {command}"));
        Form::needing(route, entry.role)
    }

    /// The form of a call that is no command.
    pub fn needing(route: impl Into<String>, role: Role) -> Form {
        Form { route: route.into(), role, is_whole_page: false }
    }

    /// The same, where there is nothing but the form on its page: then the page is refused, too.
    pub fn whole_page(self) -> Form {
        Form { is_whole_page: true, ..self }
    }
}

/// All of them, by route. A form that is not among them is everybody's, as far as its page goes.
pub struct Forms(BTreeMap<String, Form>);

impl Forms {
    /// These.
    pub fn of(forms: impl IntoIterator<Item = Form>) -> Forms {
        Forms(forms.into_iter().map(|form| (form.route.clone(), form)).collect())
    }

    /// What whoever sends the form of this route needs.
    pub fn to_send(&self, route: &str) -> Option<Role> {
        self.0.get(route).map(|form| form.role)
    }

    /// What whoever looks at the page of this route needs, because there is nothing but a form on it.
    pub fn to_see(&self, route: &str) -> Option<Role> {
        self.0.get(route).filter(|form| form.is_whole_page).map(|form| form.role)
    }
}
