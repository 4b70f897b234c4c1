//! What tables come to that refer to each other.

use std::time::Duration;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::{Rotation, Verdict};

use super::*;

#[test]
fn a_grant_type_replaces_single_values_and_lists_and_merges_tables() {
    let entry = one(&format!(
        r#"{MINIMAL}
        refresh_url = "https://acme.example/refresh"
        authorize_url = "https://acme.example/authorize"
        grant_types = ["authorization_code", "client_credentials"]
        [request]
        client_auth = "basic"
        omit = ["redirect_uri"]
        [request.names]
        client_id = "app_id"
        [request.headers]
        X-Version = "1"
        [request.parameters]
        a = "1"
        b = "1"
        [response]
        expires_in = ["/expire"]
        [response.metadata]
        team = "/team"
        [grants.client_credentials]
        url = "https://acme.example/mint"
        grant_type = "account_credentials"
        body = "json"
        omit = []
        default_scopes = [".default"]
        required = ["account_id"]
        names = {{ client_secret = "app_secret" }}
        headers = {{ x-version = "2" }}
        parameters = {{ b = "2", c = "{{account_id?}}" }}
        [grants.client_credentials.response]
        access_token = ["/tenant_access_token"]
        [grants.client_credentials.response.metadata]
        org = "/org"
        "#
    ));
    let mint = entry.grants.get(TokenGrant::ClientCredentials);
    assert_eq!(mint.url.value.to_string(), "https://acme.example/mint");
    assert_eq!(mint.url.field, "grants.client_credentials.url");
    assert_eq!(mint.grant_type, "account_credentials");
    assert_eq!(mint.request.client_auth, ClientAuth::Basic);
    assert_eq!(mint.request.body, BodyFormat::Json);
    assert_eq!(mint.request.omit, []);
    assert_eq!(mint.request.name_of(Parameter::ClientId), "app_id");
    assert_eq!(mint.request.name_of(Parameter::ClientSecret), "app_secret");
    assert_eq!(mint.request.headers.len(), 1);
    let parameters: Vec<(&str, &str)> = mint
        .request
        .parameters
        .iter()
        .map(|(name, fact)| (name.as_str(), fact.field.as_str()))
        .collect();
    let expected = [
        ("a", "request.parameters.a"),
        ("b", "grants.client_credentials.parameters.b"),
        ("c", "grants.client_credentials.parameters.c"),
    ];
    assert_eq!(parameters, expected);
    assert_eq!(mint.default_scopes, [".default"]);
    assert_eq!(mint.required, ["account_id"]);
    assert_eq!(mint.response.access_token.0, ["/tenant_access_token"]);
    assert_eq!(mint.response.expires_in.0, ["/expire"]);
    assert_eq!(mint.response.metadata.len(), 2);

    let code = entry.grants.get(TokenGrant::AuthorizationCode);
    assert_eq!(code.grant_type, "authorization_code");
    assert_eq!(code.url.field, "token_url");
    assert_eq!(code.request.omit, [Parameter::RedirectUri]);
    let refresh = entry.grants.get(TokenGrant::RefreshToken);
    assert_eq!(
        refresh.url.value.to_string(),
        "https://acme.example/refresh"
    );
    let jwt = entry.grants.get(TokenGrant::JwtBearer);
    assert_eq!(
        jwt.grant_type,
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
}

#[test]
fn a_secret_is_demanded_only_for_what_a_user_consents_to() {
    let demands = |rest: &str| {
        let entry = one(&format!("{MINIMAL}{rest}"));
        (entry.demands_secret(), entry.demands_private_key())
    };
    assert_eq!(demands(""), (true, false));
    assert_eq!(demands("grant_types = [\"static\"]"), (false, false));
    assert_eq!(
        demands("grant_types = [\"client_credentials\"]"),
        (false, false)
    );
    assert_eq!(demands("[request]\nclient_auth = \"none\""), (false, false));
    let key = "[request]\nclient_auth = \"private_key_jwt\"";
    assert_eq!(demands(key), (false, true));
    let device = "device_url = \"https://acme.example/d\"\ngrant_types = [\"device_code\"]\n\
                  [grants.device_code]\nclient_auth = \"none\"";
    assert_eq!(
        demands(device),
        (true, false),
        "its refresh tokens need one"
    );
}

#[test]
fn revocation_goes_as_the_rfc_has_it_with_the_client_of_the_token_endpoint() {
    let entry = one(&format!(
        r#"{MINIMAL}
        [request]
        body = "json"
        client_auth = "basic"
        headers = {{ X-Version = "1" }}
        parameters = {{ a = "1" }}
        "#
    ));
    for call in [&entry.revoke, &entry.introspect.call] {
        assert_eq!(call.request.body, BodyFormat::Form);
        assert_eq!(call.request.client_auth, ClientAuth::Basic);
        assert_eq!(call.request.headers.len(), 1);
        assert!(call.request.parameters.is_empty());
    }
    assert_eq!(entry.revoke.token, TokenKind::RefreshToken);
    assert_eq!(entry.introspect.call.token, TokenKind::AccessToken);
    let entry = one(&format!(
        "{MINIMAL}[request]\nclient_auth = \"bearer_refresh_token\""
    ));
    assert_eq!(entry.revoke.request.client_auth, ClientAuth::None);
}

#[test]
fn a_code_may_have_a_reason_and_a_verdict_may_stand_alone() {
    let entry = one(&format!(
        r#"{MINIMAL}
        [errors]
        190 = "grant"
        denied = {{ verdict = "grant", reason = "access_denied" }}
        reused = {{ verdict = "grant", reason = "rotation_lost" }}
        secret = {{ verdict = "client", try_next_secret = true }}
        busy = "rate_limit"
        [uncoded]
        401 = "grant"
        [rotation]
        mode = "grace"
        grace = "10m"
        "#
    ));
    let verdict = |code: &str| entry.errors[code].verdict;
    assert_eq!(
        verdict("190"),
        Verdict::Grant(InvalidationReason::GrantRevoked)
    );
    assert_eq!(
        verdict("denied"),
        Verdict::Grant(InvalidationReason::AccessDenied)
    );
    assert_eq!(
        verdict("reused"),
        Verdict::Grant(InvalidationReason::RotationLost)
    );
    assert_eq!(verdict("busy"), Verdict::RateLimit);
    assert!(entry.errors["secret"].try_next_secret);
    assert_eq!(entry.uncoded.len(), 1);
    assert_eq!(entry.rotation, Rotation::Grace(Duration::from_secs(600)));
}

#[test]
fn a_second_request_takes_from_the_entry_how_the_client_proves_itself_and_nothing_of_the_first() {
    let entry = one(&format!(
        r#"{MINIMAL}
        authorize_url = "https://acme.example/authorize"
        [request]
        method = "GET"
        client_auth = "none"
        omit = ["client_id"]
        names = {{ client_id = "app_id" }}
        headers = {{ X-Version = "1" }}
        parameters = {{ a = "1" }}
        [response]
        expires_in = "/life"
        [response.metadata]
        team = "/team"
        [grants.authorization_code.response]
        access_token = "/data/0/access_token"
        metadata = {{ ticket = "/ticket" }}
        [grants.authorization_code.then]
        url = "https://acme.example/{{region}}/exchange"
        client_auth = "basic"
        parameters = {{ token = "{{access_token}}", ticket = "{{ticket}}", zone = "{{zone}}" }}
        [grants.authorization_code.then.response]
        access_token = "/long"
        "#
    ));
    let code = entry.grants.get(TokenGrant::AuthorizationCode);
    let then = code.then.as_ref().unwrap();
    assert_eq!(then.grant_type, None);
    assert_eq!(then.request.method, Method::Post);
    assert_eq!(then.request.body, BodyFormat::Form);
    assert_eq!(then.request.omit, []);
    assert_eq!(then.request.name_of(Parameter::ClientId), "app_id");
    assert_eq!(then.request.headers.len(), 1);
    assert!(!then.request.parameters.contains_key("a"));
    assert_eq!(then.response.access_token.0, ["/long"]);
    assert_eq!(then.response.expires_in.0, ["/life"]);
    assert_eq!(then.response.metadata.len(), 1);
    let refresh = entry.grants.get(TokenGrant::RefreshToken);
    assert!(refresh.then.is_none());

    let names: Vec<&str> = entry.placeholder_names().into_iter().collect();
    let given = |name: &&&str| ["region", "zone", "ticket", "access_token"].contains(*name);
    let given: Vec<&&str> = names.iter().filter(given).collect();
    assert_eq!(
        given,
        [&"region", &"zone"],
        "the first answer gives the others"
    );
    assert!(entry.demands_secret(), "the second request needs it");
}
