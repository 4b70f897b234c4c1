//! How callers are recognised, and how often they may ask.

use std::fs;

use super::{complaint, load};
use crate::grpc::caller::{Identity, JwtRule, KeyAccess, KeySource, San};

const REST: &str = "tenants = [\"*\"]\nallow = [\"token.get\"]\n";
/// The example of RFC 7517 appendix A.1, one key of it.
const JWKS: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "1",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

fn caller(name: &str, identity: &str) -> String {
    format!("[[callers]]\nname = \"{name}\"\n{identity}\n{REST}")
}

fn jwt(more: &str) -> String {
    let claims = "issuer = \"https://issuer.example\", audience = \"evergrant\", subject = \"a\"";
    format!("jwt = {{ {claims}{more} }}")
}

fn identity(text: &str) -> Identity {
    let config = load(&caller("a", text), &[]).unwrap();
    let printed = config.to_toml();
    assert_eq!(load(&printed, &[]).unwrap().to_toml(), printed);
    config.callers[0].identity.clone()
}

fn keys(more: &str) -> KeySource {
    match identity(&jwt(more)) {
        Identity::Jwt(JwtRule { keys, .. }) => keys,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_digest_may_be_in_a_file_and_so_may_keys_and_their_authority() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let digest = file("digest", &format!("{}\n", "0a".repeat(32)));
    let text = format!("token_sha256 = {{ file = \"{}\" }}", digest.display());
    assert_eq!(identity(&text), Identity::Token([10; 32]));

    let set = file("jwks.json", JWKS);
    let expected = KeySource::File(set.clone(), JWKS.as_bytes().into());
    assert_eq!(keys(&format!(", jwks = \"{}\"", set.display())), expected);
    let in_file = format!(", jwks = {{ file = \"{}\" }}", set.display());
    assert_eq!(keys(&in_file), expected);

    let authority = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
    let pem = authority.cert.pem();
    let (authority, token) = (file("ca.crt", &pem), file("token", "hush"));
    let access = KeyAccess {
        authorities: Some((authority.clone(), pem.as_bytes().into())),
        bearer: Some(token.clone()),
    };
    let files = format!(
        ", jwks_ca = \"{}\", jwks_token = \"{}\"",
        authority.display(),
        token.display()
    );
    assert_eq!(keys(&files), KeySource::Discovered(access.clone()));
    let url = "https://issuer.example/keys";
    let expected = KeySource::Url(url.to_owned(), access);
    assert_eq!(keys(&format!(", jwks = \"{url}\"{files}")), expected);
}

#[test]
fn what_recognises_nobody_is_refused_by_its_key() {
    let digest = |digit: &str| format!("token_sha256 = \"{}\"", digit.repeat(64));
    let other = jwt(", jwks = \"https://x.example/\"");
    let same = jwt("")
        + "
" + REST + "[[callers]]
name = \"b\"
" + &other;
    for (text, line) in [
        (
            jwt(", jwks = \"http://issuer.example/keys\""),
            "callers[0].jwt.jwks: must be https, except on a loopback address (evergrant.toml:3)",
        ),
        (
            jwt(", jwks = \"/nowhere.json\""),
            "callers[0].jwt.jwks: file /nowhere.json cannot be read: No such file or directory (os error 2) (evergrant.toml:3)",
        ),
        (
            jwt(", jwks = \"/dev/null\""),
            "callers[0].jwt.jwks: /dev/null holds no JSON web key set with public keys (evergrant.toml:3)",
        ),
        (
            jwt("").replace("https://issuer.example", "cluster"),
            "callers[0].jwt.issuer: must be an https URL, since jwks is left out (evergrant.toml:3)",
        ),
        (
            jwt(", jwks_ca = \"/dev/null\""),
            "callers[0].jwt.jwks_ca: /dev/null holds no certificate in PEM (evergrant.toml:3)",
        ),
        (
            same,
            "callers[1].jwt: is the same as that of caller \"a\" (evergrant.toml:8)",
        ),
        (
            "token_sha256 = { file = \"/dev/null\" }".to_owned(),
            "callers[0].token_sha256: file /dev/null must be a SHA-256 in 64 hexadecimal digits, as sha256sum prints it (evergrant.toml:3)",
        ),
        (
            digest("1") + "\nrate = { burst = 5 }",
            "callers[0].rate.per_second: is missing (evergrant.toml:4)",
        ),
        (
            digest("1") + "\nrate = { per_second = 0 }",
            "callers[0].rate.per_second: must be a whole number from 1 to 1000000 (evergrant.toml:4)",
        ),
    ] {
        assert_eq!(complaint(&caller("a", &text), &[]), line, "{text}");
    }
}

#[test]
fn a_name_of_a_certificate_is_a_uri_or_a_host_and_needs_an_authority() {
    assert_eq!(
        San::parse("Api.Example.org"),
        Some(San::Dns("api.example.org".to_owned()))
    );
    let id = "spiffe://example.org/ns/a/sa/b";
    assert_eq!(San::parse(id), Some(San::Uri(id.to_owned())));
    for bad in ["", "*.example.org", "a b", "spiffe://a b", "://x", "a..b"] {
        assert_eq!(San::parse(bad), None, "{bad}");
    }
    let line = complaint(&caller("a", "san = \"a.example\""), &[]);
    assert!(
        line.starts_with("callers[0].san: needs server.tls.client_ca"),
        "{line}"
    );
}

#[test]
fn a_callers_own_rate_wins_over_that_of_all() {
    let digest = |digit: &str| format!("token_sha256 = \"{}\"", digit.repeat(64));
    let own = digest("2") + "\nrate = { per_second = 7, burst = 9 }";
    let text = "[limits]\ncaller_rate = { per_second = 3 }\n".to_owned()
        + &caller("a", &digest("1"))
        + &caller("b", &own);
    let config = load(&text, &[]).unwrap();
    let rates = config.callers.iter().map(|caller| {
        let rate = caller.rate.unwrap();
        (rate.per_second.get(), rate.burst.get())
    });
    assert_eq!(rates.collect::<Vec<_>>(), [(3, 3), (7, 9)]);
    let printed = config.to_toml();
    assert_eq!(load(&printed, &[]).unwrap().to_toml(), printed);
}

#[test]
fn who_asks_for_no_certificate_cannot_make_it_optional() {
    let folder = tempfile::tempdir().unwrap();
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("crt"), folder.path().join("key"));
    fs::write(&cert, issued.cert.pem()).unwrap();
    fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
    let tls = |more: &str| {
        let (cert, key) = (cert.display(), key.display());
        format!("[server.tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n{more}")
    };
    let authority = format!("client_ca = \"{}\"\n", cert.display());
    for (more, line) in [
        (
            "client_auth = \"optional\"",
            "server.tls.client_auth: says nothing without client_ca (evergrant.toml:4)",
        ),
        (
            "client_auth = \"never\"",
            "server.tls.client_auth: must be \"required\" or \"optional\", not \"never\" (evergrant.toml:4)",
        ),
    ] {
        assert_eq!(complaint(&tls(more), &[]), line);
    }
    let optional = tls(&(authority + "client_auth = \"optional\"\n"));
    let printed = load(&optional, &[]).unwrap().to_toml();
    assert!(printed.contains("client_auth = \"optional\""), "{printed}");
    load(&(optional + &caller("a", "san = \"spiffe://x/y\"")), &[]).unwrap();
}
