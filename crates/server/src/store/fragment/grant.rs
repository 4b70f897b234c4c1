//! Writes of grants.

use evergrant_core::ageing::{Ahead, Dates};
use evergrant_core::change::NewGrant;
use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{Invalidation, InvalidationReason, PassingFailure, TokenSet};
use evergrant_core::ids::{Epoch, Generation, GrantId};
use evergrant_core::scopes::ScopeSet;
use evergrant_core::secret::RefreshToken;

use super::{Context, delete, free_text, is};
use crate::seal::Sealer;
use crate::store::names::Stored;
use crate::store::row::stored;
use crate::store::sql::{Column, Sql, insert, update};
use crate::store::tokens;

pub(super) fn insert_grant(new: &NewGrant, context: Context<'_>) -> Sql {
    let NewGrant {
        id,
        tenant,
        client,
        account,
        grant_type,
        parent,
        generation,
        tokens,
        issued_at,
        dates,
    } = new;
    let mut columns = token_columns(context.sealer, id, *generation, tokens, *issued_at, dates);
    columns.extend(consent(*issued_at));
    columns.extend([
        ("id", Sql::value(id.as_str())),
        ("tenant", Sql::value(tenant.as_str())),
        ("provider", Sql::value(client.provider.as_str())),
        ("client", Sql::value(client.client.as_str())),
        ("account", Sql::value(account.clone())),
        ("grant_type", Sql::value(grant_type.name())),
        (
            "parent",
            Sql::value(parent.as_ref().map(GrantId::to_string)),
        ),
        ("version", Sql::text("1")),
        ("created_at", Sql::text(context.now)),
        ("changed_at", Sql::text(context.now)),
    ]);
    insert("grants", columns)
}

/// The next token set of a grant in any state, which makes it active. `idle`: only if nobody may be spending the one
/// before.
pub(super) fn store_tokens(
    grant: &GrantId,
    base: Generation,
    mut columns: Vec<Column>,
    idle: bool,
    context: Context<'_>,
) -> Sql {
    columns.push(("invalid_reason", Sql::text("NULL")));
    columns.extend(raise_grant(context.now));
    let mut conditions = vec![
        is("id", grant.as_str()),
        Sql::new("generation = ?", [stored(base.0).into()]),
    ];
    if idle {
        let now = context.now;
        conditions.push(Sql::text(format!(
            "NOT intent AND NOT takeover AND (lease_until IS NULL OR lease_until <= {now})"
        )));
    }
    update("grants", columns, conditions)
}

/// The tokens of a grant stay, though its user may have connected again: no cool-down is left of it.
pub(super) fn keep_tokens(grant: &GrantId, account: Option<&str>, context: Context<'_>) -> Sql {
    let unless_suspect = |column, otherwise: &str| {
        let text = format!("CASE WHEN suspect_reason IS NULL THEN {otherwise} ELSE {column} END");
        (column, Sql::text(text))
    };
    let mut columns = vec![
        account_column(account),
        unless_suspect("failed", "0"),
        unless_suspect("next_attempt_at", "NULL"),
        unless_suspect("failure_reason", "NULL"),
        unless_suspect("failure_message", "NULL"),
    ];
    columns.extend(raise_grant(context.now));
    let conditions = vec![
        is("id", grant.as_str()),
        Sql::text("invalid_reason IS NULL"),
    ];
    update("grants", columns, conditions)
}

/// The account, where it is known now.
pub(super) fn account_column(account: Option<&str>) -> Column {
    let account = account.map(str::to_owned);
    (
        "account",
        Sql::new("COALESCE(?, account)", [account.into()]),
    )
}

pub(super) fn invalidate_grant(
    grant: &GrantId,
    generation: Generation,
    epoch: Option<Epoch>,
    invalidation: &Invalidation,
    context: Context<'_>,
) -> Sql {
    let mut columns = Vec::from(words(invalidation));
    columns.extend([
        ("invalid_reason", Sql::value(invalidation.reason.as_str())),
        ("suspect_reason", Sql::text("NULL")),
    ]);
    columns.extend(date_columns(&Dates::default()));
    columns.extend(no_lease());
    columns.extend(raise_grant(context.now));
    let mut conditions = vec![
        is("id", grant.as_str()),
        Sql::text("invalid_reason IS NULL"),
        Sql::new("generation = ?", [stored(generation.0).into()]),
    ];
    conditions.extend(epoch.map(|epoch| Sql::new("epoch = ?", [stored(epoch.0).into()])));
    update("grants", columns, conditions)
}

