//! What verbs print: aligned tables for people, JSON for programs.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;

/// Where a verb prints to.
pub type Out<'a> = &'a mut (dyn Write + Send);

/// How to print.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// How to print: a table for people, JSON for programs
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value_t = Format::Table,
        value_name = "table|json",
        hide_possible_values = true,
        global = true
    )]
    pub format: Format,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs: names as in the .proto files, times in RFC 3339
    Json,
}

/// Something that can be printed either way.
pub trait Printable: Serialize {
    /// It as a table.
    fn table(&self) -> Table;
}

impl Output {
    /// Prints `thing`.
    pub fn print(self, out: Out<'_>, thing: &impl Printable) -> io::Result<()> {
        match self.format {
            Format::Table => out.write_all(thing.table().to_string().as_bytes())?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, thing)?;
                out.write_all(b"\n")?;
            }
        }
        out.flush()
    }
}

/// Rows of cells, as many in each row. Printed, each column is as wide as its widest cell.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Tables below this one, each aligned for itself.
    below: Vec<Table>,
}

impl Table {
    /// A table with a line of column names.
    pub fn with_header(names: &[&str]) -> Self {
        Self {
            rows: vec![names.iter().map(|name| (*name).to_owned()).collect()],
            below: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Adds a name and its value, unless the value is empty.
    pub fn field(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.row([name.to_owned(), value]);
        }
    }

    /// Adds the rows of another table.
    pub fn append(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    /// Puts another table below this one, after an empty line. One that has no rows but its names is left out.
    pub fn then(&mut self, other: Self) {
        if other.rows.len() > 1 {
            self.below.push(other);
        }
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect()
    }
}

impl std::fmt::Display for Table {
    /// Control characters become spaces, so that no stored text moves the cursor or makes a line of its own.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            let cells: Vec<_> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}").replace(char::is_control, " "))
                .collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        for table in &self.below {
            write!(f, "\n{table}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let mut table = Table::with_header(&["NAME", "STATE"]);
        table.row(["slack-7", "active"]);
        table.row(["é\n", ""]);
        assert_eq!(table.to_string(), "NAME     STATE\nslack-7  active\né\n");
    }

    #[test]
    fn an_empty_field_is_left_out() {
        let mut table = Table::default();
        table.field("state", "active");
        table.field("cause", "");
        assert_eq!(table.to_string(), "state  active\n");
    }
}
