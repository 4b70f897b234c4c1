//! From the text of an entry to an [`Entry`], with every mistake on the way.

mod calls;
mod grants;
mod keys;
mod meaning;
mod request;
mod response;
mod times;

use std::collections::BTreeMap;

use evergrant_core::ids::ProviderName;
use http::HeaderName;
use toml::de::DeTable;

use self::calls::{introspect, revoke};
use self::grants::{Urls, grant_types, grants};
use self::keys::{assertion, client_assertion, openid};
use self::meaning::{meanings, uncoded};
use self::request::{TOKEN_REQUEST, request};
use self::response::response;
use self::times::{lifetime, limits, renewal, rotation};
use super::entry::{
    AuthorizeFacts, Entry, GrantKind, RequestFacts, ResponseFacts, TokenUse, is_header_value,
};
use super::problem::Problem;
use super::section::{Located, Report, Section};
use super::template::{Fact, HostPattern, Template, UrlTemplate};

/// The entry in `text`, or every mistake that can be told from the text alone.
pub(super) fn parse(text: &str) -> Result<Entry, Vec<Problem>> {
    let mut report = Report::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            report.add(at, "", error.message());
        }
        return Err(report.finish());
    }
    let entry = entry(Section::root(table), &mut report);
    let problems = report.finish();
    match entry {
        Some(entry) if problems.is_empty() => Ok(entry),
        _ => Err(problems),
    }
}

fn entry(mut root: Section<'_>, report: &mut Report<'_>) -> Option<Entry> {
    for key in ["name", "token_url"] {
        if !root.has(key) {
            root.missing(report, key);
        }
    }
    let name = root
        .string(report, "name")
        .and_then(|name| name.parse(report, |name| ProviderName::parse(&name)));
    let allowed_hosts: Vec<HostPattern> = root
        .strings(report, "allowed_hosts")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|host| host.parse(report, |host| HostPattern::parse(&host)))
        .collect();
    let mut url = |key: &str, report: &mut Report<'_>| url(&mut root, report, key, &allowed_hosts);
    let token_url = url("token_url", report);
    let refresh_url = url("refresh_url", report);
    let authorize_url = url("authorize_url", report);
    let revoke_url = url("revoke_url", report);
    let introspect_url = url("introspect_url", report);
    let device_url = url("device_url", report);

    let placeholders = root.string_map(report, "placeholders");
    let sources = root.strings(report, "sources").unwrap_or_default();
    let grant_types = grant_types(&mut root, report);
    for (kind, key, missing) in [
        (GrantKind::DeviceCode, "device_url", device_url.is_none()),
        (GrantKind::JwtBearer, "assertion", !root.has("assertion")),
    ] {
        if grant_types.contains(&kind) && missing {
            root.missing(report, key);
        }
    }
    let renewable = root.boolean(report, "renewable").unwrap_or(true);
    let flaky_refusals = root.boolean(report, "flaky_refusals").unwrap_or(false);
    let single_active_token = root.boolean(report, "single_active_token").unwrap_or(false);
    let authorize = authorize(&mut root, report);
    let request = match root.section(report, "request") {
        Some(mut table) => {
            let facts = request(&mut table, report, &RequestFacts::usual(), &TOKEN_REQUEST);
            table.finish(report);
            facts
        }
        None => RequestFacts::usual(),
    };
    let response = response(&mut root, report, &ResponseFacts::usual());
    let urls = Urls {
        token: token_url.as_ref(),
        refresh: refresh_url.as_ref(),
        allowed_hosts: &allowed_hosts,
    };
    let grants = grants(&mut root, report, urls, &request, &response);
    let assertion = assertion(&mut root, report);
    let client_assertion = client_assertion(&mut root, report);
    let errors = meanings(&mut root, report, "errors");
    let uncoded = uncoded(&mut root, report);
    let rotation = rotation(&mut root, report);
    let lifetime = lifetime(&mut root, report);
    let renewal = renewal(&mut root, report);
    let openid = openid(&mut root, report, &allowed_hosts);
    let revoke = revoke(&mut root, report, &request, &response);
    let introspect = introspect(&mut root, report, &request, &response);
    let limits = limits(&mut root, report);
    let token = token_use(&mut root, report);
    root.finish(report);

    let entry = Entry {
        name: name?,
        token_url: token_url?,
        refresh_url,
        authorize_url,
        revoke_url,
        introspect_url,
        device_url,
        allowed_hosts,
        placeholders: plain(&placeholders),
        sources: sources.into_iter().map(|source| source.value).collect(),
        grant_types,
        renewable,
        flaky_refusals,
        single_active_token,
        authorize,
        request,
        grants: grants?,
        assertion,
        client_assertion,
        response,
        errors,
        uncoded,
        rotation,
        lifetime,
        renewal,
        openid,
        revoke,
        introspect,
        limits,
        token,
    };
    let used = used_placeholders(&entry);
    for (placeholder, value) in &placeholders {
        if !used.contains(&placeholder.as_str()) {
            report.add(value.at, &value.path, "is used nowhere");
        }
    }
    Some(entry)
}

