use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::testing::clock::ManualClock;
use evergrant_providers::Catalogue;

use super::*;
use crate::grpc::convert::to_timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const CONSENT: GrantType = GrantType::AuthorizationCode;
const DAY: u64 = 86_400;

fn after(seconds: u64) -> Option<Timestamp> {
    Some(NOW.plus(Duration::from_secs(seconds)))
}

fn material() -> v1::TokenMaterial {
    v1::TokenMaterial {
        access_token: "at".into(),
        refresh_token: "rt".into(),
        expires_at: after(60).map(to_timestamp),
        ..v1::TokenMaterial::default()
    }
}

fn answer(text: &str) -> v1::TokenMaterial {
    v1::TokenMaterial {
        token_response: text.into(),
        ..v1::TokenMaterial::default()
    }
}

/// An access token that ends so many seconds from now.
fn jwt(seconds: i64) -> String {
    let exp = NOW.as_millis() / 1_000 + seconds;
    let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{exp}}}"));
    format!("e30.{claims}.hush")
}

/// Brings it to a provider of the built-in catalogue, or to `acme`, which knows no more than its lifetimes.
fn bring(
    provider: &str,
    grant_type: GrantType,
    material: v1::TokenMaterial,
) -> Result<Brought, ApiError> {
    let mut catalogue = Catalogue::builtin();
    let acme = "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\n\
                sources = [\"https://acme.example\"]\n\
                [lifetime]\naccess_token = \"1h\"\nrefresh_token = \"90d\"\nrefresh_token_idle = \"30d\"";
    catalogue.add(acme, "test").unwrap();
    let clock = ManualClock::new();
    let providers = HttpProviders::new(Arc::new(catalogue), Vec::new(), clock).unwrap();
    let provider = ProviderName::parse(provider).unwrap();
    brought(&providers, &provider, grant_type, Some(material), NOW)
}

fn tokens(grant_type: GrantType, material: v1::TokenMaterial) -> TokenSet {
    bring("github", grant_type, material).unwrap().tokens
}

/// Why it is refused; no value of it is repeated.
fn refused(provider: &str, grant_type: GrantType, material: v1::TokenMaterial) -> String {
    let error = bring(provider, grant_type, material).unwrap_err();
    assert!(!error.message().contains("hush"), "{}", error.message());
    error.message().to_owned()
}

fn refusal(grant_type: GrantType, material: v1::TokenMaterial) -> String {
    refused("github", grant_type, material)
}

#[test]
fn good_material_becomes_tokens_of_type_bearer() {
    let set = tokens(CONSENT, material());
    assert_eq!(set.token_type, "Bearer");
    assert_eq!(set.refresh_token.unwrap().expose(), "rt");
    assert_eq!(set.expires_at, after(60));
}

// C86, W14
#[test]
fn contradictory_material_is_refused_and_the_field_named() {
    let empty = v1::TokenMaterial {
        access_token: String::new(),
        ..material()
    };
    assert!(refusal(CONSENT, empty).starts_with("material.access_token"));
    let blank = v1::TokenMaterial {
        access_token: " ".into(),
        ..material()
    };
    assert!(refusal(CONSENT, blank).starts_with("material.access_token"));
    let key = v1::TokenMaterial {
        signing_key: "k".into(),
        ..material()
    };
    assert!(refusal(CONSENT, key).starts_with("material.signing_key"));
    assert!(refusal(GrantType::Static, material()).starts_with("material.refresh_token"));
    let past = Some(to_timestamp(NOW));
    let over = v1::TokenMaterial {
        refresh_token: String::new(),
        expires_at: past,
        ..material()
    };
    assert!(refusal(CONSENT, over).starts_with("material.expires_at"));
    let over = v1::TokenMaterial {
        refresh_expires_at: past,
        ..material()
    };
    assert!(refusal(CONSENT, over).starts_with("material.refresh_expires_at"));
    assert!(refusal(GrantType::JwtBearer, material()).starts_with("material.access_token"));
    let minted = refusal(GrantType::ClientCredentials, answer("{}"));
    assert!(minted.starts_with("material.token_response"), "{minted}");
}

// C84
#[test]
fn without_an_expiry_or_a_refresh_token_material_is_good_too() {
    let lasting = v1::TokenMaterial {
        refresh_token: String::new(),
        expires_at: None,
        ..material()
    };
    for grant_type in [CONSENT, GrantType::Static] {
        let set = tokens(grant_type, lasting.clone());
        assert_eq!((set.expires_at, set.refresh_token), (None, None));
    }
}

#[test]
fn no_refusal_repeats_a_secret() {
    let odd = v1::TokenMaterial {
        access_token: "hush\n".into(),
        ..material()
    };
    refusal(CONSENT, odd);
}

#[test]
fn a_token_ends_when_it_is_told_or_says_itself_whichever_is_sooner() {
    for (stated, token, end) in [
        (None, jwt(60), 60),
        (after(30), jwt(60), 30),
        (after(90), jwt(60), 60),
        (after(90), "opaque".to_owned(), 90),
    ] {
        for grant_type in [CONSENT, GrantType::Static] {
            let brought = v1::TokenMaterial {
                access_token: token.clone(),
                expires_at: stated.map(to_timestamp),
                ..v1::TokenMaterial::default()
            };
            let set = bring("acme", grant_type, brought).unwrap().tokens;
            assert_eq!(set.expires_at, after(end), "{stated:?} {token}");
        }
    }
}

