//! OAuth clients: how they stand, how their refreshes ended lately, and which of their grants are held.

use std::collections::BTreeMap;

use evergrant_core::brake::{Refusals, WINDOW};
use evergrant_core::ids::{ClientKey, GrantId};
use evergrant_core::store::{ClientStanding, StoreError};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

use super::SqlStore;
use super::entity::{brake, client};
use super::grants::get;
use super::row::{self, number};
use super::session::Session;
use super::sql::Sql;

/// Refusals as they were read.
pub(super) struct StoredRefusals {
    client: ClientKey,
    refused: i64,
    refreshed: i64,
    held: i64,
    brake: Option<brake::Model>,
}

impl StoredRefusals {
    pub(super) fn read(self) -> Result<Refusals, StoreError> {
        Ok(Refusals {
            client: self.client,
            refused: number(self.refused),
            refreshed: number(self.refreshed),
            held: number(self.held),
            brake: self.brake.map(row::brake).transpose()?,
        })
    }
}

impl SqlStore {
    /// How refreshes of a client ended lately, but for that of `without`.
    ///
    /// A refreshed grant was both issued and changed lately: the time of the change has an index, and a change alone
    /// may be another one.
    pub(super) async fn read_refusals(
        &self,
        database: &Session,
        client: &ClientKey,
        without: Option<&GrantId>,
    ) -> Result<StoredRefusals, DbErr> {
        let window = i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX);
        let (provider, name) = (client.provider.as_str(), client.client.as_str());
        let since = format!("{} - ?", self.database.now());
        let count = Sql::new(
            format!(
                "SELECT (SELECT count(*) FROM refusals WHERE provider = ? AND client = ?
                 AND grant_id <> ? AND at > {since}) AS refused, "
            ),
            [
                provider.into(),
                name.into(),
                without.map_or("", GrantId::as_str).into(),
                window.into(),
            ],
        )
        .then(Sql::new(
            format!(
                "(SELECT count(*) FROM grants WHERE changed_at > {since} AND issued_at > {since}
                 AND provider = ? AND client = ? AND generation > 1
                 AND invalid_reason IS NULL AND suspect_reason IS NULL) AS refreshed, "
            ),
            [window.into(), window.into(), provider.into(), name.into()],
        ))
        .then(Sql::new(
            "(SELECT count(*) FROM grants WHERE provider = ? AND client = ?
             AND suspect_reason IS NOT NULL) AS held",
            [provider.into(), name.into()],
        ));
        let counts = count.build(database.get_database_backend());
        let counts = database.query_one_raw(counts).await?;
        let counts = counts.ok_or_else(|| DbErr::RecordNotFound("a count".to_owned()))?;
        let key = (provider.to_owned(), name.to_owned());
        Ok(StoredRefusals {
            client: client.clone(),
            refused: counts.try_get("", "refused")?,
            refreshed: counts.try_get("", "refreshed")?,
            held: counts.try_get("", "held")?,
            brake: brake::Entity::find_by_id(key).one(database).await?,
        })
    }

    pub(super) async fn client_standings(&self) -> Result<Vec<ClientStanding>, StoreError> {
        let read = |database: Session| async move {
            let held = Sql::text(
                "SELECT provider, client, count(*) AS held FROM grants
                 WHERE suspect_reason IS NOT NULL GROUP BY provider, client",
            );
            let held = held.build(database.get_database_backend());
            Ok((
                client::Entity::find().all(&database).await?,
                brake::Entity::find().all(&database).await?,
                database.query_all_raw(held).await?,
            ))
        };
        let (clients, brakes, held) = self.database.read(read).await?;
        let mut standings: BTreeMap<ClientKey, ClientStanding> = BTreeMap::new();
        for row in clients {
            let health = row::client(row)?;
            let standing = of(&mut standings, &health.client);
            standing.health = Some(health);
        }
        for row in brakes {
            let brake = row::brake(row)?;
            let standing = of(&mut standings, &brake.client);
            standing.brake = Some(brake);
        }
        for row in held {
            let (provider, name) = (
                get::<String>(&row, "provider")?,
                get::<String>(&row, "client")?,
            );
            let client = row::client_key(&provider, &name)?;
            of(&mut standings, &client).held = number(get(&row, "held")?);
        }
        Ok(standings.into_values().collect())
    }

    pub(super) async fn held_grants(
        &self,
        client: &ClientKey,
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<GrantId>, StoreError> {
        let held = Sql::new(
            "SELECT id FROM grants WHERE provider = ? AND client = ?
             AND suspect_reason IS NOT NULL AND id > ? ORDER BY id LIMIT ?",
            [
                client.provider.as_str().into(),
                client.client.as_str().into(),
                after.map_or("", GrantId::as_str).into(),
                i64::from(limit).into(),
            ],
        );
        let rows = self.rows(held).await?;
        let ids = rows
            .iter()
            .map(|row| row::name(GrantId::parse, &get::<String>(row, "id")?));
        ids.collect()
    }
}

fn of<'s>(
    standings: &'s mut BTreeMap<ClientKey, ClientStanding>,
    client: &ClientKey,
) -> &'s mut ClientStanding {
    standings
        .entry(client.clone())
        .or_insert_with(|| ClientStanding {
            client: client.clone(),
            health: None,
            brake: None,
            held: 0,
        })
}
