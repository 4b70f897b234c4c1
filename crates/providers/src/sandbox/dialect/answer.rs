//! Answers, put together as the engine takes them apart.

use http::StatusCode;
use serde_json::{Value, json};

use super::Played;
use super::object::Object;
use crate::catalogue::{Pointers, ResponseFacts};
use crate::sandbox::devices::Begun;
use crate::sandbox::grants::Issue;
use crate::sandbox::state::Facts;

/// Whoever consents is this one person.
const ACCOUNT: &str = "sandbox-user";

/// Tokens. `expires_in` is what the answer says of the access token, `now` is in seconds since the epoch.
pub(in crate::sandbox) fn issued(
    played: &Played,
    issue: &Issue,
    expires_in: Option<Value>,
    now: i64,
) -> Value {
    let facts = played.response();
    let mut object = Object::new();
    object.succeed(&facts.failure);
    object.put_first(&facts.access_token, issue.access_token.expose());
    if let Some(refresh_token) = &issue.refresh_token {
        object.put_first(&facts.refresh_token, refresh_token.expose());
    }
    object.put_first(&facts.token_type, "Bearer");
    object.put_first(&facts.scope, issue.scope.as_str());

    let usual = ResponseFacts::usual();
    let is_stated = |own: &Pointers, usual: &Pointers| own != usual && !own.0.is_empty();
    let later = |seconds: u64| now.saturating_add_unsigned(seconds);
    let absolute = is_stated(&facts.expires_at, &usual.expires_at)
        && !is_stated(&facts.expires_in, &usual.expires_in);
    match expires_in {
        Some(_) if absolute => object.put_first(&facts.expires_at, later(issue.expires_in)),
        Some(seconds) => object.put_first(&facts.expires_in, seconds),
        None => {}
    }
    if let Some(seconds) = issue.refresh_token_expires_in {
        if is_stated(&facts.refresh_expires_at, &usual.refresh_expires_at) {
            object.put_first(&facts.refresh_expires_at, later(seconds));
        } else {
            object.put_first(&facts.refresh_expires_in, seconds);
        }
    }
    name_account(&mut object, facts);
    for (name, pointers) in &facts.metadata {
        object.put_first(pointers, format!("sandbox-{}", name.replace('_', "-")));
    }
    object.into_value()
}

fn name_account(object: &mut Object, facts: &ResponseFacts) {
    for pointer in facts.account.0.iter().take(1).flat_map(|name| &name.join) {
        object.put(pointer, ACCOUNT);
    }
}

/// Whose a token is.
pub(in crate::sandbox) fn named(played: &Played) -> Value {
    let facts = played.response();
    let mut object = Object::new();
    object.succeed(&facts.failure);
    name_account(&mut object, facts);
    object.into_value()
}

/// The codes of a device (RFC 8628 section 3.2); no entry says otherwise.
pub(in crate::sandbox) fn device(begun: &Begun, base_url: &str) -> Value {
    let Begun { user_code, .. } = begun;
    json!({
        "device_code": begun.device_code,
        "user_code": user_code,
        "verification_uri": format!("{base_url}/device"),
        "verification_uri_complete": format!("{base_url}/device?user_code={user_code}"),
        "expires_in": begun.expires_in,
        "interval": begun.interval,
    })
}

/// What is known of a token. `now` is in seconds since the epoch.
pub(in crate::sandbox) fn introspected(played: &Played, facts: Option<&Facts>, now: i64) -> Value {
    let introspect = &played.entry.introspect;
    let mut object = Object::new();
    object.succeed(&played.response().failure);
    object.put_first(&introspect.active, facts.is_some());
    if let Some(seconds) = facts.and_then(|facts| facts.expires_in) {
        object.put_first(&introspect.expires_at, now.saturating_add_unsigned(seconds));
    }
    object.into_value()
}

/// The token is no longer good.
pub(in crate::sandbox) fn revoked(played: &Played) -> (StatusCode, Value) {
    let success = played.entry.revoke.success.first().copied();
    let status = StatusCode::from_u16(success.unwrap_or(200)).unwrap_or(StatusCode::OK);
    let mut object = Object::new();
    object.succeed(&played.response().failure);
    (status, object.into_value())
}
