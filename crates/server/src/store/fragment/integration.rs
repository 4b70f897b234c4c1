//! Writes of integrations and of their needs.

use evergrant_core::ids::IntegrationKey;
use evergrant_core::integration::Integration;
use sea_orm::Value;

use super::{Fragment, delete, free_text, is, json};
use crate::store::names::Stored;
use crate::store::row::stored;
use crate::store::sql::{Column, Sql, insert, update};

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

pub(super) fn insert_integration(new: &Integration) -> Sql {
    let mut columns = integration_columns(new);
    columns.extend([
        ("tenant", Sql::value(new.key.tenant.as_str())),
        ("id", Sql::value(new.key.id.as_str())),
        ("version", Sql::text("1")),
    ]);
    insert("integrations", columns)
}

pub(super) fn update_integration(new: &Integration) -> Sql {
    let mut columns = integration_columns(new);
    columns.push(("version", Sql::text("version + 1")));
    let before = stored(new.version) - 1;
    let mut conditions = its_key(&new.key);
    conditions.push(Sql::new("version = ?", [before.into()]));
    update("integrations", columns, conditions)
}

fn needed(integration: &Integration) -> impl Iterator<Item = Value> {
    let needs = integration.facts.needs.iter();
    needs.map(|need| need.credential.as_str().into())
}

/// Takes away what is no longer needed. What stays is not touched: see [`fragments`](super::fragments).
pub(super) fn delete_needs(new: &Integration) -> Fragment {
    let mut conditions = vec![
        is("tenant", new.key.tenant.as_str()),
        is("integration", new.key.id.as_str()),
    ];
    if !new.facts.needs.is_empty() {
        conditions.push(Sql::text("credential NOT IN ").then(Sql::tuple(needed(new))));
    }
    Fragment::any(delete("integration_credentials", conditions))
}

pub(super) fn insert_needs(new: &Integration) -> Option<Fragment> {
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

/// Its needs go with it.
pub(super) fn delete_integration(key: &IntegrationKey) -> Sql {
    delete("integrations", its_key(key))
}

fn its_key(key: &IntegrationKey) -> Vec<Sql> {
    vec![is("tenant", key.tenant.as_str()), is("id", key.id.as_str())]
}
