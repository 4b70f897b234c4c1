//! Locks in Redis: one key per grant that holds its owner's token and expires.
//!
//! Each command is one script, so it is atomic on any version of Redis. Scripts are sent whole: they are short, and
//! a Redis that restarted or flushed its scripts needs no second round trip.

use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::coordinator::{Acquired, LockHolder, Locks, Unreachable};
use evergrant_core::ids::{GrantId, OwnerToken};
use fred::interfaces::LuaInterface;
use fred::types::Value;

use super::RedisCoordinator;

/// Answers -1 to the winner, and the milliseconds left of the other's lock to whoever comes too late.
const ACQUIRE: &str = "\
local holder = redis.call('GET', KEYS[1])
if holder == false or holder == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return -1
end
return math.max(redis.call('PTTL', KEYS[1]), 0)";

const RENEW: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0";

/// Answers the owner and the milliseconds left, or nothing.
const HOLDER: &str = "\
local holder = redis.call('GET', KEYS[1])
if holder == false then
  return {}
end
return {holder, tostring(math.max(redis.call('PTTL', KEYS[1]), 0))}";

const RELEASE: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0";

#[async_trait]
impl Locks for RedisCoordinator {
    async fn acquire(
        &self,
        grant: &GrantId,
        owner: &OwnerToken,
        ttl: Duration,
    ) -> Result<Acquired, Unreachable> {
        let left = self
            .lock_script(ACQUIRE, grant, vec![owner.as_str().into(), millis(ttl)])
            .await?;
        Ok(match u64::try_from(left) {
            Err(_) => Acquired::Won,
            Ok(left) => Acquired::HeldElsewhere {
                left: Duration::from_millis(left),
            },
        })
    }

    async fn renew(
        &self,
        grant: &GrantId,
        owner: &OwnerToken,
        ttl: Duration,
    ) -> Result<bool, Unreachable> {
        let renewed = self
            .lock_script(RENEW, grant, vec![owner.as_str().into(), millis(ttl)])
            .await?;
        Ok(renewed == 1)
    }

    async fn release(&self, grant: &GrantId, owner: &OwnerToken) -> Result<bool, Unreachable> {
        let released = self
            .lock_script(RELEASE, grant, vec![owner.as_str().into()])
            .await?;
        Ok(released == 1)
    }

    async fn holder(&self, grant: &GrantId) -> Result<Option<LockHolder>, Unreachable> {
        let key = self.key("lock", grant);
        let found: Vec<String> = self
            .link
            .call(|client| async move { client.eval(HOLDER, key, Vec::<Value>::new()).await })
            .await?;
        let [owner, left] = found.as_slice() else {
            return Ok(None);
        };
        Ok(Some(LockHolder {
            owner: OwnerToken::from_stored(owner),
            left: Duration::from_millis(left.parse().unwrap_or_default()),
        }))
    }
}

impl RedisCoordinator {
    async fn lock_script(
        &self,
        script: &'static str,
        grant: &GrantId,
        arguments: Vec<Value>,
    ) -> Result<i64, Unreachable> {
        let key = self.key("lock", grant);
        self.link
            .call(|client| async move { client.eval(script, key, arguments).await })
            .await
    }
}

/// Redis refuses a term of 0 ms.
fn millis(ttl: Duration) -> Value {
    i64::try_from(ttl.as_millis().max(1))
        .unwrap_or(i64::MAX)
        .into()
}
