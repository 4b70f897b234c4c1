//! Claims on what ends, and when that is to be told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::StoreHarness;
use super::sample::{Subject, T0, client, due, key, new_credential, new_grant, tenant, tokens};
use crate::ageing::{Ahead, Dates, End, EndOf};
use crate::change::{NewGrant, Write};
use crate::clock::Timestamp;
use crate::grant::GrantFacts;
use crate::ids::{Generation, GrantId};
use crate::store::{Credential, Forecast, ForecastPlace, ForecastQuery};

const G1: Generation = Generation::FIRST;

fn day(days: u32) -> Timestamp {
    T0.plus(Duration::from_secs(86_400) * days)
}

fn ends(of: EndOf, days: u32) -> Dates {
    Dates {
        due_at: Some(day(1)),
        renew_by: Some(day(2)),
        end: Some(End { at: day(days), of }),
        announce_at: Some(day(4)),
    }
}

impl Subject {
    pub(super) async fn facts(&self, grant: &GrantId) -> GrantFacts {
        self.0.grant(grant).await.unwrap().unwrap().facts
    }

    async fn add_dated(&self, tenant: &str, provider: &str, dates: Dates, name: &str) -> GrantId {
        let grant = NewGrant {
            dates,
            ..new_grant(tenant, provider)
        };
        self.add(grant, &[name]).await
    }

    async fn announce(&self, grant: &GrantId, dates: Dates, announced: Ahead) {
        let generation = self.generation(grant).await;
        self.write(vec![Write::DateGrant {
            grant: grant.clone(),
            generation,
            dates,
            announced: Some(announced),
        }])
        .await;
    }

    async fn forecast(&self, query: ForecastQuery) -> Vec<(u64, String, Option<EndOf>)> {
        let found = self.0.forecast(&query).await.unwrap();
        let days = |at: Timestamp| at.since(T0).as_secs() / 86_400;
        let found = found.into_iter();
        found
            .map(|end| (days(end.place.at), end.place.key.to_string(), end.of))
            .collect()
    }
}

fn everything() -> ForecastQuery {
    ForecastQuery {
        limit: 99,
        ..ForecastQuery::default()
    }
}

pub async fn dates_come_back_and_end_with_the_grant(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let kinds = [EndOf::AccessToken, EndOf::RefreshToken, EndOf::Grant];
    for (of, name) in kinds.into_iter().zip(["a", "b", "c"]) {
        let dates = ends(of, 9);
        let grant = subject.add_dated("t1", "slack", dates, name).await;
        let facts = subject.facts(&grant).await;
        assert_eq!((facts.dates, facts.announced), (dates, None));
        assert_eq!(facts.consented_at, facts.issued_at);

        subject.invalidate(&grant, "gone").await;
        assert_eq!(subject.facts(&grant).await.dates, Dates::default());
    }
    assert_eq!(subject.forecast(everything()).await, []);
}

pub async fn a_consent_begins_anew_and_a_refresh_goes_on(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let dates = ends(EndOf::Grant, 9);
    let grant = subject.add_dated("t1", "slack", dates, "a").await;
    subject.announce(&grant, dates, Ahead::Week).await;

    let next = tokens("next");
    let committed = subject
        .0
        .commit(&grant, G1, &next, day(1), &due(None))
        .await;
    assert!(committed.unwrap().is_some());
    let store = |base: u64, consent: bool| Write::StoreTokens {
        grant: grant.clone(),
        base: Generation(base),
        next: Generation(base + 1),
        tokens: Box::new(tokens("next")),
        issued_at: day(base as u32),
        dates: ends(EndOf::RefreshToken, 30),
        consent,
        account: None,
        idle: false,
    };
    let went_on = subject.facts(&grant).await;
    assert_eq!(went_on.dates, due(None));
    assert_eq!((went_on.consented_at, went_on.issued_at), (T0, day(1)));
    assert_eq!(went_on.announced, Some(Ahead::Week));

    subject.write(vec![store(2, false)]).await;
    let healed = subject.facts(&grant).await;
    assert_eq!(healed.dates, ends(EndOf::RefreshToken, 30));
    assert_eq!((healed.consented_at, healed.issued_at), (T0, day(2)));
    assert_eq!(healed.announced, Some(Ahead::Week));

    subject.write(vec![store(3, true)]).await;
    let again = subject.facts(&grant).await;
    assert_eq!((again.consented_at, again.issued_at), (day(3), day(3)));
    assert_eq!(again.announced, None);
}

pub async fn dating_a_grant_leaves_everything_else(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let before = subject.facts(&grant).await;
    for ahead in Ahead::ALL {
        subject
            .announce(&grant, ends(EndOf::Grant, 40), ahead)
            .await;
        let expected = GrantFacts {
            dates: ends(EndOf::Grant, 40),
            announced: Some(ahead),
            ..before.clone()
        };
        assert_eq!(subject.facts(&grant).await, expected);
    }
    subject.announce(&grant, Dates::default(), Ahead::Day).await;
    assert_eq!(subject.facts(&grant).await.dates, Dates::default());
}

