//! From the text of an entry to an [`Entry`], with every mistake on the way.

mod account;
mod authorize;
mod base;
mod broken;
mod calls;
mod grants;
mod keys;
mod meaning;
mod request;
mod response;
mod then;
mod times;

use std::collections::BTreeMap;

use evergrant_core::ids::ProviderName;
use http::HeaderName;
use toml::de::DeTable;
use url::Url;

use self::authorize::authorize;
use self::base::on_base;
use self::calls::{introspect, revoke, userinfo};
use self::grants::{Urls, grant_types, grants};
use self::keys::{assertion, client_assertion, openid};
use self::meaning::{errors, uncoded};
use self::request::{TOKEN_REQUEST, request};
use self::response::response;
use self::times::{lifetime, limits, renewal, rotation};
use super::coherence;
use super::entry::{Entry, RequestFacts, ResponseFacts, TokenUse, is_header_value};
use super::problem::Problem;
use super::section::{Located, Report, Section};
use super::template::{Fact, HostPattern, Template, UrlTemplate};

/// The entry in `text`, or every mistake that can be told from the text alone.
pub(super) fn parse(text: &str) -> Result<Entry, Vec<Problem>> {
    let mut report = Report::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        broken::tell(text, &errors, &mut report);
        return Err(report.finish());
    }
    let Some((table, places)) = on_base(table, &mut report) else {
        return Err(report.finish());
    };
    let entry = entry(Section::root(table), &mut report);
    if let Some(entry) = &entry {
        coherence::check(entry, &places, &mut report);
    }
    let problems = report.finish();
    match entry {
        Some(entry) if problems.is_empty() => Ok(entry),
        _ => Err(problems),
    }
}

/// With a stand-in where the name or the token URL cannot be read, which was told then, so that all else can be looked at.
fn entry(mut root: Section<'_>, report: &mut Report<'_>) -> Option<Entry> {
    for key in ["name", "token_url", "sources"] {
        if !root.has(key) {
            root.missing(report, key);
        }
    }
    let name = root
        .string(report, "name")
        .and_then(|name| name.parse(report, |name| ProviderName::parse(&name)))
        .or_else(|| ProviderName::parse("unread").ok());
    let allowed_hosts: Vec<HostPattern> = strings_once(&mut root, report, "allowed_hosts")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|host| host.parse(report, |host| HostPattern::parse(&host)))
        .collect();
    let mut url = |key: &str, report: &mut Report<'_>| url(&mut root, report, key, &allowed_hosts);
    let stand_in = || UrlTemplate::parse("https://unread.invalid/", &[]).ok();
    let token_url = url("token_url", report).or_else(stand_in);
    let refresh_url = url("refresh_url", report);
    let authorize_url = url("authorize_url", report);
    let revoke_url = url("revoke_url", report);
    let introspect_url = url("introspect_url", report);
    let userinfo_url = url("userinfo_url", report);
    let device_url = url("device_url", report);

    let placeholders = root.string_map(report, "placeholders");
    let sources = sources(&mut root, report);
    let grant_types = grant_types(&mut root, report);
    let renewable = root.boolean(report, "renewable").unwrap_or(true);
    let flaky_refusals = root.boolean(report, "flaky_refusals").unwrap_or(false);
    let single_active_token = root.boolean(report, "single_active_token").unwrap_or(false);
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
    let code_names = grants
        .as_ref()
        .map(|grants| &grants.authorization_code.request);
    let authorize = authorize(&mut root, report, code_names.unwrap_or(&request));
    let assertion = assertion(&mut root, report);
    let client_assertion = client_assertion(&mut root, report);
    let errors = errors(&mut root, report);
    let uncoded = uncoded(&mut root, report);
    let rotation = rotation(&mut root, report);
    let lifetime = lifetime(&mut root, report);
    let renewal = renewal(&mut root, report);
    let openid = openid(&mut root, report, &allowed_hosts);
    let revoke = revoke(&mut root, report, &request, &response);
    let introspect = introspect(&mut root, report, &request, &response);
    let userinfo = userinfo(&mut root, report, &request, &response);
    let limits = limits(&mut root, report);
    let token = token_use(&mut root, report);
    root.finish(report);

    Some(Entry {
        name: name?,
        token_url: token_url?,
        refresh_url,
        authorize_url,
        revoke_url,
        introspect_url,
        userinfo_url,
        device_url,
        allowed_hosts,
        placeholders: plain(&placeholders),
        sources,
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
        errors: errors.always,
        described: errors.described,
        uncoded,
        rotation,
        lifetime,
        renewal,
        openid,
        revoke,
        introspect,
        userinfo,
        limits,
        token,
    })
}

/// The documents that the facts are from: URLs, or words that say which.
fn sources(root: &mut Section<'_>, report: &mut Report<'_>) -> Vec<String> {
    let list = strings_once(root, report, "sources").unwrap_or_default();
    let list = list.into_iter();
    list.filter_map(|text| text.parse(report, source)).collect()
}

fn source(text: String) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("must name a document");
    }
    let url = Url::parse(&text);
    let is_web = |url: &Url| ["https", "http"].contains(&url.scheme()) && url.has_host();
    let is_words = text.contains(char::is_whitespace) || (url.is_err() && !text.contains("://"));
    if is_words || url.is_ok_and(|url| is_web(&url)) {
        Ok(text)
    } else {
        Err("is no URL of a document")
    }
}

/// A list of strings that are all different, and at least one.
fn strings_once(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &str,
) -> Option<Vec<Located<String>>> {
    table.refuse_empty(report, key, "must have one item or more");
    let list = table.strings(report, key)?;
    for (index, item) in list.iter().enumerate() {
        if list[..index].iter().any(|other| other.value == item.value) {
            report.add(item.at, &item.path, format!("has {:?} twice", item.value));
        }
    }
    Some(list)
}

fn url(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &str,
    allowed_hosts: &[HostPattern],
) -> Option<UrlTemplate> {
    let text = table.string(report, key)?;
    match UrlTemplate::parse(&text.value, allowed_hosts) {
        // That follows from what is wrong there.
        Err(error) if error.is_of_hosts() && report.doubts("allowed_hosts") => None,
        read => text.parse(report, |_| read),
    }
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

/// A table of texts with placeholders. `refuse` says what is wrong with a name, if anything is.
fn templates(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &str,
    refuse: impl Fn(&str) -> Option<&'static str>,
) -> BTreeMap<String, Fact<Template>> {
    let mut templates = BTreeMap::new();
    for (name, text) in table.string_map(report, key) {
        if let Some(why) = refuse(&name) {
            report.add(text.at, &text.path, why);
        }
        if let Some(template) = template(text, report) {
            templates.insert(name, template);
        }
    }
    templates
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
