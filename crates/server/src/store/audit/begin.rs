//! The beginning of a chain.

use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait, Value};

use super::super::database::Database;
use super::super::grants::get;
use super::super::lone::CHAIN_KEY;
use super::super::row::{number, stored};
use super::super::session::Session;
use super::super::sql::{Column, Sql, insert, update};
use super::go_on::last_believed;
use crate::audit::chain::{ChainKey, End, Link, Mac};
use crate::seal::Sealer;

/// In the place of a seal: nothing shows that this is the head.
pub(super) const UNSEALED: Mac = Mac([0; 32]);

/// Begins the trail if this is its first use, and a new chain if the key of the one that is there is among `lost`. What
/// the lost key chained stays and can be read, and nothing shows any more that it is whole. The same is done, and told as
/// an alteration, if the key was damaged; that the keys of `sealer` are the right ones was seen to before.
pub(super) async fn begin(
    database: &Database,
    sealer: &Sealer,
    lost: &[String],
) -> Result<(), StoreError> {
    if CHAIN_KEY.sealed(database).await?.is_none() {
        first(database, sealer).await?;
    }

    // Again, where another replica that still has the key writes at the same moment.
    while let Some((sealed, id)) = CHAIN_KEY.lost(database, sealer, lost).await? {
        let head = head(database).await?;
        let conditions = vec![
            Sql::text("id = 1"),
            Sql::new("chain_key = ?", [sealed.into()]),
            Sql::new("head = ?", [stored(head).into()]),
        ];
        let (secret, sealed) = CHAIN_KEY.generate(sealer);
        let key = ChainKey::new(&secret);
        let root = key.root(head);
        let columns = chain(sealed, root, key.seal(End::Head, root));
        let begun = update("audit_log", columns, conditions);
        if database.execute(begun).await? == 1 {
            tracing::warn!(
                key_id = %id,
                head,
                "the key of the audit trail is lost; a new chain begins after its head, and nothing shows any more \
                 that what is before is whole"
            );
        }
    }

    while let Some(sealed) = CHAIN_KEY.damaged(database, sealer).await? {
        let last = last_believed(database).await?.unwrap_or(0);
        let conditions = vec![
            Sql::text("id = 1"),
            Sql::new("chain_key = ?", [sealed.into()]),
        ];
        let (secret, sealed) = CHAIN_KEY.generate(sealer);
        // Without a seal, so that the first record tells of it.
        let columns = chain(sealed, ChainKey::new(&secret).root(last), UNSEALED);
        let begun = update("audit_log", columns, conditions);
        if database.execute(begun).await? == 1 {
            tracing::error!(
                last,
                "somebody altered the key of the audit trail; a new chain begins, and nothing shows any more that what \
                 is before is whole"
            );
        }
    }
    Ok(())
}

/// Writes the row, unless another replica does.
async fn first(database: &Database, sealer: &Sealer) -> Result<(), StoreError> {
    let (secret, sealed) = CHAIN_KEY.generate(sealer);
    let key = ChainKey::new(&secret);
    let last = last_believed(database).await?;
    let row = match last {
        Some(_) => removed(database, &key, sealed).await?,
        None => {
            let root = key.root(0);
            new_row(&key, sealed, root, root, key.seal(End::Head, root))
        }
    };
    let row = insert("audit_log", row).then_text(" ON CONFLICT (id) DO NOTHING");
    if database.execute(row).await? == 1
        && let Some(head) = last
    {
        tracing::error!(
            head,
            "somebody removed the head of the audit trail; a new chain begins, and nothing shows any more that what is \
             before is whole"
        );
    }
    Ok(())
}

/// The row of a trail whose own was removed while nobody had its key in memory: a new chain begins after the last record,
/// and nothing is pruned that is there. Its head has no seal, so that the first record of the new chain tells of it.
pub(super) async fn removed(
    database: &Database,
    key: &ChainKey,
    sealed: Vec<u8>,
) -> Result<Vec<Column>, StoreError> {
    let root = key.root(last_believed(database).await?.unwrap_or(0));
    Ok(new_row(key, sealed, key.root(0), root, UNSEALED))
}

fn new_row(
    key: &ChainKey,
    sealed: Vec<u8>,
    floor: Link,
    root: Link,
    head_seal: Mac,
) -> Vec<Column> {
    let mut row = vec![("id", Sql::text("1"))];
    row.extend(chain(sealed, root, head_seal));
    let seal = key.seal(End::Floor, floor);
    row.extend(place(["floor", "floor_mac", "floor_seal"], floor, seal));
    row
}

/// The columns of a new chain after the record `root`.
fn chain(sealed: Vec<u8>, root: Link, head_seal: Mac) -> Vec<Column> {
    let mut columns = vec![
        ("chain_key", Sql::value(sealed)),
        ("base", Sql::value(stored(root.number))),
    ];
    columns.extend(place(["head", "head_mac", "head_seal"], root, head_seal));
    columns
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