/// The death of a grant that was found dead is reported as well.
pub(super) fn report_death(grant: &GrantId, generation: Generation) -> Sql {
    let columns = vec![("invalid_reported", Sql::text("TRUE"))];
    let conditions = vec![
        is("id", grant.as_str()),
        Sql::text("invalid_reason IS NOT NULL"),
        not_reported_dead(),
        Sql::new("generation = ?", [stored(generation.0).into()]),
    ];
    update("grants", columns, conditions)
}

/// What nobody said is dead, be it so or not. An older version that still runs knows only the reason.
pub(in crate::store) fn not_reported_dead() -> Sql {
    let reported = InvalidationReason::Reported.as_str();
    Sql::new(
        "(invalid_reason IS NULL OR NOT invalid_reported AND invalid_reason <> ?)",
        [reported.into()],
    )
}

/// What holds a grant back until its turn.
pub(super) fn suspicion(
    invalidation: &Invalidation,
    failure: &PassingFailure,
    next_at: Timestamp,
) -> Vec<Column> {
    let mut columns = Vec::from(words(invalidation));
    columns.extend([
        ("suspect_reason", Sql::value(invalidation.reason.as_str())),
        ("failed", Sql::text("failed + 1")),
        ("next_attempt_at", Sql::value(next_at.as_millis())),
        ("due_at", Sql::value(next_at.as_millis())),
        ("failure_reason", Sql::value(failure.reason.as_str())),
        ("failure_message", Sql::value(free_text(&failure.message))),
    ]);
    columns
}

/// The call was answered, so it leaves no more doubt than there was before it.
pub(super) fn hold_grant(
    grant: &GrantId,
    generation: Generation,
    epoch: Epoch,
    mut columns: Vec<Column>,
    context: Context<'_>,
) -> Sql {
    columns.extend([
        ("lease_owner", Sql::text("NULL")),
        ("lease_until", Sql::text("NULL")),
        ("intent", Sql::text("takeover")),
    ]);
    columns.extend(raise_grant(context.now));
    let conditions = vec![
        is("id", grant.as_str()),
        Sql::text("invalid_reason IS NULL"),
        Sql::new("generation = ?", [stored(generation.0).into()]),
        Sql::new("epoch = ?", [stored(epoch.0).into()]),
    ];
    update("grants", columns, conditions)
}

pub(super) fn date_grant(
    grant: &GrantId,
    generation: Generation,
    dates: &Dates,
    announced: Option<Ahead>,
) -> Sql {
    let mut columns = Vec::from(date_columns(dates));
    columns.push(announced_column(announced));
    let conditions = vec![
        is("id", grant.as_str()),
        Sql::text("invalid_reason IS NULL"),
        Sql::new("generation = ?", [stored(generation.0).into()]),
    ];
    update("grants", columns, conditions)
}

fn words(invalidation: &Invalidation) -> [Column; 4] {
    let Invalidation {
        reason: _,
        provider_error,
        message,
        at,
        reported,
    } = invalidation;
    [
        ("invalid_error", Sql::value(free_text(provider_error))),
        ("invalid_message", Sql::value(free_text(message))),
        ("invalid_at", Sql::value(at.as_millis())),
        ("invalid_reported", Sql::value(*reported)),
    ]
}

/// A consent of `at`, of whose end nothing was announced yet.
pub(super) fn consent(at: Timestamp) -> [Column; 2] {
    [
        ("consented_at", Sql::value(at.as_millis())),
        announced_column(None),
    ]
}

fn announced_column(announced: Option<Ahead>) -> Column {
    let days = announced.map(|ahead| i64::from(ahead.days()));
    ("announced", Sql::value(days))
}

fn date_columns(dates: &Dates) -> [Column; 5] {
    let Dates {
        due_at,
        renew_by,
        end,
        announce_at,
    } = dates;
    [
        ("due_at", millis(*due_at)),
        ("renew_by", millis(*renew_by)),
        ("ends_at", millis(end.map(|end| end.at))),
        ("end_of", Sql::value(end.map(|end| end.of.name()))),
        ("announce_at", millis(*announce_at)),
    ]
}

