//! Aligned columns.

use std::io::{self, Write};

/// Rows whose widths are settled together. Later rows may widen a column but wait for no more than
/// this: the first page of a million routes is on the screen at once.
const BLOCK: usize = 1_000;

/// A table on its way to a writer.
pub struct Table<'a, W> {
    out: &'a mut W,
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl<'a, W: Write> Table<'a, W> {
    /// A table whose first line is `header`.
    pub fn new(out: &'a mut W, header: &[&str]) -> Table<'a, W> {
        let header: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
        let widths = header.iter().map(|title| title.chars().count()).collect();
        Table { out, widths, rows: vec![header] }
    }

    /// A table without a header line, for names and their values.
    pub fn headless(out: &'a mut W) -> Table<'a, W> {
        Table { out, widths: vec![], rows: vec![] }
    }

    /// Adds a row. An empty cell stands as `-`, so that columns can be counted.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) -> io::Result<()> {
        let cells: Vec<String> = cells.into_iter().map(|cell| printable(cell.into())).collect();
        self.widths.resize(self.widths.len().max(cells.len()), 0);
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
        if self.rows.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    /// Writes what is left.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        for row in self.rows.drain(..) {
            let last = row.len().saturating_sub(1);
            for (column, (cell, &width)) in row.iter().zip(&self.widths).enumerate() {
                if column == last {
                    writeln!(self.out, "{cell}")?;
                } else {
                    write!(self.out, "{cell:width$}  ")?;
                }
            }
        }
        Ok(())
    }
}

/// A cell as it may be shown. Peers choose some of these texts (RFC 9003 §2), and what they write
/// must neither drive the reader's terminal nor break the line.
fn printable(cell: String) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    if !cell.chars().any(char::is_control) {
        return cell;
    }
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    cell.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_the_last_is_not_padded() {
        let mut out = vec![];
        let mut table = Table::new(&mut out, &["A", "LONG", "B"]);
        table.row(["wide", "1", "x"]).unwrap();
        table.row(["é", "", "yy"]).unwrap();
        table.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A     LONG  B\nwide  1     x\né     -     yy\n");
    }

    #[test]
    fn a_cell_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc".to_owned()), "a\\u{1b}[2Jb\\nc");
    }

    #[test]
    fn a_long_table_is_written_before_it_ends() {
        let mut out = vec![];
        let mut table = Table::headless(&mut out);
        for _ in 0..=BLOCK {
            table.row(["x"]).unwrap();
        }
        assert_eq!(table.out.len(), 2 * BLOCK);
        table.finish().unwrap();
        assert_eq!(out.len(), 2 * BLOCK + 2);
    }
}