#[test]
fn a_token_that_says_it_has_ended_is_refused_unless_it_can_be_renewed() {
    let over = v1::TokenMaterial {
        access_token: jwt(-60),
        ..v1::TokenMaterial::default()
    };
    for grant_type in [CONSENT, GrantType::Static] {
        let why = refusal(grant_type, over.clone());
        assert!(why.starts_with("material.access_token: "), "{why}");
    }
    let old = answer(&format!(r#"{{"access_token":"{}"}}"#, jwt(-60)));
    let why = refusal(CONSENT, old);
    assert!(why.starts_with("material.token_response: "), "{why}");

    let renewable = v1::TokenMaterial {
        refresh_token: "rt".into(),
        ..over
    };
    let ended = NOW.minus(Duration::from_secs(60));
    assert_eq!(tokens(CONSENT, renewable).expires_at, Some(ended));
}

#[test]
fn what_nobody_says_of_an_end_the_catalogue_does_but_not_of_static_tokens() {
    let silent = |refresh_token: &str| v1::TokenMaterial {
        access_token: "at".into(),
        refresh_token: refresh_token.into(),
        ..v1::TokenMaterial::default()
    };
    let set = bring("acme", CONSENT, silent("rt")).unwrap().tokens;
    let ends = (set.expires_at, set.refresh_expires_at);
    assert_eq!(ends, (after(3_600), after(30 * DAY)));
    let set = bring("acme", CONSENT, silent("")).unwrap().tokens;
    assert_eq!(
        (set.expires_at, set.refresh_expires_at),
        (after(3_600), None)
    );
    let kept = bring("acme", GrantType::Static, silent("")).unwrap().tokens;
    assert_eq!(kept.expires_at, None);

    let stated = v1::TokenMaterial {
        refresh_expires_at: after(99 * DAY).map(to_timestamp),
        ..silent("rt")
    };
    let set = bring("acme", CONSENT, stated).unwrap().tokens;
    assert_eq!(set.refresh_expires_at, after(99 * DAY));
}

#[test]
fn an_answer_of_github_keeps_the_end_of_its_refresh_token() {
    let text = r#"{"access_token":"at","expires_in":28800,"refresh_token":"rt",
        "refresh_token_expires_in":15897600,"scope":"","token_type":"bearer"}"#;
    let brought = bring("github", CONSENT, answer(text)).unwrap();
    let set = brought.tokens;
    assert_eq!(set.expires_at, after(28_800));
    assert_eq!(set.refresh_expires_at, after(15_897_600));
    assert_eq!(set.token_type, "Bearer");
    assert_eq!(brought.account, None);
    let form = "access_token=at&expires_in=28800&refresh_token=rt&scope=&token_type=bearer";
    assert_eq!(tokens(CONSENT, answer(form)).expires_at, after(28_800));
}

#[test]
fn an_answer_whose_token_has_ended_is_taken_only_if_it_can_be_renewed() {
    let ended = NOW.as_millis() / 1_000 - 60;
    let text = |rest: &str| {
        let ends = format!(r#""expires_in":3600,"expires_at":{ended}"#);
        answer(&format!(r#"{{"access_token":"at",{ends}{rest}}}"#))
    };
    let set = tokens(CONSENT, text(r#","refresh_token":"rt""#));
    assert!(set.expires_at.is_some_and(|end| end < NOW));
    for grant_type in [CONSENT, GrantType::Static] {
        assert!(bring("acme", grant_type, text("")).is_err());
    }
}

#[test]
fn an_answer_names_its_account_and_metadata_as_a_consent_has_them() {
    let user = r#"{"ok":true,"app_id":"A1","authed_user":{"id":"U1","scope":"search:read","access_token":"at",
        "token_type":"user","refresh_token":"rt","expires_in":43200},"team":{"id":"T1"}}"#;
    let brought = bring("slack", CONSENT, answer(user)).unwrap();
    assert_eq!(brought.account.as_deref(), Some("T1:U1"));
    assert_eq!(brought.tokens.scopes, ["search:read"]);
    assert_eq!(brought.tokens.metadata["team_id"], "T1");
    assert_eq!(brought.tokens.expires_at, after(43_200));

    let instance = r#"{"access_token":"at","refresh_token":"rt","instance_url":"https://acme.my.salesforce.com",
        "id":"https://login.salesforce.com/id/00D/005"}"#;
    let asked = v1::TokenMaterial {
        scopes: vec!["api".into()],
        metadata: [
            ("host", "acme.my.salesforce.com"),
            ("instance_url", "before"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        ..answer(instance)
    };
    let brought = bring("salesforce", CONSENT, asked).unwrap();
    let metadata = &brought.tokens.metadata;
    assert_eq!(metadata["instance_url"], "https://acme.my.salesforce.com");
    assert_eq!(metadata["host"], "acme.my.salesforce.com");
    assert_eq!(brought.tokens.scopes, ["api"], "those that were asked for");
}

#[test]
fn a_value_for_no_placeholder_of_the_provider_is_a_mistake() {
    let mut asked = answer(r#"{"access_token":"at","refresh_token":"rt"}"#);
    asked.metadata = [("account_host".to_owned(), "accounts.zoho.eu".to_owned())].into();
    let refused = bring("zoho-desk", CONSENT, asked)
        .unwrap_err()
        .message()
        .to_owned();
    let told = "material.metadata.account_host: is no placeholder of provider zoho-desk; it has ";
    assert!(refused.starts_with(told), "{refused}");
}

#[test]
fn an_account_that_consents_take_from_an_id_token_is_taken_from_nothing_else() {
    let of = |id_token: &str| {
        let text = format!(
            r#"{{"access_token":"at","refresh_token":"rt","account_id":"dbid:1"{id_token}}}"#
        );
        bring("dropbox", CONSENT, answer(&text)).unwrap().account
    };
    assert_eq!(of("").as_deref(), Some("dbid:1"));
    assert_eq!(of(r#","id_token":"e30.e30.hush""#), None);
    assert_eq!(of(r#","id_token":"hush""#), None);
    // {"sub":"u-1"}
    let named = of(r#","id_token":"e30.eyJzdWIiOiJ1LTEifQ.hush""#);
    assert_eq!(named.as_deref(), Some("u-1"));
}

#[test]
fn an_answer_without_tokens_is_refused_by_entry_and_pointer_and_without_its_values() {
    let long = "x".repeat(65_537);
    for (provider, text, why) in [
        (
            "slack",
            r#"{"ok":false,"error":"hush"}"#,
            "catalogue entry slack: it is a refusal and no success: response.failure says so of /ok",
        ),
        (
            "slack",
            r#"{"ok":true,"hush":"hush"}"#,
            "catalogue entry slack: response.access_token leads to nothing, at /access_token, /authed_user/access_token",
        ),
        (
            "acme",
            r#"{"error":"hush"}"#,
            "catalogue entry acme: response.access_token leads to nothing, at /access_token, /accessToken; \
             there is an error at /error",
        ),
        (
            "acme",
            r#"{"access_token":["hush"]}"#,
            "catalogue entry acme: response.access_token leads to a list at /access_token, where a token should be",
        ),
        (
            "acme",
            r#"{"access_token":"hush hush"}"#,
            "catalogue entry acme: response.access_token leads to one that is no visible ASCII of at most 65536 bytes, \
             at one of /access_token, /accessToken",
        ),
        (
            "instagram",
            r#"{"access_token":"hush","expires_in":"hush"}"#,
            "catalogue entry instagram: response.numbers_only wants a number where the expiry is, at one of \
             /expires_in, /expiresIn, /expireIn, /expire, /expires_at, /expires_on, /expiresAt",
        ),
        (
            "acme",
            r#"["hush"]"#,
            "catalogue entry acme: it is JSON, and no object",
        ),
        ("acme", " ", "catalogue entry acme: it is empty"),
        (
            "acme",
            "hush",
            "catalogue entry acme: it is neither JSON nor a form with an access_token",
        ),
        (
            "acme",
            "{\"access_token\":\"hush",
            "catalogue entry acme: it is JSON that ends too early",
        ),
        (
            "acme",
            "<hush>",
            "catalogue entry acme: it is a page of HTML or XML",
        ),
        (
            "acme",
            &format!(r#"{{"access_token":"a","refresh_token":"{long}"}}"#),
            "holds a refresh token that is no visible ASCII of at most 65,536 bytes",
        ),
        (
            "hubspot",
            &format!(r#"{{"access_token":"a","hub_id":"{long}"}}"#),
            "names an account that cannot be stored",
        ),
        (
            "acme",
            &format!("{long}{long}{long}{long}"),
            "must have at most 262,144 bytes",
        ),
        ("nobody", "{}", "provider nobody is not in the catalogue"),
    ] {
        let told = refused(provider, CONSENT, answer(text));
        assert_eq!(told, format!("material.token_response: {why}"));
    }
}

#[test]
fn what_an_answer_says_is_not_said_beside_it() {
    let text = r#"{"access_token":"hush"}"#;
    let named = v1::TokenMaterial {
        expires_at: None,
        token_response: text.into(),
        ..material()
    };
    let why = refusal(CONSENT, named);
    assert!(why.starts_with("material.access_token: "), "{why}");
    let dated = v1::TokenMaterial {
        expires_at: after(60).map(to_timestamp),
        ..answer(text)
    };
    let why = refusal(CONSENT, dated);
    assert!(why.starts_with("material.expires_at: "), "{why}");
    let whole = r#"{"access_token":"hush","refresh_token":"hush"}"#;
    let why = refusal(GrantType::Static, answer(whole));
    assert_eq!(
        why,
        "material.token_response: holds a refresh token, which does not fit the grant type"
    );
    tokens(GrantType::Static, answer(text));
}
