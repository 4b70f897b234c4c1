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
        book.grants.revoke_token(token, "other"),
        Err(Refusal::TokenOfAnotherClient)
    );
    book.grants.revoke_token(token, "sandbox").unwrap();
    assert!(!book.is_good(&first));
    assert!(book.refresh(&first).is_ok());
}
