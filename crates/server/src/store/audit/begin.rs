//! The beginning of a chain.

use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait, Value};

use super::super::database::Database;
use super::super::grants::get;
use super::super::lone::CHAIN_KEY;
use super::super::row::{number, stored};
use super::super::session::Session;
use super::super::sql::{Column, Sql, insert, update};
use crate::audit::chain::{ChainKey, End, Link, Mac};
use crate::seal::Sealer;

/// Begins the trail if this is its first use, and a new chain if the key of the one that is there is among `lost`. What
/// the lost key chained stays and can be read, and nothing shows any more that it is whole.
pub(super) async fn begin(
    database: &Database,
    sealer: &Sealer,
    lost: &[String],
) -> Result<(), StoreError> {
    let (root, key, chain) = root(sealer, 0);
    let mut row = vec![("id", Sql::text("1"))];
    row.extend(chain);
    row.extend(place(
        ["floor", "floor_mac", "floor_seal"],
        root,
        key.seal(End::Floor, root),
    ));
    let first = insert("audit_log", row).then_text(" ON CONFLICT (id) DO NOTHING");
    database.execute(first).await?;

    // Again, where another replica that still has the key writes at the same moment.
    while let Some((sealed, id)) = CHAIN_KEY.lost(database, sealer, lost).await? {
        let head = head(database).await?;
        let conditions = vec![
            Sql::text("id = 1"),
            Sql::new("chain_key = ?", [sealed.into()]),
            Sql::new("head = ?", [stored(head).into()]),
        ];
        let (_, _, chain) = self::root(sealer, head);
        if database
            .execute(update("audit_log", chain, conditions))
            .await?
            == 1
        {
            tracing::warn!(
                key_id = %id,
                head,
                "the key of the audit trail is lost; a new chain begins after its head, and nothing shows any more \
                 that what is before is whole"
            );
        }
    }
    Ok(())
}

/// The row of a new chain after the record `base`.
fn root(sealer: &Sealer, base: u64) -> (Link, ChainKey, Vec<Column>) {
    let (secret, sealed) = CHAIN_KEY.generate(sealer);
    let key = ChainKey::new(&secret);
    let root = key.root(base);
    let mut row = vec![
        ("chain_key", Sql::value(sealed)),
        ("base", Sql::value(stored(base))),
    ];
    row.extend(place(
        ["head", "head_mac", "head_seal"],
        root,
        key.seal(End::Head, root),
    ));
    (root, key, row)
}

/// The columns of an end of the chain.
pub(super) fn place(names: [&'static str; 3], link: Link, seal: Mac) -> Vec<Column> {
    let values: [Value; 3] = [
        stored(link.number).into(),
        link.mac.0.to_vec().into(),
        seal.0.to_vec().into(),
    ];
    let columns = names.into_iter().zip(values);
    columns
        .map(|(name, value)| (name, Sql::new("?", [value])))
        .collect()
}

async fn head(database: &Database) -> Result<u64, StoreError> {
    let read = Sql::text("SELECT head FROM audit_log WHERE id = 1").build(database.backend());
    let query = |reader: Session| {
        let read = read.clone();
        async move { reader.query_one_raw(read).await }
    };
    let row = database.read(query).await?;
    row.map_or(Ok(0), |row| get(&row, "head").map(number))
}
