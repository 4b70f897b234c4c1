use super::*;
use crate::ids::{ClientName, ProviderName};
use Urgency::{Background, Interactive};

fn client() -> ClientKey {
    ClientKey {
        provider: ProviderName::parse("acme").unwrap(),
        client: ClientName::parse("main").unwrap(),
    }
}

fn limits(concurrent: u32, per_minute: Option<u32>) -> Limits {
    Limits {
        concurrent: Some(concurrent),
        per_minute,
    }
}

async fn called(budgets: &Budgets, limits: Limits, urgency: Urgency) -> Result<Place, Full> {
    let place = budgets.enter(&client(), limits, urgency).await?;
    place.call();
    Ok(place)
}

fn cause(entered: &Result<Place, Full>) -> FullCause {
    entered.as_ref().unwrap_err().cause
}

#[test]
fn a_quarter_is_for_callers_and_one_place_is_for_all() {
    let shares = [1, 2, 3, 4, 8, 32].map(|all| all - reserved(all));
    assert_eq!(shares, [1, 1, 2, 3, 6, 24]);
}

#[tokio::test(start_paused = true)]
async fn renewals_never_take_the_last_places() {
    let budgets = Budgets::new(4);
    let none = Limits::default();
    let mut renewals = Vec::new();
    for _ in 0..3 {
        renewals.push(called(&budgets, none, Background).await.unwrap());
    }
    assert_eq!(budgets.room(&client(), none), 0);
    let refused = called(&budgets, none, Background).await;
    assert_eq!(cause(&refused), FullCause::Concurrency);
    let caller = called(&budgets, none, Interactive).await.unwrap();
    let usage = budgets.usage(&client(), none);
    assert_eq!((usage.in_use, usage.concurrent, usage.waiting), (4, 4, 0));
    drop(caller);
    drop(renewals);
    assert_eq!(budgets.room(&client(), none), 3);
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_in_line_and_not_for_ever() {
    let budgets = Budgets::new(1);
    let none = Limits::default();
    let first = called(&budgets, none, Interactive).await.unwrap();
    let began = Instant::now();
    let second = called(&budgets, none, Interactive);
    let freed = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let usage = budgets.usage(&client(), none);
        assert_eq!(usage.waiting, 1);
        drop(first);
    };
    let (second, ()) = tokio::join!(second, freed);
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    let third = called(&budgets, none, Interactive).await;
    assert_eq!(cause(&third), FullCause::Concurrency);
    assert_eq!(began.elapsed(), Duration::from_secs(3) + PATIENCE);
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn no_minute_has_more_calls_than_it_may() {
    let budgets = Budgets::new(100);
    let most = limits(100, Some(8));
    let began = Instant::now();
    let mut calls = Vec::new();
    for _ in 0..6 {
        drop(called(&budgets, most, Background).await.unwrap());
        calls.push(Instant::now());
        tokio::time::sleep(Duration::from_secs(8)).await;
    }
    let refused = called(&budgets, most, Background).await;
    assert_eq!(cause(&refused), FullCause::Rate, "two are for callers");
    for _ in 0..20 {
        drop(called(&budgets, most, Interactive).await.unwrap());
        calls.push(Instant::now());
    }
    for (first, ninth) in calls.iter().zip(&calls[8..]) {
        assert!(*ninth - *first >= Duration::from_secs(60));
    }
    assert!(began.elapsed() < Duration::from_secs(240));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_would_wait_for_too_long_is_told_when_to_come() {
    let budgets = Budgets::new(100);
    let most = limits(100, Some(1));
    drop(called(&budgets, most, Interactive).await.unwrap());
    let began = Instant::now();
    let refused = called(&budgets, most, Interactive).await.unwrap_err();
    assert_eq!(refused.cause, FullCause::Rate);
    assert_eq!(refused.retry_after, Duration::from_secs(60));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_place_without_a_call_costs_nothing_and_a_second_call_counts() {
    let budgets = Budgets::new(100);
    let most = limits(100, Some(3));
    for _ in 0..10 {
        drop(budgets.enter(&client(), most, Interactive).await.unwrap());
    }
    let place = called(&budgets, most, Interactive).await.unwrap();
    place.call();
    place.call();
    drop(place);
    let refused = called(&budgets, most, Interactive).await;
    assert_eq!(cause(&refused), FullCause::Rate);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_client_is_left_alone_but_for_one_probe() {
    let budgets = Budgets::new(10);
    let none = Limits::default();
    drop(called(&budgets, none, Interactive).await.unwrap());
    budgets.throttle(&client(), Duration::from_secs(40));
    assert_eq!(budgets.room(&client(), none), 0);
    for urgency in [Interactive, Background] {
        let refused = called(&budgets, none, urgency).await.unwrap_err();
        assert_eq!(refused.cause, FullCause::Throttled);
        assert!(refused.retry_after >= Duration::from_secs(40));
    }
    assert!(budgets.refusal(&client()).is_some());
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(budgets.refusal(&client()), None);
    let probe = called(&budgets, none, Interactive).await.unwrap();
    let refused = called(&budgets, none, Interactive).await;
    assert_eq!(cause(&refused), FullCause::Throttled, "one probe");
    drop(probe);
    budgets.accepted(&client());
    assert!(called(&budgets, none, Interactive).await.is_ok());
    let refused = called(&budgets, none, Background).await;
    assert_eq!(cause(&refused), FullCause::Throttled, "callers go first");
    tokio::time::advance(Duration::from_secs(40)).await;
    assert!(called(&budgets, none, Background).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_makes_no_call_leaves_it_to_the_next() {
    let budgets = Budgets::new(10);
    let none = Limits::default();
    drop(called(&budgets, none, Interactive).await.unwrap());
    budgets.throttle(&client(), Duration::from_secs(40));
    tokio::time::advance(Duration::from_secs(20)).await;
    for _ in 0..3 {
        let follower = budgets.enter(&client(), none, Interactive).await.unwrap();
        let refused = budgets.enter(&client(), none, Interactive).await;
        assert_eq!(cause(&refused), FullCause::Throttled, "one at a time");
        drop(follower);
    }
    drop(called(&budgets, none, Interactive).await.unwrap());
    let refused = called(&budgets, none, Interactive).await;
    assert_eq!(cause(&refused), FullCause::Throttled);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_back_late_says_nothing_of_the_next_throttle() {
    let budgets = Budgets::new(10);
    let none = Limits::default();
    drop(called(&budgets, none, Interactive).await.unwrap());
    budgets.throttle(&client(), Duration::from_secs(40));
    tokio::time::advance(Duration::from_secs(20)).await;
    let follower = budgets.enter(&client(), none, Interactive).await.unwrap();
    budgets.throttle(&client(), Duration::from_secs(60));
    drop(follower);
    assert!(budgets.refusal(&client()).is_some(), "its probe is not due");
    tokio::time::advance(Duration::from_secs(30)).await;
    drop(called(&budgets, none, Interactive).await.unwrap());
    assert!(budgets.refusal(&client()).is_some(), "one probe");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_throttled_too_puts_the_next_one_off() {
    let budgets = Budgets::new(10);
    let none = Limits::default();
    drop(called(&budgets, none, Interactive).await.unwrap());
    budgets.throttle(&client(), Duration::from_secs(40));
    tokio::time::advance(Duration::from_secs(20)).await;
    drop(called(&budgets, none, Interactive).await.unwrap());
    budgets.throttle(&client(), Duration::from_secs(60));
    budgets.accepted(&client());
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(budgets.refusal(&client()).is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(budgets.refusal(&client()), None);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_left_alone_for_longer_than_an_hour() {
    let budgets = Budgets::new(10);
    drop(called(&budgets, Limits::default(), Interactive).await);
    budgets.throttle(&client(), Duration::from_secs(86_400));
    let left = budgets.refusal(&client()).unwrap().retry_after;
    assert!(left <= Duration::from_secs(3_601), "{left:?}");
}
