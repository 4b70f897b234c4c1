use super::*;
use crate::config::tests::{complaint, load};

const ISSUER: &str =
    "issuer = \"https://issuer.example\"\njwks_url = \"https://issuer.example/jwks\"";
const SET: &str = "[inbound.receivers.google]\nkind = \"set\"\nprovider = \"google\"";
const SLACK: &str = "[inbound.receivers.slack]\nkind = \"slack\"\nprovider = \"slack\"";

#[test]
fn without_the_section_or_with_an_empty_address_it_is_off() {
    for text in ["", "[inbound]\nlisten = \"\""] {
        let config = load(text, &[]).unwrap();
        assert!(config.inbound.is_none(), "{text}");
        assert!(!config.to_toml().contains("inbound"), "{text}");
    }
}

#[test]
fn receivers_are_read_and_printed_without_their_secrets() {
    let text = format!(
        "[inbound]\nlisten = \"127.0.0.1:0\"\n{SET}\n{ISSUER}\naudience = [\"a\", \"b\"]\ntyp = \"\"\n\
         {SLACK}\nclient = \"slack-main\"\nsigning_secret = [{{ env = \"NEW\" }}, \"hush\"]\n\
         [clients.slack-main]\nprovider = \"slack\"\nclient_id = \"i\"\nclient_secret = \"s\"\n\
         [providers]\ndir = \"\"\n"
    );
    let config = load(&text, &[("NEW", "hush hush")]).unwrap();
    config.catalogue().unwrap();
    let inbound = config.inbound.as_ref().unwrap();
    let kinds: Vec<_> = inbound
        .receivers
        .iter()
        .map(|(n, r)| (n.as_str(), &r.kind))
        .collect();
    let [
        ("google", Kind::Set(issuer)),
        ("slack", Kind::Slack(secrets)),
    ] = kinds.as_slice()
    else {
        panic!("{kinds:?}");
    };
    let expected = SetIssuer {
        issuer: "https://issuer.example".into(),
        audience: vec!["a".into(), "b".into()],
        jwks_url: "https://issuer.example/jwks".into(),
        typ: String::new(),
    };
    assert_eq!(*issuer, expected);
    let secrets: Vec<_> = secrets.iter().map(|secret| secret.expose()).collect();
    assert_eq!(secrets, ["hush hush", "hush"]);

    let printed = config.to_toml();
    assert!(!printed.contains("hush"), "{printed}");
    let again = printed.replace("[redacted]", "s");
    assert_eq!(load(&again, &[("NEW", "x")]).unwrap().to_toml(), printed);
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn half_a_configuration_is_refused_by_the_key_that_is_missing() {
    let on = "[inbound]\nlisten = \"127.0.0.1:7073\"\n";
    let table = [
        (
            on.to_owned(),
            "inbound.receivers: must hold a receiver, since inbound.listen is set",
        ),
        (
            format!("{SLACK}\nsigning_secret = \"s\""),
            "inbound.listen: is missing",
        ),
        (
            format!("[inbound]\nlisten = \"x\"\n{SLACK}\nsigning_secret = \"s\""),
            "inbound.listen: must be an address and a port such as \"127.0.0.1:7073\", or empty, not \"x\"",
        ),
        (
            format!("{on}{SLACK}"),
            "inbound.receivers.slack.signing_secret: is missing",
        ),
        (
            format!("{on}{SLACK}\nsigning_secret = []"),
            "inbound.receivers.slack.signing_secret: is missing",
        ),
        (
            format!("{on}{SLACK}\nsigning_secret = \"\""),
            "inbound.receivers.slack.signing_secret: must not be empty",
        ),
        (
            format!("{on}{SLACK}\nsecret = \"s\"\nsigning_secret = \"s\""),
            "inbound.receivers.slack.secret: is unknown; known here: kind, provider, client, signing_secret",
        ),
        (
            format!("{on}{SET}\n{ISSUER}"),
            "inbound.receivers.google.audience: must name at least one audience",
        ),
        (
            format!("{on}{SET}\naudience = [\"a\"]"),
            "inbound.receivers.google.issuer: is missing",
        ),
        (
            format!(
                "{on}{SET}\naudience = [\"a\"]\nissuer = \"i\"\njwks_url = \"http://issuer.example\""
            ),
            "inbound.receivers.google.jwks_url: must be https, except on a loopback address",
        ),
        (
            format!("{on}[inbound.receivers.x]\nkind = \"mail\"\nprovider = \"slack\""),
            "inbound.receivers.x.kind: must be \"set\", \"slack\" or \"github\", not \"mail\"",
        ),
        (
            format!("{on}[inbound.receivers.x]\nkind = \"github\""),
            "inbound.receivers.x.provider: is missing",
        ),
        (
            format!("{on}[inbound.receivers.\"a b\"]\nkind = \"github\""),
            "inbound.receivers.a b: has a name that must be 1 to 128",
        ),
        (
            format!("{on}[inbound.tls]\ncert = \"c\"\n{SLACK}\nsigning_secret = \"s\""),
            "inbound.tls.cert: c cannot be read",
        ),
    ];
    for (text, expected) in table {
        let line = complaint(&text, &[]);
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn a_receiver_of_nobody_is_refused() {
    let on = "[providers]\ndir = \"\"\n[inbound]\nlisten = \"127.0.0.1:7073\"\n[inbound.receivers.x]\n\
              kind = \"github\"\nsecret = \"s\"\n";
    let client =
        "[clients.other]\nprovider = \"slack\"\nclient_id = \"i\"\nclient_secret = \"s\"\n";
    let table = [
        (
            "provider = \"nobody\"\n",
            "inbound.receivers.x.provider: \"nobody\" is not in the catalogue",
        ),
        (
            "provider = \"github\"\nclient = \"none\"\n",
            "inbound.receivers.x.client: \"none\" is no client of provider github",
        ),
        (
            "provider = \"github\"\nclient = \"other\"\n",
            "inbound.receivers.x.client: \"other\" is no client of provider github",
        ),
    ];
    for (receiver, expected) in table {
        let config = load(&format!("{on}{receiver}{client}"), &[]).unwrap();
        let line = config.catalogue().unwrap_err().to_string();
        assert!(line.starts_with(expected), "{line}");
    }
}

// Each app signs with its own secret, which proves nothing about another app's users.
#[test]
fn a_receiver_says_whose_secret_it_has_where_there_are_several_clients() {
    let on = "[providers]\ndir = \"\"\n[inbound]\nlisten = \"127.0.0.1:7073\"\n[inbound.receivers.x]\n\
              kind = \"slack\"\nprovider = \"slack\"\nsigning_secret = \"s\"\n";
    let client = |name: &str| {
        format!(
            "[clients.{name}]\nprovider = \"slack\"\nclient_id = \"i\"\nclient_secret = \"s\"\n"
        )
    };
    let (one, other) = (client("one"), client("other"));
    let several = load(&format!("{on}{one}{other}"), &[]).unwrap();
    let line = several.catalogue().unwrap_err().to_string();
    let told = "inbound.receivers.x.client: must say whose secret it is: provider slack has the clients one, other";
    assert!(line.starts_with(told), "{line}");

    let said = format!("{on}client = \"other\"\n{one}{other}");
    load(&said, &[]).unwrap().catalogue().unwrap();
    load(&format!("{on}{one}"), &[])
        .unwrap()
        .catalogue()
        .unwrap();
}
