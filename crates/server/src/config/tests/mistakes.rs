//! One line for each mistake: key, reason, place.

use super::complaint;

#[test]
fn each_mistake_is_told_in_one_line_with_key_reason_and_place() {
    let table = [
        (
            "[store]\nurll = \"x\"",
            "store.urll: is unknown; is url meant? known here: url, pooler, max_connections, orphan_retention (evergrant.toml:2)",
        ),
        (
            "[stores]\nurl = \"x\"",
            "stores: is unknown; is store meant? known here: server, store, redis, keys, providers, clients, callers, limits, authorization, refresh, events, audit, inbound, telemetry (evergrant.toml:1)",
        ),
        (
            "[store]\nurl = \"postgres://db/x\"\n[key]\nactive = \"k1\"",
            "key: is unknown; is keys meant? known here: server, store, redis, keys, providers, clients, callers, limits, authorization, refresh, events, audit, inbound, telemetry (evergrant.toml:3)",
        ),
        (
            "[keys]\nacitve = \"k1\"",
            "keys.acitve: must be 32 bytes in base64, and is no base64; is active meant? (evergrant.toml:2)",
        ),
        (
            "[clients.a]\nprovider = \"slack\"\nclient_di = \"x\"",
            "clients.a.client_id: is missing; is client_di meant to be it? (evergrant.toml:1)",
        ),
        (
            "[[callers]]\nname = \"a\"\ntoken = \"hush\"",
            "callers[0].token: is unknown, so that no token stands here: token_sha256 takes the SHA-256 of one, as `printf %s \"$TOKEN\" | sha256sum` prints it (evergrant.toml:3)",
        ),
        (
            "[[callers]]\nname = \"a\"\ntoken_sha265 = \"12\"",
            "callers[0].token_sha265: is unknown; is token_sha256 meant? (evergrant.toml:3)",
        ),
        ("store = 1", "store: must be a section (evergrant.toml:1)"),
        (
            "[store]\nurl = 1",
            "store.url: must be a text, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", …] } (evergrant.toml:2)",
        ),
        (
            "[store]\nurl = \"mysql://root:hush@db/x\"",
            "store.url: must begin with sqlite:// or postgres:// (evergrant.toml:2)",
        ),
        (
            "[store]\nurl = \"sqlite::memory:\"",
            "store.url: must name a file, such as sqlite://evergrant.db (evergrant.toml:2)",
        ),
        (
            "[store]\nurl = \"sqlite://e.db?mode=rwc\"",
            "store.url: takes no options when it names an SQLite file (evergrant.toml:2)",
        ),
        (
            "[store]\nurl = \"postgres://db/x?sslmode=hush\"",
            "store.url: is no valid URL; a password in it must be percent-encoded (evergrant.toml:2)",
        ),
        (
            "[store]\nurl = { env = \"DB\" }",
            "store.url: environment variable DB is not set (evergrant.toml:2)",
        ),
        (
            "[store]\nurl = { env = \"DB\", file = \"x\" }",
            "store.url: must be a text, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", …] } (evergrant.toml:2)",
        ),
        (
            "[store]\nmax_connections = 0",
            "store.max_connections: must be a whole number from 1 to 1000 (evergrant.toml:2)",
        ),
        (
            "[store]\npooler = \"session\"",
            "store.pooler: must be \"none\" or \"transaction\", not \"session\" (evergrant.toml:2)",
        ),
        (
            "[store]\npooler = \"transaction\"",
            "store.pooler: is for Postgres; store.url names an SQLite file (evergrant.toml:2)",
        ),
        (
            "[store]\nurl = \"postgres://db/x\"",
            "keys: must hold a sealing key when the store is Postgres; `evergrant keys generate` makes one",
        ),
        (
            "\n[server]\nlisten = \"localhost\"",
            "server.listen: must be an address and a port such as \"127.0.0.1:7070\", not \"localhost\" (evergrant.toml:3)",
        ),
        (
            "[server]\nlisten = \"0.0.0.0:7070\"",
            "server.listen: 0.0.0.0:7070 is not a loopback address, and without [[callers]] everyone there would be trusted (evergrant.toml:2)",
        ),
        (
            "[server.tls]\ncert = \"/nowhere/a.pem\"\nkey = \"b\"",
            "server.tls.cert: /nowhere/a.pem cannot be read: No such file or directory (os error 2) (evergrant.toml:2)",
        ),
        (
            "[server.tls]\nkey = \"b\"",
            "server.tls.cert: is missing (evergrant.toml:1)",
        ),
        (
            "[redis]\nurl = \"http://x\"",
            "redis.url: must begin with redis:// or rediss://, or be empty (evergrant.toml:2)",
        ),
        (
            "[redis]\nprefix = \"a b\"",
            "redis.prefix: must be 1 to 64 characters of a-z, A-Z, 0-9 and . _ : -, not \"a b\" (evergrant.toml:2)",
        ),
        (
            "[keys]\nactive = \"k1\"\nk1 = \"AAAA\"",
            "keys.k1: must be 32 bytes in base64, not 3 (evergrant.toml:3)",
        ),
        (
            "[keys]\nactive = \"k1\"\nk1 = \"hush!\"",
            "keys.k1: must be 32 bytes in base64, and is no base64 (evergrant.toml:3)",
        ),
        (
            "[keys]\nactive = \"k2\"\nk1 = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"",
            "keys.active: names \"k2\", which is no key in this section (evergrant.toml:2)",
        ),
        (
            "[keys]\nk1 = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"",
            "keys.active: must name the key that seals: one of k1",
        ),
        (
            "[keys]\nactive = \"k1\"\nk1 = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\nlost = [\"k0\", \"k1\"]",
            "keys.lost[1]: names \"k1\", which is a key in this section (evergrant.toml:4)",
        ),
        (
            "[keys]\nactive = \"k1\"\nk1 = { command = [\"sh\", \"-c\", \"echo hush; echo no right >&2; exit 1\"] }",
            "keys.k1: command sh ended with exit status: 1: no right (evergrant.toml:3)",
        ),
        (
            "[keys]\nactive = \"k1\"\nk1 = { command = [\"echo\", \"hush\"] }",
            "keys.k1: must be 32 bytes in base64, not 3 (evergrant.toml:3)",
        ),
        (
            "[store]\nurl = { command = [\"true\"] }",
            "store.url: command true printed nothing (evergrant.toml:2)",
        ),
        (
            "[store]\nurl = { command = \"true\" }",
            "store.url: must be a text, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", …] } (evergrant.toml:2)",
        ),
        (
            "[clients.a]\nprovider = \"slack\"",
            "clients.a.client_id: is missing (evergrant.toml:1)",
        ),
        (
            "[clients.a]\nclient_id = \"x\"",
            "clients.a.provider: is missing (evergrant.toml:1)",
        ),
        (
            "[clients.a]\nprovider = \"slack\"\nclient_id = \"\"",
            "clients.a.client_id: must not be empty (evergrant.toml:3)",
        ),
        (
            "[clients.a]\nprovider = \"slack\"\nclient_id = \"x\"\nclient_secret = [\"a\",\n\"\"]",
            "clients.a.client_secret[1]: must not be empty (evergrant.toml:5)",
        ),
        (
            "[clients.a]\nprovider = \"slack\"\nclient_id = \"x\"\nredirect_uris = [\"http://app.example/\"]",
            "clients.a.redirect_uris[0]: must be https, except on a loopback address (evergrant.toml:4)",
        ),
        (
            "[authorization]\ncallback_listen = \"7072\"",
            "authorization.callback_listen: must be an address and a port such as \"127.0.0.1:7074\", not \"7072\" (evergrant.toml:2)",
        ),
        (
            "[authorization]\nreturn_urls = [\"https://app.example/\", \"http://app.example/\"]",
            "authorization.return_urls[1]: must be https, except on a loopback address (evergrant.toml:2)",
        ),
        (
            "[authorization]\nreturn_urls = [\"https://app.example/\"]",
            "authorization.return_urls[0]: has no use: only the server's own callback sends anybody there, and authorization.callback_listen is off (evergrant.toml:2)",
        ),
        (
            "[clients.\"a b\"]\nprovider = \"slack\"",
            "clients.a b: has a name that must be 1 to 128 characters of a-z, A-Z, 0-9 and . _ : - (evergrant.toml:1)",
        ),
        (
            "[callers]\nname = \"a\"",
            "callers: must be a list: write [[callers]] (evergrant.toml:1)",
        ),
        (
            "[[callers]]\nname = \"a\"\n",
            "callers[0]: needs exactly one of token_sha256, san, jwt (evergrant.toml:1)",
        ),
        (
            "[[callers]]\nname = \"a\"\nsan = \"x\"\ntoken_sha256 = \"y\"",
            "callers[0]: needs exactly one of token_sha256, san, jwt (evergrant.toml:1)",
        ),
        (
            "[[callers]]\nname = \"a\"\nsan = \"spiffe://x\"",
            "callers[0].san: needs server.tls.client_ca, which says whose certificates count (evergrant.toml:3)",
        ),
        (
            "[[callers]]\nname = \"a\"\njwt = { issuer = \"x\" }",
            "callers[0].jwt.audience: is missing (evergrant.toml:3)",
        ),
        (
            "[[callers]]\nname = \"a\"\ntoken_sha256 = \"12\"",
            "callers[0].token_sha256: must be a SHA-256 in 64 hexadecimal digits, as sha256sum prints it (evergrant.toml:3)",
        ),
        (
            "[refresh]\nlease = \"36s\"",
            "refresh.lease: must be at least 37s, which is 2 x attempt_timeout + store_timeout + 2s; it is 36s (evergrant.toml:2)",
        ),
        (
            "[refresh]\nattempt_timeout = \"30s\"",
            "refresh.lease: must be at least 67s, which is 2 x attempt_timeout + store_timeout + 2s; it is 45s",
        ),
        (
            "[refresh]\nattempt_timeout = \"0s\"",
            "refresh.attempt_timeout: must be from 1ms to 10m (evergrant.toml:2)",
        ),
        (
            "[refresh]\nlease = 45",
            "refresh.lease: must be a text (evergrant.toml:2)",
        ),
        (
            "[refresh]\nlease = \"45\"",
            "refresh.lease: must be a duration such as \"15s\" (units: ms, s, m, h, d), not \"45\" (evergrant.toml:2)",
        ),
        (
            "[refresh]\nconcurrency = \"9\"",
            "refresh.concurrency: must be a whole number from 1 to 100000 (evergrant.toml:2)",
        ),
        (
            "[store]\norphan_retention = \"23h\"",
            "store.orphan_retention: must be from 1d to 3650d (evergrant.toml:2)",
        ),
        (
            "[events]\nretention = \"23h\"",
            "events.retention: must be from 1d to 3650d (evergrant.toml:2)",
        ),
        (
            "[events]\nheartbeat = \"6m\"",
            "events.heartbeat: must be from 1s to 5m (evergrant.toml:2)",
        ),
        (
            "[audit]\nmode = \"loose\"",
            "audit.mode: must be \"off\", \"available\" or \"strict\", not \"loose\" (evergrant.toml:2)",
        ),
        (
            "[audit]\nflush = \"2m\"",
            "audit.flush: must be from 10ms to 1m (evergrant.toml:2)",
        ),
        (
            "[telemetry]\nlevel = \"evergrant=loud\"",
            "telemetry.level: must be a level (error, warn, info, debug, trace, off) or a filter such as \"evergrant_core=debug,warn\", not \"evergrant=loud\" (evergrant.toml:2)",
        ),
        (
            "[telemetry]\nlevel = \"inof\"",
            "telemetry.level: must be a level (error, warn, info, debug, trace, off) or a filter such as \"evergrant_core=debug,warn\", not \"inof\" (evergrant.toml:2)",
        ),
        (
            "[telemetry]\nlevel = \"hyper=warn,debgu\"",
            "telemetry.level: must be a level (error, warn, info, debug, trace, off) or a filter such as \"evergrant_core=debug,warn\", not \"hyper=warn,debgu\" (evergrant.toml:2)",
        ),
        (
            "[telemetry]\nformat = \"xml\"",
            "telemetry.format: must be \"text\" or \"json\", not \"xml\" (evergrant.toml:2)",
        ),
        (
            "[telemetry]\notlp_endpoint = \"http://hush:hush@x:4317\"",
            "telemetry.otlp_endpoint: must be http:// or https:// with host and port alone; headers come from OTEL_EXPORTER_OTLP_HEADERS (evergrant.toml:2)",
        ),
        (
            "[telemetry]\notlp_endpoint = \"x:4317\"",
            "telemetry.otlp_endpoint: must be http:// or https:// with host and port alone; headers come from OTEL_EXPORTER_OTLP_HEADERS (evergrant.toml:2)",
        ),
        (
            "[telemetry]\ntrace_ratio = 1.5",
            "telemetry.trace_ratio: must be a number from 0 to 1 (evergrant.toml:2)",
        ),
        (
            "[telemetry]\ntrace_ratio = \"0.5\"",
            "telemetry.trace_ratio: must be a number from 0 to 1 (evergrant.toml:2)",
        ),
    ];
    for (text, line) in table {
        assert_eq!(complaint(text, &[]), line, "{text}");
    }
}

