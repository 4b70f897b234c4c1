//! Tables and keys that stand for nothing, because what they are about is not there.

use evergrant_core::provider::Rotation;

use super::Told;
use super::made::Made;
use crate::catalogue::entry::{ClientAuth, GrantKind};

pub(super) fn check(told: &mut Told<'_, '_, '_>) {
    for (table, url) in [
        ("revoke", "revoke_url"),
        ("introspect", "introspect_url"),
        ("userinfo", "userinfo_url"),
    ] {
        if told.places.states(table) && !told.places.has(url) {
            told.tell(table, format!("stands for nothing without {url}"));
        }
    }
    if told.report.doubts("grant_types") {
        return;
    }
    let signs = |made: &Made<'_>| made.request.client_auth == ClientAuth::PrivateKeyJwt;
    if told.places.states("client_assertion") && !Made::of(told.entry).iter().any(signs) {
        let why = "stands for nothing: no request has client_auth = \"private_key_jwt\"";
        told.tell("client_assertion", why);
    }
    renewing(told);
}

fn renewing(told: &mut Told<'_, '_, '_>) {
    let entry = told.entry;
    let refreshes = entry.refreshes();
    let why = match (refreshes, entry.renewable) {
        (true, _) => "stands for nothing: what renews itself has no refresh token",
        (false, false) => "stands for nothing: renewable is false",
        (false, true) => "stands for nothing: no word of grant_types brings refresh tokens",
    };
    // Refusals of what is minted are confirmed too, but for those of a token exchange.
    let kinds = &entry.grant_types;
    let minted = [GrantKind::ClientCredentials, GrantKind::JwtBearer];
    let confirms = minted.iter().any(|kind| kinds.contains(kind));
    let flaky = (!confirms).then_some("flaky_refusals");
    let of_refreshing = ["refresh_url", "grants.refresh_token", "renewal"];
    let of_refresh_tokens = [
        "lifetime.refresh_token",
        "lifetime.refresh_token_idle",
        "renewal.refresh_token_margin",
    ];
    let rotates = entry.rotation != Rotation::None;
    if !refreshes {
        let rotation = rotates.then_some("rotation");
        for path in of_refreshing.into_iter().chain(flaky).chain(rotation) {
            if told.states(path) {
                told.tell(path, why);
            }
        }
    }
    if !refreshes || entry.renewal.self_renewing {
        for path in of_refresh_tokens {
            if told.states(path) && !(told.report.doubts("renewal")) {
                told.tell(path, why);
            }
        }
    }
    for key in ["openid", "userinfo_url"] {
        if !entry.has_consents() && told.states(key) {
            let why = "stands for nothing: no word of grant_types has users who consent";
            told.tell(key, why);
        }
    }
}