fn millis(at: Option<Timestamp>) -> Sql {
    Sql::value(at.map(Timestamp::as_millis))
}

pub(super) fn touch_grant(grant: &GrantId, context: Context<'_>) -> Sql {
    let columns = raise_grant(context.now).into();
    update("grants", columns, vec![is("id", grant.as_str())])
}

pub(super) fn delete_grant(grant: &GrantId) -> Sql {
    delete("grants", vec![is("id", grant.as_str())])
}

/// [`changed_within`](evergrant_core::store::GrantStore::changed_within) sees that it is gone.
pub(super) fn note_deleted(grant: &GrantId, context: Context<'_>) -> Sql {
    let columns = vec![
        ("id", Sql::value(grant.as_str())),
        ("deleted_at", Sql::text(context.now)),
    ];
    insert("deleted_grants", columns)
}

/// The version goes up, and [`changed_within`](evergrant_core::store::GrantStore::changed_within) sees it.
pub(in crate::store) fn raise_grant(now: &'static str) -> [Column; 2] {
    [
        ("version", Sql::text("version + 1")),
        ("changed_at", Sql::text(now)),
    ]
}

/// The token set of generation `next`, as if nothing had ever failed.
pub(in crate::store) fn next_tokens(
    sealer: &Sealer,
    grant: &GrantId,
    next: Generation,
    tokens: &TokenSet,
    issued_at: Timestamp,
    dates: &Dates,
) -> Vec<Column> {
    let mut columns = token_columns(sealer, grant, next, tokens, issued_at, dates);
    columns.extend(no_lease());
    columns.extend([
        ("failed", Sql::text("0")),
        ("next_attempt_at", Sql::text("NULL")),
        ("failure_reason", Sql::text("NULL")),
        ("failure_message", Sql::text("NULL")),
        ("suspect_reason", Sql::text("NULL")),
        ("invalid_error", Sql::text("NULL")),
        ("invalid_message", Sql::text("NULL")),
        ("invalid_at", Sql::text("NULL")),
        ("invalid_reported", Sql::text("FALSE")),
    ]);
    columns
}

fn token_columns(
    sealer: &Sealer,
    grant: &GrantId,
    generation: Generation,
    tokens: &TokenSet,
    issued_at: Timestamp,
    dates: &Dates,
) -> Vec<Column> {
    let sealed = tokens::seal(sealer, grant, generation, tokens);
    let scopes = serde_json::json!(tokens.scopes).to_string();
    let requested_scopes = requested_scopes(&tokens.means.scopes);
    let refresh_token = tokens.refresh_token.as_ref();
    let hash = refresh_token.map(|token| token.sha512_twice().to_vec());
    let prefix = refresh_token.and_then(RefreshToken::prefix_sha256);
    let mut columns = vec![
        ("generation", Sql::value(stored(generation.0))),
        ("tokens", Sql::value(sealed)),
        ("key_id", Sql::value(sealer.active_key())),
        ("issued_at", Sql::value(issued_at.as_millis())),
        ("expires_at", millis(tokens.expires_at)),
        ("refresh_expires_at", millis(tokens.refresh_expires_at)),
        ("refresh_hash", Sql::value(hash)),
        (
            "refresh_prefix",
            Sql::value(prefix.map(|hash| hash.to_vec())),
        ),
        ("refreshable", Sql::value(tokens.refresh_token.is_some())),
        ("scopes", Sql::value(scopes)),
        ("requested_scopes", Sql::value(requested_scopes)),
    ];
    columns.extend(date_columns(dates));
    columns
}

/// A set of scopes as its column holds it.
pub(in crate::store) fn requested_scopes(scopes: &ScopeSet) -> String {
    serde_json::json!(scopes.as_slice()).to_string()
}

fn no_lease() -> [Column; 4] {
    [
        ("lease_owner", Sql::text("NULL")),
        ("lease_until", Sql::text("NULL")),
        ("intent", Sql::text("FALSE")),
        ("takeover", Sql::text("FALSE")),
    ]
}
