//! Times that rule each other out.

use std::time::Duration;

use super::Told;

pub(super) fn check(told: &mut Told<'_, '_, '_>) {
    young(told);
    outlived(told);
}

/// An end that always comes too late. Where one of the two times is inherited, the sooner one counts and nobody is misled.
fn outlived(told: &mut Told<'_, '_, '_>) {
    let lifetime = told.entry.lifetime;
    let (grant, refresh_token, idle) = (
        "lifetime.grant",
        "lifetime.refresh_token",
        "lifetime.refresh_token_idle",
    );
    let ends = [
        (refresh_token, lifetime.refresh_token),
        (idle, lifetime.refresh_token_idle),
        ("lifetime.access_token", lifetime.access_token),
    ];
    for (path, end) in ends {
        let whole = lifetime.grant;
        if whole.is_some() && end > whole && told.states(grant) && told.states(path) {
            told.tell(path, "is longer than lifetime.grant, which ends everything");
        }
    }
    if is_no_less(lifetime.refresh_token_idle, lifetime.refresh_token)
        && told.states(refresh_token)
        && told.states(idle)
    {
        let why = "must be shorter than lifetime.refresh_token, which ends it anyway";
        told.tell(idle, why);
    }
}

/// What is too young to be renewed until it has ended is never renewed, where only a good token can be.
fn young(told: &mut Told<'_, '_, '_>) {
    let (entry, min_age) = (told.entry, told.entry.renewal.min_age);
    if !(entry.renewal.only_while_valid || entry.renewal.self_renewing) {
        return;
    }
    let (refresh, code) = (
        &entry.grants.refresh_token,
        &entry.grants.authorization_code,
    );
    let then = code.then.as_ref();
    let brought = then.map_or(&code.response, |then| &then.response);
    let lifetimes = [
        ("refresh_token", &refresh.response),
        ("authorization_code", brought),
    ]
    .map(|(name, response)| match response.access_token_lifetime {
        Some(own) => (
            format!("grants.{name}.response.access_token_lifetime"),
            Some(own),
        ),
        None => (
            "lifetime.access_token".to_owned(),
            entry.lifetime.access_token,
        ),
    });
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