pub async fn dating_a_grant_needs_its_generation_and_that_it_lives(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let grant = subject.add_slack(&["a"]).await;
    let date = |grant: &GrantId, generation: u64| Write::DateGrant {
        grant: grant.clone(),
        generation: Generation(generation),
        dates: ends(EndOf::Grant, 9),
        announced: None,
    };
    subject.conflicts(vec![date(&grant, 2)]).await;
    subject.conflicts(vec![date(&GrantId::random(), 1)]).await;
    subject.invalidate(&grant, "gone").await;
    subject.conflicts(vec![date(&grant, 1)]).await;
}

pub async fn what_is_to_be_announced_comes_longest_due_first(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let announce_at = |days: u32| Dates {
        announce_at: Some(day(days)),
        ..ends(EndOf::Grant, 60)
    };
    let later = subject.add_dated("t1", "slack", announce_at(2), "a").await;
    let first = subject
        .add_dated("t2", "slack", announce_at(1), "t2/b")
        .await;
    let dead = subject.add_dated("t1", "slack", announce_at(1), "c").await;
    subject.invalidate(&dead, "gone").await;
    subject.add_slack(&["d"]).await;

    let due = async |now, limit| subject.0.to_announce(now, limit).await.unwrap();
    assert_eq!(due(T0, 9).await, []);
    assert_eq!(due(day(1), 9).await, std::slice::from_ref(&first));
    assert_eq!(due(day(3), 9).await, [first.clone(), later.clone()]);
    assert_eq!(due(day(3), 1).await, std::slice::from_ref(&first));
    subject
        .announce(&first, announce_at(30), Ahead::Month)
        .await;
    assert_eq!(due(day(3), 9).await, [later]);
}

pub async fn a_forecast_has_every_end_soonest_first_in_pages(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let only = |renew_by: Option<u32>, end: Option<(EndOf, u32)>| Dates {
        due_at: Some(day(1)),
        renew_by: renew_by.map(day),
        end: end.map(|(of, days)| End { at: day(days), of }),
        announce_at: None,
    };
    let both = only(Some(5), Some((EndOf::Grant, 5)));
    let grant = subject.add_dated("t1", "slack", both, "a").await;
    let shares = Credential {
        labels: BTreeMap::from([("team".into(), "blue".into())]),
        ..new_credential(key("b"), &grant)
    };
    subject.write(vec![Write::InsertCredential(shares)]).await;
    let soon = only(None, Some((EndOf::AccessToken, 3)));
    subject.add_dated("t2", "github", soon, "t2/a").await;
    let late = only(Some(90), None);
    subject.add_dated("t1", "google", late, "z").await;
    subject.add_slack(&["endless"]).await;

    let expected = [
        (3, "t2/a".to_owned(), Some(EndOf::AccessToken)),
        (5, "t1/a".to_owned(), Some(EndOf::Grant)),
        (5, "t1/a".to_owned(), None),
        (5, "t1/b".to_owned(), Some(EndOf::Grant)),
        (5, "t1/b".to_owned(), None),
        (90, "t1/z".to_owned(), None),
    ];
    assert_eq!(subject.forecast(everything()).await, expected);
    let found = subject.0.forecast(&everything()).await.unwrap();
    assert_eq!(
        found[3],
        Forecast {
            place: ForecastPlace {
                at: day(5),
                key: key("b"),
                moves: false,
            },
            provider: client("slack").provider,
            generation: G1,
            of: Some(EndOf::Grant),
            due_at: Some(day(1)),
            labels: BTreeMap::from([("team".into(), "blue".into())]),
        }
    );
    for size in 1..=4 {
        let mut query = everything();
        query.limit = size;
        let mut seen = Vec::new();
        loop {
            let page = subject.0.forecast(&query).await.unwrap();
            let Some(last) = page.last() else { break };
            query.after = Some(last.place.clone());
            seen.extend(page);
        }
        assert_eq!(seen, found, "in pages of {size}");
    }
}

pub async fn every_filter_of_a_forecast_holds(harness: &impl StoreHarness) {
    let subject = Subject::of(harness);
    let dates = |days| Dates {
        renew_by: None,
        ..ends(EndOf::Grant, days)
    };
    subject.add_dated("t1", "slack", dates(10), "a").await;
    subject.add_dated("t2", "slack", dates(20), "t2/b").await;
    subject.add_dated("t3", "google", dates(30), "t3/c").await;
    let names = async |query| {
        let found = subject.forecast(query).await.into_iter();
        found.map(|(_, name, _)| name).collect::<Vec<_>>()
    };
    let tenants = ForecastQuery {
        tenants: Some(vec![tenant("t3"), tenant("t1")]),
        ..everything()
    };
    assert_eq!(names(tenants).await, ["t1/a", "t3/c"]);
    let none = ForecastQuery {
        tenants: Some(Vec::new()),
        ..everything()
    };
    assert_eq!(names(none).await, [""; 0]);
    let providers = ForecastQuery {
        providers: vec![client("google").provider, client("github").provider],
        ..everything()
    };
    assert_eq!(names(providers).await, ["t3/c"]);
    let before = ForecastQuery {
        before: Some(day(20)),
        ..everything()
    };
    assert_eq!(names(before).await, ["t1/a"]);
}
