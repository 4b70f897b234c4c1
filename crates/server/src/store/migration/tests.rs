use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use sea_orm_migration::MigratorTrait;

use super::{Migrator, REQUIRED};

/// What a program may rely on: for each table its columns, and for each index that refuses rows its definition.
#[derive(Debug, Default, Clone, PartialEq)]
struct Schema {
    columns: BTreeMap<(String, String), Column>,
    unique: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Column {
    of_type: String,
    may_be_left_out: bool,
}

async fn read(database: &DatabaseConnection) -> Schema {
    let mut schema = Schema::default();
    let rows = async |sql: String| {
        let statement = Statement::from_string(DbBackend::Sqlite, sql);
        database.query_all_raw(statement).await.unwrap()
    };
    let objects = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'";
    for object in rows(objects.to_owned()).await {
        let name: String = object.try_get("", "name").unwrap();
        let sql: String = object.try_get("", "sql").unwrap();
        if object.try_get::<String>("", "type").unwrap() == "index" {
            if sql.starts_with("CREATE UNIQUE") {
                schema.unique.insert(name, sql);
            }
            continue;
        }
        for column in rows(format!("PRAGMA table_info({name})")).await {
            let column_name: String = column.try_get("", "name").unwrap();
            let default: Option<String> = column.try_get("", "dflt_value").unwrap();
            let not_null = column.try_get::<i32>("", "notnull").unwrap() == 1;
            let found = Column {
                of_type: column.try_get("", "type").unwrap(),
                may_be_left_out: !not_null || default.is_some(),
            };
            schema.columns.insert((name.clone(), column_name), found);
        }
    }
    schema
}

/// What a program made for `before` can no longer do in `after`.
fn taken_away(before: &Schema, after: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    for (place, column) in &before.columns {
        if after.columns.get(place) != Some(column) {
            found.push(format!("{}.{} is gone or another", place.0, place.1));
        }
    }
    let is_old = |table: &String| before.columns.keys().any(|(known, _)| known == table);
    for (place, column) in &after.columns {
        let is_new = is_old(&place.0) && !before.columns.contains_key(place);
        if is_new && !column.may_be_left_out {
            found.push(format!("{}.{} must be given", place.0, place.1));
        }
    }
    for (name, sql) in &after.unique {
        let on = sql.split(" ON ").nth(1).unwrap_or_default();
        let table = on.split([' ', '(']).next().unwrap_or_default().to_owned();
        if is_old(&table) && !before.unique.contains_key(name) {
            found.push(format!("{name} refuses rows"));
        }
    }
    found
}

async fn empty() -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
    options.max_connections(1);
    Database::connect(options).await.unwrap()
}

#[tokio::test]
async fn a_migration_takes_nothing_away_from_programs_that_may_go_on() {
    let database = empty().await;
    let mut before = Schema::default();
    for migration in Migrator::migrations() {
        Migrator::up(&database, Some(1)).await.unwrap();
        let after = read(&database).await;
        // Programs without the required one do not go on.
        let found = taken_away(&before, &after);
        assert!(
            found.is_empty() || migration.name() <= REQUIRED,
            "{}: {found:?}",
            migration.name()
        );
        before = after;
    }
}

#[test]
fn what_is_required_exists() {
    let migrations = Migrator::migrations();
    assert!(migrations.iter().any(|known| known.name() == REQUIRED));
    let names: Vec<_> = migrations.iter().map(|known| known.name()).collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[tokio::test]
async fn what_a_migration_takes_away_is_found() {
    let database = empty().await;
    Migrator::up(&database, None).await.unwrap();
    let before = read(&database).await;
    for (change, is_found) in [
        ("CREATE TABLE later (id BIGINT NOT NULL)", false),
        ("CREATE INDEX later_id ON later (id)", false),
        ("ALTER TABLE grants ADD COLUMN later BIGINT", false),
        (
            "ALTER TABLE grants ADD COLUMN latest BIGINT NOT NULL DEFAULT 0",
            false,
        ),
        ("DROP INDEX grants_account", false),
        (
            "CREATE UNIQUE INDEX orphans_once ON orphans (grant_id)",
            true,
        ),
        ("ALTER TABLE orphans RENAME COLUMN reason TO why", true),
        ("ALTER TABLE orphans DROP COLUMN kept_at", true),
        ("DROP TABLE refusals", true),
    ] {
        let so_far = read(&database).await;
        database.execute_unprepared(change).await.unwrap();
        let found = taken_away(&so_far, &read(&database).await);
        assert_eq!(!found.is_empty(), is_found, "{change}: {found:?}");
    }
    let mut must_be_given = before.clone();
    let later = Column {
        of_type: "BIGINT".to_owned(),
        may_be_left_out: false,
    };
    let place = ("grants".to_owned(), "later".to_owned());
    must_be_given.columns.insert(place, later);
    assert_eq!(
        taken_away(&before, &must_be_given),
        ["grants.later must be given"]
    );
}
