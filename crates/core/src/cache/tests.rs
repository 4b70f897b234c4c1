use std::time::Duration;

use super::sample::{NOW, grant, profile};
use super::*;

fn live(id: &GrantId, version: u64) -> LiveGrant {
    LiveGrant::new(grant(id, version), profile(), false)
}

fn version_of(cache: &TokenCache, id: &GrantId) -> Option<u64> {
    cache.get(id).map(|live| live.grant.facts.version)
}

// C110
#[test]
fn an_older_read_does_not_replace_what_is_remembered() {
    let (cache, id) = (TokenCache::new(10), GrantId::random());
    cache.insert(live(&id, 3), None);
    let used = cache.insert(live(&id, 2), None);
    assert_eq!(used.grant.facts.version, 3);
    assert_eq!(version_of(&cache, &id), Some(3));
    cache.insert(live(&id, 4), None);
    assert_eq!(version_of(&cache, &id), Some(4));
}

// C110
#[test]
fn a_read_that_is_older_than_what_was_learnt_is_used_once_and_not_remembered() {
    let (cache, id) = (TokenCache::new(10), GrantId::random());
    cache.insert(live(&id, 2), None);
    cache.learn(&id, 3);
    assert_eq!(version_of(&cache, &id), None);
    let used = cache.insert(live(&id, 2), None);
    assert_eq!(used.grant.facts.version, 2);
    assert_eq!(version_of(&cache, &id), None);
    cache.learn(&id, 1);
    cache.insert(live(&id, 2), None);
    assert_eq!(version_of(&cache, &id), None, "older news change nothing");
    cache.insert(live(&id, 3), None);
    assert_eq!(version_of(&cache, &id), Some(3));
}

// C106, C108, C109, C112, C113
#[test]
fn news_of_no_newer_version_leave_what_is_remembered() {
    let (cache, id) = (TokenCache::new(10), GrantId::random());
    cache.insert(live(&id, 2), None);
    for version in [0, 1, 2] {
        cache.learn(&id, version);
        assert_eq!(version_of(&cache, &id), Some(2));
    }
    let again = cache.insert(live(&id, 2), None);
    assert_eq!(again.grant.facts.version, 2);
    assert_eq!(version_of(&cache, &id), Some(2));
}

// D6
#[test]
fn a_full_cache_forgets_instead_of_growing() {
    let cache = TokenCache::new(100);
    for _ in 0..2_000 {
        let id = GrantId::random();
        cache.learn(&id, 1);
        cache.insert(live(&id, 1), None);
        assert!(cache.get(&id).is_some() || cache.len() == 100);
    }
    assert!((50..=100).contains(&cache.len()), "{}", cache.len());
    assert!(cache.newest.len() <= 100, "{}", cache.newest.len());
}

// D7
#[test]
fn expired_tokens_go_without_being_read() {
    let (cache, short, long) = (TokenCache::new(10), GrantId::random(), GrantId::random());
    cache.insert(live(&short, 1), None);
    let mut lasting = grant(&long, 1);
    lasting.facts.expires_at = None;
    cache.insert(LiveGrant::new(lasting, profile(), false), None);
    let end = NOW.plus(Duration::from_secs(3_600));
    cache.purge_expired(end.minus(Duration::from_millis(1)));
    assert_eq!(cache.len(), 2);
    cache.purge_expired(end);
    assert_eq!(version_of(&cache, &short), None);
    assert_eq!(version_of(&cache, &long), Some(1), "it has no known end");
}
