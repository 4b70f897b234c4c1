//! Escrow in Redis: one value per grant, sealed, with its base in clear so that a script can compare.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use evergrant_core::coordinator::{Escrow, EscrowEntry, Unreachable};
use evergrant_core::ids::{Generation, GrantId};
use fred::interfaces::{KeysInterface, LuaInterface};
use fred::types::Value;

use super::{ESCROW, RedisCoordinator};
use crate::escrow::sealed;

/// How long an entry is kept.
pub(super) const TTL: Duration = Duration::from_secs(25 * 60 * 60);

const COLUMN: &str = "redis.escrow";

const PUT: &str = "\
local kept = redis.call('GET', KEYS[1])
if kept and tonumber(string.match(kept, '^%d+') or 0) > tonumber(ARGV[1]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
return 1";

const REMOVE: &str = "\
local kept = redis.call('GET', KEYS[1])
if kept and tonumber(string.match(kept, '^%d+') or 0) <= tonumber(ARGV[1]) then
  return redis.call('DEL', KEYS[1])
end
return 0";

#[async_trait]
impl Escrow for RedisCoordinator {
    async fn put(&self, entry: &EscrowEntry) -> Result<(), Unreachable> {
        let sealed = Bytes::from(sealed::seal(&self.sealer, COLUMN, entry));
        let ttl = i64::try_from(TTL.as_millis()).expect("a day in milliseconds fits");
        let arguments = vec![base_text(entry.base), sealed.into(), ttl.into()];
        self.escrow_script(PUT, &entry.grant, arguments).await
    }

    async fn find(
        &self,
        grant: &GrantId,
        base: Generation,
    ) -> Result<Option<EscrowEntry>, Unreachable> {
        let key = self.key(ESCROW, grant);
        let value: Option<Bytes> = self
            .link
            .call(|client| async move { client.get(key).await })
            .await?;
        Ok(value.and_then(|value| self.unseal(grant, base, &value)))
    }

    async fn remove(&self, grant: &GrantId, base: Generation) -> Result<(), Unreachable> {
        self.escrow_script(REMOVE, grant, vec![base_text(base)])
            .await
    }

    async fn left_behind(&self) -> Result<Vec<EscrowEntry>, Unreachable> {
        Ok(Vec::new())
    }
}

impl RedisCoordinator {
    async fn escrow_script(
        &self,
        script: &'static str,
        grant: &GrantId,
        arguments: Vec<Value>,
    ) -> Result<(), Unreachable> {
        let key = self.key(ESCROW, grant);
        let _changed: i64 = self
            .link
            .call(|client| async move { client.eval(script, key, arguments).await })
            .await?;
        Ok(())
    }

    fn unseal(&self, grant: &GrantId, base: Generation, value: &[u8]) -> Option<EscrowEntry> {
        let Some((kept, sealed)) = split(value) else {
            tracing::error!(%grant, "an escrow entry in redis has no base, and is not used");
            return None;
        };
        if kept < base {
            return None;
        }
        sealed::open(&self.sealer, COLUMN, grant, kept, sealed)
            .inspect_err(|error| {
                tracing::error!(%grant, base = kept.0, %error, "an escrow entry in redis cannot be read");
            })
            .ok()
    }
}

/// A generation as text, since a number of Redis may not hold it.
fn base_text(base: Generation) -> Value {
    base.to_string().into()
}

pub(super) fn split(value: &[u8]) -> Option<(Generation, &[u8])> {
    let colon = value.iter().position(|byte| *byte == b':')?;
    let base = std::str::from_utf8(&value[..colon]).ok()?.parse().ok()?;
    Some((Generation(base), &value[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_its_base_and_the_rest() {
        let rest: &[u8] = b"a:b";
        assert_eq!(split(b"12:a:b"), Some((Generation(12), rest)));
        for bad in [&b""[..], b"12", b":a", b"x:a", b"-1:a", b"\xff:a"] {
            assert_eq!(split(bad), None);
        }
    }
}
