//! What keys say together is told with the line of the one that is wrong.

use super::*;

const CODE: &str =
    "authorize_url = \"https://acme.example/a\"\ngrant_types = [\"authorization_code\"]\n";

#[test]
fn a_word_of_grant_types_has_what_it_needs() {
    each(&[
        (
            "grant_types = [\"authorization_code\"]\n[authorize]\npkce = false",
            "line 5: authorize_url: is missing, and authorize stands for nothing without it",
        ),
        (
            "grant_types = [\"authorization_code\"]\n[grants.authorization_code]\nbody = \"json\"",
            "line 5: authorize_url: is missing, and grants.authorization_code stands for nothing without it",
        ),
        (
            "\ngrant_types = [\"device_code\"]",
            "line 5: device_url: is missing, and grant_types has device_code",
        ),
        (
            "grant_types = [\"jwt_bearer\"]",
            "line 4: assertion: is missing, and grant_types has jwt_bearer",
        ),
        (
            "grant_types = []",
            "line 4: grant_types: must have one item or more",
        ),
        (
            "grant_types = [\"static\", \"static\"]",
            "line 4: grant_types: has \"static\" twice",
        ),
        // A mistake is told once, not also as a key that is missing.
        (
            "grant_types = [\"device_code\"]\ndevice_url = 7",
            "line 5: device_url: must be a string, not an integer",
        ),
    ]);
    sound(CODE);
}

