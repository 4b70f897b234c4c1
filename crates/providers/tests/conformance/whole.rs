//! What the table must hold: a row for everything that an entry can be asked.

use std::collections::BTreeSet;

use evergrant_providers::Catalogue;
use evergrant_providers::catalogue::{Entry, GrantKind};

use crate::facts::{self, Answer, Exchange, Facts};

/// The authorization request; all other kinds of row are exchanges, by their `grant`.
const AUTHORIZE: &str = "authorize";
/// Requests for tokens. A refusal of one has a meaning for the grant, the client or both.
const REFUSED_WITH_A_MEANING: [&str; 5] = [
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "jwt_bearer",
    "token_exchange",
];

#[test]
fn every_entry_has_a_row_for_everything_that_it_can_be_asked() {
    let rows = facts::all();
    let mut missing = Vec::new();
    for entry in Catalogue::builtin().iter() {
        let name = entry.name.as_str();
        let Some(facts) = rows.get(name) else {
            missing.push(format!("{name}: everything"));
            continue;
        };
        let (has, wanted) = (kinds(facts), wanted(entry));
        missing.extend(
            wanted
                .difference(&has)
                .map(|kind| format!("{name}: {kind}")),
        );
        let odd = has.difference(&wanted);
        missing.extend(odd.map(|kind| format!("{name}: no {kind}, for it cannot be asked that")));
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn every_kind_of_row_shows_a_success_and_those_for_tokens_a_refusal() {
    let mut missing = Vec::new();
    for (name, facts) in facts::all() {
        for kind in kinds(&facts) {
            let answered = |means: fn(&Answer) -> bool| {
                let of_kind = |row: &&Exchange| row.grant == kind;
                let mut rows = facts.exchange.iter().filter(of_kind);
                rows.any(|row| row.answers().any(means))
            };
            if kind != AUTHORIZE && !answered(Answer::is_success) {
                missing.push(format!("{name} {kind}: a success"));
            }
            let refused = |answer: &Answer| answer.verdict.is_some();
            if REFUSED_WITH_A_MEANING.contains(&kind) && !answered(refused) {
                missing.push(format!("{name} {kind}: a refusal"));
            }
        }
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

fn kinds(facts: &Facts) -> BTreeSet<&str> {
    let exchanges = facts.exchange.iter().map(|row| row.grant.as_str());
    let authorize = facts.authorize.iter().map(|_| AUTHORIZE);
    exchanges.chain(authorize).collect()
}

fn wanted(entry: &Entry) -> BTreeSet<&'static str> {
    let has = |kind| entry.grant_types.contains(&kind);
    let (code, device) = (
        has(GrantKind::AuthorizationCode),
        has(GrantKind::DeviceCode),
    );
    let wanted = [
        (code, AUTHORIZE),
        (code, "authorization_code"),
        ((code || device) && entry.renewable, "refresh_token"),
        (has(GrantKind::ClientCredentials), "client_credentials"),
        (has(GrantKind::JwtBearer), "jwt_bearer"),
        (has(GrantKind::TokenExchange), "token_exchange"),
        (device, "device_authorization"),
        (device, "device_code"),
        (entry.revoke_url.is_some(), "revoke"),
        (entry.introspect_url.is_some(), "introspect"),
        (entry.userinfo_url.is_some(), "userinfo"),
    ];
    wanted
        .into_iter()
        .filter_map(|(wanted, kind)| wanted.then_some(kind))
        .collect()
}
