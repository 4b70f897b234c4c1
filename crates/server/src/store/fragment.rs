//! The writes of a change as SQL, in the same words for both databases.

use evergrant_core::change::{NewGrant, Write};
use evergrant_core::clock::Timestamp;
use evergrant_core::grant::TokenSet;
use evergrant_core::ids::{Generation, GrantId};
use evergrant_core::integration::Integration;
use evergrant_core::store::Credential;
use sea_orm::Value;

use super::names::Stored;
use super::row::stored;
use super::sql::{Column, Sql, insert, update};
use super::tokens;
use crate::seal::Sealer;

/// A statement, and how many rows it must write; `None`: any number.
pub(super) struct Fragment {
    pub(super) sql: Sql,
    pub(super) rows: Option<u64>,
}

impl Fragment {
    fn one(sql: Sql) -> Self {
        Self { sql, rows: Some(1) }
    }

    fn any(sql: Sql) -> Self {
        Self { sql, rows: None }
    }
}

/// What fragments need besides the write.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) sealer: &'a Sealer,
    /// The time by the database's clock, as an expression.
    pub(super) now: &'static str,
}

/// The statements of all writes, none of which touches a row that another touches: Postgres runs them
/// against one snapshot, where only one of two updates of a row would take place.
pub(super) fn fragments(writes: &[&Write], context: Context<'_>) -> Vec<Fragment> {
    let mut fragments = Vec::with_capacity(writes.len());
    for write in writes {
        add(&mut fragments, write, writes, context);
    }
    fragments
}

fn add(to: &mut Vec<Fragment>, write: &Write, all: &[&Write], context: Context<'_>) {
    let now = context.now;
    match write {
        Write::InsertGrant(new) => to.push(Fragment::one(insert_grant(new, context))),
        Write::StoreTokens {
            grant,
            base,
            tokens,
            issued_at,
            due_at,
            account,
        } => {
            let sealer = context.sealer;
            let mut columns = next_tokens(sealer, grant, *base, tokens, *issued_at, *due_at);
            let account = account.as_deref().map(str::to_owned);
            columns.push((
                "account",
                Sql::new("COALESCE(?, account)", [account.into()]),
            ));
            for column in [
                "invalid_reason",
                "invalid_error",
                "invalid_message",
                "invalid_at",
            ] {
                columns.push((column, Sql::text("NULL")));
            }
            columns.extend(raise_grant(now));
            let same = Sql::new("generation = ?", [stored(base.0).into()]);
            let conditions = vec![is("id", grant.as_str()), same];
            to.push(Fragment::one(update("grants", columns, conditions)));
        }
        Write::InvalidateGrant {
            grant,
            generation,
            epoch,
            invalidation,
        } => {
            let mut columns = vec![
                ("invalid_reason", Sql::value(invalidation.reason.as_str())),
                (
                    "invalid_error",
                    Sql::value(free_text(&invalidation.provider_error)),
                ),
                (
                    "invalid_message",
                    Sql::value(free_text(&invalidation.message)),
                ),
                ("invalid_at", Sql::value(invalidation.at.as_millis())),
                ("due_at", Sql::text("NULL")),
            ];
            columns.extend(no_lease());
            columns.extend(raise_grant(now));
            let mut conditions = vec![
                is("id", grant.as_str()),
                Sql::text("invalid_reason IS NULL"),
                Sql::new("generation = ?", [stored(generation.0).into()]),
            ];
            conditions.extend(epoch.map(|e| Sql::new("epoch = ?", [stored(e.0).into()])));
            to.push(Fragment::one(update("grants", columns, conditions)));
        }
        Write::TouchGrant(grant) => {
            let columns = raise_grant(now).into();
            let touch = update("grants", columns, vec![is("id", grant.as_str())]);
            to.push(Fragment::one(touch));
        }
        Write::DeleteGrant(grant) => {
            to.push(Fragment::one(delete(
                "grants",
                vec![is("id", grant.as_str())],
            )));
        }
        Write::InsertCredential(new) => to.push(Fragment::one(insert_credential(new))),
        Write::UpdateCredentialLabels { key, .. } | Write::MoveCredential { key, .. } => {
            let (tenant, id) = (key.tenant.as_str(), key.id.as_str());
            to.extend(
                update_credential(write, all).map(|(columns, mut conditions)| {
                    conditions.extend([is("tenant", tenant), is("id", id)]);
                    Fragment::one(update("credentials", columns, conditions))
                }),
            );
        }
        Write::DeleteCredential(key) => {
            let its = vec![is("tenant", key.tenant.as_str()), is("id", key.id.as_str())];
            to.push(Fragment::one(delete("credentials", its)));
        }
        Write::InsertIntegration(new) => {
            to.push(Fragment::one(insert_integration(new)));
            to.extend(insert_needs(new));
        }
        Write::UpdateIntegration(new) => {
            to.push(Fragment::one(update_integration(new)));
            to.push(delete_needs(new));
            to.extend(insert_needs(new));
        }
        Write::DeleteIntegration(key) => {
            let its = vec![is("tenant", key.tenant.as_str()), is("id", key.id.as_str())];
            to.push(Fragment::one(delete("integrations", its)));
        }
        Write::SetClientHealth(health) => {
            let columns = vec![
                ("provider", Sql::value(health.client.provider.as_str())),
                ("client", Sql::value(health.client.client.as_str())),
                ("rejected", Sql::value(health.rejected)),
                ("since", Sql::value(health.since.as_millis())),
                (
                    "provider_error",
                    Sql::value(free_text(&health.provider_error)),
                ),
                ("message", Sql::value(free_text(&health.message))),
            ];
            to.push(Fragment::one(insert("clients", columns).then_text(
                " ON CONFLICT (provider, client) DO UPDATE SET rejected = excluded.rejected,
                since = excluded.since, provider_error = excluded.provider_error,
                message = excluded.message WHERE clients.rejected <> excluded.rejected",
            )));
        }
    }
}

