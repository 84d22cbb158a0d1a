//! Procfiles: a line for each `key: value`, lists with commas, comments with `#` at the start of a
//! line.

use super::given::{At, COMMON, Given, Value};

pub(super) fn parse(text: &str) -> Given {
    let mut given = Given::default();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let Some((name, value)) = text.split_once(':') else {
            given.wrong(line, "neither `key: value` nor a comment that starts with `#`");
            continue;
        };
        let (name, value) = (name.trim_end(), value.trim());
        let is_list = COMMON.iter().any(|key| key.name() == name && key.is_list());
        let value = if is_list {
            let item = |item: &str| At { line, value: item.trim().to_owned() };
            Value::Many(value.split(',').map(item).collect())
        } else {
            Value::One(value.to_owned())
        };
        given.add(&COMMON, line, name, value);
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::given::Key;

    #[test]
    fn lines_lists_and_comments() {
        let text = "# all of it\r\n\r\n  run : /app/x --url=http://a#b  \nports: 1 ,2,\n";
        let given = parse(text);
        assert_eq!(given.mistakes, []);
        let run = Value::One("/app/x --url=http://a#b".into());
        assert_eq!(given.entries[&Key::Run], At { line: 3, value: run });
        let item = |value: &str| At { line: 4, value: value.to_owned() };
        let ports = Value::Many(vec![item("1"), item("2"), item("")]);
        assert_eq!(given.entries[&Key::Ports], At { line: 4, value: ports });
    }
}
