use std::str::FromStr;

use super::*;

fn guard(addresses: &'static [&'static str]) -> Guard {
    Guard::new(Arc::new(move |_| {
        Box::pin(async move {
            let parse = |text: &&str| SocketAddr::new(text.parse().unwrap(), 0);
            Ok(addresses.iter().map(parse).collect())
        })
    }))
}

async fn resolved(addresses: &'static [&'static str]) -> Result<Vec<String>, String> {
    let name = Name::from_str("acme.example").unwrap();
    let found = guard(addresses).resolve(name).await;
    found
        .map(|found| found.map(|address| address.ip().to_string()).collect())
        .map_err(|error| error.to_string())
}

// W20
#[test]
fn addresses_that_only_a_machine_or_its_network_can_reach_are_not_public() {
    for inside in [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
    ] {
        assert!(!is_public(inside.parse().unwrap()), "{inside}");
    }
    for outside in [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    ] {
        assert!(is_public(outside.parse().unwrap()), "{outside}");
    }
}

#[tokio::test]
async fn a_name_resolves_to_the_public_ones_of_its_addresses() {
    let mixed = &["10.0.0.1", "1.1.1.1", "::1", "2606:4700:4700::1111"];
    let expected = ["1.1.1.1", "2606:4700:4700::1111"].map(str::to_owned);
    assert_eq!(resolved(mixed).await.unwrap(), expected);
    for inside in [&["169.254.169.254"][..], &["127.0.0.1", "::1"], &[]] {
        let refused = resolved(inside).await.unwrap_err();
        assert_eq!(refused, NotPublic.to_string(), "{inside:?}");
    }
}

#[test]
fn a_host_that_is_an_address_is_checked_without_a_resolver() {
    let check = |url: &str| check_literal(&Url::parse(url).unwrap()).is_ok();
    for bad in [
        "https://10.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[fd00::1]/",
        "https://0x0a000001/",
        "https://2130706433.1/",
    ] {
        let url = Url::parse(bad);
        assert!(url.is_err() || !check(bad), "{bad}");
    }
    for good in [
        "https://1.1.1.1/",
        "https://acme.example/",
        "http://127.0.0.1:1/",
    ] {
        assert!(check(good), "{good}");
    }
}

#[test]
fn the_reason_is_found_beneath_other_errors() {
    assert!(is_not_public(&NotPublic));
    assert!(is_not_public(&io::Error::other(io::Error::other(
        NotPublic
    ))));
    assert!(!is_not_public(&io::Error::other("refused")));
}
