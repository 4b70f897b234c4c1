//! Entries that look odd and work. A check of the whole that refuses one of them stops a start for nothing.

use super::*;

#[test]
fn a_time_that_is_inherited_rules_no_other_out() {
    for base in ["google", "microsoft", "quickbooks", "pipedrive"] {
        for own in [
            "refresh_token = \"7d\"",
            "refresh_token = \"2000d\"",
            "refresh_token_idle = \"400d\"",
            "grant = \"7d\"",
            "grant = \"10m\"",
            "access_token = \"2h\"",
        ] {
            sound(&format!("base = \"{base}\"\n[lifetime]\n{own}"));
        }
    }
}

#[test]
fn a_margin_may_be_longer_than_a_token_lives() {
    sound("[lifetime]\nrefresh_token = \"7d\"\n[renewal]\nrefresh_token_margin = \"30d\"");
    sound("base = \"google\"\n[renewal]\nrefresh_token_margin = \"180d\"");
}

#[test]
fn a_lifetime_that_each_grant_type_replaces_does_not_hold_back_renewals() {
    let own = "response = { access_token_lifetime = \"60d\" }";
    sound(&format!(
        "[lifetime]\naccess_token = \"1h\"\n[renewal]\nself_renewing = true\nmin_age = \"1d\"\n\
         [grants.refresh_token]\n{own}\n[grants.authorization_code]\n{own}"
    ));
    // The first answer to a code gives a token that is exchanged at once.
    sound(
        "authorize_url = \"https://acme.example/a\"\n[lifetime]\naccess_token = \"60d\"\n\
         [renewal]\nself_renewing = true\nmin_age = \"1d\"\n\
         [grants.authorization_code.response]\naccess_token_lifetime = \"1h\"\n\
         [grants.authorization_code.then]\nurl = \"https://acme.example/x\"\n\
         parameters = { t = \"{access_token}\" }\nresponse = { access_token_lifetime = \"60d\" }",
    );
}

#[test]
fn refusals_of_minted_grants_may_be_flaky() {
    sound("flaky_refusals = true\ngrant_types = [\"client_credentials\"]");
    sound("flaky_refusals = true\ngrant_types = [\"jwt_bearer\"]\n[assertion]\nsubject = \"a\"");
    let exchange = told("flaky_refusals = true\ngrant_types = [\"token_exchange\"]");
    assert_eq!(
        exchange,
        [
            "line 4: flaky_refusals: stands for nothing: no word of grant_types brings refresh tokens"
        ]
    );
}

#[test]
fn tokens_may_be_brought_from_elsewhere() {
    sound("");
    sound("grant_types = [\"static\", \"authorization_code\"]");
    sound("grant_types = [\"authorization_code\", \"client_credentials\"]");
    sound(
        "grant_types = [\"authorization_code\"]\n\
         [grants.authorization_code.response]\naccount = \"/team\"",
    );
}

#[test]
fn parameters_may_have_names_that_the_protocol_does_not_send() {
    let minted = "grant_types = [\"client_credentials\"]\n[grants.client_credentials.parameters]\n";
    sound(&format!(
        "{minted}scope = \"https://acme.example/.default\""
    ));
    for auth in ["none", "basic"] {
        sound(&format!(
            "[request]\nclient_auth = \"{auth}\"\nparameters = {{ client_secret = \"{{app_secret}}\" }}"
        ));
    }
}

#[test]
fn without_pkce_a_code_verifier_is_a_parameter_like_others() {
    sound(
        "authorize_url = \"https://acme.example/a\"\n[authorize]\npkce = false\n\
         [grants.authorization_code.parameters]\ncode_verifier = \"x\"",
    );
}

#[test]
fn an_own_authorization_header_is_for_requests_that_do_not_make_one() {
    let header = "[request]\nheaders = { authorization = \"x\" }\n";
    sound(&format!(
        "{header}[grants.refresh_token]\nclient_auth = \"basic\""
    ));
    sound(&format!(
        "revoke_url = \"https://acme.example/r\"\n{header}\
         [revoke]\nclient_auth = \"bearer_access_token\"\nomit = [\"token\"]"
    ));
}

#[test]
fn names_that_resemble_each_other_are_names() {
    for (one, other) in [
        ("api_key", "app_key"),
        ("user_key1", "user_key2"),
        ("user_key", "user_key2"),
        ("region", "regions"),
        ("shop", "shops"),
        ("site", "suite"),
    ] {
        sound(&format!(
            "[request.parameters]\na = \"{{{one}}}\"\nb = \"{{{other}}}\""
        ));
        sound(&format!(
            "[request.parameters]\na = \"{{{one}}}\"\nb = \"{{{other}}}\"\n\
             [placeholders]\n{other} = \"x\""
        ));
    }
    for own in ["scope", "client_ip", "redirect_url"] {
        sound(&format!("[request.parameters]\na = \"{{{own}}}\""));
    }
    // Twice written so, it is no slip, and neither is what grants of another kind must bring.
    sound("[request.parameters]\na = \"{clientid}\"\nb = \"{clientid}\"");
    sound(
        "grant_types = [\"authorization_code\", \"client_credentials\"]\n\
         [grants.client_credentials]\nrequired = [\"clientid\"]\n\
         [grants.refresh_token]\nparameters = { c = \"{clientid}\" }",
    );
    sound(
        "grant_types = [\"client_credentials\"]\n[grants.client_credentials]\n\
         required = [\"clientid\"]\nparameters = { c = \"{clientid}\" }",
    );
    assert_eq!(
        told(
            "[request.parameters]\na = \"{tennant_id}\"\nb = \"{tenant_id}\"\n[placeholders]\ntenant_id = \"x\""
        ),
        [
            "line 5: request.parameters.a: holds {tennant_id}, which nothing fills; {tenant_id} may be meant"
        ]
    );
}