fn is(column: &'static str, value: &str) -> Sql {
    Sql::new(format!("{column} = ?"), [value.into()])
}

fn delete(table: &str, conditions: Vec<Sql>) -> Sql {
    Sql::text(format!("DELETE FROM {table} WHERE ")).then(Sql::join(conditions, " AND "))
}

/// A JSON value, which Postgres wants to be told.
fn json(value: &std::collections::BTreeMap<String, String>) -> Sql {
    Sql::value(serde_json::json!(value))
}

/// Words of others. Postgres stores no NUL, and words are no reason to lose a write.
pub(super) fn free_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The version goes up, and [`changed_within`](evergrant_core::store::GrantStore::changed_within) sees it.
pub(super) fn raise_grant(now: &'static str) -> [Column; 2] {
    [
        ("version", Sql::text("version + 1")),
        ("changed_at", Sql::text(now)),
    ]
}

/// The token set that follows `base`, as if nothing had ever failed.
pub(super) fn next_tokens(
    sealer: &Sealer,
    grant: &GrantId,
    base: Generation,
    tokens: &TokenSet,
    issued_at: Timestamp,
    due_at: Option<Timestamp>,
) -> Vec<Column> {
    let mut columns = token_columns(sealer, grant, base.next(), tokens, issued_at, due_at);
    columns.extend(no_lease());
    columns.extend([
        ("failed", Sql::text("0")),
        ("next_attempt_at", Sql::text("NULL")),
        ("failure_reason", Sql::text("NULL")),
        ("failure_message", Sql::text("NULL")),
    ]);
    columns
}

fn token_columns(
    sealer: &Sealer,
    grant: &GrantId,
    generation: Generation,
    tokens: &TokenSet,
    issued_at: Timestamp,
    due_at: Option<Timestamp>,
) -> Vec<Column> {
    let millis = |at: Option<Timestamp>| Sql::value(at.map(Timestamp::as_millis));
    let sealed = tokens::seal(sealer, grant, generation, tokens);
    let scopes = serde_json::json!(tokens.scopes).to_string();
    vec![
        ("generation", Sql::value(stored(generation.0))),
        ("tokens", Sql::value(sealed)),
        ("key_id", Sql::value(sealer.active_key())),
        ("issued_at", Sql::value(issued_at.as_millis())),
        ("expires_at", millis(tokens.expires_at)),
        ("refresh_expires_at", millis(tokens.refresh_expires_at)),
        ("refreshable", Sql::value(tokens.refresh_token.is_some())),
        ("scopes", Sql::value(scopes)),
        ("due_at", millis(due_at)),
    ]
}

fn no_lease() -> [Column; 4] {
    [
        ("lease_owner", Sql::text("NULL")),
        ("lease_until", Sql::text("NULL")),
        ("intent", Sql::text("FALSE")),
        ("takeover", Sql::text("FALSE")),
    ]
}

fn insert_grant(new: &NewGrant, context: Context<'_>) -> Sql {
    let NewGrant {
        id,
        tenant,
        client,
        account,
        grant_type,
        tokens,
        issued_at,
        due_at,
    } = new;
    let first = Generation::FIRST;
    let mut columns = token_columns(context.sealer, id, first, tokens, *issued_at, *due_at);
    columns.extend([
        ("id", Sql::value(id.as_str())),
        ("tenant", Sql::value(tenant.as_str())),
        ("provider", Sql::value(client.provider.as_str())),
        ("client", Sql::value(client.client.as_str())),
        ("account", Sql::value(account.clone())),
        ("grant_type", Sql::value(grant_type.name())),
        ("version", Sql::text("1")),
        ("created_at", Sql::text(context.now)),
        ("changed_at", Sql::text(context.now)),
    ]);
    insert("grants", columns)
}