#[test]
fn an_unknown_key_is_refused_in_every_section() {
    let caller =
        "[[callers]]\nname = \"a\"\nsan = \"a.example\"\ntenants = [\"*\"]\nallow = [\"admin\"]\n";
    let token = caller.replace(
        "san = \"a.example\"",
        &format!("token_sha256 = \"{:064}\"", 1),
    );
    let client = "[clients.a]\nprovider = \"slack\"\nclient_id = \"x\"\n";
    let slack = "[inbound]\nlisten = \"\"\n[inbound.receivers.s]\nkind = \"slack\"\nprovider = \"slack\"\nsigning_secret = \"x\"\n";
    let jwt = caller.replace(
        "san = \"a.example\"",
        "jwt = { issuer = \"https://i.example\", audience = \"a\", subject = \"s\", odd = 1 }",
    );
    for (before, section) in [
        ("", "server"),
        ("", "store"),
        ("", "redis"),
        ("", "providers"),
        (client, "clients.a"),
        (client, "clients.a.limits"),
        (&token, "callers[0]"),
        ("", "limits"),
        (
            "[limits.caller_rate]\nper_second = 1\n",
            "limits.caller_rate",
        ),
        ("", "authorization"),
        ("", "refresh"),
        ("", "events"),
        ("", "audit"),
        (slack, "inbound.receivers.s"),
        (&jwt, "callers[0].jwt"),
        ("", "telemetry"),
    ] {
        let opened = before.contains(&format!("[{section}]\n")) || section.starts_with("callers");
        let text = match (section, opened) {
            ("callers[0].jwt", _) => before.to_owned(),
            (_, true) => format!("{before}odd = 1"),
            (_, false) => format!("{before}[{section}]\nodd = 1"),
        };
        let line = complaint(&text, &[]);
        let begins = format!("{section}.odd: is unknown; known here: ");
        assert!(line.starts_with(&begins), "{text}: {line}");
    }
}

