//! What is refused, with the lines and the words of it.

use super::{Form, deployment};

/// The mistakes of a text, as `line: message`.
fn mistakes(form: Form, text: &str) -> Vec<String> {
    let mistakes = deployment(form, text).err().unwrap_or_default();
    mistakes.iter().map(ToString::to_string).collect()
}

/// Each text has exactly these mistakes, in this order, by the beginnings of their lines.
fn refused(form: Form, table: &[(&str, &[&str])]) {
    for (text, expected) in table {
        let found = mistakes(form, text);
        let same = found.len() == expected.len()
            && found.iter().zip(*expected).all(|(found, expected)| found.starts_with(expected));
        assert!(same, "{text}\n{found:#?}");
    }
}

#[test]
fn contradictions_of_procfiles() {
    refused(
        Form::Procfile,
        &[
            ("", &["1: run is missing", "1: the app could not be reached"]),
            ("run: /app", &["1: the app could not be reached"]),
            ("run: app\ne2e: true", &["1: run: it must start with an absolute path"]),
            ("run:\ne2e: true", &["1: run: it must start with an absolute path"]),
            ("run: /a && /b\ne2e: true", &["1: run: no shell reads it, so `&`"]),
            ("run: /a\n\n# x\nports: 49500", &["4: port 49500 is reserved"]),
            ("run: /a\nports: 49600,1\nhttp_port: 1", &["2: port 49600 is reserved"]),
            ("run: /a\nports: 1, 2", &["2: several ports without http_port"]),
            ("run: /a\nports: 1, 2\nhttp_port: 3", &["3: http_port 3 is not one of ports"]),
            ("run: /a\nhttp_port: 3\ne2e: true", &["2: http_port 3 is not one of ports"]),
            (
                "run: /a\nports: 1, 443, 2019, 8080, 80\nhttp_port: 80",
                &[
                    "2: port 2019 is taken on the host",
                    "2: port 443 is taken on the host",
                    "2: port 8080 is taken on the host",
                ],
            ),
            (
                "run: /a\nports: 0, 65536, x, , 7, 7",
                &[
                    "2: ports has `0`, which is no port",
                    "2: ports has `65536`, which is no port",
                    "2: ports has `7` twice",
                    "2: ports has `x`, which is no port",
                    "2: ports has an empty item",
                ],
            ),
            ("run: /a\nports:", &["2: ports has an empty item"]),
            ("run: /a\ne2e: true\nports: 1, 2", &["3: several ports with end-to-end encryption"]),
            ("run: /a\ne2e: true\nports: 8080", &["3: port 8080 is the proxy's"]),
            ("run: /a\ne2e: yes\nports: 1", &["2: e2e is `yes`: it must be true or false"]),
            ("run: /a\nport: 1\nports: 2", &["2: unknown key `port`"]),
            ("run: /a\nports: 1\nrun: /b", &["3: run is given twice: first on line 1"]),
            ("run: /a\nports: 1\nwhat", &["3: neither `key: value` nor a comment"]),
            ("run: /a\nports: 1\ncors_origins: *", &["3: unknown key `cors_origins`"]),
            (
                "run: /a\nports: 1\nmemory: 255",
                &["3: memory is `255`: it must be 256 to 4194304 MiB"],
            ),
            ("run: /a\nports: 1\nmemory: 512 MB", &["3: memory is `512 MB`"]),
            (
                "run: /a\nports: 1\nmemory: 4194305\ncpus: 0\ndebug: 1",
                &[
                    "3: memory is `4194305`",
                    "4: cpus is `0`: it must be 1 to 448",
                    "5: debug is `1`",
                ],
            ),
            ("run: /a\nports: 1\ndomain: https://a.example", &["3: domain is `https://a.example`"]),
            ("run: /a\nports: 1\ndomain: *.example", &["3: domain is `*.example`"]),
            ("run: /a\nports: 1\ndomain: 127.0.0.1", &["3: domain is `127.0.0.1`"]),
            ("run: /a\nports: 1\ndomain:", &["3: domain has no value"]),
            (
                "run: /a\nports: 1\napp_sources: a b\nenclave_sources: https://u:p@h/x",
                &[
                    "3: app_sources has `a b`: it must be a URL",
                    "4: enclave_sources has a URL with a password",
                ],
            ),
            // All of them in one run, by line.
            (
                "debug: maybe\ncpus: many\nports: 1, 2, 49555\nnothing\ne2e: true\nwhat: 1",
                &[
                    "1: debug is",
                    "1: run is missing",
                    "2: cpus is",
                    "3: port 49555 is reserved",
                    "3: several ports",
                    "4: neither",
                    "6: unknown key",
                ],
            ),
        ],
    );
}

#[test]
fn a_manifest_that_evidence_cannot_carry_is_refused() {
    // Quotes take two bytes in JSON.
    let text = format!("run: /a\nports: 1\nmetadata: {}", "\"".repeat(40_000));
    refused(Form::Procfile, &[(&text, &["3: the manifest is larger than 65535 bytes"])]);
}

