//! From the text of an entry to an [`Entry`], with every mistake on the way.

mod meaning;
mod request;
mod response;

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::grant::GrantType;
use evergrant_core::ids::ProviderName;
use evergrant_core::provider::Rotation;
use http::HeaderName;
use toml::de::DeTable;

use self::meaning::{meanings, uncoded};
use self::request::request;
use self::response::response;
use super::entry::{Entry, Lifetime, TokenUse, is_header_value};
use super::problem::Problem;
use super::section::{Located, Report, Section};
use super::template::{HostPattern, Template, UrlTemplate};

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
    let mut url = |key: &str, report: &mut Report<'_>| {
        root.string(report, key)?
            .parse(report, |url| UrlTemplate::parse(&url, &allowed_hosts))
    };
    let token_url = url("token_url", report);
    let refresh_url = url("refresh_url", report);
    let authorize_url = url("authorize_url", report);
    let revoke_url = url("revoke_url", report);

    let authorize_parameters = templates(&mut root, report, "authorize_parameters");
    let placeholders = root.string_map(report, "placeholders");
    let sources = root.strings(report, "sources").unwrap_or_default();
    let grant_types = grant_types(&mut root, report);
    let renewable = root.boolean(report, "renewable").unwrap_or(true);
    let flaky_refusals = root.boolean(report, "flaky_refusals").unwrap_or(false);
    let request = request(&mut root, report);
    let response = response(&mut root, report);
    let errors = meanings(&mut root, report, "errors");
    let uncoded = uncoded(&mut root, report);
    let rotation = rotation(&mut root, report);
    let lifetime = lifetime(&mut root, report);
    let token = token_use(&mut root, report);
    root.finish(report);

    let urls = [&token_url, &refresh_url, &authorize_url, &revoke_url];
    let used: Vec<&str> = urls
        .into_iter()
        .flatten()
        .map(UrlTemplate::template)
        .chain(authorize_parameters.values())
        .chain(request.parameters.values())
        .chain(request.headers.iter().map(|(_, value)| value))
        .flat_map(Template::placeholders)
        .collect();
    for (placeholder, value) in &placeholders {
        if !used.contains(&placeholder.as_str()) {
            report.add(value.at, &value.path, "is used nowhere");
        }
    }

    Some(Entry {
        name: name?,
        token_url: token_url?,
        refresh_url,
        authorize_url,
        authorize_parameters,
        revoke_url,
        allowed_hosts,
        placeholders: plain(placeholders),
        sources: sources.into_iter().map(|source| source.value).collect(),
        grant_types,
        renewable,
        flaky_refusals,
        request,
        response,
        errors,
        uncoded,
        rotation,
        lifetime,
        token,
    })
}

fn grant_types(root: &mut Section<'_>, report: &mut Report<'_>) -> Vec<GrantType> {
    let Some(words) = root.strings(report, "grant_types") else {
        return vec![GrantType::AuthorizationCode, GrantType::Static];
    };
    let read = |word: String| match word.as_str() {
        "authorization_code" => Ok(GrantType::AuthorizationCode),
        "static" => Ok(GrantType::Static),
        "client_credentials" | "jwt_bearer" => Err(format!("{word} is not available yet")),
        _ => Err(format!(
            "must be one of authorization_code, static, not {word:?}"
        )),
    };
    words
        .into_iter()
        .filter_map(|word| word.parse(report, read))
        .collect()
}

fn rotation(root: &mut Section<'_>, report: &mut Report<'_>) -> Rotation {
    let Some(mut table) = root.section(report, "rotation") else {
        // The careful assumption: a refresh token may be spent by its first use.
        return Rotation::SingleUse;
    };
    let words = [
        ("none", Rotation::None),
        ("rotates", Rotation::Rotates),
        ("single_use", Rotation::SingleUse),
        ("grace", Rotation::Grace(Duration::ZERO)),
    ];
    if !table.has("mode") {
        table.missing(report, "mode");
    }
    let mode = table.choice(report, "mode", &words);
    let grace = table.duration(report, "grace");
    let rotation = match (mode, &grace) {
        (Some(Rotation::Grace(_)), Some(grace)) if !grace.value.is_zero() => {
            Rotation::Grace(grace.value)
        }
        (Some(Rotation::Grace(_)), _) => {
            table.problem(report, "the mode grace needs a grace of more than 0s");
            Rotation::SingleUse
        }
        (Some(mode), None) => mode,
        (Some(mode), Some(grace)) => {
            if !grace.value.is_zero() {
                report.add(grace.at, &grace.path, "belongs to the mode grace alone");
            }
            mode
        }
        (None, _) => Rotation::SingleUse,
    };
    table.finish(report);
    rotation
}

fn lifetime(root: &mut Section<'_>, report: &mut Report<'_>) -> Lifetime {
    let Some(mut table) = root.section(report, "lifetime") else {
        return Lifetime::default();
    };
    let mut read = |key: &str, report: &mut Report<'_>| {
        let lifetime = table.duration(report, key)?;
        if lifetime.value.is_zero() {
            report.add(lifetime.at, &lifetime.path, "must be more than 0");
        }
        Some(lifetime.value)
    };
    let lifetime = Lifetime {
        access_token: read("access_token", report),
        refresh_token: read("refresh_token", report),
    };
    table.finish(report);
    lifetime
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
) -> BTreeMap<String, Template> {
    table
        .string_map(report, key)
        .into_iter()
        .filter_map(|(name, text)| Some((name, text.parse(report, |text| Template::parse(&text))?)))
        .collect()
}

fn plain(map: Vec<(String, Located<String>)>) -> BTreeMap<String, String> {
    map.into_iter()
        .map(|(name, value)| (name, value.value))
        .collect()
}
