//! The tables `[assertion]`, `[client_assertion]` and `[openid]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::times::positive;
use super::{template, templates, url};
use crate::catalogue::entry::{AssertionFacts, OpenIdFacts, SigningAlgorithm};
use crate::catalogue::section::{Report, Section};
use crate::catalogue::template::{Fact, HostPattern, Template, TemplateError, UrlTemplate};

/// Long enough for clocks that differ, short enough for every provider.
const LIFETIME: Duration = Duration::from_secs(180);

pub(super) fn assertion(root: &mut Section<'_>, report: &mut Report<'_>) -> Option<AssertionFacts> {
    let table = root.section(report, "assertion")?;
    if table.keys().is_empty() {
        table.problem(
            report,
            "is empty: state what the provider asks for, the audience at least",
        );
    }
    let usual = usual(
        "assertion",
        &[("issuer", "{client_id}"), ("subject", "{subject?}")],
    );
    Some(read(table, report, usual))
}

/// RFC 7523 section 3: the client is issuer and subject; OpenID Connect Core section 9 demands a `jti`.
pub(super) fn client_assertion(root: &mut Section<'_>, report: &mut Report<'_>) -> AssertionFacts {
    let usual = usual(
        "client_assertion",
        &[
            ("issuer", "{client_id}"),
            ("subject", "{client_id}"),
            ("jti", "{jti}"),
        ],
    );
    match root.section(report, "client_assertion") {
        Some(table) => read(table, report, usual),
        None => usual,
    }
}

/// The registered claims that have keys of their own (RFC 7519 section 4.1).
const CLAIMS: [(&str, &str); 3] = [("issuer", "iss"), ("subject", "sub"), ("audience", "aud")];

fn usual(table: &str, texts: &[(&str, &str)]) -> AssertionFacts {
    let fact = |key: &str, text: &str| Fact {
        field: format!("{table}.{key}"),
        value: Template::parse(text).expect("a text of this program's own"),
    };
    let mut claims: BTreeMap<String, Fact<Template>> = texts
        .iter()
        .map(|(key, text)| (claim(key).to_owned(), fact(key, text)))
        .collect();
    claims.insert("aud".to_owned(), fact("audience", "{token_url}"));
    AssertionFacts {
        algorithm: SigningAlgorithm::Rs256,
        claims,
        key_id: fact("key_id", "{key_id?}"),
        lifetime: LIFETIME,
    }
}

fn read(mut table: Section<'_>, report: &mut Report<'_>, usual: AssertionFacts) -> AssertionFacts {
    let mut facts = usual;
    let algorithms = [
        ("RS256", SigningAlgorithm::Rs256),
        ("PS256", SigningAlgorithm::Ps256),
        ("ES256", SigningAlgorithm::Es256),
        ("ES384", SigningAlgorithm::Es384),
    ];
    if let Some(algorithm) = table.choice(report, "algorithm", &algorithms) {
        facts.algorithm = algorithm;
    }
    for (key, claim) in CLAIMS {
        if let Some(text) = table.string(report, key) {
            let stated = template(text, report);
            facts
                .claims
                .extend(stated.map(|fact| (claim.to_owned(), fact)));
        }
    }
    if let Some(text) = table.string(report, "key_id")
        && let Some(key_id) = template(text, report)
    {
        facts.key_id = key_id;
    }
    if let Some(lifetime) = positive(&mut table, report, "lifetime") {
        facts.lifetime = lifetime;
    }
    for (claim, fact) in templates(&mut table, report, "claims", |_| None) {
        if ["iat", "exp"].contains(&claim.as_str()) {
            table.problem(report, format!("the claim {claim} is the program's own"));
        }
        facts.claims.insert(claim, fact);
    }
    table.finish(report);
    facts
}

fn claim(key: &str) -> &str {
    let found = CLAIMS.iter().find(|(known, _)| *known == key);
    found.map_or(key, |(_, claim)| claim)
}

pub(super) fn openid(
    root: &mut Section<'_>,
    report: &mut Report<'_>,
    allowed_hosts: &[HostPattern],
) -> Option<OpenIdFacts> {
    let mut table = root.section(report, "openid")?;
    for key in ["issuer", "jwks_url"] {
        if !table.has(key) {
            table.missing(report, key);
        }
    }
    let issuer = table
        .string(report, "issuer")
        .and_then(|text| text.parse(report, issuer));
    let jwks_url = url(&mut table, report, "jwks_url", allowed_hosts);
    let account = table.string(report, "account");
    table.finish(report);
    Some(OpenIdFacts {
        issuer: issuer?,
        jwks_url: jwks_url?,
        account: account.map_or("sub".to_owned(), |text| text.value),
    })
}

/// OpenID Connect Discovery section 3: a URL of https without a query. Some issuers go without that of a document, so none
/// is asked for.
fn issuer(text: String) -> Result<Template, TemplateError> {
    let template = UrlTemplate::parse_anywhere(&text)?;
    Ok(template.template().clone())
}
