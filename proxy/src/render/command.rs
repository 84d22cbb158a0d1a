//! Command lines: words that quotes can hold together. No shell reads them.

/// Splits a line into words. Errors with what is wrong.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) if "$`;|&<>()*?\\".contains(c) => {
                return Err(format!("no shell reads it, so `{c}` must be in quotes"));
            }
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote does not end".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn quotes_hold_words_together() {
        let split = words(r#" /app  --name='a "b" $c' "" --x="d"e '*' "#).unwrap();
        assert_eq!(split, ["/app", r#"--name=a "b" $c"#, "", "--x=de", "*"]);
        assert_eq!(words("  ").unwrap(), [""; 0]);
    }

    #[test]
    fn what_only_a_shell_understands_is_refused() {
        for line in ["/a && /b", "/a | /b", "/a $HOME", "/a > b", "/a *", "/a \\\"", "/a `b`"] {
            assert!(words(line).unwrap_err().contains("no shell"), "{line}");
        }
        assert!(words("/a 'b").unwrap_err().contains("does not end"));
    }
}
