//! The arguments of a method, read as what it wants.

use crate::convert;
use crate::fault::{Category, Fault};
use crate::value::Value;

/// The arguments of one call.
pub(super) struct Arguments<'a> {
    /// The method's name, as written.
    pub method: &'a str,
    /// What was given.
    pub values: &'a [Value],
}

impl<'a> Arguments<'a> {
    /// At least so many.
    pub fn need(&self, least: usize) -> Result<&'a [Value], Fault> {
        if self.values.len() >= least {
            return Ok(self.values);
        }
        let mut fault = Fault::new(
            Category::InvalidOperation,
            format!(
                "Cannot find an overload for \"{}\" and the argument count: \"{}\".",
                self.method,
                self.values.len()
            ),
        );
        fault.exception = "System.Management.Automation.MethodException";
        Err(fault)
    }

    /// The argument at a place, as text.
    pub fn text(&self, at: usize) -> Result<String, Fault> {
        Ok(convert::text(&self.need(at + 1)?[at]))
    }

    /// The argument at a place, as a whole number.
    pub fn int(&self, at: usize) -> Result<i64, Fault> {
        convert::integer(&self.need(at + 1)?[at])
    }

    /// The argument at a place, as a number of characters or values: not negative.
    pub fn size(&self, at: usize) -> Result<usize, Fault> {
        let number = self.int(at)?;
        usize::try_from(number).map_err(|_| out_of_range(&format!("{number} is less than zero")))
    }

    /// The argument at a place, as a fraction.
    pub fn float(&self, at: usize) -> Result<f64, Fault> {
        let value = &self.need(at + 1)?[at];
        match convert::number(value) {
            Some(number) => Ok(convert::as_float(&number)),
            None => Err(convert::cannot_convert(value, "System.Double", None)),
        }
    }

    /// Whether one of the arguments from `at` on is a comparison that ignores case, as `OrdinalIgnoreCase` or `$true`.
    pub fn ignores_case(&self, at: usize) -> bool {
        self.values.iter().skip(at).any(|value| match value {
            Value::Bool(is) => *is,
            Value::Text(name) => name.to_ascii_lowercase().ends_with("ignorecase"),
            _ => false,
        })
    }
}

/// The error for an index or length that a value does not have.
pub(super) fn out_of_range(what: &str) -> Fault {
    let mut fault = Fault::new(
        Category::InvalidArgument,
        format!("Specified argument was out of the range of valid values: {what}."),
    );
    fault.exception = "System.ArgumentOutOfRangeException";
    fault
}

/// The error for an argument that cannot be used.
pub(super) fn invalid(what: impl Into<String>) -> Fault {
    let mut fault = Fault::new(Category::InvalidArgument, what);
    fault.exception = "System.ArgumentException";
    fault
}
