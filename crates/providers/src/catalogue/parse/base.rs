//! `base`: an entry that builds on a built-in one, and says only what differs.

use std::ops::Range;

use evergrant_core::meant::did_you_mean;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::catalogue::BUILTIN;
use crate::catalogue::places::Places;
use crate::catalogue::section::Report;

/// The table, laid over the built-in entry that its key `base` names; as it is without that key. And where all of it stands.
/// `None` if there is no such entry, which is told: what the rest lacks or contradicts cannot be known then.
///
/// Tables are merged; everything else replaces what the base has under that key. A mistake that the base makes only together
/// with what is laid over it is told at `base`.
pub(super) fn on_base<'i>(
    table: Spanned<DeTable<'i>>,
    report: &mut Report<'_>,
) -> Option<(Spanned<DeTable<'i>>, Places)> {
    let places = Places::of(table.get_ref());
    let span = table.span();
    let mut own = table.into_inner();
    let Some(base) = own.remove("base") else {
        return Some((Spanned::new(span, own), places));
    };
    let at = base.span();
    let found = match base.get_ref() {
        DeValue::String(name) => named(name),
        _ => Err("must be the name of a built-in entry".to_owned()),
    };
    match found {
        Ok(base) => {
            let mut whole = moved(base, &at);
            whole.remove("name");
            lay(own, &mut whole);
            let places = places.with_base(&whole);
            Some((Spanned::new(span, whole), places))
        }
        Err(why) => {
            report.add(at.start, "base", why);
            None
        }
    }
}

fn named(name: &str) -> Result<DeTable<'static>, String> {
    let file = format!("{name}.toml");
    let found = BUILTIN.iter().find(|(known, _)| *known == file);
    let unknown = || {
        let known = BUILTIN
            .iter()
            .map(|(file, _)| file.trim_end_matches(".toml"));
        let meant = did_you_mean(name, known.map(str::to_owned).collect());
        format!("names {name:?}, which is no built-in entry{meant}")
    };
    let (_, text) = found.ok_or_else(unknown)?;
    let table = DeTable::parse(text).expect("every built-in entry is sound");
    let table = table.into_inner();
    if table.contains_key("base") {
        return Err(format!(
            "names {name}, which builds on another entry itself"
        ));
    }
    Ok(table)
}

fn lay<'i>(over: DeTable<'i>, under: &mut DeTable<'i>) {
    for (key, value) in over {
        let (at, value) = (value.span(), value.into_inner());
        let of_base = under.remove(key.get_ref().as_ref());
        let value = match (value, of_base.map(Spanned::into_inner)) {
            (DeValue::Table(own), Some(DeValue::Table(mut of_base))) if !is_one(&of_base) => {
                lay(own, &mut of_base);
                DeValue::Table(of_base)
            }
            (own, _) => own,
        };
        under.insert(key, Spanned::new(at, value));
    }
}

/// Whether a table is one value: what an error means, or what marks a failure.
fn is_one(table: &DeTable<'_>) -> bool {
    table.contains_key("verdict") || table.contains_key("pointer")
}

/// The same as if all of it stood at one place.
fn moved(table: DeTable<'static>, at: &Range<usize>) -> DeTable<'static> {
    let to = |value: Spanned<DeValue<'static>>| Spanned::new(at.clone(), moved_value(value, at));
    table
        .into_iter()
        .map(|(key, value)| (Spanned::new(at.clone(), key.into_inner()), to(value)))
        .collect()
}

fn moved_value(value: Spanned<DeValue<'static>>, at: &Range<usize>) -> DeValue<'static> {
    match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(moved(table, at)),
        DeValue::Array(items) => {
            let items = items.into_iter();
            let moved = items.map(|item| Spanned::new(at.clone(), moved_value(item, at)));
            DeValue::Array(moved.collect())
        }
        plain => plain,
    }
}
