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
