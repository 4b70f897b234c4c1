//! The table `[authorize]`.

use std::collections::BTreeMap;

use super::request::renamed;
use super::templates;
use crate::catalogue::entry::{AuthorizeFacts, Parameter, RequestFacts};
use crate::catalogue::section::{Report, Section};

/// The standard parameters of the authorization URL that have other names at some providers.
const NAMED: [(&str, Parameter); 2] = [
    ("client_id", Parameter::ClientId),
    ("redirect_uri", Parameter::RedirectUri),
];

/// `code` is the request that redeems the code: what is named otherwise there is taken to be so here, unless it says
/// otherwise.
pub(super) fn authorize(
    root: &mut Section<'_>,
    report: &mut Report<'_>,
    code: &RequestFacts,
) -> AuthorizeFacts {
    let name = |parameter| code.name_of(parameter).to_owned();
    let mut facts = AuthorizeFacts {
        scope: "scope".to_owned(),
        scope_separator: " ".to_owned(),
        pkce: true,
        client_id: name(Parameter::ClientId),
        redirect_uri: name(Parameter::RedirectUri),
        parameters: BTreeMap::new(),
    };
    let Some(mut table) = root.section(report, "authorize") else {
        return facts;
    };
    if let Some(scope) = table.string(report, "scope") {
        facts.scope = scope.value;
    }
    if let Some(separator) = table.string(report, "scope_separator") {
        facts.scope_separator = separator.value;
    }
    facts.pkce = table.boolean(report, "pkce").unwrap_or(true);
    for (parameter, name) in renamed(&mut table, report, &NAMED) {
        match parameter {
            Parameter::ClientId => facts.client_id = name,
            _ => facts.redirect_uri = name,
        }
    }
    facts.parameters = templates(&mut table, report, "parameters", |name| {
        let why = "is made by whoever sends the user";
        facts.is_of_protocol(name).then_some(why)
    });
    table.finish(report);
    facts
}
