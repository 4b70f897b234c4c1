//! `docs/providers.md`: the catalogue, for people.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use evergrant_core::provider::Rotation;
use evergrant_providers::Catalogue;
use evergrant_providers::catalogue::{BUILTIN, ClientAuth, Entry, GrantKind, TokenGrant};

const HEAD: &str = "\
# Providers

Evergrant knows these providers. An entry is a file of facts, not code: `evergrant provider show NAME` prints one, and a file
of the same name in `providers.dir` replaces it. What is known comes from the documents that each entry names; none of it was
tried against the live provider, so look at the first refresh of a provider that is new to you.

- *Grants*: how credentials of this provider come to be. *code*: a user's consent in a browser; *device*: on another device;
  *client*, *jwt*, *exchange*: minted without a user; *static*: kept as they are.
- *Client*: how the OAuth client proves itself to the token endpoint.
- *Refresh token*: *stays*: it is used again and again; *rotates*: a new one comes with each use and the old one stays good;
  *single use*: it is spent by its first use, so that losing its successor would end the grant; *grace*: the old one is
  accepted for a while. A time is how long it lives where that is known: from its issue, *idle* from its last use, *in all*
  from the consent whatever is done.
- *Access token*: how long it lives if the answer does not say. Most answers do.

This page is written by a test of the catalogue: `UPDATE_DOCS=1 cargo test -p evergrant-providers --test conformance page`.
";

#[test]
fn the_page_of_providers_is_what_the_catalogue_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/providers.md is out of date: UPDATE_DOCS=1 cargo test -p evergrant-providers --test conformance page"
    );
}

fn page() -> String {
    let catalogue = Catalogue::builtin();
    let mut page = HEAD.to_owned();
    page.push_str("\n| Provider | Grants | Client | Refresh token | Access token | Besides |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for entry in catalogue.iter() {
        let cells = [
            format!("[{0}](#{0})", entry.name),
            grants(entry),
            client(entry),
            refresh_token(entry),
            entry.lifetime.access_token.map(span).unwrap_or_default(),
            besides(entry),
        ];
        writeln!(page, "| {} |", cells.join(" | ")).unwrap();
    }
    for entry in catalogue.iter() {
        section(&mut page, entry);
    }
    page
}

fn section(page: &mut String, entry: &Entry) {
    writeln!(page, "\n## {}\n", entry.name).unwrap();
    let note = note(entry.name.as_str());
    if !note.is_empty() {
        writeln!(page, "{note}\n").unwrap();
    }
    writeln!(page, "- Token endpoint: `{}`", entry.token_url).unwrap();
    if let Some(then) = &entry.grants.get(TokenGrant::AuthorizationCode).then {
        let url = &then.url.value;
        writeln!(page, "- What a code brings is exchanged at once at `{url}`").unwrap();
    }
    let needed = needed(entry);
    if !needed.is_empty() {
        writeln!(page, "- Needs a value for {}", needed.join(", ")).unwrap();
    }
    for grant in minted(entry) {
        let required = &entry.grants.get(grant).required;
        if !required.is_empty() {
            let list: Vec<String> = required.iter().map(|name| format!("`{name}`")).collect();
            writeln!(
                page,
                "- A {} grant brings {}",
                grant.name(),
                list.join(", ")
            )
            .unwrap();
        }
    }
    let sources: Vec<String> = entry.sources.iter().map(|url| format!("<{url}>")).collect();
    writeln!(page, "- Sources: {}", sources.join(", ")).unwrap();
}

/// The comment at the top of the entry's file.
fn note(name: &str) -> String {
    let file = format!("{name}.toml");
    let text = BUILTIN
        .iter()
        .find(|(known, _)| *known == file)
        .map_or("", |(_, text)| text);
    let lines = text.lines().map_while(|line| line.strip_prefix('#'));
    lines.map(str::trim).collect::<Vec<_>>().join("\n")
}

/// Placeholders of the token URL that nothing fills by default.
fn needed(entry: &Entry) -> Vec<String> {
    let open = entry.token_url.template().placeholders();
    let mut names: Vec<String> = open
        .filter(|name| !entry.placeholders.contains_key(*name))
        .map(|name| format!("`{name}`"))
        .collect();
    names.dedup();
    names
}

fn grants(entry: &Entry) -> String {
    let words = entry.grant_types.iter().map(|kind| match kind.name() {
        "authorization_code" => "code",
        "device_code" => "device",
        "client_credentials" => "client",
        "jwt_bearer" => "jwt",
        "token_exchange" => "exchange",
        other => other,
    });
    words.collect::<Vec<_>>().join(", ")
}

fn client(entry: &Entry) -> String {
    let of = |grant| match entry.grants.get(grant).request.client_auth {
        ClientAuth::Body => "in the body",
        ClientAuth::Basic | ClientAuth::BasicRaw => "Basic",
        ClientAuth::None | ClientAuth::BearerAccessToken => "public",
        ClientAuth::BearerRefreshToken => "bearer refresh token",
        ClientAuth::PrivateKeyJwt => "private key",
    };
    let grants = if of_users(entry) {
        vec![TokenGrant::RefreshToken]
    } else {
        minted(entry)
    };
    let mut words: Vec<&str> = grants.into_iter().map(of).collect();
    words.dedup();
    words.join(", ")
}

/// Whether grants of this provider have users who consent.
fn of_users(entry: &Entry) -> bool {
    let kinds = [GrantKind::AuthorizationCode, GrantKind::DeviceCode];
    kinds.iter().any(|kind| entry.grant_types.contains(kind))
}

fn minted(entry: &Entry) -> Vec<TokenGrant> {
    let kinds = [
        (GrantKind::ClientCredentials, TokenGrant::ClientCredentials),
        (GrantKind::JwtBearer, TokenGrant::JwtBearer),
        (GrantKind::TokenExchange, TokenGrant::TokenExchange),
    ];
    let has = |kind| entry.grant_types.contains(&kind);
    kinds
        .into_iter()
        .filter_map(|(kind, grant)| has(kind).then_some(grant))
        .collect()
}

fn refresh_token(entry: &Entry) -> String {
    if !entry.renewable || !of_users(entry) {
        return "none".to_owned();
    }
    let mut words = vec![match entry.rotation {
        Rotation::None => "stays".to_owned(),
        Rotation::Rotates => "rotates".to_owned(),
        Rotation::SingleUse => "single use".to_owned(),
        Rotation::Grace(grace) => format!("grace {}", span(grace)),
    }];
    let lifetime = entry.lifetime;
    words.extend(lifetime.refresh_token.map(span));
    words.extend(
        lifetime
            .refresh_token_idle
            .map(|idle| format!("{} idle", span(idle))),
    );
    words.extend(
        lifetime
            .grant
            .map(|grant| format!("{} in all", span(grant))),
    );
    words.join(", ")
}

fn besides(entry: &Entry) -> String {
    let facts = [
        (entry.openid.is_some(), "OpenID Connect"),
        (entry.revoke_url.is_some(), "revocation"),
        (entry.introspect_url.is_some(), "introspection"),
        (entry.userinfo_url.is_some(), "asked for the account"),
        (
            entry.renewal.self_renewing,
            "renews the access token itself",
        ),
        (entry.single_active_token, "one active token"),
    ];
    let words = facts
        .into_iter()
        .filter_map(|(so, word)| so.then_some(word));
    words.collect::<Vec<_>>().join(", ")
}

/// In the largest unit that makes it whole.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (unit, name) = [(86_400, "d"), (3_600, "h"), (60, "min")]
        .into_iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit))
        .unwrap_or((1, "s"));
    format!("{} {name}", seconds / unit)
}
