use bytes::Bytes;
use evergrant_core::ids::ProviderName;

use super::*;
use crate::catalogue::Catalogue;
use crate::client::Answer;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Of a provider whose clock is ten minutes behind.
fn behind() -> Skew {
    let answer = Answer {
        status: 200,
        content_type: String::new(),
        is_packed: false,
        retry_after: None,
        redirect_to: None,
        date: Some("Tue, 14 Nov 2023 22:03:20 GMT".to_owned()),
        body: Ok(Bytes::new()),
    };
    let google = ProviderName::parse("google").unwrap();
    Skew::of(Catalogue::builtin().get(&google).unwrap(), &answer, NOW)
}

#[test]
fn hosts_that_grants_name_do_not_fill_the_memory() {
    let clocks = Clocks::default();
    let known = || clocks.lock().len();
    let behind = behind();
    for host in 0..MOST {
        clocks.learn(&host.to_string(), behind);
    }
    clocks.learn("0", behind);
    assert_eq!(known(), MOST, "a host that is known takes no other's place");
    assert_ne!(clocks.theirs("1", NOW), NOW);
    clocks.learn("one more", behind);
    assert_eq!(known(), 1);
    assert_eq!(clocks.theirs("1", NOW), NOW, "it is asked again");
}
