//! `grant_types`, and what each of its words needs or makes useful.

use super::Told;
use super::made::{BY_KIND, SECOND};
use super::placeholders::has_slip;
use crate::catalogue::entry::{ClientAuth, GrantKind, TokenGrant};

pub(super) fn check(told: &mut Told<'_, '_, '_>) {
    if told.report.doubts("grant_types") {
        return;
    }
    needs(told);
    unused(told);
    minted_alone(told);
    takes_up(told);
}

fn needs(told: &mut Told<'_, '_, '_>) {
    let needs = [
        (GrantKind::DeviceCode, "device_url"),
        (GrantKind::JwtBearer, "assertion"),
    ];
    for (kind, key) in needs {
        let wanted = told.places.has("grant_types") && told.entry.grant_types.contains(&kind);
        if wanted && !told.places.has(key) {
            let why = format!("is missing, and grant_types has {}", kind.name());
            told.tell_at("grant_types", key, why);
        }
    }
    consents(told);
}

/// Tokens may be brought from elsewhere and are `authorization_code` as well, so an entry may go without `authorize_url`
/// as long as it says nothing of consents. Where a code's answer has what stands also for answers that are brought.
fn consents(told: &mut Told<'_, '_, '_>) {
    let places = told.places;
    let kind = GrantKind::AuthorizationCode;
    let wanted = places.has("grant_types") && told.entry.grant_types.contains(&kind);
    if !wanted || places.has("authorize_url") {
        return;
    }
    let code = "grants.authorization_code";
    let asks = places.states_beside(code, "response");
    let table = [("authorize", places.states("authorize")), (code, asks)];
    if let Some((table, _)) = table.into_iter().find(|(_, stated)| *stated) {
        let why = format!("is missing, and {table} stands for nothing without it");
        told.tell_at(table, "authorize_url", why);
    }
}

fn unused(told: &mut Told<'_, '_, '_>) {
    for (kind, grant) in BY_KIND {
        if told.entry.grant_types.contains(&kind) {
            continue;
        }
        let own: &[&str] = match kind {
            GrantKind::AuthorizationCode => &["authorize_url", "authorize"],
            GrantKind::DeviceCode => &["device_url"],
            GrantKind::JwtBearer => &["assertion"],
            _ => &[],
        };
        let table = format!("grants.{}", grant.name());
        for path in own.iter().copied().chain([table.as_str()]) {
            if told.places.states(path) {
                let why = format!("stands for nothing: grant_types has no {}", kind.name());
                told.tell(path, why);
            }
        }
    }
}

/// Only what is minted has parameters of its own, and scopes that nobody consented to.
fn minted_alone(told: &mut Told<'_, '_, '_>) {
    for grant in [
        TokenGrant::RefreshToken,
        TokenGrant::AuthorizationCode,
        TokenGrant::DeviceCode,
    ] {
        for key in ["required", "default_scopes"] {
            let path = format!("grants.{}.{key}", grant.name());
            if told.places.states(&path) {
                told.tell(&path, "belongs to grants that are minted");
            }
        }
    }
}

/// A second request that has nothing of the first answer. One with a placeholder that may be misspelt is told of that.
fn takes_up(told: &mut Told<'_, '_, '_>) {
    let code = &told.entry.grants.authorization_code;
    let Some(then) = &code.then else {
        return;
    };
    let has_token = then.request.client_auth == ClientAuth::BearerAccessToken;
    let takes = has_token || then.placeholders().any(|name| code.gives(name));
    if !takes && !told.report.doubts(SECOND) && !has_slip(told.entry, SECOND) {
        told.tell(
            SECOND,
            "sends nothing that the first answer gave: a parameter must hold {access_token}",
        );
    }
}
