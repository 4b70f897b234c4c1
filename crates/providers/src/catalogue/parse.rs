//! From the text of an entry to an [`Entry`], with every mistake on the way.

use std::collections::BTreeMap;

use evergrant_core::grant::{GrantType, InvalidationReason};
use evergrant_core::ids::ProviderName;
use evergrant_core::provider::{Rotation, Verdict};
use http::HeaderName;
use toml::de::DeTable;

use super::entry::{
    BodyFormat, ClientAuth, Entry, FailureRule, FailureSign, Lifetime, Method, Parameter, Pointers,
    RequestFacts, ResponseFacts, TokenUse, is_header_value,
};
use super::problem::Problem;
use super::section::{Located, Report, Section, StringOrSection, pick};
use super::template::{HostPattern, Template, UrlTemplate};
use crate::classify::Meaning;

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

fn request(root: &mut Section<'_>, report: &mut Report<'_>) -> RequestFacts {
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

fn response(root: &mut Section<'_>, report: &mut Report<'_>) -> ResponseFacts {
    let mut table = root.section(report, "response");
    let mut read = |key: &str, usual: &[&str], report: &mut Report<'_>| {
        table
            .as_mut()
            .and_then(|table| table.strings(report, key))
            .map_or_else(
                || Pointers(usual.iter().map(|pointer| (*pointer).to_owned()).collect()),
                |list| pointers(list, report),
            )
    };
    let mut facts = ResponseFacts {
        access_token: read("access_token", &["/access_token", "/accessToken"], report),
        refresh_token: read(
            "refresh_token",
            &["/refresh_token", "/refreshToken"],
            report,
        ),
        token_type: read("token_type", &["/token_type", "/tokenType"], report),
        scope: read("scope", &["/scope", "/scopes"], report),
        expires_in: read(
            "expires_in",
            &["/expires_in", "/expiresIn", "/expireIn", "/expire"],
            report,
        ),
        expires_at: read(
            "expires_at",
            &["/expires_at", "/expires_on", "/expiresAt"],
            report,
        ),
        refresh_expires_in: read(
            "refresh_expires_in",
            &[
                "/refresh_token_expires_in",
                "/x_refresh_token_expires_in",
                "/refresh_expires_in",
            ],
            report,
        ),
        refresh_expires_at: read("refresh_expires_at", &["/refresh_token_expires_at"], report),
        error: read(
            "error",
            &[
                "/error/code",
                "/error",
                "/error/type",
                "/errcode",
                "/error_code",
                "/errorCode",
                "/code",
                "/reason",
            ],
            report,
        ),
        error_description: read(
            "error_description",
            &[
                "/error_description",
                "/error/message",
                "/message",
                "/errmsg",
                "/msg",
                "/reason",
            ],
            report,
        ),
        metadata: BTreeMap::new(),
        failure: Vec::new(),
    };
    let Some(mut table) = table else {
        return facts;
    };
    if let Some(mut metadata) = table.section(report, "metadata") {
        for name in metadata.keys() {
            if let Some(list) = metadata.strings(report, &name) {
                facts.metadata.insert(name, pointers(list, report));
            }
        }
    }
    if let Some(rule) = table.section(report, "failure") {
        facts.failure.extend(failure_rule(rule, report));
    }
    table.finish(report);
    facts
}

fn failure_rule(mut rule: Section<'_>, report: &mut Report<'_>) -> Option<FailureRule> {
    if !rule.has("pointer") {
        rule.missing(report, "pointer");
    }
    let pointer = rule
        .string(report, "pointer")
        .and_then(|pointer| pointer.parse(report, pointer_text));
    let equals = rule.scalar(report, "equals").map(FailureSign::Equals);
    let differs = rule
        .scalar(report, "differs_from")
        .map(FailureSign::DiffersFrom);
    let present = rule
        .boolean(report, "present")
        .map(|_| FailureSign::Present);
    let mut signs = [equals, differs, present].into_iter().flatten();
    let sign = signs.next();
    if sign.is_none() || signs.next().is_some() {
        rule.problem(report, "needs one of equals, differs_from, present");
    }
    rule.finish(report);
    Some(FailureRule {
        pointer: pointer?,
        sign: sign?,
    })
}

