//! What ends when, and what is to be told of it: two queries along the indexes of `grants`.

use evergrant_core::ageing::EndOf;
use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{Generation, ProviderName};
use evergrant_core::store::{Forecast, ForecastPlace, ForecastQuery, StoreError};
use sea_orm::{QueryResult, Value};

use super::SqlStore;
use super::grants::get;
use super::row::{self, number};
use super::sql::Sql;

/// The ids of active grants that are to be announced at `now`.
pub(super) fn to_announce(now: Timestamp, limit: u32) -> Sql {
    Sql::new(
        "SELECT id FROM grants WHERE announce_at <= ? AND invalid_reason IS NULL
         ORDER BY announce_at, id LIMIT ?",
        [now.as_millis().into(), i64::from(limit).into()],
    )
}

impl SqlStore {
    pub(super) async fn read_forecast(
        &self,
        query: &ForecastQuery,
    ) -> Result<Vec<Forecast>, StoreError> {
        let rows = self.rows(forecast(query)).await?;
        rows.iter().map(forecast_of).collect()
    }
}

/// Ends for good and ends that a refresh moves stand in columns of their own, so a grant may be listed twice. Each
/// half walks along its index and stops after a page.
pub(super) fn forecast(query: &ForecastQuery) -> Sql {
    let half = |ends: Sql| Sql::text("SELECT * FROM (").then(ends).then_text(") half");
    let for_good = half(ends("ends_at", "end_of", 0, query));
    let moving = half(ends("renew_by", "NULL", 1, query));
    for_good
        .then_text(" UNION ALL ")
        .then(moving)
        .then(Sql::new(
            " ORDER BY at, tenant, credential, moves LIMIT ?",
            [i64::from(query.limit).into()],
        ))
}

fn ends(column: &str, of: &str, moves: u8, query: &ForecastQuery) -> Sql {
    let ForecastQuery {
        tenants,
        providers,
        before,
        after,
        limit,
    } = query;
    let mut conditions = vec![
        Sql::text(format!("grants.{column} IS NOT NULL")),
        Sql::text("grants.invalid_reason IS NULL"),
    ];
    if let Some(before) = before {
        let before = before.as_millis().into();
        conditions.push(Sql::new(format!("grants.{column} < ?"), [before]));
    }
    if let Some(ForecastPlace {
        at,
        key,
        moves: past,
    }) = after
    {
        let at: Value = at.as_millis().into();
        conditions.push(Sql::new(format!("grants.{column} >= ?"), [at.clone()]));
        // Of the half that comes second in a tie, the place itself is still to come where the first is behind.
        let beyond = if moves > u8::from(*past) { ">=" } else { ">" };
        conditions.push(Sql::new(
            format!("(grants.{column}, credentials.tenant, credentials.id) {beyond} (?, ?, ?)"),
            [at, key.tenant.as_str().into(), key.id.as_str().into()],
        ));
    }
    let among = |column: &str, names: Vec<Value>| match names.is_empty() {
        true => Sql::text("1 = 0"),
        false => Sql::text(format!("{column} IN ")).then(Sql::tuple(names)),
    };
    if let Some(tenants) = tenants {
        let tenants = tenants.iter().map(|tenant| tenant.as_str().into());
        conditions.push(among("credentials.tenant", tenants.collect()));
    }
    if !providers.is_empty() {
        let providers = providers.iter().map(|provider| provider.as_str().into());
        conditions.push(among("grants.provider", providers.collect()));
    }
    Sql::text(format!(
        "SELECT grants.{column} AS at, credentials.tenant AS tenant, credentials.id AS credential,
            CAST({moves} AS BIGINT) AS moves, {of} AS end_of, grants.provider AS provider,
            grants.generation AS generation, grants.due_at AS due_at, credentials.labels AS labels
         FROM grants JOIN credentials ON credentials.grant_id = grants.id WHERE "
    ))
    .then(Sql::join(conditions, " AND "))
    .then(Sql::new(
        format!(" ORDER BY grants.{column}, credentials.tenant, credentials.id LIMIT ?"),
        [i64::from(*limit).into()],
    ))
}

fn forecast_of(row: &QueryResult) -> Result<Forecast, StoreError> {
    let of: Option<String> = get(row, "end_of")?;
    let of: Option<EndOf> = of.map(|of| row::word(&of)).transpose()?;
    let due_at: Option<i64> = get(row, "due_at")?;
    Ok(Forecast {
        place: ForecastPlace {
            at: Timestamp::from_millis(get(row, "at")?),
            key: row::credential_key(
                &get::<String>(row, "tenant")?,
                &get::<String>(row, "credential")?,
            )?,
            moves: get::<i64>(row, "moves")? == 1,
        },
        provider: row::name(ProviderName::parse, &get::<String>(row, "provider")?)?,
        generation: Generation(number(get(row, "generation")?)),
        of,
        due_at: due_at.map(Timestamp::from_millis),
        labels: row::labels(get(row, "labels")?)?,
    })
}

#[cfg(test)]
mod tests;
