//! Writes of brakes, of what engages them and of what they hold.

use std::time::Duration;

use evergrant_core::brake::{Brake, WINDOW};
use evergrant_core::ids::{ClientKey, GrantId};

use super::grant::raise_grant;
use super::{Context, Fragment, delete, free_text, is};
use crate::store::row::stored;
use crate::store::sql::{Sql, insert, update};

/// What is too old to count goes on the way. It is never the row that is written, of which a statement may write only
/// one version.
pub(super) fn note_refusal(
    client: &ClientKey,
    grant: &GrantId,
    context: Context<'_>,
) -> Vec<Fragment> {
    let now = context.now;
    let mut old = Vec::from(of_client(client));
    old.extend([
        Sql::new("grant_id <> ?", [grant.as_str().into()]),
        Sql::new(format!("at <= {now} - ?"), [millis(WINDOW).into()]),
    ]);
    let columns = vec![
        ("provider", Sql::value(client.provider.as_str())),
        ("client", Sql::value(client.client.as_str())),
        ("grant_id", Sql::value(grant.as_str())),
        ("at", Sql::text(now)),
    ];
    let note = insert("refusals", columns)
        .then_text(" ON CONFLICT (provider, client, grant_id) DO UPDATE SET at = excluded.at");
    vec![Fragment::any(delete("refusals", old)), Fragment::one(note)]
}

pub(super) fn set_brake(brake: &Brake) -> Sql {
    let Brake {
        client,
        since,
        refused,
        refreshed,
        provider_error,
        next_probe_at,
    } = brake;
    let columns = vec![
        ("provider", Sql::value(client.provider.as_str())),
        ("client", Sql::value(client.client.as_str())),
        ("since", Sql::value(since.as_millis())),
        ("refused", Sql::value(stored(*refused))),
        ("refreshed", Sql::value(stored(*refreshed))),
        ("provider_error", Sql::value(free_text(provider_error))),
        ("next_probe_at", Sql::value(next_probe_at.as_millis())),
    ];
    insert("brakes", columns).then_text(
        " ON CONFLICT (provider, client) DO UPDATE SET next_probe_at = excluded.next_probe_at",
    )
}

pub(super) fn release_brake(
    client: &ClientKey,
    spread: Duration,
    context: Context<'_>,
) -> Vec<Fragment> {
    let Context { now, random, .. } = context;
    // Not the same moment, and both soon: whichever is later counts.
    let soon = || {
        let at = format!("{now} + CAST({random} * ? AS BIGINT)");
        Sql::new(at, [millis(spread).into()])
    };
    let mut columns = vec![
        ("suspect_reason", Sql::text("NULL")),
        ("invalid_error", Sql::text("NULL")),
        ("invalid_message", Sql::text("NULL")),
        ("invalid_at", Sql::text("NULL")),
        ("next_attempt_at", soon()),
        ("due_at", soon()),
    ];
    columns.extend(raise_grant(now));
    let mut suspects = Vec::from(of_client(client));
    suspects.push(Sql::text("suspect_reason IS NOT NULL"));
    vec![
        Fragment::one(delete("brakes", of_client(client).into())),
        Fragment::any(delete("refusals", of_client(client).into())),
        Fragment::any(update("grants", columns, suspects)),
    ]
}

fn of_client(client: &ClientKey) -> [Sql; 2] {
    [
        is("provider", client.provider.as_str()),
        is("client", client.client.as_str()),
    ]
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
