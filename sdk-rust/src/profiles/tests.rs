use super::*;

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(48)
}

fn registers(profile: &PcrProfile) -> Vec<(u8, String)> {
    profile.values().map(|(index, pcr)| (index, pcr.to_string())).collect()
}

fn three() -> Vec<(u8, String)> {
    vec![(0, hex(1)), (1, hex(2)), (2, hex(3))]
}

fn object(names: [&str; 3]) -> String {
    let [a, b, c] = names;
    format!(r#"{{"{a}":"{}","{b}":"{}","{c}":"{}"}}"#, hex(1), hex(2), hex(3))
}

fn one(text: &str) -> Vec<(u8, String)> {
    let profiles = parse_profiles(text).unwrap();
    assert_eq!(profiles.len(), 1);
    registers(&profiles[0])
}

#[test]
fn every_form_gives_the_same_profile() {
    let lower = object(["pcr0", "pcr1", "pcr2"]);
    let upper = object(["PCR0", "PCR1", "PCR2"]);
    let measured = upper.replacen('{', r#"{"HashAlgorithm":"Sha384 { ... }","#, 1);
    for text in [
        lower.clone(),
        upper.to_uppercase(),
        lower.replacen('{', r#"{"comment":"release 7","#, 1),
        format!("[{lower}]"),
        format!(r#"{{"profiles":[{upper}]}}"#),
        format!(r#"{{"Measurements":{measured}}}"#),
        format!(r#"[{{"Measurements":{measured}}}]"#),
        format!("PCR0: {}\nPCR1: {}\nPCR2: {}\n", hex(1), hex(2), hex(3)),
        format!("# release 7\n\npcr0={} # a\n pcr1 = {}\r\npcr2:{}", hex(1), hex(2), hex(3)),
    ] {
        assert_eq!(one(&text), three(), "{text}");
    }
}

#[test]
fn several_profiles_and_further_registers() {
    let first = object(["pcr0", "pcr1", "pcr2"]);
    let second = first.replacen('{', &format!(r#"{{"PCR8":"{}","#, hex(9)), 1);
    let profiles = parse_profiles(&format!("[{first},{second}]")).unwrap();
    assert_eq!(registers(&profiles[0]), three());
    assert_eq!(registers(&profiles[1])[3], (8, hex(9)));
}

#[test]
fn row_11_what_is_incomplete_or_misspelt_is_an_error() {
    let problem = |text: &str| parse_profiles(text).unwrap_err();
    let whole = object(["pcr0", "pcr1", "pcr2"]);
    for text in ["", "\n# nothing\n", "[]", r#"{"profiles":[]}"#] {
        assert_eq!(problem(text), ProfilesProblem::Empty, "{text}");
    }
    for text in ["[1]", r#"{"profiles":{}}"#, r#"{"Measurements":[]}"#] {
        assert_eq!(problem(text), ProfilesProblem::Shape, "{text}");
    }
    assert!(matches!(problem("{}"), ProfilesProblem::Profile { index: 0, .. }));
    assert_eq!(
        problem(&format!("[{whole},{}]", object(["pcr0", "pcr1", "pcr3"]))).to_string(),
        "profile 1: PCR2 is missing: a profile names PCR0, PCR1 and PCR2"
    );
    assert_eq!(
        problem(&whole.replace(&hex(2), &hex(2)[2..])),
        ProfilesProblem::Value("pcr1".to_owned())
    );
    assert_eq!(
        problem(&object(["pcr0", "pcr1", "pcr_2"])),
        ProfilesProblem::Name("pcr_2".to_owned())
    );
    assert_eq!(
        problem(&object(["pcr0", "pcr1", "pcr+2"])),
        ProfilesProblem::Name("pcr+2".to_owned())
    );
    assert!(matches!(
        problem(&object(["pcr0", "PCR0", "pcr1"])),
        ProfilesProblem::Profile { error: ProfileError::Duplicate(0), .. }
    ));
    assert!(matches!(
        problem(&whole.replace(&hex(1), &hex(0))),
        ProfilesProblem::Profile { error: ProfileError::Zero(0), .. }
    ));
    assert!(matches!(
        problem(&whole.replacen('{', r#"{"HashAlgorithm":"Sha256","#, 1)),
        ProfilesProblem::Algorithm(_)
    ));
    assert_eq!(problem("{\n oops"), ProfilesProblem::Json { line: 2, column: 2 });
    let lines = format!("PCR0: {}\nPCR1 {}", hex(1), hex(2));
    assert_eq!(problem(&lines), ProfilesProblem::Line { line: 2 });
    let lines = format!("\nPCR0: {}", &hex(1)[1..]);
    assert_eq!(problem(&lines), ProfilesProblem::Value("PCR0".to_owned()));
}

#[test]
fn errors_name_the_file() {
    let error = read_profiles("/nonexistent/pcrs.json").unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/pcrs.json: "), "{error}");
}
