use super::*;

struct Book {
    grants: Grants,
    now: Instant,
}

impl Book {
    fn new() -> Self {
        Self {
            grants: Grants::default(),
            now: Instant::now(),
        }
    }

    fn create(&mut self, spec: GrantSpec) -> Issue {
        self.grants.create(spec, 1, self.now)
    }

    fn refresh(&mut self, issue: &Issue) -> Result<Issue, Refusal> {
        let token = issue.refresh_token.as_ref().unwrap().expose().to_owned();
        self.grants.refresh(&token, "sandbox", None, 2, self.now)
    }

    fn is_good(&self, issue: &Issue) -> bool {
        let token = issue.access_token.expose();
        self.grants.good_access(token, self.now).is_some()
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

fn with_mode(mode: RotationMode) -> (Book, Issue) {
    let mut book = Book::new();
    let first = book.create(GrantSpec::with_mode(mode));
    (book, first)
}

const GRACE: RotationMode = RotationMode::Grace {
    seconds: 30,
    max_uses: 2,
};

#[test]
fn without_rotation_the_same_refresh_token_works_for_ever() {
    let (mut book, first) = with_mode(RotationMode::None);
    for _ in 0..3 {
        let next = book.refresh(&first).unwrap();
        assert_eq!(next.refresh_token, first.refresh_token);
        assert_ne!(next.access_token, first.access_token);
    }
}

#[test]
fn rotating_without_spending_leaves_every_old_refresh_token_good() {
    let (mut book, first) = with_mode(RotationMode::Rotates);
    let second = book.refresh(&first).unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    assert!(book.refresh(&first).is_ok());
    assert!(book.refresh(&second).is_ok());
}

#[test]
fn reuse_of_a_single_use_token_is_refused_and_harms_nothing_else() {
    let (mut book, first) = with_mode(RotationMode::SingleUse);
    let second = book.refresh(&first).unwrap();
    assert_eq!(book.refresh(&first).unwrap_err(), Refusal::ReusedToken);
    assert!(book.is_good(&second));
    assert!(book.refresh(&second).is_ok());
}

#[test]
fn a_spent_refresh_token_revokes_the_family_of_a_strict_grant() {
    let (mut book, first) = with_mode(RotationMode::Strict);
    let second = book.refresh(&first).unwrap();
    let bystander = book.create(GrantSpec::default());
    assert_eq!(book.refresh(&first).unwrap_err(), Refusal::ReusedToken);
    assert_eq!(book.refresh(&second).unwrap_err(), Refusal::RevokedToken);
    assert!(!book.is_good(&first) && !book.is_good(&second));
    assert!(book.is_good(&bystander));
}

#[test]
fn grace_brings_the_same_successor_with_less_time_left() {
    let (mut book, first) = with_mode(GRACE);
    let second = book.refresh(&first).unwrap();
    book.pass(30);
    let again = book.refresh(&first).unwrap();
    assert!(again.replayed && !second.replayed);
    assert_eq!(again.refresh_token, second.refresh_token);
    assert_eq!(again.access_token, second.access_token);
    assert_eq!(again.expires_in, second.expires_in - 30);
}

#[test]
fn grace_ends_after_its_time() {
    let (mut book, first) = with_mode(GRACE);
    let second = book.refresh(&first).unwrap();
    book.pass(31);
    assert_eq!(book.refresh(&first).unwrap_err(), Refusal::ReusedToken);
    assert_eq!(book.refresh(&second).unwrap_err(), Refusal::RevokedToken);
}

#[test]
fn grace_ends_after_its_uses() {
    let (mut book, first) = with_mode(GRACE);
    for _ in 0..3 {
        book.refresh(&first).unwrap();
    }
    assert_eq!(book.refresh(&first).unwrap_err(), Refusal::ReusedToken);
}

#[test]
fn grace_ends_when_the_successor_is_used() {
    let (mut book, first) = with_mode(GRACE);
    let second = book.refresh(&first).unwrap();
    book.refresh(&second).unwrap();
    assert_eq!(book.refresh(&first).unwrap_err(), Refusal::ReusedToken);
}

#[test]
fn tokens_end_with_their_time() {
    let mut book = Book::new();
    let grant = book.create(GrantSpec {
        access_token_ttl_seconds: 10,
        refresh_token_ttl_seconds: Some(20),
        ..GrantSpec::default()
    });
    book.pass(9);
    assert!(book.is_good(&grant));
    book.pass(1);
    assert!(!book.is_good(&grant));
    book.pass(10);
    assert_eq!(book.refresh(&grant).unwrap_err(), Refusal::ExpiredToken);
}

#[test]
fn the_previous_access_token_dies_only_if_the_grant_says_so() {
    for dies in [false, true] {
        let mut book = Book::new();
        let first = book.create(GrantSpec {
            previous_access_token_dies: dies,
            ..GrantSpec::default()
        });
        let second = book.refresh(&first).unwrap();
        assert_eq!(book.is_good(&first), !dies);
        assert!(book.is_good(&second));
    }
}

#[test]
fn another_client_and_more_scope_are_refused_and_spend_nothing() {
    let (mut book, first) = with_mode(RotationMode::Strict);
    let token = first.refresh_token.as_ref().unwrap().expose();
    let now = book.now;
    let mut attempt = |client, scope| book.grants.refresh(token, client, scope, 2, now);
    assert_eq!(
        attempt("other", None).unwrap_err(),
        Refusal::TokenOfAnotherClient
    );
    assert_eq!(
        attempt("sandbox", Some("read admin")).unwrap_err(),
        Refusal::ExceedingScope
    );
    assert!(attempt("sandbox", Some("read")).is_ok());
}

#[test]
fn revoking_an_access_token_leaves_the_family_alive() {
    let (mut book, first) = with_mode(RotationMode::Strict);
    let token = first.access_token.expose();
    assert_eq!(
        book.grants.revoke_token(token, "other", book.now),
        Err(Refusal::TokenOfAnotherClient)
    );
    book.grants
        .revoke_token(token, "sandbox", book.now)
        .unwrap();
    assert!(!book.is_good(&first));
    assert!(book.refresh(&first).is_ok());
}

// What a day in CI leaves behind: tokens that ended, tokens that were spent, grants that nobody renews any more.
#[test]
fn a_day_of_minting_and_refreshing_leaves_no_more_than_what_still_matters() {
    const DAY: u64 = 86_400;
    let mut book = Book::new();
    let idle = book.create(GrantSpec::default());
    let mut busy = book.create(GrantSpec::default());
    let mut before = busy.clone();
    let (mut most_grants, mut most_tokens) = (0, 0);
    for second in (0..DAY).step_by(4) {
        book.pass(4);
        book.grants.mint(GrantSpec::default(), book.now);
        before = busy.clone();
        busy = book.refresh(&busy).unwrap();
        if second % 4_096 == 0 {
            let grants = &book.grants;
            most_grants = most_grants.max(grants.families.values().count());
            let access = grants.access_tokens.values().count();
            most_tokens = most_tokens.max(access + grants.refresh_tokens.values().count());
        }
    }
    assert!(most_grants <= 5_000, "{most_grants}");
    assert!(most_tokens <= 10_000, "{most_tokens}");
    let brought = book.refresh(&idle).unwrap();
    assert!(book.is_good(&brought), "what can be renewed is kept");
    assert_eq!(book.refresh(&before).unwrap_err(), Refusal::ReusedToken);
    assert_eq!(book.refresh(&busy).unwrap_err(), Refusal::RevokedToken);
}

#[test]
fn of_too_many_grants_those_go_that_were_unused_for_the_longest() {
    let mut book = Book::new();
    let idle = book.create(GrantSpec::default());
    let mut used = book.create(GrantSpec::default());
    for _ in 0..MOST_GRANTS {
        book.create(GrantSpec::default());
        used = book.refresh(&used).unwrap();
    }
    assert!(book.grants.families.values().count() <= MOST_GRANTS);
    assert_eq!(book.refresh(&idle).unwrap_err(), Refusal::UnknownToken);
    assert!(!book.is_good(&idle));
    assert!(book.refresh(&used).is_ok());
    let last = book.create(GrantSpec::default());
    assert_eq!(last.family, format!("grant-{}", MOST_GRANTS + 3));
}
