//! Where a provider may send a user back to.

use url::{Host, Url};

/// Whether `asked` is one of the client's `registered` redirect URIs: letter by letter (RFC 9700 section 2.1), and for
/// one on a loopback address with any port (RFC 8252 section 7.3), since a program listens wherever there is room.
pub(super) fn is_registered(asked: &str, registered: &[String]) -> bool {
    registered
        .iter()
        .any(|known| known == asked || is_same_loopback(asked, known))
}

fn is_same_loopback(asked: &str, known: &str) -> bool {
    let (Some(asked), Some(known)) = (loopback(asked), loopback(known)) else {
        return false;
    };
    asked == known
}

/// A loopback URI of plain HTTP without its port; `None` if it is none, or has parts that a redirect URI lacks.
fn loopback(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let is_loopback = match url.host()? {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    let plain = url.scheme() == "http"
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    url.set_port(None).ok()?;
    (is_loopback && plain).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered() -> Vec<String> {
        [
            "https://app.example/callback",
            "http://127.0.0.1/callback",
            "http://[::1]:1/callback",
            "http://localhost:8910/cb?x=1",
            "com.example.app:/oauth",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn a_redirect_uri_matches_letter_by_letter_and_a_loopback_one_with_any_port() {
        for uri in [
            "https://app.example/callback",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:49152/callback",
            "http://[::1]:49152/callback",
            "http://localhost/cb?x=1",
            "http://localhost:1/cb?x=1",
            "com.example.app:/oauth",
        ] {
            assert!(is_registered(uri, &registered()), "{uri}");
        }
    }

    #[test]
    fn nothing_else_matches() {
        for uri in [
            "",
            "https://app.example/callback/",
            "https://app.example:443/callback",
            "https://app.example/callback?next=https://evil.example",
            "https://app.example/callback#fragment",
            "https://APP.example/callback",
            "https://app.example@evil.example/callback",
            "https://127.0.0.1:49152/callback",
            "http://127.0.0.1:49152/callback/..",
            "http://127.0.0.1:49152/callback?x=1",
            "http://127.0.0.1:49152/callback#x",
            "http://user@127.0.0.1:49152/callback",
            "http://127.0.0.2:49152/callback",
            "http://localhost:49152/callback",
            "http://127.0.0.1.evil.example/callback",
            "http://localhost:1/cb",
            "com.example.app:/other",
        ] {
            assert!(!is_registered(uri, &registered()), "{uri}");
        }
        assert!(!is_registered("http://127.0.0.1/callback", &[]));
    }
}
