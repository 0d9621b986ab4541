//! What a session may use. Scripts run in the process of whoever calls them: the limits keep a mistake from taking the machine.

/// Bounds of one session.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the thread's stack below the point where a run begins. What is nested deeper ends the script.
    pub stack_bytes: usize,
    /// Functions and blocks that call each other.
    pub call_depth: usize,
    /// Values in one list, and those that one pipeline yields at once.
    pub list_length: usize,
    /// Bytes of one text.
    pub text_bytes: usize,
    /// Bytes of all values that variables and running pipelines hold, about.
    pub memory_bytes: usize,
    /// Bytes of one file that is read.
    pub file_bytes: usize,
}

impl Limits {
    /// Stack that is left alone: the parser and the commands work beyond the evaluator's last check.
    pub const STACK_RESERVE_BYTES: usize = 1 << 20;

    /// The usual limits on a thread that has this much stack. A call of a function takes up to 60 KiB in an unoptimised build:
    /// give at least 64 MiB where scripts of others run.
    pub fn for_stack(bytes: usize) -> Limits {
        Limits { stack_bytes: bytes.saturating_sub(Limits::STACK_RESERVE_BYTES), ..Limits::default() }
    }
}

impl Default for Limits {
    /// For a thread of Rust's usual 2 MiB.
    fn default() -> Limits {
        Limits {
            stack_bytes: 1 << 20,
            call_depth: 1_000,
            list_length: 10_000_000,
            text_bytes: 256 << 20,
            memory_bytes: 2 << 30,
            file_bytes: 256 << 20,
        }
    }
}
