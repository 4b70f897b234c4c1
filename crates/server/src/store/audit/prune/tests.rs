use sea_orm::{ConnectionTrait as _, Database};

use super::*;
use crate::seal::{Sealer, SealingKey};
use crate::store::{SqlStore, StoreOptions, StoreUrl};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn where_the_oldest_record_is_young_no_other_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("e.db").display());
    let ring = [("k1".to_owned(), SealingKey::generate())];
    let sealer = Sealer::new("k1", ring.into()).unwrap();
    let store_url = StoreUrl::parse(&url).unwrap();
    let store = SqlStore::connect(&store_url, sealer, StoreOptions::default());
    let store = store.await.unwrap();
    let log = store.audit_log();
    let now = log.time().await.unwrap();
    for at in [now.minus(DAY * 3), now.minus(DAY / 2), now.minus(DAY / 2)] {
        let act = Act::of_evergrant("TokensRefreshed", Subject::default());
        let mut batch = AuditBatch::new(vec![Entry::new(act, at)]);
        log.append(&mut batch).await.unwrap();
    }
    assert_eq!(log.prune(DAY, 100).await.unwrap(), 1, "the first is old");
    // Whoever reads this one fails.
    let somebody = Database::connect(&url).await.unwrap();
    let spoil = "UPDATE audit_records SET count = 'many' WHERE number = 3";
    somebody.execute_unprepared(spoil).await.unwrap();
    assert!(log.records_after(2, 1).await.is_err());
    assert_eq!(log.prune(DAY, 100).await.unwrap(), 0);
    assert!(log.prune(DAY / 4, 100).await.is_err());
}