fn meanings(
    root: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &str,
) -> BTreeMap<String, Meaning> {
    let mut meanings = BTreeMap::new();
    if let Some(mut table) = root.section(report, key) {
        for code in table.keys() {
            if let Some(meaning) = meaning(&mut table, report, &code) {
                meanings.insert(code, meaning);
            }
        }
    }
    meanings
}

fn uncoded(root: &mut Section<'_>, report: &mut Report<'_>) -> BTreeMap<u16, Meaning> {
    let mut statuses = BTreeMap::new();
    if let Some(mut table) = root.section(report, "uncoded") {
        for status in table.keys() {
            let meaning = meaning(&mut table, report, &status);
            match status.parse() {
                Ok(number @ 400..=499) if number != 408 && number != 429 => {
                    statuses.extend(meaning.map(|meaning| (number, meaning)));
                }
                _ => table.problem(
                    report,
                    format!("{status} is no HTTP status of 400 to 499 but 408 and 429"),
                ),
            }
        }
    }
    statuses
}

fn meaning(table: &mut Section<'_>, report: &mut Report<'_>, key: &str) -> Option<Meaning> {
    let words = [
        ("grant", Verdict::Grant(InvalidationReason::GrantRevoked)),
        ("client", Verdict::Client),
        ("request", Verdict::Request),
        ("transient", Verdict::Transient),
        ("rate_limit", Verdict::RateLimit),
    ];
    let reasons = [
        ("grant_revoked", InvalidationReason::GrantRevoked),
        (
            "refresh_token_expired",
            InvalidationReason::RefreshTokenExpired,
        ),
        ("access_denied", InvalidationReason::AccessDenied),
        ("rotation_lost", InvalidationReason::RotationLost),
    ];
    match table.string_or_section(report, key)? {
        StringOrSection::String(word) => {
            let verdict = word.parse(report, |word| pick(&word, &words))?;
            Some(Meaning::of(verdict))
        }
        StringOrSection::Section(mut detail) => {
            if !detail.has("verdict") {
                detail.missing(report, "verdict");
            }
            let verdict = detail.choice(report, "verdict", &words);
            let reason = detail.choice(report, "reason", &reasons);
            let try_next_secret = detail.boolean(report, "try_next_secret").unwrap_or(false);
            let is_grant = matches!(verdict, Some(Verdict::Grant(_)));
            if reason.is_some() && verdict.is_some() && !is_grant {
                detail.problem(report, "only the verdict grant has a reason");
            }
            if try_next_secret && verdict.is_some() && verdict != Some(Verdict::Client) {
                detail.problem(report, "only the verdict client can try the next secret");
            }
            detail.finish(report);
            Some(Meaning {
                verdict: reason.map_or(verdict?, Verdict::Grant),
                try_next_secret,
            })
        }
    }
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
        ("grace", Rotation::Grace(std::time::Duration::ZERO)),
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

fn pointers(list: Vec<Located<String>>, report: &mut Report<'_>) -> Pointers {
    Pointers(
        list.into_iter()
            .filter_map(|pointer| pointer.parse(report, pointer_text))
            .collect(),
    )
}

fn pointer_text(text: String) -> Result<String, &'static str> {
    if text.starts_with('/') {
        Ok(text)
    } else {
        Err("must be a JSON pointer, which begins with /")
    }
}

fn plain(map: Vec<(String, Located<String>)>) -> BTreeMap<String, String> {
    map.into_iter()
        .map(|(name, value)| (name, value.value))
        .collect()
}

fn at(other: &Located<String>) -> Located<String> {
    Located {
        value: String::new(),
        at: other.at,
        path: other.path.clone(),
    }
}
