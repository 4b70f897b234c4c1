//! The contract of [`Escrow`].

use super::{Pair, entry};
use crate::coordinator::Escrow;
use crate::ids::{Generation, GrantId};

/// Makes a test of each claim about [`Escrow`].
#[macro_export]
macro_rules! escrow_contract {
    ($make:expr) => {
        mod escrow_contract {
            use super::*;
            use $crate::testing::coordinator_contract::escrow;

            #[tokio::test]
            async fn an_entry_is_found_whole_by_its_base_or_an_earlier_one() {
                escrow::an_entry_is_found_whole_by_its_base_or_an_earlier_one($make.await).await;
            }

            #[tokio::test]
            async fn an_older_entry_never_replaces_a_newer_one() {
                escrow::an_older_entry_never_replaces_a_newer_one($make.await).await;
            }

            #[tokio::test]
            async fn bases_are_compared_as_numbers() {
                escrow::bases_are_compared_as_numbers($make.await).await;
            }

            #[tokio::test]
            async fn the_same_base_is_replaced() {
                escrow::the_same_base_is_replaced($make.await).await;
            }

            #[tokio::test]
            async fn only_what_is_not_newer_is_removed() {
                escrow::only_what_is_not_newer_is_removed($make.await).await;
            }

            #[tokio::test]
            async fn grants_do_not_share_an_entry() {
                escrow::grants_do_not_share_an_entry($make.await).await;
            }

            #[tokio::test]
            async fn concurrent_entries_are_all_kept() {
                escrow::concurrent_entries_are_all_kept($make.await).await;
            }

            #[tokio::test]
            async fn an_entry_of_this_life_is_not_left_behind() {
                escrow::an_entry_of_this_life_is_not_left_behind($make.await).await;
            }
        }
    };
}

/// The next leader, wherever it runs, gets exactly what was kept; so does who reads a row of a backup.
pub async fn an_entry_is_found_whole_by_its_base_or_an_earlier_one(pair: Pair<dyn Escrow>) {
    let grant = GrantId::random();
    assert_eq!(pair.one.find(&grant, Generation(7)).await, Ok(None));

    let mut bare = entry(&grant, 7);
    bare.tokens.expires_at = None;
    bare.tokens.refresh_token = None;
    bare.tokens.refresh_expires_at = None;
    bare.tokens.scopes.clear();
    bare.tokens.metadata.clear();
    for kept in [entry(&grant, 7), bare] {
        pair.one.put(&kept).await.expect("in reach");
        assert_eq!(
            pair.other.find(&grant, Generation(7)).await,
            Ok(Some(kept.clone()))
        );
        assert_eq!(
            pair.other.find(&grant, Generation(6)).await,
            Ok(Some(kept.clone()))
        );
        assert_eq!(pair.other.find(&grant, Generation(8)).await, Ok(None));
    }
}

/// R1 for the escrow.
pub async fn an_older_entry_never_replaces_a_newer_one(pair: Pair<dyn Escrow>) {
    let grant = GrantId::random();
    put(&pair, &grant, 5).await;
    put(&pair, &grant, 4).await;
    assert!(is_kept(&pair, &grant, 5).await);
    assert!(!is_kept(&pair, &grant, 4).await);

    put(&pair, &grant, 6).await;
    assert!(is_kept(&pair, &grant, 6).await);
    assert!(!is_kept(&pair, &grant, 5).await, "one entry is kept");
}

/// 10 is newer than 9, whatever their texts say.
pub async fn bases_are_compared_as_numbers(pair: Pair<dyn Escrow>) {
    let grant = GrantId::random();
    put(&pair, &grant, 9).await;
    put(&pair, &grant, 10).await;
    assert!(is_kept(&pair, &grant, 10).await);
    put(&pair, &grant, 9).await;
    assert!(is_kept(&pair, &grant, 10).await);
    pair.one
        .remove(&grant, Generation(9))
        .await
        .expect("in reach");
    assert!(is_kept(&pair, &grant, 10).await);
}

/// A second call with the same refresh token brought another successor.
pub async fn the_same_base_is_replaced(pair: Pair<dyn Escrow>) {
    let grant = GrantId::random();
    put(&pair, &grant, 5).await;
    let mut second = entry(&grant, 5);
    second.tokens.access_token = crate::secret::AccessToken::new("another".into());
    pair.other.put(&second).await.expect("in reach");
    assert_eq!(
        pair.one.find(&grant, Generation(5)).await,
        Ok(Some(second.clone()))
    );
}

/// Who commits generation 5 forgets what bought 5 and before, never what was bought since.
pub async fn only_what_is_not_newer_is_removed(pair: Pair<dyn Escrow>) {
    for (removed, kept) in [(4, true), (5, false), (6, false)] {
        let grant = GrantId::random();
        put(&pair, &grant, 5).await;
        let removal = pair.other.remove(&grant, Generation(removed)).await;
        assert_eq!(removal, Ok(()));
        assert_eq!(
            is_kept(&pair, &grant, 5).await,
            kept,
            "after removing {removed}"
        );
    }
    let nothing = pair.one.remove(&GrantId::random(), Generation(1)).await;
    assert_eq!(nothing, Ok(()), "nothing to remove is fine");
}

/// Entries are per grant.
pub async fn grants_do_not_share_an_entry(pair: Pair<dyn Escrow>) {
    let (one, two) = (GrantId::random(), GrantId::random());
    put(&pair, &one, 1).await;
    put(&pair, &two, 1).await;
    pair.one
        .remove(&one, Generation(1))
        .await
        .expect("in reach");
    assert!(!is_kept(&pair, &one, 1).await);
    assert!(is_kept(&pair, &two, 1).await);
}

/// Writes that share a disk sync or a connection do not get mixed up.
pub async fn concurrent_entries_are_all_kept(pair: Pair<dyn Escrow>) {
    let grants: Vec<GrantId> = (0..50).map(|_| GrantId::random()).collect();
    let mut putting = tokio::task::JoinSet::new();
    for (grant, base) in grants.iter().cloned().zip(1..) {
        let escrow = pair.one.clone();
        putting.spawn(async move { escrow.put(&entry(&grant, base)).await });
    }
    while let Some(answer) = putting.join_next().await {
        assert_eq!(answer.expect("no panic"), Ok(()));
    }
    for (grant, base) in grants.iter().zip(1..) {
        assert!(is_kept(&pair, grant, base).await);
    }
}

/// Only an earlier life leaves something behind.
pub async fn an_entry_of_this_life_is_not_left_behind(pair: Pair<dyn Escrow>) {
    put(&pair, &GrantId::random(), 1).await;
    assert_eq!(pair.one.left_behind().await, Ok(Vec::new()));
}

async fn put(pair: &Pair<dyn Escrow>, grant: &GrantId, base: u64) {
    pair.one.put(&entry(grant, base)).await.expect("in reach");
}

async fn is_kept(pair: &Pair<dyn Escrow>, grant: &GrantId, base: u64) -> bool {
    let found = pair.other.find(grant, Generation(base)).await;
    found.expect("in reach") == Some(entry(grant, base))
}
