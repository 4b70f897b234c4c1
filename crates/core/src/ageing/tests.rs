use std::collections::BTreeSet;

use super::*;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn day(days: u32) -> Timestamp {
    START.plus(DAY * days)
}

fn life(grant: &GrantId) -> Life<'_> {
    Life {
        grant,
        grant_type: GrantType::AuthorizationCode,
        refresh_token: true,
        consented_at: START,
        issued_at: START,
        expires_at: None,
        refresh_expires_at: None,
        announced: None,
    }
}

#[test]
fn a_grant_without_any_end_has_no_dates() {
    let id = GrantId::random();
    assert_eq!(life(&id).dates(&Renewal::default()), Dates::default());
}

#[test]
fn refresh_tokens_are_used_in_the_first_half_of_the_margin_each_at_its_own_time() {
    let renewal = Renewal::default();
    let mut seen = BTreeSet::new();
    for (lifetime, margin) in [(60, DAY * 7), (10, DAY * 2)] {
        for _ in 0..100 {
            let id = GrantId::random();
            let end = day(lifetime);
            let life = Life {
                refresh_expires_at: Some(end),
                ..life(&id)
            };
            let due_at = life.dates(&renewal).due_at.unwrap();
            assert!(due_at >= end.minus(margin) && due_at <= end.minus(margin / 2));
            seen.insert(due_at);
        }
    }
    assert!(seen.len() > 190);
}

#[test]
fn a_margin_of_the_entry_is_never_more_than_half_the_lifetime() {
    let id = GrantId::random();
    let renewal = Renewal {
        refresh_token_margin: Some(DAY * 30),
        ..Renewal::default()
    };
    let life = Life {
        refresh_expires_at: Some(day(10)),
        ..life(&id)
    };
    let due_at = life.dates(&renewal).due_at.unwrap();
    assert!(due_at >= day(5), "an end that does not move is not chased");
}

#[test]
fn a_grant_that_no_refresh_can_help_is_not_due_before_its_end() {
    let id = GrantId::random();
    let fixed = Renewal {
        end_moves: false,
        ..Renewal::default()
    };
    let refresh_token = Life {
        refresh_expires_at: Some(day(90)),
        ..life(&id)
    };
    let dates = refresh_token.dates(&fixed);
    assert_eq!((dates.due_at, dates.renew_by), (None, None));
    let of = EndOf::RefreshToken;
    assert_eq!(dates.end, Some(End { at: day(90), of }));
    assert_eq!(dates.announce_at, Some(day(60)));

    for grant_type in [GrantType::AuthorizationCode, GrantType::Static] {
        let access_token = Life {
            grant_type,
            refresh_token: false,
            expires_at: Some(day(90)),
            ..life(&id)
        };
        let dates = access_token.dates(&Renewal::default());
        assert_eq!(dates.due_at, Some(day(90)), "to be found dead");
        let of = EndOf::AccessToken;
        assert_eq!(dates.end, Some(End { at: day(90), of }));
    }
}

#[test]
fn an_end_that_is_not_by_idleness_was_stated_and_no_use_moves_it() {
    let id = GrantId::random();
    let idle = Renewal {
        end_moves: false,
        refresh_token_idle: Some(DAY * 180),
        ..Renewal::default()
    };
    let dates = |end: Timestamp| {
        let life = Life {
            refresh_expires_at: Some(end),
            ..life(&id)
        };
        let dates = life.dates(&idle);
        (dates.renew_by, dates.end.map(|end| (end.at, end.of)))
    };
    let stated = |at: Timestamp| Some((at, EndOf::RefreshToken));
    let asked_before = day(180).minus(Duration::from_secs(20));
    assert_eq!(dates(asked_before), (Some(asked_before), None));
    assert_eq!(dates(day(7)), (None, stated(day(7))));
    assert_eq!(dates(day(365)), (Some(day(180)), stated(day(365))));
}

#[test]
fn what_is_minted_has_no_end() {
    let id = GrantId::random();
    for grant_type in [GrantType::ClientCredentials, GrantType::JwtBearer] {
        let minted = Life {
            grant_type,
            refresh_token: false,
            expires_at: Some(day(1)),
            ..life(&id)
        };
        let renewal = Renewal {
            grant_lifetime: Some(DAY),
            ..Renewal::default()
        };
        let dates = minted.dates(&renewal);
        assert!(dates.due_at < Some(day(1)));
        assert_eq!((dates.renew_by, dates.end), (None, None));

        let to_mint = Life {
            expires_at: Some(START),
            ..minted
        };
        assert_eq!(to_mint.dates(&renewal), Dates::default(), "nobody asked");
    }
}

#[test]
fn of_several_ends_the_first_counts() {
    let id = GrantId::random();
    let renewal = Renewal {
        end_moves: false,
        grant_lifetime: Some(DAY * 365),
        ..Renewal::default()
    };
    let both = |refresh_token: u32, consented_at: Timestamp| {
        let life = Life {
            consented_at,
            refresh_expires_at: Some(day(refresh_token)),
            ..life(&id)
        };
        life.dates(&renewal).end.unwrap()
    };
    assert_eq!(both(90, START).of, EndOf::RefreshToken);
    assert_eq!(both(90, START.minus(DAY * 300)).of, EndOf::Grant);
    assert_eq!(both(90, START.minus(DAY * 300)).at, day(65));
}

#[test]
fn an_end_that_had_passed_when_the_tokens_were_issued_is_none() {
    let id = GrantId::random();
    for end_moves in [true, false] {
        let renewal = Renewal {
            end_moves,
            grant_lifetime: Some(DAY),
            ..Renewal::default()
        };
        let over = Life {
            issued_at: day(2),
            refresh_expires_at: Some(day(2)),
            ..life(&id)
        };
        assert_eq!(over.dates(&renewal), Dates::default());
    }
}

#[test]
fn each_step_is_announced_after_the_one_before() {
    let id = GrantId::random();
    let end = End {
        at: day(100),
        of: EndOf::Grant,
    };
    let mut life = life(&id);
    for (days, expected) in [
        (69, None),
        (70, Some(Ahead::Month)),
        (92, None),
        (93, Some(Ahead::Week)),
        (99, Some(Ahead::Day)),
    ] {
        let announced = life.announcement(end, day(days));
        assert_eq!(announced, expected, "on day {days}");
        life.announced = announced.or(life.announced);
        assert_eq!(life.announcement(end, day(days)), None, "once");
    }
    life.announced = None;
    let last = life.announcement(end, day(100).minus(Duration::from_millis(1)));
    assert_eq!(
        last,
        Some(Ahead::Day),
        "the nearest of those that have come"
    );
    assert_eq!(life.announcement(end, day(100)), None, "too late");
}

#[test]
fn a_token_is_young_until_its_least_age_unless_it_ends_before() {
    let renewal = Renewal {
        min_age: Some(DAY),
        ..Renewal::default()
    };
    assert_eq!(renewal.young_until(START, None), Some(day(1)));
    assert_eq!(renewal.young_until(START, Some(day(60))), Some(day(1)));
    assert_eq!(renewal.young_until(START, Some(day(1))), None);
    assert_eq!(Renewal::default().young_until(START, None), None);
}

#[test]
fn every_announcement_is_found_by_its_days() {
    for ahead in Ahead::ALL {
        assert_eq!(Ahead::from_days(ahead.days()), Some(ahead));
    }
    assert_eq!(Ahead::from_days(2), None);
}
