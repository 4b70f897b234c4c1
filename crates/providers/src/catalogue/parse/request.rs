//! The table `[request]`, and what other tables have in common with it.

use std::collections::BTreeMap;

use http::HeaderName;

use super::templates;
use crate::catalogue::entry::{
    BodyFormat, ClientAuth, Method, Parameter, RequestFacts, is_header_value,
};
use crate::catalogue::section::{Located, Report, Section, pick};
use crate::catalogue::template::{Fact, Template};

/// What a table about requests may say.
pub(super) struct Words {
    pub(super) methods: &'static [(&'static str, Method)],
    pub(super) client_auths: &'static [(&'static str, ClientAuth)],
}

pub(super) const TOKEN_REQUEST: Words = Words {
    methods: &[("POST", Method::Post), ("GET", Method::Get)],
    client_auths: &ClientAuth::OF_TOKEN_REQUESTS,
};

/// What `table` says of a request; what it leaves out is as in `base`. Tables are merged, lists and single values
/// replaced.
pub(super) fn request(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    base: &RequestFacts,
    words: &Words,
) -> RequestFacts {
    let mut facts = base.clone();
    let bodies = [
        ("form", BodyFormat::Form),
        ("json", BodyFormat::Json),
        ("query", BodyFormat::Query),
    ];
    let method = table.choice(report, "method", words.methods);
    facts.method = method.unwrap_or(base.method);
    let body = table.choice(report, "body", &bodies);
    facts.body = body.unwrap_or(match method {
        Some(Method::Get) => BodyFormat::Query,
        Some(_) if base.method == Method::Get => BodyFormat::Form,
        _ => base.body,
    });
    if facts.method == Method::Get && facts.body != BodyFormat::Query {
        let why = "a GET request has no body: body must be query";
        table.problem_at(report, &["body", "method"], why);
    }
    facts.client_auth = table
        .choice(report, "client_auth", words.client_auths)
        .unwrap_or(base.client_auth);
    if let Some(separator) = table.string(report, "scope_separator") {
        facts.scope_separator = separator.value;
    }
    facts
        .names
        .extend(renamed(table, report, Parameter::BY_NAME));
    if let Some(omit) = table.strings(report, "omit") {
        facts.omit = omit
            .into_iter()
            .filter_map(|name| name.parse(report, |name| pick(&name, Parameter::BY_NAME)))
            .collect();
    }
    facts
        .parameters
        .extend(templates(table, report, "parameters", |_| None));
    for (name, value) in table.string_map(report, "headers") {
        if let Some((name, value)) = header(report, name, value) {
            facts.headers.retain(|(known, _)| *known != name);
            facts.headers.push((name, value));
        }
    }
    facts
}

/// The table `names`: other names of the standard parameters in `known`.
pub(super) fn renamed(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    known: &[(&str, Parameter)],
) -> BTreeMap<Parameter, String> {
    table
        .string_map(report, "names")
        .into_iter()
        .filter_map(|(usual, other)| {
            if other.value.is_empty() {
                report.add(
                    other.at,
                    &other.path,
                    "must be a name: omit leaves a parameter out",
                );
            }
            let usual = beside(&other, usual);
            let parameter = usual.parse(report, |name| pick(&name, known))?;
            Some((parameter, other.value))
        })
        .collect()
}

/// Headers that frame a message or direct it (RFC 9110 sections 6.4 and 7.6, RFC 9112 section 6). An entry that set
/// one would have another request arrive than the one it describes.
const OF_THE_MESSAGE: [HeaderName; 7] = [
    http::header::ACCEPT_ENCODING,
    http::header::CONNECTION,
    http::header::CONTENT_LENGTH,
    http::header::HOST,
    http::header::TE,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
];

fn header(
    report: &mut Report<'_>,
    name: String,
    value: Located<String>,
) -> Option<(HeaderName, Fact<Template>)> {
    let name =
        beside(&value, name).parse(report, |name| match HeaderName::try_from(name.as_str()) {
            Ok(name) if OF_THE_MESSAGE.contains(&name) => {
                Err("is made by whoever sends the request")
            }
            Ok(name) => Ok(name),
            Err(_) => Err("is no name of an HTTP header"),
        });
    let field = value.path.clone();
    let template = value.parse(report, |text| {
        if is_header_value(&text) {
            Template::parse(&text).map_err(|error| error.to_string())
        } else {
            Err("is no value of an HTTP header".to_owned())
        }
    });
    let value = template?;
    Some((name?, Fact { field, value }))
}

/// A key, told as standing where its value stands.
fn beside(value: &Located<String>, key: String) -> Located<String> {
    Located {
        value: key,
        at: value.at,
        path: value.path.clone(),
    }
}