fn insert_credential(new: &Credential) -> Sql {
    let Credential {
        key,
        grant,
        labels,
        created_at,
        version: _,
    } = new;
    let columns = vec![
        ("tenant", Sql::value(key.tenant.as_str())),
        ("id", Sql::value(key.id.as_str())),
        ("grant_id", Sql::value(grant.as_str())),
        ("labels", json(labels)),
        ("created_at", Sql::value(created_at.as_millis())),
        ("version", Sql::text("1")),
    ];
    insert("credentials", columns)
}

/// All updates of one credential together, at the first of them.
fn update_credential(write: &Write, all: &[&Write]) -> Option<(Vec<Column>, Vec<Sql>)> {
    let its_key = |write: &Write| match write {
        Write::UpdateCredentialLabels { key, .. } | Write::MoveCredential { key, .. } => {
            Some(key.clone())
        }
        _ => None,
    };
    let key = its_key(write);
    let mut of_one = all.iter().filter(|other| its_key(other) == key).peekable();
    if of_one
        .peek()
        .is_none_or(|first| !std::ptr::eq(**first, write))
    {
        return None;
    }
    let mut columns = vec![("version", Sql::text("version + 1"))];
    let mut conditions = Vec::new();
    for update in of_one {
        match update {
            Write::UpdateCredentialLabels {
                version, labels, ..
            } => {
                columns.push(("labels", json(labels)));
                conditions.push(Sql::new("version = ?", [stored(*version).into()]));
            }
            Write::MoveCredential { from, to, .. } => {
                columns.push(("grant_id", Sql::value(to.as_str())));
                conditions.push(is("grant_id", from.as_str()));
            }
            _ => {}
        }
    }
    Some((columns, conditions))
}

fn integration_columns(integration: &Integration) -> Vec<Column> {
    let facts = &integration.facts;
    vec![
        ("paused", Sql::value(facts.paused)),
        ("needs_config", Sql::value(facts.needs_config)),
        ("processing", Sql::value(facts.processing)),
        ("labels", json(&integration.labels)),
        ("status", Sql::value(integration.status.name())),
        ("cause", Sql::value(free_text(&integration.cause))),
        (
            "status_changed_at",
            Sql::value(integration.status_changed_at.as_millis()),
        ),
    ]
}

fn insert_integration(new: &Integration) -> Sql {
    let mut columns = integration_columns(new);
    columns.extend([
        ("tenant", Sql::value(new.key.tenant.as_str())),
        ("id", Sql::value(new.key.id.as_str())),
        ("version", Sql::text("1")),
    ]);
    insert("integrations", columns)
}

fn update_integration(new: &Integration) -> Sql {
    let mut columns = integration_columns(new);
    columns.push(("version", Sql::text("version + 1")));
    let before = stored(new.version) - 1;
    let conditions = vec![
        is("tenant", new.key.tenant.as_str()),
        is("id", new.key.id.as_str()),
        Sql::new("version = ?", [before.into()]),
    ];
    update("integrations", columns, conditions)
}

fn needed(integration: &Integration) -> impl Iterator<Item = Value> {
    let needs = integration.facts.needs.iter();
    needs.map(|need| need.credential.as_str().into())
}

/// Takes away what is no longer needed. What stays is not touched: see [`fragments`].
fn delete_needs(new: &Integration) -> Fragment {
    let mut conditions = vec![
        is("tenant", new.key.tenant.as_str()),
        is("integration", new.key.id.as_str()),
    ];
    if !new.facts.needs.is_empty() {
        conditions.push(Sql::text("credential NOT IN ").then(Sql::tuple(needed(new))));
    }
    Fragment::any(delete("integration_credentials", conditions))
}

fn insert_needs(new: &Integration) -> Option<Fragment> {
    if new.facts.needs.is_empty() {
        return None;
    }
    let (tenant, id) = (new.key.tenant.as_str(), new.key.id.as_str());
    let rows = needed(new).map(|credential| Sql::tuple([tenant.into(), id.into(), credential]));
    let insert = "INSERT INTO integration_credentials (tenant, integration, credential) VALUES ";
    let links = Sql::text(insert)
        .then(Sql::join(rows, ", "))
        .then_text(" ON CONFLICT DO NOTHING");
    Some(Fragment::any(links))
}