fn used_placeholders(entry: &Entry) -> Vec<&str> {
    let urls = [
        &entry.authorize_url,
        &entry.revoke_url,
        &entry.introspect_url,
        &entry.device_url,
    ]
    .into_iter()
    .flatten()
    .chain(entry.grants.iter().map(|grant| &grant.url.value))
    .chain(entry.openid.iter().map(|openid| &openid.jwks_url));
    let requests = entry
        .grants
        .iter()
        .map(|grant| &grant.request)
        .chain([&entry.revoke.request, &entry.introspect.call.request]);
    let in_requests = requests.flat_map(|request| {
        let headers = request.headers.iter().map(|(_, value)| value);
        request.parameters.values().chain(headers)
    });
    let assertions = entry.assertion.iter().chain([&entry.client_assertion]);
    let in_assertions =
        assertions.flat_map(|assertion| assertion.claims.values().chain([&assertion.key_id]));
    let facts = entry.authorize.parameters.values();
    let facts = facts.chain(in_requests).chain(in_assertions);
    urls.map(UrlTemplate::template)
        .chain(facts.map(|fact| &fact.value))
        .flat_map(Template::placeholders)
        .collect()
}

fn url(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &str,
    allowed_hosts: &[HostPattern],
) -> Option<UrlTemplate> {
    table
        .string(report, key)?
        .parse(report, |url| UrlTemplate::parse(&url, allowed_hosts))
}

fn authorize(root: &mut Section<'_>, report: &mut Report<'_>) -> AuthorizeFacts {
    let mut facts = AuthorizeFacts {
        scope: "scope".to_owned(),
        scope_separator: " ".to_owned(),
        pkce: true,
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
    facts.parameters = templates(&mut table, report, "parameters");
    table.finish(report);
    facts
}

fn token_use(root: &mut Section<'_>, report: &mut Report<'_>) -> TokenUse {
    let mut token = TokenUse {
        header: "Authorization".to_owned(),
        scheme: "Bearer".to_owned(),
    };
    let Some(mut table) = root.section(report, "token") else {
        return token;
    };
    if let Some(header) = table.string(report, "header").and_then(|header| {
        header.parse(report, |name| match HeaderName::try_from(name.as_str()) {
            Ok(_) => Ok(name),
            Err(_) => Err("is no name of an HTTP header"),
        })
    }) {
        token.header = header;
    }
    if let Some(scheme) = table.string(report, "scheme").and_then(|scheme| {
        scheme.parse(report, |scheme| {
            if is_header_value(&scheme) {
                Ok(scheme)
            } else {
                Err("is no value of an HTTP header")
            }
        })
    }) {
        token.scheme = scheme;
    }
    table.finish(report);
    token
}

fn templates(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &str,
) -> BTreeMap<String, Fact<Template>> {
    table
        .string_map(report, key)
        .into_iter()
        .filter_map(|(name, text)| Some((name, template(text, report)?)))
        .collect()
}

fn template(text: Located<String>, report: &mut Report<'_>) -> Option<Fact<Template>> {
    let field = text.path.clone();
    let value = text.parse(report, |text| Template::parse(&text))?;
    Some(Fact { field, value })
}

fn plain(map: &[(String, Located<String>)]) -> BTreeMap<String, String> {
    map.iter()
        .map(|(name, value)| (name.clone(), value.value.clone()))
        .collect()
}
