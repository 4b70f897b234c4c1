//! The writes of a change as SQL, in the same words for both databases.

mod brake;
mod credential;
mod grant;
mod integration;

use std::collections::BTreeMap;

use evergrant_core::change::{ClientHealth, Write};
use evergrant_core::clock::Timestamp;
use evergrant_core::kill::Killed;
use evergrant_core::report::DeliveryId;

pub(super) use self::grant::{next_tokens, not_reported_dead, raise_grant, requested_scopes};

use super::row::stored;
use super::sql::{Sql, insert};
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
    /// A number from 0 to 1 that is another one for each row, as an expression.
    pub(super) random: &'static str,
}

/// The statements of all writes, none of which touches a row that another touches: Postgres runs them
/// against one snapshot, where only one of two updates of a row would take place.
pub(super) fn fragments(writes: &[&Write], context: Context<'_>) -> Vec<Fragment> {
    let fragments = writes.iter();
    fragments
        .flat_map(|write| of_write(write, writes, context))
        .collect()
}

fn of_write(write: &Write, all: &[&Write], context: Context<'_>) -> Vec<Fragment> {
    let one = match write {
        Write::InsertGrant(new) => grant::insert_grant(new, context),
        Write::StoreTokens {
            grant,
            base,
            next,
            tokens,
            issued_at,
            dates,
            consent,
            account,
            idle,
        } => {
            let sealer = context.sealer;
            let mut columns = next_tokens(sealer, grant, *next, tokens, *issued_at, dates);
            if *consent {
                columns.extend(grant::consent(*issued_at));
            }
            columns.push(grant::account_column(account.as_deref()));
            grant::store_tokens(grant, *base, columns, *idle, context)
        }
        Write::KeepTokens { grant, account } => {
            grant::keep_tokens(grant, account.as_deref(), context)
        }
        Write::InvalidateGrant {
            grant,
            generation,
            epoch,
            invalidation,
        } => grant::invalidate_grant(grant, *generation, *epoch, invalidation, context),
        Write::ReportDeath { grant, generation } => grant::report_death(grant, *generation),
        Write::HoldGrant {
            grant,
            generation,
            epoch,
            invalidation,
            failure,
            next_at,
        } => {
            let columns = grant::suspicion(invalidation, failure, *next_at);
            grant::hold_grant(grant, *generation, *epoch, columns, context)
        }
        Write::NoteRefusal { client, grant } => return brake::note_refusal(client, grant, context),
        Write::SetBrake(brake) => brake::set_brake(brake),
        Write::ReleaseBrake { client, spread } => {
            return brake::release_brake(client, *spread, context);
        }
        Write::DateGrant {
            grant,
            generation,
            dates,
            announced,
        } => grant::date_grant(grant, *generation, dates, *announced),
        Write::TouchGrant(grant) => grant::touch_grant(grant, context),
        Write::DeleteGrant(grant) => {
            let delete = Fragment::one(grant::delete_grant(grant));
            return vec![delete, Fragment::one(grant::note_deleted(grant, context))];
        }
        Write::InsertCredential(new) => credential::insert_credential(new),
        Write::UpdateCredentialLabels { .. } | Write::MoveCredential { .. } => {
            let update = credential::update_credential(write, all);
            return update.map(Fragment::one).into_iter().collect();
        }
        Write::DeleteCredential(key) => credential::delete_credential(key),
        Write::InsertIntegration(new) => {
            let mut fragments = vec![Fragment::one(integration::insert_integration(new))];
            fragments.extend(integration::insert_needs(new));
            return fragments;
        }
        Write::UpdateIntegration(new) => {
            let update = Fragment::one(integration::update_integration(new));
            let mut fragments = vec![update, integration::delete_needs(new)];
            fragments.extend(integration::insert_needs(new));
            return fragments;
        }
        Write::DeleteIntegration(key) => integration::delete_integration(key),
        Write::SetClientHealth(health) => set_client_health(health),
        Write::RememberDelivery(id) => remember_delivery(id, context),
        Write::NoteKilled(killed) => note_killed(killed),
    };
    vec![Fragment::one(one)]
}

fn set_client_health(health: &ClientHealth) -> Sql {
    let ClientHealth {
        client,
        rejected,
        since,
        provider_error,
        message,
        rejected_at,
    } = health;
    let columns = vec![
        ("provider", Sql::value(client.provider.as_str())),
        ("client", Sql::value(client.client.as_str())),
        ("rejected", Sql::value(*rejected)),
        ("since", Sql::value(since.as_millis())),
        ("provider_error", Sql::value(free_text(provider_error))),
        ("message", Sql::value(free_text(message))),
        (
            "rejected_at",
            Sql::value(rejected_at.map(Timestamp::as_millis)),
        ),
    ];
    insert("clients", columns).then_text(
        " ON CONFLICT (provider, client) DO UPDATE SET rejected = excluded.rejected,
        since = excluded.since, provider_error = excluded.provider_error,
        message = excluded.message, rejected_at = excluded.rejected_at WHERE clients.rejected <> excluded.rejected",
    )
}

fn remember_delivery(id: &DeliveryId, context: Context<'_>) -> Sql {
    let DeliveryId { receiver, sha256 } = id;
    let columns = vec![
        ("receiver", Sql::value(receiver.as_str())),
        ("id", Sql::value(sha256.to_vec())),
        ("seen_at", Sql::text(context.now)),
    ];
    insert("deliveries", columns)
}

fn note_killed(killed: &Killed) -> Sql {
    let Killed {
        kill,
        grant,
        generation,
        credentials,
        revoke_at,
    } = killed;
    let state = match revoke_at {
        Some(_) => "PENDING",
        None => "LEFT",
    };
    let columns = vec![
        ("kill_id", Sql::value(kill.as_str())),
        ("grant_id", Sql::value(grant.as_str())),
        ("generation", Sql::value(stored(generation.0))),
        ("credentials", Sql::value(stored(*credentials))),
        ("state", Sql::value(state)),
        ("next_at", Sql::value(revoke_at.map(Timestamp::as_millis))),
    ];
    insert("kill_grants", columns)
}

fn is(column: &'static str, value: &str) -> Sql {
    Sql::new(format!("{column} = ?"), [value.into()])
}

fn delete(table: &str, conditions: Vec<Sql>) -> Sql {
    Sql::text(format!("DELETE FROM {table} WHERE ")).then(Sql::join(conditions, " AND "))
}

/// A value of a JSON column.
fn json(labels: &BTreeMap<String, String>) -> Sql {
    Sql::value(serde_json::json!(labels))
}

/// Words of others. Postgres stores no NUL, and words are no reason to lose a write.
pub(super) fn free_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