#[test]
fn what_no_word_of_grant_types_needs_is_told() {
    let of_static = "grant_types = [\"static\"]\n";
    let code = "stands for nothing: grant_types has no authorization_code";
    for (rest, field, why) in [
        (
            "authorize_url = \"https://a.example\"",
            "authorize_url",
            code,
        ),
        ("[authorize]\npkce = false", "authorize", code),
        (
            "[grants.authorization_code.then]\nurl = \"https://a.example\"\nclient_auth = \"bearer_access_token\"",
            "grants.authorization_code",
            code,
        ),
        (
            "device_url = \"https://a.example\"",
            "device_url",
            "stands for nothing: grant_types has no device_code",
        ),
        (
            "[assertion]\naudience = \"a\"",
            "assertion",
            "stands for nothing: grant_types has no jwt_bearer",
        ),
        (
            "[grants.token_exchange]\nbody = \"json\"",
            "grants.token_exchange",
            "stands for nothing: grant_types has no token_exchange",
        ),
        (
            "[rotation]\nmode = \"single_use\"",
            "rotation",
            "stands for nothing: no word of grant_types brings refresh tokens",
        ),
        (
            "[lifetime]\nrefresh_token = \"1d\"",
            "lifetime.refresh_token",
            "stands for nothing: no word of grant_types brings refresh tokens",
        ),
        (
            "[openid]\nissuer = \"https://a.example\"\njwks_url = \"https://a.example/k\"",
            "openid",
            "stands for nothing: no word of grant_types has users who consent",
        ),
    ] {
        let found = told(&format!("{of_static}{rest}"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(&format!(" {field}: {why}")), "{found:?}");
        assert!(found[0].starts_with("line 5: ") || found[0].starts_with("line 6: "));
    }
    each(&[
        (
            "renewable = false\nrefresh_url = \"https://a.example\"",
            "line 5: refresh_url: stands for nothing: renewable is false",
        ),
        (
            "[renewal]\nself_renewing = true\n[lifetime]\nrefresh_token_idle = \"1d\"",
            "line 7: lifetime.refresh_token_idle: stands for nothing: what renews itself has no refresh token",
        ),
        (
            "[revoke]\nmethod = \"GET\"",
            "line 4: revoke: stands for nothing without revoke_url",
        ),
        (
            "[introspect]\nactive = \"/a\"",
            "line 4: introspect: stands for nothing without introspect_url",
        ),
        (
            "[userinfo]\naccount = \"/id\"",
            "line 4: userinfo: stands for nothing without userinfo_url",
        ),
        (
            "grant_types = [\"static\"]\nuserinfo_url = \"https://a.example/me\"",
            "line 5: userinfo_url: stands for nothing: no word of grant_types has users who consent",
        ),
        (
            "[client_assertion]\nalgorithm = \"ES256\"",
            "line 4: client_assertion: stands for nothing: no request has client_auth = \"private_key_jwt\"",
        ),
        (
            "[grants.refresh_token]\nrequired = [\"a\"]",
            "line 5: grants.refresh_token.required: belongs to grants that are minted",
        ),
    ]);
    // What is inherited may go unused, and what does no harm may be said.
    sound("base = \"google\"\ngrant_types = [\"static\", \"authorization_code\"]");
    sound("renewable = false\n[rotation]\nmode = \"none\"");
}

#[test]
fn the_second_request_of_a_code_is_held_against_the_first() {
    let then = |rest: &str| {
        format!("{CODE}[grants.authorization_code.then]\nurl = \"https://acme.example/x\"\n{rest}")
    };
    let field = "grants.authorization_code.then.parameters";
    let token = "t = \"{access_token}\"";
    for (rest, why) in [
        (
            format!("parameters = {{ {token}, u = \"{{acess_token}}\" }}"),
            format!(
                "{field}.u: holds {{acess_token}}, which nothing fills; {{access_token}} may be meant"
            ),
        ),
        (
            "parameters = { t = \"{acess_token}\" }".to_owned(),
            format!(
                "{field}.t: holds {{acess_token}}, which nothing fills; {{access_token}} may be meant"
            ),
        ),
        (
            format!("parameters = {{ {token}, client_secret = \"x\" }}"),
            format!(
                "{field}.client_secret: is sent already, as the standard parameter client_secret: \
                 omit = [\"client_secret\"] would leave that out"
            ),
        ),
        (
            format!("parameters = {{ {token}, grant_type = \"x\" }}"),
            format!("{field}.grant_type: stands under the key grant_type of the request"),
        ),
        (
            format!(
                "grant_type = \"x\"\nnames = {{ grant_type = \"kind\" }}\nparameters = {{ {token}, kind = \"x\" }}"
            ),
            format!(
                "{field}.kind: is sent already, as the standard parameter grant_type: \
                 the key grant_type of [grants.X] gives it another value"
            ),
        ),
        (
            format!("parameters = {{ {token}, c = \"{{code}}\" }}"),
            format!("{field}.c: holds {{code}}, which has no value there"),
        ),
    ] {
        let line = 8 + rest.matches('\n').count();
        assert_eq!(
            told(&then(&rest)),
            [format!("line {line}: {why}")],
            "{rest}"
        );
    }
}

#[test]
fn nothing_overrides_what_the_protocol_sends() {
    let own = |name: &str, usual: &str, line: usize, table: &str| {
        let mend = match usual {
            "grant_type" => "the key grant_type of [grants.X] gives it another value".to_owned(),
            _ => format!("omit = [\"{usual}\"] would leave that out"),
        };
        format!(
            "line {line}: {table}.parameters.{name}: is sent already, as the standard parameter {usual}: {mend}"
        )
    };
    for (rest, expected) in [
        (
            "[request]\nparameters = { grant_type = \"x\" }",
            own("grant_type", "grant_type", 5, "request"),
        ),
        (
            "[request]\nnames = { client_id = \"app\" }\nparameters = { app = \"x\" }",
            own("app", "client_id", 6, "request"),
        ),
        (
            "grant_types = [\"client_credentials\"]\n[grants.client_credentials]\ndefault_scopes = [\"b\"]\nparameters = { scope = \"a\" }",
            own("scope", "scope", 7, "grants.client_credentials"),
        ),
        (
            "revoke_url = \"https://acme.example/r\"\n[revoke]\nparameters = { token = \"a\" }",
            own("token", "token", 6, "revoke"),
        ),
    ] {
        assert_eq!(told(rest), [expected], "{rest}");
    }
    sound("[request]\nomit = [\"client_id\"]\nparameters = { client_id = \"{client_id}\" }");
    sound("[grants.refresh_token.parameters]\nscope = \"a\"");
    each(&[
        (
            "[request]\nclient_auth = \"basic\"\nheaders = { authorization = \"x\" }",
            "line 6: request.headers.authorization: is what client_auth = \"basic\" makes",
        ),
        (
            "[grants.refresh_token]\nclient_auth = \"basic\"\nheaders = { authorization = \"x\" }",
            "line 6: grants.refresh_token.headers.authorization: is what client_auth = \"basic\" makes",
        ),
        (
            "[request]\nnames = { client_id = \"app\", client_secret = \"app\" }",
            "line 5: request.names.client_secret: client_id and client_secret of one request would both be named app",
        ),
        (
            "[request.names]\nclient_id = \"\"",
            "line 5: request.names.client_id: must be a name: omit leaves a parameter out",
        ),
        (
            "[grants.refresh_token]\nomit = [\"refresh_token\"]",
            "line 5: grants.refresh_token.omit: leaves out refresh_token, without which grants.refresh_token says nothing",
        ),
        (
            "revoke_url = \"https://acme.example/r\"\n[revoke]\nomit = [\"token\"]",
            "line 6: revoke.omit: leaves out token, without which revoke says nothing",
        ),
    ]);
}

#[test]
fn a_placeholder_stands_only_where_it_can_have_a_value() {
    let minted = "grant_types = [\"client_credentials\"]\n[grants.client_credentials]\n";
    let field = "grants.client_credentials";
    for (rest, key, name) in [
        (
            "parameters = { t = \"{access_token}\" }",
            "parameters.t",
            "access_token",
        ),
        (
            "headers = { x = \"{refresh_token}\" }",
            "headers.x",
            "refresh_token",
        ),
        ("url = \"https://acme.example/{code}\"", "url", "code"),
        (
            "url = \"https://acme.example/?u={token_url}\"",
            "url",
            "token_url",
        ),
    ] {
        let expected = format!("line 6: {field}.{key}: holds {{{name}}}, which has no value there");
        assert_eq!(told(&format!("{minted}{rest}")), [expected]);
    }
    each(&[
        (
            "authorize_url = \"https://acme.example/{scopes}\"",
            "line 4: authorize_url: holds {scopes}, which has no value there",
        ),
        (
            "[request]\nparameters = { s = \"{scopes}\" }",
            "line 5: request.parameters.s: holds {scopes}, which has no value there",
        ),
        (
            "[request]\nparameters = { s = \"{clientid}\" }",
            "line 5: request.parameters.s: holds {clientid}, which nothing fills; {client_id} may be meant",
        ),
        (
            "[request]\nparameters = { s = \"{access_token?}\" }",
            "line 5: request.parameters.s: holds {access_token}, which has no value there",
        ),
    ]);
    let code = "grants.authorization_code";
    for (table, rest, field) in [
        (code, "url = \"https://acme.example/{state}\"", "url"),
        (
            code,
            "then = { url = \"https://acme.example/t\", parameters = { t = \"{access_token}\", s = \"{state}\" } }",
            "then.parameters.s",
        ),
        (
            "grants.refresh_token",
            "parameters = { s = \"{state}\" }",
            "parameters.s",
        ),
        ("request", "headers = { s = \"{state}\" }", "headers.s"),
        (
            "authorize",
            "parameters = { s = \"{state}\" }",
            "parameters.s",
        ),
    ] {
        let url = "authorize_url = \"https://acme.example/a\"";
        let why = format!("line 6: {table}.{field}: holds {{state}}, which has no value there");
        assert_eq!(told(&format!("{url}\n[{table}]\n{rest}")), [why]);
    }
    let redeeming = "[grants.authorization_code]\nparameters = { s = \"{state}\" }\nheaders = { s = \"{state}\" }";
    let url = "authorize_url = \"https://acme.example/a\"";
    sound(&format!("{url}\n{redeeming}"));
    assert_eq!(
        told(&format!(
            "{url}\n{redeeming}\n[placeholders]\nstate = \"ca\""
        )),
        ["line 9: placeholders.state: is used nowhere"]
    );
    // A refresh has scopes, the exchange of a code goes without.
    sound("[request]\nparameters = { s = \"{scopes?}\" }");
    sound(&format!(
        "{minted}parameters = {{ s = \"{{client_secret}}\", z = \"{{zone}}\" }}"
    ));
    sound(
        "revoke_url = \"https://acme.example/{access_token}\"\n[placeholders]\naccess_token = \"x\"",
    );
}

#[test]
fn times_do_not_rule_each_other_out() {
    let never = "or no token is ever renewed";
    each(&[
        (
            "[lifetime]\naccess_token = \"24h\"\n[renewal]\nrefresh_only_while_valid = true\nmin_age = \"1d\"",
            &format!(
                "line 8: renewal.min_age: must be shorter than lifetime.access_token, {never}"
            ),
        ),
        (
            "[lifetime]\naccess_token = \"1h\"\n[renewal]\nself_renewing = true\nmin_age = \"1d\"",
            &format!(
                "line 8: renewal.min_age: must be shorter than lifetime.access_token, {never}"
            ),
        ),
        (
            "[grants.refresh_token.response]\naccess_token_lifetime = \"1h\"\n[renewal]\nself_renewing = true\nmin_age = \"1d\"",
            &format!(
                "line 8: renewal.min_age: must be shorter than grants.refresh_token.response.access_token_lifetime, {never}"
            ),
        ),
        (
            "[lifetime]\ngrant = \"7d\"\nrefresh_token = \"8d\"",
            "line 6: lifetime.refresh_token: is longer than lifetime.grant, which ends everything",
        ),
        (
            "[lifetime]\nrefresh_token = \"7d\"\nrefresh_token_idle = \"7d\"",
            "line 6: lifetime.refresh_token_idle: must be shorter than lifetime.refresh_token, which ends it anyway",
        ),
    ]);
    sound("[lifetime]\naccess_token = \"1h\"\n[renewal]\nmin_age = \"1d\"");
    sound("[lifetime]\naccess_token = \"60d\"\n[renewal]\nself_renewing = true\nmin_age = \"1d\"");
}

#[test]
fn the_first_mistake_is_not_hidden_by_what_follows_from_it() {
    let entry = format!(
        "{CODE}[placeholders]\nregion = \"eu\"\n[grants.authorization_code.then]\n\
         url = \"http://acme.example/{{region}}\"\nparameters = {{ t = \"{{access_token}}\" }}"
    );
    assert_eq!(
        told(&entry),
        [
            "line 9: grants.authorization_code.then.url: must be https unless its host is a loopback address"
        ]
    );
    assert_eq!(
        told("autorize_url = \"https://acme.example/{region}\"\n[placeholders]\nregion = \"eu\""),
        ["line 4: autorize_url: is no known key; did you mean authorize_url?"]
    );
    // What nothing mentions is told beside any other mistake.
    assert_eq!(
        told("[placeholders]\nregion = \"eu\"\n[limits]\nconcurrent = 0"),
        [
            "line 5: placeholders.region: is used nowhere",
            "line 7: limits.concurrent: must be at least 1",
        ]
    );
    // A name that cannot be read hides no other mistake.
    let problems =
        Catalogue::check("name = \"a b\"\nsources = [\"a test\"]\n[revoke]\nmethod = \"GET\"");
    let fields: Vec<&str> = problems
        .iter()
        .map(|problem| problem.field.as_str())
        .collect();
    assert_eq!(fields, ["token_url", "name", "revoke"]);
}
