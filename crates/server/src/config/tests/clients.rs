//! What a client may say.

use super::*;

#[test]
fn a_parameter_of_a_client_must_be_a_placeholder_of_its_provider() {
    let client = |provider: &str, parameter: &str| {
        let text = format!(
            "[clients.a]\nprovider = \"{provider}\"\nclient_id = \"x\"\nclient_secret = \"s\"\n\
             parameters = {{ {parameter} = \"contoso\" }}"
        );
        load(&text, &[]).unwrap().catalogue().map(|_| ())
    };
    assert!(client("microsoft", "tenant").is_ok());
    assert_eq!(
        client("microsoft", "tennant").unwrap_err().to_string(),
        "clients.a.parameters.tennant: is no placeholder of provider microsoft; it has tenant, tid (evergrant.toml:5)"
    );
}

#[test]
fn a_parameter_of_a_client_leads_to_no_host_outside_the_allow_list() {
    let client = |provider: &str, parameter: &str, value: &str| {
        let text = format!(
            "[clients.a]\nprovider = \"{provider}\"\nclient_id = \"x\"\nclient_secret = \"s\"\n\
             parameters = {{ {parameter} = \"{value}\" }}"
        );
        load(&text, &[]).unwrap().catalogue().map(|_| ())
    };
    let told =
        |provider, parameter, value| client(provider, parameter, value).unwrap_err().to_string();
    assert!(client("shopify", "shop", "mine.myshopify.com").is_ok());
    assert_eq!(
        told("shopify", "shop", "evil.com"),
        "clients.a.parameters.shop: leads authorize_url to the host evil.com, which is outside allowed_hosts of \
         provider shopify (*.myshopify.com) (evergrant.toml:5)"
    );
    assert!(
        client(
            "sap-concur",
            "geolocation",
            "https://eu.api.concursolutions.com"
        )
        .is_ok()
    );
    let elsewhere = told("sap-concur", "geolocation", "https://evil.com:8443");
    assert!(
        elsewhere.contains("leads revoke_url to the host evil.com:8443, "),
        "{elsewhere}"
    );
    assert_eq!(
        told("shopify", "shop", "mine.myshopify.com/x"),
        "clients.a.parameters.shop: does not fit into authorize_url, which is https://{shop}/admin/oauth/authorize \
         (evergrant.toml:5)"
    );
    // What a credential is still to name is nobody's mistake yet.
    assert!(client("netsuite", "certificate_id", "c1").is_ok());
}

#[test]
fn a_redirect_uri_of_a_client_must_be_whole() {
    let client = |uri: &str| {
        let text = format!(
            "[clients.a]\nprovider = \"slack\"\nclient_id = \"x\"\nclient_secret = \"s\"\nredirect_uris = [\"{uri}\"]"
        );
        load(&text, &[])
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    for uri in [
        "https://app.example/back",
        "http://localhost:3000/back",
        "com.example.app:/back",
    ] {
        assert_eq!(client(uri), Ok(()), "{uri}");
    }
    let error = client("localhost:3000/back").unwrap_err();
    assert!(
        error.contains("must be whole, e.g. https://app.example/callback"),
        "{error}"
    );
}

#[test]
fn an_alternate_is_another_client_of_the_same_provider() {
    let client = |name: &str, provider: &str, rest: &str| {
        format!(
            "[clients.{name}]\nprovider = \"{provider}\"\nclient_id = \"x\"\nclient_secret = \"s\"\n{rest}\n"
        )
    };
    let catalogue = |alternate: &str| {
        let alternates = format!("alternates = [\"{alternate}\"]");
        let text = client("a", "slack", &alternates)
            + &client("b", "slack", "")
            + &client("c", "google", "");
        load(&text, &[]).unwrap().catalogue()
    };
    assert!(catalogue("b").is_ok());
    for stranger in ["a", "c", "d"] {
        assert_eq!(
            catalogue(stranger).unwrap_err().to_string(),
            format!(
                "clients.a.alternates: names {stranger}, which is no other client of provider slack (evergrant.toml:5)"
            )
        );
    }
}

#[test]
fn a_private_key_is_demanded_where_the_provider_takes_signatures_alone() {
    let folder = tempfile::tempdir().unwrap();
    let entry = "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\n\
                 authorize_url = \"https://acme.example/a\"\nsources = [\"a test\"]\n[request]\nclient_auth = \"private_key_jwt\"";
    fs::write(folder.path().join("acme.toml"), entry).unwrap();
    let text = format!(
        "[providers]\ndir = \"{}\"\n[clients.a]\nprovider = \"acme\"\nclient_id = \"x\"\n",
        folder.path().display()
    );
    let complaint = load(&text, &[]).unwrap().catalogue().unwrap_err();
    assert_eq!(
        complaint.to_string(),
        "clients.a.private_key: is missing, and provider acme demands one"
    );
    let with_key = |key: &str| {
        let text = format!("{text}private_key = {{ env = \"KEY\" }}\nkey_id = \"k1\"");
        load(&text, &[("KEY", key)]).unwrap()
    };
    let elliptic = elliptic_key();
    for odd in ["hush", "-----BEGIN PRIVATE KEY-----\nhush", &elliptic] {
        assert_eq!(
            with_key(odd).catalogue().unwrap_err().to_string(),
            "clients.a.private_key: must be a private key in PEM or a service account's JSON that signs as provider acme demands (evergrant.toml:6)"
        );
    }
    let entry = format!("{entry}\n[client_assertion]\nalgorithm = \"ES256\"");
    fs::write(folder.path().join("acme.toml"), entry).unwrap();
    let config = with_key(&elliptic);
    assert!(config.catalogue().is_ok());
    let shown = format!("{}\n{config:?}", config.to_toml());
    let secret = elliptic.lines().nth(1).unwrap();
    assert!(!shown.contains(secret), "{shown}");
    let client = &config.oauth_clients()[0];
    assert_eq!(client.key_id.as_deref(), Some("k1"));
    assert!(client.private_key.is_some());
}

/// A private key on P-256, in PEM.
fn elliptic_key() -> String {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der = pair.to_pkcs8v1().unwrap();
    let text = STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}