#[test]
fn a_caller_must_be_told_apart_and_needs_tenants_and_permissions() {
    let caller = |name: &str, digit: char, rest: &str| {
        let token = digit.to_string().repeat(64);
        format!("[[callers]]\nname = \"{name}\"\ntoken_sha256 = \"{token}\"\n{rest}\n")
    };
    let rights = "tenants = [\"*\"]\nallow = [\"token.get\"]";
    for (text, line) in [
        (
            caller("a", '1', "allow = [\"token.get\"]"),
            "callers[0].tenants: must name at least one tenant, or \"*\" for all",
        ),
        (
            caller("a", '1', "tenants = [\"b c\"]"),
            "callers[0].tenants[0]: must be 1 to 128 characters of a-z, A-Z, 0-9 and . _ : - (evergrant.toml:4)",
        ),
        (
            caller("a", '1', "tenants = [\"t\"]"),
            "callers[0].allow: of caller \"a\" must name at least one of token.get, event.watch, credential.read, credential.write, integration.read, integration.write, audit.read, admin",
        ),
        (
            caller("a", '1', "tenants = [\"t\"]\nallow = [\"token.put\"]"),
            "callers[0].allow[0]: \"token.put\" is none of token.get, event.watch, credential.read, credential.write, integration.read, integration.write, audit.read, admin (evergrant.toml:5)",
        ),
        (
            caller("unknown", '1', rights),
            "callers[0].name: \"unknown\" means something else in the audit trail; choose another (evergrant.toml:2)",
        ),
        (
            caller("a", '1', rights) + &caller("a", '2', rights),
            "callers[1].name: \"a\" is taken by another caller (evergrant.toml:7)",
        ),
        (
            caller("a", '1', rights) + &caller("b", '1', rights),
            "callers[1].token_sha256: is the same as that of caller \"a\" (evergrant.toml:8)",
        ),
    ] {
        assert_eq!(complaint(&text, &[]), line, "{text}");
    }
}