/// A file with a block `e2e_encryption` on line 4, its first attribute on line 5.
fn block(attributes: &str) -> String {
    format!("run = \"/a\"\nnetwork {{\nhttp {{\ne2e_encryption {{\n{attributes}\n}}\n}}\n}}\n")
}

#[test]
fn contradictions_of_hcl() {
    let e2e =
        |e2e: &str, attributes: &str| format!("{}e2e = {e2e}\nports = [1]\n", block(attributes));
    let cases: [(String, &[&str]); 22] = [
        ("run = \"/a\"\nports = [1\n".into(), &["2: no HCL"]),
        ("run = \"/a\"\nports = [\n1,\n2]\n".into(), &["2: several ports without http_port"]),
        (
            "run = \"/a\"\nports = [\n49500,\n\"x\"]\n".into(),
            &["3: port 49500 is reserved", "4: ports has `x`, which is no port"],
        ),
        ("run = \"/a\"\nports = []\n".into(), &["2: ports is an empty list"]),
        (
            "run = \"/a\"\nports = [1.5, -1]\n".into(),
            &["2: ports has `-1`, which is no port", "2: ports has `1.5`"],
        ),
        ("run = [\"/a\", 1]\nports = x\n".into(), &["2: only strings"]),
        ("run = [\"a\"]\nports = 1\n".into(), &["1: run: it must start with an absolute path"]),
        ("run = \"/a\"\nports = 1\ndomain = [\"a.example\"]\n".into(), &["3: domain is one value"]),
        (
            "run = \"/a\"\nports = 1\nwhat = 1\nother {}\nnetwork \"x\" {}\nnetwork {}\n".into(),
            &[
                "3: unknown key `what`",
                "4: unknown block `other`",
                "5: the block network has no labels",
                "6: a second block network",
            ],
        ),
        (block("mode = \"maybe\""), &["5: mode is `maybe`"]),
        (block("mode = \"off\""), &["1: the app could not be reached"]),
        (e2e("false", "mode = \"required\""), &["5: the mode contradicts e2e = false on line 9"]),
        (e2e("true", "mode = \"off\""), &["5: the mode contradicts e2e = true on line 9"]),
        (e2e("false", ""), &["4: the block e2e_encryption contradicts e2e = false on line 9"]),
        (e2e("false", "mode = \"off\"\nkey_exchange = \"XWING\""), &["6: key_exchange without"]),
        (block("key_exchange = [\"XWING\", \"rot13\"]"), &["5: key_exchange: `rot13` is no suite"]),
        (
            block("cors_origins = [\n\"https://a.example\",\n\"*\"]"),
            &["7: cors_origins: CORS origin `*`"],
        ),
        (
            block("cors_origins = [\"https://a.example/\", \"https://*.b.example\"]"),
            &[
                "5: cors_origins: CORS origin `*`",
                "5: cors_origins: CORS origin `https://a.example/`",
            ],
        ),
        (
            block("mode = \"required\"\nallow_plaintext_fallback = true"),
            &["6: allow_plaintext_fallback contradicts mode = \"required\""],
        ),
        (
            block("mode = \"optional\"\nallow_plaintext_fallback = false"),
            &["6: allow_plaintext_fallback = false contradicts mode = \"optional\""],
        ),
        (
            block("allow_plaintext_fallback = \"maybe\""),
            &["5: allow_plaintext_fallback is `maybe`"],
        ),
        (block("run = \"/b\""), &["5: unknown key `run`"]),
    ];
    for (text, expected) in &cases {
        refused(Form::Hcl, &[(text, expected)]);
    }
}

#[test]
fn repeated_keys_of_hcl_are_refused_with_a_line() {
    let found = mistakes(Form::Hcl, "run = \"/a\"\nports = [1]\nports = [2]\n");
    assert!(found.len() == 1 && found[0].starts_with("3: no HCL"), "{found:?}");
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for bracket in ["[", "(", "!", "-", "{", "${"] {
        let text = format!("run = {}", bracket.repeat(60_000));
        assert!(!mistakes(Form::Hcl, &text).is_empty());
        let text = format!("run = \"{}\"", bracket.repeat(60_000));
        assert!(!mistakes(Form::Hcl, &text).is_empty());
    }
    let text = "a {\n".repeat(15_000);
    assert!(!mistakes(Form::Hcl, &text).is_empty());
}

/// The same deployment in both forms.
#[test]
fn both_forms_say_the_same() {
    let procfile = "run: /a -x\nports: 1, 2\nhttp_port: 2\ndomain: A.example\nmetadata: v1\n\
                    app_sources: https://git.example/a, git@git.example:b\nmemory: 1024\ncpus: 4\n";
    let hcl = "run = [\"/a\", \"-x\"]\nports = [1, 2]\nhttp_port = 2\ndomain = \"a.example\"\n\
               metadata = \"v1\"\nmemory = 1024\ncpus = \"4\"\n\
               app_sources = [\"https://git.example/a\", \"git@git.example:b\"]\n";
    let procfile = deployment(Form::Procfile, procfile).unwrap();
    assert_eq!(procfile, deployment(Form::Hcl, hcl).unwrap());
}
