//! Whom a provider's report concerns.

use evergrant_core::clock::Timestamp;
use evergrant_core::report::{Report, Subject};
use sea_orm::{ConnectionTrait, DbErr, Value};

use super::fragment::{free_text, not_reported_dead};
use super::session::Session;
use super::sql::Sql;

/// The grants that `report` concerns and that nobody reported dead, by id, at most `limit`.
pub(super) async fn concerned(
    database: &Session,
    report: &Report,
    limit: u32,
) -> Result<Vec<String>, DbErr> {
    let mut found = Vec::new();
    for named in named(&report.subjects) {
        let query = concerned_by(named, report, limit);
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

/// The conditions by which grants are found, each of which has its index.
fn named(subjects: &[Subject]) -> Vec<Sql> {
    let [mut accounts, mut hashes, mut prefixes] = [Vec::new(), Vec::new(), Vec::new()];
    let mut conditions = Vec::new();
    for subject in subjects {
        match subject {
            Subject::Account(account) => accounts.push(Value::from(free_text(account))),
            Subject::AccountsWithin(whole) => {
                // Names compare by bytes, and a semicolon is what follows a colon.
                let ends = [":", ";"].map(|end| Value::from(free_text(whole) + end));
                conditions.push(Sql::new("account >= ? AND account < ?", ends));
            }
            Subject::RefreshTokenHash(hash) => hashes.push(hash.to_vec().into()),
            Subject::RefreshTokenPrefix(hash) => prefixes.push(hash.to_vec().into()),
        }
    }
    let columns = [
        ("account", accounts),
        ("refresh_hash", hashes),
        ("refresh_prefix", prefixes),
    ];
    let given = columns.into_iter().filter(|(_, values)| !values.is_empty());
    conditions.extend(
        given.map(|(column, values)| Sql::text(format!("{column} IN ")).then(Sql::tuple(values))),
    );
    conditions
}

fn concerned_by(named: Sql, report: &Report, limit: u32) -> Sql {
    let mut conditions = vec![
        Sql::new("provider = ?", [report.provider.as_str().into()]),
        named,
        not_reported_dead(),
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
