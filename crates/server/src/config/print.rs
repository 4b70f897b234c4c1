//! A configuration written back as TOML.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::duration;

/// A text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A list of texts as a TOML array.
pub(super) fn quoted_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<_> = texts.into_iter().map(quoted).collect();
    format!("[{}]", items.join(", "))
}

/// Writes sections and their keys in order.
#[derive(Default)]
pub(super) struct Printer(String);

impl Printer {
    /// Begins `[name]`; call it with the brackets, `[[callers]]` included.
    pub(super) fn section(&mut self, header: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(format_args!("{header}"));
    }

    /// A key and its value, which is TOML already.
    pub(super) fn raw(&mut self, key: &str, value: impl fmt::Display) {
        self.line(format_args!("{key} = {value}"));
    }

    /// A key and a text.
    pub(super) fn text(&mut self, key: &str, value: impl fmt::Display) {
        self.raw(key, quoted(&value.to_string()));
    }

    /// A key and a duration.
    pub(super) fn duration(&mut self, key: &str, value: Duration) {
        self.text(key, duration::display(value));
    }

    /// What was written.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a String takes every text");
    }
}

/// A name as a TOML key: bare if it can be, else quoted.
pub(super) fn bare(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}
