use sea_orm::ConnectionTrait as _;

use super::super::sample::Trail;
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn where_the_oldest_record_is_young_no_other_is_read() {
    let trail = Trail::new().await;
    let log = trail.log();
    let now = log.time().await.unwrap();
    for at in [now.minus(DAY * 3), now.minus(DAY / 2), now.minus(DAY / 2)] {
        trail.write(at).await;
    }
    assert_eq!(log.prune(DAY, 100).await.unwrap(), 1, "the first is old");
    // Whoever reads this one fails.
    let spoil = "UPDATE audit_records SET count = 'many' WHERE number = 3";
    trail.somebody.execute_unprepared(spoil).await.unwrap();
    assert!(log.records_after(2, 1).await.is_err());
    assert_eq!(log.prune(DAY, 100).await.unwrap(), 0);
    assert!(log.prune(DAY / 4, 100).await.is_err());
}
