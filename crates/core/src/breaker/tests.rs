use super::*;
use crate::ids::{ClientName, ProviderName};

fn client() -> ClientKey {
    ClientKey {
        provider: ProviderName::parse("acme").unwrap(),
        client: ClientName::parse("main").unwrap(),
    }
}

// R31, W12
#[tokio::test(start_paused = true)]
async fn a_rejected_client_is_probed_once_at_a_time_until_it_is_accepted() {
    let breaker = ClientBreaker::default();
    assert!(breaker.admit(&client()).is_ok());
    assert!(breaker.reject(&client(), "invalid_client", "no"));
    assert!(
        !breaker.reject(&client(), "invalid_client", "no"),
        "told once"
    );
    assert_eq!(breaker.admit(&client()).unwrap_err().code, "invalid_client");
    assert_eq!(breaker.state(&client()), BreakerState::Open);
    tokio::time::advance(Duration::from_secs(12)).await;
    let probe = breaker.admit(&client()).unwrap();
    assert!(probe.is_some());
    assert_eq!(breaker.state(&client()), BreakerState::HalfOpen);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(breaker.admit(&client()).is_err(), "however long it takes");
    assert!(breaker.accept(&client()));
    assert!(!breaker.accept(&client()));
    drop(probe);
    assert_eq!(breaker.state(&client()), BreakerState::Closed);
    assert!(breaker.admit(&client()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_rejections_does_not_put_off_the_probe() {
    let breaker = ClientBreaker::default();
    for _ in 0..1_000 {
        breaker.reject(&client(), "invalid_client", "no");
    }
    tokio::time::advance(Duration::from_secs(6)).await;
    let probe = breaker.admit(&client()).unwrap();
    breaker.reject(&client(), "invalid_client", "no");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(
        breaker.refusal(&client()).is_some(),
        "a failed probe doubles the wait"
    );
    drop(probe);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_called_is_followed_by_another_after_the_same_wait() {
    let breaker = ClientBreaker::default();
    breaker.reject(&client(), "invalid_client", "no");
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(6)).await;
        let probe = breaker.admit(&client()).unwrap();
        assert!(probe.is_some());
        drop(probe);
        assert!(breaker.admit(&client()).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_called_and_brought_no_verdict_is_followed_by_another_after_a_longer_wait() {
    let breaker = ClientBreaker::default();
    breaker.reject(&client(), "invalid_client", "no");
    for wait in [5, 10, 20, 40, 60, 60] {
        let wait = Duration::from_secs(wait);
        assert_eq!(breaker.wait(&client()), wait);
        tokio::time::advance(wait.mul_f64(1.1)).await;
        let mut probe = breaker.admit(&client()).unwrap().unwrap();
        probe.called();
        drop(probe);
        assert!(breaker.admit(&client()).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_ends_late_says_nothing_of_the_next_one() {
    let breaker = ClientBreaker::default();
    breaker.reject(&client(), "invalid_client", "no");
    tokio::time::advance(Duration::from_secs(6)).await;
    let late = breaker.admit(&client()).unwrap();
    breaker.reject(&client(), "invalid_client", "no");
    tokio::time::advance(Duration::from_secs(12)).await;
    let next = breaker.admit(&client()).unwrap();
    drop(late);
    assert!(breaker.admit(&client()).is_err());
    drop(next);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_rejected_when_several_grants_in_a_row_are_refused_for_what_they_bring() {
    let breaker = ClientBreaker::default();
    let [a, b, c] = std::array::from_fn(|_| GrantId::random());
    for again in [&a, &a, &b, &a, &b] {
        assert!(
            !breaker.doubt(&client(), Some(again)),
            "two grants, however often"
        );
    }
    assert!(
        breaker.doubt(&client(), Some(&c)),
        "nobody was accepted so far"
    );

    breaker.accept(&client());
    for _ in 1..DOUBTS {
        assert!(!breaker.doubt(&client(), Some(&GrantId::random())));
    }
    breaker.accept(&client());
    for _ in 1..DOUBTS {
        assert!(!breaker.doubt(&client(), Some(&GrantId::random())));
    }
    assert!(breaker.doubt(&client(), Some(&GrantId::random())));

    breaker.accept(&client());
    tokio::time::advance(RECENTLY).await;
    assert!(!breaker.doubt(&client(), Some(&a)));
    assert!(!breaker.doubt(&client(), Some(&b)));
    assert!(
        breaker.doubt(&client(), Some(&c)),
        "it was accepted long ago"
    );
}

#[tokio::test(start_paused = true)]
async fn the_grants_that_were_counted_are_enough_once_none_was_accepted_for_an_hour() {
    let breaker = ClientBreaker::default();
    breaker.accept(&client());
    for _ in 0..DOUBTS_OF_AN_UNPROVEN {
        assert!(!breaker.doubt(&client(), Some(&GrantId::random())));
    }
    assert!(!breaker.doubt(&client(), None));
    tokio::time::advance(RECENTLY).await;
    assert!(breaker.doubt(&client(), None));
    breaker.accept(&client());
    tokio::time::advance(RECENTLY).await;
    assert!(!breaker.doubt(&client(), None), "nothing was counted since");
}
