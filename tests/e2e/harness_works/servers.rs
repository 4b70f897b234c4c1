//! PostgreSQL and Redis start, break as told and come back.

use anyhow::Result;

use crate::harness::postgres::Postgres;
use crate::harness::redis::Redis;

#[tokio::test]
async fn postgres_comes_back_on_its_port_after_a_stop_and_after_a_kill() -> Result<()> {
    let mut postgres = Postgres::start().await?;
    let url = postgres.url();
    assert!(postgres.answers().await);

    assert!(postgres.stop().await?.success());
    assert!(!postgres.answers().await);
    postgres.start_again().await?;

    postgres.kill().await?;
    assert!(!postgres.answers().await);
    postgres.start_again().await?;
    postgres.restart().await?;
    assert!(postgres.answers().await);
    assert_eq!(postgres.url(), url);
    Ok(())
}

#[tokio::test]
async fn a_frozen_postgres_answers_nobody_until_it_is_thawed() -> Result<()> {
    let mut postgres = Postgres::start().await?;
    postgres.freeze()?;
    assert!(!postgres.answers().await);
    postgres.thaw()?;
    assert!(postgres.answers().await);
    Ok(())
}

#[tokio::test]
async fn two_postgres_servers_share_nothing() -> Result<()> {
    let (one, other) = tokio::try_join!(Postgres::start(), Postgres::start())?;
    assert_ne!(one.address(), other.address());
    drop(one);
    assert!(other.answers().await);
    Ok(())
}

#[tokio::test]
async fn redis_forgets_when_told_and_when_it_dies() -> Result<()> {
    let mut redis = Redis::start().await?;
    let url = redis.url();

    redis.command(&["SET", "key", "value"]).await?;
    assert_eq!(
        redis.command(&["GET", "key"]).await?.as_deref(),
        Some("value")
    );
    redis.flush_all().await?;
    assert_eq!(redis.command(&["GET", "key"]).await?, None);

    redis.command(&["SET", "key", "value"]).await?;
    redis.restart().await?;
    assert_eq!(redis.command(&["GET", "key"]).await?, None);

    redis.stop().await?;
    assert!(!redis.answers().await);
    redis.start_again().await?;
    assert_eq!(redis.url(), url);
    Ok(())
}

#[tokio::test]
async fn a_frozen_redis_answers_nobody_until_it_is_thawed() -> Result<()> {
    let mut redis = Redis::start().await?;
    redis.freeze()?;
    assert!(!redis.answers().await);
    redis.thaw()?;
    assert!(redis.answers().await);
    Ok(())
}
