//! Lists of strings and tables.

use toml::de::DeValue;

use super::{Located, Report, Section, StringOrSection, string};

impl<'i> Section<'i> {
    /// A list of strings and tables. A single one is a list of one.
    pub(in crate::catalogue) fn strings_or_sections(
        &mut self,
        report: &mut Report<'_>,
        key: &str,
    ) -> Option<Vec<StringOrSection<'i>>> {
        let field = self.take(key)?;
        let items: Vec<(usize, DeValue<'i>)> = match field.value {
            DeValue::Array(items) => items
                .into_iter()
                .map(|item| (item.span().start, item.into_inner()))
                .collect(),
            one => vec![(field.at, one)],
        };
        let read = |(at, value)| {
            let path = field.path.clone();
            match value {
                DeValue::Table(table) => {
                    Some(StringOrSection::Section(Section::new(path, at, table)))
                }
                value => string(Located { value, at, path }, report).map(StringOrSection::String),
            }
        };
        Some(items.into_iter().filter_map(read).collect())
    }
}
