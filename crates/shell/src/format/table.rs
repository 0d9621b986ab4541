//! Rows under a header, as Format-Table lays them out.

use super::width;

/// On which side the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Left.
    Left,
    /// Right, as numbers do.
    Right,
    /// In the middle.
    Center,
}

/// One column.
#[derive(Clone, Debug)]
pub struct TableColumn {
    /// Its header.
    pub title: String,
    /// Its side; `None`: numbers right, all else left.
    pub align: Option<Align>,
    /// Its width, where somebody said one.
    pub width: Option<usize>,
}

/// A table.
#[derive(Debug, Default)]
pub struct TablePage {
    /// What Format-Table's `-GroupBy` says over the rows.
    pub group: Option<String>,
    /// The columns.
    pub columns: Vec<TableColumn>,
    /// The cells of each row, and whether a cell is a number.
    pub rows: Vec<Vec<(String, bool)>>,
    /// `-HideTableHeaders`.
    pub hides_headers: bool,
    /// `-Wrap`: cells that are too long go on in the next line.
    pub wraps: bool,
}

/// Columns between two columns.
const GAP: usize = 1;
/// A column that gives way keeps at least so many.
const WIDTH_LEAST: usize = 5;

impl TablePage {
    pub(super) fn text(&self, columns: usize) -> String {
        if self.columns.is_empty() {
            return String::new();
        }
        let widths = self.widths(columns);
        let is_right: Vec<bool> = (0..self.columns.len()).map(|at| self.is_right(at)).collect();
        let mut out = String::from("\n");
        if let Some(group) = &self.group {
            out += &format!("   {group}\n\n");
        }
        if !self.hides_headers {
            let titles: Vec<String> =
                self.columns.iter().zip(&widths).map(|(column, width)| width::cut(&column.title, *width)).collect();
            self.line(&mut out, &titles, &widths, &is_right);
            let dashes: Vec<String> = titles.iter().map(|title| "-".repeat(width::columns(title))).collect();
            self.line(&mut out, &dashes, &widths, &is_right);
        }
        for row in &self.rows {
            let wrapped: Vec<Vec<String>> = row
                .iter()
                .zip(&widths)
                .map(|((cell, _), width)| {
                    if self.wraps {
                        width::wrap(cell, *width)
                    } else {
                        vec![width::cut(&cell.replace(['\r', '\n'], " "), *width)]
                    }
                })
                .collect();
            let height = wrapped.iter().map(Vec::len).max().unwrap_or(1);
            for number in 0..height {
                let cells: Vec<String> =
                    wrapped.iter().map(|lines| lines.get(number).cloned().unwrap_or_default()).collect();
                self.line(&mut out, &cells, &widths, &is_right);
            }
        }
        out.push('\n');
        out
    }

    fn line(&self, out: &mut String, cells: &[String], widths: &[usize], is_right: &[bool]) {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                line += &" ".repeat(GAP);
            }
            line += &match self.columns[at].align {
                Some(Align::Center) => {
                    let room = widths[at].saturating_sub(width::columns(cell));
                    width::padded(&format!("{}{cell}", " ".repeat(room / 2)), widths[at], false)
                }
                _ => width::padded(cell, widths[at], is_right[at]),
            };
        }
        *out += line.trim_end();
        out.push('\n');
    }

    /// A column whose cells are all numbers stands right, empty ones aside.
    fn is_right(&self, at: usize) -> bool {
        match self.columns[at].align {
            Some(align) => align == Align::Right,
            None => {
                let mut cells =
                    self.rows.iter().filter_map(|row| row.get(at)).filter(|(text, _)| !text.is_empty()).peekable();
                cells.peek().is_some() && cells.all(|(_, is_number)| *is_number)
            }
        }
    }

    fn widths(&self, columns: usize) -> Vec<usize> {
        let content = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            let widest = cells.map(|(cell, _)| cell.split('\n').map(width::columns).max().unwrap_or(0)).max();
            let title = if self.hides_headers { 0 } else { width::columns(&self.columns[at].title) };
            widest.unwrap_or(0).max(title).max(1)
        };
        let mut widths: Vec<usize> =
            (0..self.columns.len()).map(|at| self.columns[at].width.unwrap_or_else(|| content(at))).collect();
        let room = columns.saturating_sub(GAP * (widths.len() - 1));
        // The widest give way until all fit: found by the height of a water level, not by taking away one at a time.
        if widths.iter().sum::<usize>() > room {
            let mut level = room;
            while level > WIDTH_LEAST && widths.iter().map(|width| (*width).min(level)).sum::<usize>() > room {
                level -= 1;
            }
            let mut spare = room.saturating_sub(widths.iter().map(|width| (*width).min(level)).sum());
            for width in &mut widths {
                if *width > level {
                    // What the level left over goes to the first that gave way.
                    let more = spare.min(*width - level);
                    *width = level + more;
                    spare -= more;
                }
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[&[&str]]) -> TablePage {
        let columns =
            rows[0].iter().map(|title| TableColumn { title: (*title).to_owned(), align: None, width: None }).collect();
        let cell = |text: &&str| ((*text).to_owned(), text.parse::<f64>().is_ok());
        let rows = rows[1..].iter().map(|row| row.iter().map(cell).collect()).collect();
        TablePage { columns, rows, ..TablePage::default() }
    }

    #[test]
    fn columns_fit_their_content_and_numbers_stand_right() {
        assert_eq!(
            table(&[&["Name", "Count"], &["Relay", "7"], &["A longer name", "12"]]).text(80),
            "\nName          Count\n----          -----\nRelay             7\nA longer name    12\n\n"
        );
    }

    #[test]
    fn the_widest_columns_give_way() {
        let page = table(&[&["Identity", "Bindings"], &["Relay", "{0.0.0.0:25, 0.0.0.0:587}"]]);
        assert_eq!(page.text(25), "\nIdentity Bindings\n-------- --------\nRelay    {0.0.0.0:25, ...\n\n");
        let page = TablePage { wraps: true, ..table(&[&["A", "B"], &["x", "one two three"]]) };
        assert_eq!(page.text(9), "\nA B\n- -\nx one two\n  three\n\n");
        let many: Vec<&str> = vec!["column"; 30];
        let page = table(&[&many, &many]);
        assert_eq!(page.text(20).lines().count(), 5);
    }
}
