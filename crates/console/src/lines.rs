//! The lines in which two documents differ, as `diff -u` writes them, for a page.

/// Lines on a page; more are counted.
const LINES_MAX: usize = 400;

/// A difference.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Its lines.
    pub shown: Vec<Line>,
    /// How many more there are.
    pub more: usize,
}

/// One line of a difference.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// It comes.
    Came(String),
    /// It goes.
    Went(String),
    /// It stays, or says where the next lines stand.
    Stays(String),
}

impl Lines {
    /// Reads a difference.
    pub fn of(difference: &str) -> Lines {
        let line = |line: &str| match line.chars().next() {
            Some('+') => Line::Came(line.to_owned()),
            Some('-') => Line::Went(line.to_owned()),
            _ => Line::Stays(line.to_owned()),
        };
        let shown: Vec<Line> = difference.lines().take(LINES_MAX).map(line).collect();
        Lines { more: difference.lines().count() - shown.len(), shown }
    }

    /// Whether the documents are the same.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_come_and_go_are_told_apart_and_many_are_counted() {
        let lines = Lines::of("@@ -1,2 +1,2 @@\n same\n-old\n+new\n");
        let [Line::Stays(_), Line::Stays(_), Line::Went(old), Line::Came(new)] = &lines.shown[..] else {
            panic!("{lines:?}")
        };
        assert_eq!((old.as_str(), new.as_str()), ("-old", "+new"));
        assert_eq!(Lines::of(&"+x\n".repeat(LINES_MAX + 3)).more, 3);
        assert!(Lines::of("").is_empty());
    }
}
