//! What the sandbox remembers: for as long as it matters, and never without a bound, so that it can run for days.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Index;

use tokio::time::Instant;

/// Below this many, nobody looks for what has ended.
const FEW: usize = 1_024;

/// Things by their keys. What has ended is dropped when there are twice as many as there were of good ones; of too many,
/// an eighth is dropped, those that would end before those that would not, and the oldest first.
pub(super) struct Kept<K, T> {
    things: HashMap<K, Thing<T>>,
    most: usize,
    look_at: usize,
    numbered: u64,
}

struct Thing<T> {
    value: T,
    number: u64,
    until: Option<Instant>,
}

impl<K: Eq + Hash, T> Kept<K, T> {
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            things: HashMap::new(),
            most,
            look_at: FEW.min(most),
            numbered: 0,
        }
    }

    /// Keeps a thing until then, or for as long as there is room. Whether others were dropped for it.
    pub(super) fn insert(
        &mut self,
        key: K,
        value: T,
        until: Option<Instant>,
        now: Instant,
    ) -> bool {
        let before = self.things.len();
        if before >= self.look_at {
            self.drop_some(now);
        }
        let dropped = self.things.len() < before;
        let number = self.next();
        let thing = Thing {
            value,
            number,
            until,
        };
        self.things.insert(key, thing);
        dropped
    }

    /// Keeps a thing as if it had come just now.
    pub(super) fn renew(&mut self, key: &K, until: Option<Instant>) {
        let number = self.next();
        if let Some(thing) = self.things.get_mut(key) {
            (thing.number, thing.until) = (number, until);
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&T> {
        self.things.get(key).map(|thing| &thing.value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        self.things.get_mut(key).map(|thing| &mut thing.value)
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.things.contains_key(key)
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.things.remove(key);
    }

    pub(super) fn retain(&mut self, keeps: impl Fn(&T) -> bool) {
        self.things.retain(|_, thing| keeps(&thing.value));
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.things.values().map(|thing| &thing.value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.things.values_mut().map(|thing| &mut thing.value)
    }

    fn next(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    fn drop_some(&mut self, now: Instant) {
        let lasts = |thing: &Thing<T>| thing.until.is_none_or(|until| until > now);
        self.things.retain(|_, thing| lasts(thing));
        if self.things.len() >= self.most {
            let rank = |thing: &Thing<T>| (thing.until.is_none(), thing.number);
            let mut ranks: Vec<_> = self.things.values().map(rank).collect();
            let gone = ranks.len() - (self.most - self.most.div_ceil(8));
            let (_, first, _) = ranks.select_nth_unstable(gone);
            let first = *first;
            self.things.retain(|_, thing| rank(thing) >= first);
        }
        self.look_at = (2 * self.things.len()).max(FEW).min(self.most);
    }
}

/// Of a thing that is known to be kept.
impl<K: Eq + Hash, T> Index<&K> for Kept<K, T> {
    type Output = T;

    fn index(&self, key: &K) -> &T {
        &self.things[key].value
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn count<T>(kept: &Kept<u64, T>) -> usize {
        kept.values().count()
    }

    #[test]
    fn what_ends_is_dropped_in_the_end() {
        let mut kept = Kept::at_most(1_000_000);
        let start = Instant::now();
        for second in 0..100_000 {
            let now = start + Duration::from_secs(second);
            let until = now + Duration::from_secs(60);
            kept.insert(second, (), Some(until), now);
            assert!(count(&kept) <= FEW);
        }
        assert!(kept.contains(&99_999) && !kept.contains(&0));
    }

    #[test]
    fn of_too_many_the_oldest_go_first_and_those_that_never_end_last() {
        let now = Instant::now();
        let later = Some(now + Duration::from_secs(60));
        let mut kept = Kept::at_most(16);
        assert!(!kept.insert(0, "lasting", None, now));
        for key in 1..16 {
            assert!(!kept.insert(key, "ending", later, now));
        }
        kept.renew(&1, later);
        assert!(kept.insert(16, "ending", later, now), "two are dropped");
        assert_eq!(count(&kept), 15);
        for (key, is_kept) in [
            (0, true),
            (1, true),
            (2, false),
            (3, false),
            (4, true),
            (16, true),
        ] {
            assert_eq!(kept.contains(&key), is_kept, "{key}");
        }
        for key in 17..10_000 {
            kept.insert(key, "lasting", None, now);
            assert!(count(&kept) <= 16);
        }
        assert!(!kept.contains(&0), "there is room for no more");
    }
}
