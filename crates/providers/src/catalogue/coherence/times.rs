//! Times that rule each other out.

use std::time::Duration;

use super::Told;

pub(super) fn check(told: &mut Told<'_, '_, '_>) {
    let (lifetime, renewal) = (told.entry.lifetime, told.entry.renewal);
    let whole = lifetime.grant;
    young(told);
    let ends = [
        ("lifetime.refresh_token", lifetime.refresh_token),
        ("lifetime.refresh_token_idle", lifetime.refresh_token_idle),
    ];
    for (path, end) in ends {
        let margin = renewal.refresh_token_margin;
        if is_no_less(margin, end) {
            let why = format!("must be shorter than {path}, or each token is used at once");
            told.tell("renewal.refresh_token_margin", why);
        }
    }
    for (path, end) in ends
        .into_iter()
        .chain([("lifetime.access_token", lifetime.access_token)])
    {
        if whole.is_some() && end > whole {
            told.tell(path, "is longer than lifetime.grant, which ends everything");
        }
    }
    if is_no_less(lifetime.refresh_token_idle, lifetime.refresh_token) {
        let why = "must be shorter than lifetime.refresh_token, which ends it anyway";
        told.tell("lifetime.refresh_token_idle", why);
    }
}

/// What is too young to be renewed until it has ended is never renewed, where only a good token can be.
fn young(told: &mut Told<'_, '_, '_>) {
    let (entry, min_age) = (told.entry, told.entry.renewal.min_age);
    if !(entry.renewal.only_while_valid || entry.renewal.self_renewing) {
        return;
    }
    let of_grant = |name: &str| format!("grants.{name}.response.access_token_lifetime");
    let (refresh, code) = (
        &entry.grants.refresh_token,
        &entry.grants.authorization_code,
    );
    let brought = code
        .then
        .as_ref()
        .map_or(&code.response, |then| &then.response);
    let lifetimes = [
        (
            "lifetime.access_token".to_owned(),
            entry.lifetime.access_token,
        ),
        (
            of_grant("refresh_token"),
            refresh.response.access_token_lifetime,
        ),
        (
            of_grant("authorization_code"),
            brought.access_token_lifetime,
        ),
    ];
    let longer = lifetimes
        .into_iter()
        .find(|(_, lifetime)| is_no_less(min_age, *lifetime));
    if let Some((path, _)) = longer {
        let why = format!("must be shorter than {path}, or no token is ever renewed");
        told.tell("renewal.min_age", why);
    }
}

fn is_no_less(one: Option<Duration>, other: Option<Duration>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one >= other)
}
