//! The table `[request]`.

use std::collections::BTreeMap;

use http::HeaderName;

use super::templates;
use crate::catalogue::entry::{
    BodyFormat, ClientAuth, Method, Parameter, RequestFacts, is_header_value,
};
use crate::catalogue::section::{Located, Report, Section, pick};
use crate::catalogue::template::Template;

pub(super) fn request(root: &mut Section<'_>, report: &mut Report<'_>) -> RequestFacts {
    let mut facts = RequestFacts {
        method: Method::Post,
        body: BodyFormat::Form,
        client_auth: ClientAuth::Body,
        grant_type: "refresh_token".to_owned(),
        names: BTreeMap::new(),
        omit: Vec::new(),
        parameters: BTreeMap::new(),
        headers: Vec::new(),
    };
    let Some(mut table) = root.section(report, "request") else {
        return facts;
    };
    let methods = [("POST", Method::Post), ("GET", Method::Get)];
    let bodies = [
        ("form", BodyFormat::Form),
        ("json", BodyFormat::Json),
        ("query", BodyFormat::Query),
    ];
    let body_stated = table.has("body");
    facts.method = table
        .choice(report, "method", &methods)
        .unwrap_or(facts.method);
    facts.body = table.choice(report, "body", &bodies).unwrap_or(facts.body);
    if facts.method == Method::Get {
        if !body_stated {
            facts.body = BodyFormat::Query;
        } else if facts.body != BodyFormat::Query {
            table.problem(report, "a GET request has no body: body must be query");
        }
    }
    facts.client_auth = client_auth(&mut table, report).unwrap_or(facts.client_auth);
    if let Some(grant_type) = table.string(report, "grant_type") {
        facts.grant_type = grant_type.value;
    }
    for (name, other) in table.string_map(report, "names") {
        if let Some(parameter) = (Located {
            value: name,
            ..at(&other)
        })
        .parse(report, |name| pick(&name, &Parameter::BY_NAME))
        {
            facts.names.insert(parameter, other.value);
        }
    }
    facts.omit = table
        .strings(report, "omit")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|name| name.parse(report, |name| pick(&name, &Parameter::BY_NAME)))
        .collect();
    facts.parameters = templates(&mut table, report, "parameters");
    for (name, value) in table.string_map(report, "headers") {
        facts.headers.extend(header(report, name, value));
    }
    table.finish(report);
    facts
}

fn client_auth(table: &mut Section<'_>, report: &mut Report<'_>) -> Option<ClientAuth> {
    let words = [
        ("body", ClientAuth::Body),
        ("basic", ClientAuth::Basic),
        ("basic_raw", ClientAuth::BasicRaw),
        ("none", ClientAuth::None),
        ("bearer_refresh_token", ClientAuth::BearerRefreshToken),
    ];
    table
        .string(report, "client_auth")?
        .parse(report, |word| match word.as_str() {
            "private_key_jwt" => Err("private_key_jwt is not available yet".to_owned()),
            _ => pick(&word, &words),
        })
}

fn header(
    report: &mut Report<'_>,
    name: String,
    value: Located<String>,
) -> Option<(HeaderName, Template)> {
    let place = at(&value);
    let name = Located {
        value: name,
        ..place
    }
    .parse(report, |name| {
        HeaderName::try_from(name.as_str()).map_err(|_| "is no name of an HTTP header")
    });
    let template = value.parse(report, |text| {
        if is_header_value(&text) {
            Template::parse(&text).map_err(|error| error.to_string())
        } else {
            Err("is no value of an HTTP header".to_owned())
        }
    });
    Some((name?, template?))
}

fn at(other: &Located<String>) -> Located<String> {
    Located {
        value: String::new(),
        at: other.at,
        path: other.path.clone(),
    }
}
