//! What lies between the pipeline language and the machine that its user sits at: terminal, files, environment, Ctrl-C.
//!
//! Modules stand in reading order; each uses only modules listed below it.

mod console;
mod editor;
mod completion;
mod files;
mod environment;
mod paint;
mod host_names;
mod peer;
mod submission;
mod letter;
mod cancel;

pub use cancel::Cancel;
pub use completion::{Offer, Offers, Wanted};
pub use console::{Console, Manners};
pub use editor::{Editor, Typed};
pub use environment::Windows;
