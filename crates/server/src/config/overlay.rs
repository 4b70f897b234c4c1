//! What the environment and the command line lay over the file.

use zeroize::Zeroizing;

use super::document::{Node, Table, Value};
use super::error::{ConfigError, Origin};

const PREFIX: &str = "EVERGRANT__";

/// A value given on the command line, which wins over file and environment.
#[derive(Debug, Clone)]
pub struct Override {
    /// Dotted path of the key, e.g. `server.listen`.
    pub key: &'static str,
    /// The value.
    pub value: String,
    /// The argument that gave it, e.g. `--listen`.
    pub argument: &'static str,
}

/// Lays every variable named `EVERGRANT__SECTION__KEY` over `root`; other variables are not ours.
///
/// Each part between double underscores names a key without regard to case, and an underscore also stands
/// for the characters that a variable's name cannot have: `SLACK_MAIN` names `slack-main` if that is there. If
/// nothing of that name is there, the part in lower case becomes a new key; if two things are, the variable is
/// refused. In a list the part is a position, from 0; the position after the last adds an item.
pub(super) fn lay_environment<'a>(
    root: &mut Table,
    variables: impl Iterator<Item = (&'a String, &'a Zeroizing<String>)>,
) -> Result<(), ConfigError> {
    for (name, value) in variables {
        if let Some(path) = name.strip_prefix(PREFIX) {
            let origin = Origin::Environment(name.as_str().into());
            let parts: Vec<_> = path.split("__").map(str::to_ascii_lowercase).collect();
            lay(root, &parts, value, &origin)?;
        }
    }
    Ok(())
}

/// Lays the command line's values over `root`.
pub(super) fn lay_arguments(root: &mut Table, overrides: Vec<Override>) -> Result<(), ConfigError> {
    for given in overrides {
        let parts: Vec<_> = given.key.split('.').map(str::to_owned).collect();
        let origin = Origin::Argument(given.argument);
        lay(root, &parts, &given.value, &origin)?;
    }
    Ok(())
}

fn lay(
    table: &mut Table,
    parts: &[String],
    value: &str,
    origin: &Origin,
) -> Result<(), ConfigError> {
    let (part, rest) = parts.split_first().expect("split gives at least one part");
    if part.is_empty() {
        let why = "names no key: sections and keys are divided by exactly two underscores";
        return Err(ConfigError::new(
            "",
            format!("{origin} {why}"),
            Origin::Default,
        ));
    }
    let key = match existing(table, part, origin)? {
        Some(key) => key,
        None => part.clone(),
    };
    let node = table.entry(key).or_insert_with(|| empty(origin));
    lay_node(node, rest, value, origin)
}

fn lay_node(
    node: &mut Node,
    rest: &[String],
    value: &str,
    origin: &Origin,
) -> Result<(), ConfigError> {
    let Some(part) = rest.first() else {
        node.value = Value::Text(value.to_owned().into());
        node.origin = origin.clone();
        return Ok(());
    };
    if let Value::List(items) = &mut node.value {
        let Some(at) = part.parse::<usize>().ok().filter(|at| *at <= items.len()) else {
            let why = format!(
                "{origin} names no item of a list: {part:?} is not a position from 0 to {}",
                items.len()
            );
            return Err(ConfigError::new("", why, Origin::Default));
        };
        if at == items.len() {
            items.push(empty(origin));
        }
        return lay_node(&mut items[at], &rest[1..], value, origin);
    }
    if !matches!(node.value, Value::Table(_)) {
        *node = empty(origin);
    }
    match &mut node.value {
        Value::Table(table) => lay(table, rest, value, origin),
        _ => unreachable!("it was made a table above"),
    }
}

fn empty(origin: &Origin) -> Node {
    Node {
        value: Value::Table(Table::new()),
        origin: origin.clone(),
    }
}

/// The key of `table` that `part` means.
fn existing(table: &Table, part: &str, origin: &Origin) -> Result<Option<String>, ConfigError> {
    let mut meant = table.keys().filter(|key| spelled(key) == spelled(part));
    match (meant.next(), meant.next()) {
        (Some(one), Some(other)) => {
            let why = format!("{origin} is ambiguous: it names both {one:?} and {other:?}");
            Err(ConfigError::new("", why, Origin::Default))
        }
        (found, _) => Ok(found.cloned()),
    }
}

/// How a key is spelled in the name of a variable, in lower case.
fn spelled(key: &str) -> String {
    key.chars()
        .map(|letter| match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => letter,
            _ => '_',
        })
        .collect()
}
