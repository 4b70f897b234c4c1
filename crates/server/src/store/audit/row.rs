//! Records as rows.

use evergrant_core::store::StoreError;
use sea_orm::QueryResult;
use serde::Serialize;

use super::super::grants::get;
use super::super::row::{corrupt, number};
use super::super::sql::Sql;
use crate::audit::chain::Mac;
use crate::audit::record::{Content, Record};

pub(super) const COLUMNS: &str = "number, at, until, count, caller, peer, action, tenant, \
    credential, integration, provider, client, generation, outcome, detail";

#[derive(Serialize)]
struct Row<'a> {
    number: u64,
    at: i64,
    until: i64,
    #[serde(flatten)]
    content: &'a Content,
    mac: String,
}

/// All records in one value, since a statement takes 65,535 of them at most.
pub(super) fn write(records: &[Record]) -> String {
    let rows = records.iter().map(|record| {
        let Record {
            number,
            content,
            mac,
        } = record;
        Row {
            number: *number,
            at: content.at,
            until: content.until,
            content,
            mac: mac.to_string(),
        }
    });
    let rows: Vec<_> = rows.collect();
    serde_json::to_string(&rows).expect("texts and numbers can be written as JSON")
}

/// Inserts rows if there is a row of `bump`.
pub(super) fn insert_on_postgres(rows: String) -> Sql {
    Sql::new(
        format!(
            "INSERT INTO audit_records ({COLUMNS}, mac) SELECT {COLUMNS}, decode(mac, 'hex')
             FROM bump, jsonb_to_recordset(?::jsonb) AS told (number bigint, at bigint,
                until bigint, count bigint, caller text, peer text, action text, tenant text,
                credential text, integration text, provider text, client text,
                generation bigint, outcome text, detail text, mac text)"
        ),
        [rows.into()],
    )
}

pub(super) fn insert_on_sqlite(rows: String) -> Sql {
    let names = COLUMNS.split(',').map(str::trim);
    let fields = names.map(|name| format!("value ->> '{name}'"));
    let fields = fields.collect::<Vec<_>>().join(", ");
    Sql::new(
        format!(
            "INSERT INTO audit_records ({COLUMNS}, mac)
             SELECT {fields}, unhex(value ->> 'mac') FROM json_each(?)"
        ),
        [rows.into()],
    )
}

pub(super) fn mac(row: &QueryResult, column: &str) -> Result<Mac, StoreError> {
    let bytes: Vec<u8> = get(row, column)?;
    // What has another length is no code of ours, and equal to none.
    Ok(Mac(bytes.try_into().unwrap_or_default()))
}

/// A number of which nothing says that nobody wrote another.
pub(super) fn record(row: &QueryResult) -> Result<Record, StoreError> {
    let text = |column: &str| get::<String>(row, column);
    let whole = |column: &str| get::<i64>(row, column);
    Ok(Record {
        number: number(whole("number")?),
        content: Content {
            at: whole("at")?,
            until: whole("until")?,
            count: whole("count")?,
            caller: text("caller")?,
            peer: text("peer")?,
            action: text("action")?,
            tenant: text("tenant")?,
            credential: text("credential")?,
            integration: text("integration")?,
            provider: text("provider")?,
            client: text("client")?,
            generation: whole("generation")?,
            outcome: text("outcome")?,
            detail: text("detail")?,
        },
        mac: mac(row, "mac")?,
    })
}

/// A tenant and a credential of a record.
pub(super) fn key(row: &QueryResult) -> Result<evergrant_core::ids::CredentialKey, StoreError> {
    let tenant: String = get(row, "tenant")?;
    let credential: String = get(row, "credential")?;
    super::super::row::credential_key(&tenant, &credential)
        .map_err(|_| corrupt("a credential of the audit trail"))
}
