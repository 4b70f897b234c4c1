//! The key `account` of the table `[response]`.

use super::response::{pointer_text, pointers};
use crate::catalogue::entry::{AccountName, AccountNames};
use crate::catalogue::section::{Report, Section, StringOrSection};

/// What `account` says, or `usual` if it is not there.
pub(super) fn account_or(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    usual: &AccountNames,
) -> AccountNames {
    let Some(list) = table.strings_or_sections(report, "account") else {
        return usual.clone();
    };
    AccountNames(
        list.into_iter()
            .filter_map(|item| match item {
                StringOrSection::String(pointer) => Some(AccountName {
                    join: vec![pointer.parse(report, pointer_text)?],
                    with: None,
                }),
                StringOrSection::Section(name) => joined(name, report),
            })
            .collect(),
    )
}

fn joined(mut name: Section<'_>, report: &mut Report<'_>) -> Option<AccountName> {
    if !name.has("join") {
        name.missing(report, "join");
    }
    let join = name.strings(report, "join");
    if join.as_ref().is_some_and(Vec::is_empty) {
        name.problem(report, "must join one pointer or more");
    }
    let join = join.map(|list| pointers(list, report).0);
    let with = name
        .string(report, "with")
        .and_then(|pointer| pointer.parse(report, pointer_text));
    name.finish(report);
    Some(AccountName { join: join?, with })
}
