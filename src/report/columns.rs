use std::fmt;

use crate::printable::one_line;

/// How much of a cell is shown, in characters.
const LONGEST_CELL: usize = 65_536;
/// A cell wider than this, in columns of a terminal, does not widen the cells above and below it: else one
/// long text among many rows would make a page of blanks.
const WIDEST_COLUMN: usize = 256;

/// A table: rows of cells, each column as wide as its widest cell.
///
/// Every cell is one line of visible text, whoever wrote it, so that no caller has to think of that.
#[derive(Debug)]
pub(super) struct Columns {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// A table without rows.
    pub(super) fn new(header: &[&str]) -> Self {
        Self {
            header: header.iter().map(|&title| title.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(super) fn add_row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter();
        let cells = cells.map(|cell| one_line(cell.as_ref(), LONGEST_CELL));
        self.rows.push(cells.collect());
    }

    /// How many rows there are, the header aside.
    pub(super) fn row_count(&self) -> usize {
        self.rows.len()
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.header.len()];
        for row in std::iter::once(&self.header).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                let own = console::measure_text_width(cell);
                if own <= WIDEST_COLUMN {
                    *width = own.max(*width);
                }
            }
        }
        widths
    }
}

/// The lines, none with spaces at its end.
impl fmt::Display for Columns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push(' ');
                line.push_str(cell);
                let missing = width.saturating_sub(console::measure_text_width(cell));
                line.extend(std::iter::repeat_n(' ', missing + 1));
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Columns::new(&["A", "B", "C"]);
        table.add_row(["one", "日本", ""]);
        table.add_row(["", "x", "last"]);
        assert_eq!(
            table.to_string(),
            " A    B     C\n one  日本\n      x     last\n"
        );
        assert_eq!(table.row_count(), 2);
    }

    #[test]
    fn a_cell_is_one_line_of_visible_text() {
        let mut table = Columns::new(&["A"]);
        table.add_row(["x\u{1b}[31m\n\u{202e}y"]);
        assert_eq!(table.to_string(), " A\n x\u{fffd}[31m \u{fffd}y\n");
    }

    #[test]
    fn one_long_cell_does_not_make_every_row_as_long() {
        let mut table = Columns::new(&["A", "B"]);
        let long = "x".repeat(100_000);
        table.add_row([long.as_str(), "1"]);
        for _ in 0..1000 {
            table.add_row(["y", "2"]);
        }
        assert!(table.to_string().len() < 80_000);
    }
}
