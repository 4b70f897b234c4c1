//! A mistake is told where it stands, once, and with what may be meant.

use super::*;

#[test]
fn an_unknown_key_is_told_with_what_may_be_meant() {
    each(&[
        (
            "[request]\nclientauth = \"basic\"",
            "line 5: request.clientauth: is no known key; did you mean client_auth?",
        ),
        (
            "[grant.refresh_token]\nurl = \"https://acme.example/r\"",
            "line 4: grant: is no known key; did you mean grants or grant_types?",
        ),
        (
            "[grants.refresh]\nbody = \"json\"",
            "line 4: grants.refresh: is no known key; did you mean refresh_token?",
        ),
        (
            "[errors]\nx = { verdict = \"grant\", raeson = \"access_denied\" }",
            "line 5: errors.x.raeson: is no known key; did you mean reason?",
        ),
        (
            "[rotation]\nmode = \"none\"\nsecret = 1",
            "line 6: rotation.secret: is no known key: [rotation] may have grace, mode",
        ),
        (
            "[[grants]]\nbody = \"json\"",
            "line 4: grants: must be a table, not a list of tables: its name stands in one pair of brackets",
        ),
    ]);
}

// Whatever stands below a table's name is of that table, which is easily overlooked.
#[test]
fn a_key_in_the_wrong_table_is_told_with_the_right_one() {
    each(&[
        (
            "[request]\nbody = \"json\"\nrefresh_url = \"https://acme.example/r\"",
            "line 6: request.refresh_url: is no known key here: it stands above the first table",
        ),
        (
            "client_auth = \"basic\"\n[request]\nbody = \"json\"",
            "line 4: client_auth: is no known key here: it belongs to [request]",
        ),
        (
            "client_auth = \"basic\"\nrevoke_url = \"https://a.example\"\n[request]\n[revoke]",
            "line 4: client_auth: is no known key here, but in [request], [revoke]",
        ),
    ]);
}

#[test]
fn a_key_that_is_misspelt_is_not_missing_besides() {
    let text = "name = \"acme\"\ntokenUrl = \"https://acme.example\"\nsource = [\"a test\"]";
    let found: Vec<String> = Catalogue::check(text)
        .iter()
        .map(Problem::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "line 2: tokenUrl: is no known key; did you mean token_url or token?",
            "line 3: source: is no known key; did you mean sources?",
        ]
    );
}

#[test]
fn nothing_is_told_of_an_entry_whose_base_is_unknown_but_that() {
    let text = "name = \"acme\"\nbase = \"mircosoft\"\n[revoke]\nmethod = \"GET\"";
    let found: Vec<String> = Catalogue::check(text)
        .iter()
        .map(Problem::to_string)
        .collect();
    let expected =
        "line 2: base: names \"mircosoft\", which is no built-in entry; did you mean microsoft?";
    assert_eq!(found, [expected]);
}

#[test]
fn a_status_and_a_mode_are_told_at_their_own_lines() {
    each(&[
        (
            "[uncoded]\n401 = \"grant\"\n500 = \"grant\"",
            "line 6: uncoded.500: is no HTTP status of 400 to 499, or one of 408 and 429, which say nothing of a grant",
        ),
        (
            "[errors]\na = \"grant\"\n\"b c\" = \"grant\"",
            "line 6: errors.b c: \"b c\" is no error code: 1 to 64 of a-z, A-Z, 0-9, _ . : -, and not 0",
        ),
        (
            "[errors]\nx = { verdict = \"grant\", try_next_secret = true }",
            "line 5: errors.x.try_next_secret: belongs to the verdict client alone",
        ),
        (
            "[rotation]\n\nmode = \"grace\"",
            "line 6: rotation.mode: the mode grace needs a grace of more than 0s, e.g. grace = \"10m\"",
        ),
        (
            "[request]\nbody = \"json\"\nmethod = \"GET\"",
            "line 5: request.body: a GET request has no body: body must be query",
        ),
    ]);
}

#[test]
fn a_duration_is_shown_as_it_has_to_be() {
    each(&[
        (
            "[lifetime]\naccess_token = 3600",
            "line 5: lifetime.access_token: must be a text of a number and a unit, such as \"12h\", not an integer",
        ),
        (
            "[lifetime]\naccess_token = \"-1h\"",
            "line 5: lifetime.access_token: must be a number and one of ms, s, m, h, d, such as \"12h\", not \"-1h\"",
        ),
    ]);
}

#[test]
fn a_host_that_nothing_allows_is_told_once() {
    each(&[
        (
            "refresh_url = \"https://{shop}.acme.example/r\"",
            "line 4: refresh_url: has a placeholder in its host, so allowed_hosts must say where it may lead",
        ),
        (
            "refresh_url = \"https://{shop}.acme.example/r\"\nallowed_hosts = [\"https://*.acme.example\"]",
            "line 5: allowed_hosts: must be a host or *. and a domain of two labels or more, \
             not \"https://*.acme.example\"",
        ),
    ]);
}

#[test]
fn text_that_is_no_toml_is_told_with_its_key_once_a_line() {
    for (rest, expected) in [
        (
            "token_url = \"https://b.example\"",
            "line 4: token_url: is there already: each key and each table stands once",
        ),
        (
            "[request]\n[lifetime]\n[request]",
            "line 6: request: is there already: each key and each table stands once",
        ),
    ] {
        assert_eq!(told(rest), [expected]);
    }
    for (rest, beginning) in [
        ("renewable = no", "line 4: renewable: "),
        (
            "[grants.refresh_token]\nbody = json",
            "line 5: grants.refresh_token.body: ",
        ),
        ("[request\nbody = \"json\"", "line 4: request: "),
        ("flaky: true", "line 4: "),
    ] {
        let found = told(rest);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(beginning), "{found:?}");
    }
}
