//! Whom a provider's report concerns.

use evergrant_core::clock::Timestamp;
use evergrant_core::report::{Report, Subject};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};

use super::fragment::free_text;
use super::sql::Sql;

/// The active grants that `report` concerns, by id, at most `limit`.
pub(super) async fn concerned(
    database: &DatabaseConnection,
    report: &Report,
    limit: u32,
) -> Result<Vec<String>, DbErr> {
    let mut found = Vec::new();
    for (column, values) in by_column(&report.subjects) {
        if values.is_empty() {
            continue;
        }
        let query = concerned_by(column, values, report, limit);
        let query = query.build(database.get_database_backend());
        for row in database.query_all_raw(query).await? {
            found.push(row.try_get::<String>("", "id")?);
        }
    }
    found.sort();
    found.dedup();
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

/// What is looked for, by the index that finds it.
fn by_column(subjects: &[Subject]) -> [(&'static str, Vec<sea_orm::Value>); 3] {
    let [mut accounts, mut hashes, mut prefixes] = [Vec::new(), Vec::new(), Vec::new()];
    for subject in subjects {
        match subject {
            Subject::Account(account) => accounts.push(free_text(account).into()),
            Subject::RefreshTokenHash(hash) => hashes.push(hash.to_vec().into()),
            Subject::RefreshTokenPrefix(hash) => prefixes.push(hash.to_vec().into()),
        }
    }
    [
        ("account", accounts),
        ("refresh_hash", hashes),
        ("refresh_prefix", prefixes),
    ]
}

fn concerned_by(
    column: &'static str,
    values: Vec<sea_orm::Value>,
    report: &Report,
    limit: u32,
) -> Sql {
    let mut conditions = vec![
        Sql::new("provider = ?", [report.provider.as_str().into()]),
        Sql::text(format!("{column} IN ")).then(Sql::tuple(values)),
        Sql::text("invalid_reason IS NULL"),
    ];
    if let Some(client) = &report.client {
        conditions.push(Sql::new("client = ?", [client.as_str().into()]));
    }
    if let Some(until) = report.issued_until().map(Timestamp::as_millis) {
        conditions.push(Sql::new("issued_at <= ?", [until.into()]));
    }
    Sql::text("SELECT id FROM grants WHERE ")
        .then(Sql::join(conditions, " AND "))
        .then(Sql::new(" ORDER BY id LIMIT ?", [i64::from(limit).into()]))
}
