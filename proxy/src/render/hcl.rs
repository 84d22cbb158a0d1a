//! HCL: the keys of a Procfile as attributes, and `network { http { e2e_encryption { … } } }`.
//!
//! Values are literals: there is nothing that expressions could refer to.

use super::given::{At, COMMON, E2E_ENCRYPTION, Given, Key, Mistake, Value};
use hcl_edit::Span;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body, Structure};

/// Errors if it is no HCL, or gives an attribute twice: what else there is wrong is not known then.
pub(super) fn parse(text: &str) -> Result<Given, Mistake> {
    let body = hcl_edit::parser::parse_body(text).map_err(|error| {
        let message = format!("no HCL: {}", error.message().replace('\n', "; "));
        Mistake { line: error.location().line(), message }
    })?;
    let mut reader = Reader { text, given: Given::default() };
    reader.body(&body, &COMMON, &["network"]);
    Ok(reader.given)
}

struct Reader<'a> {
    text: &'a str,
    given: Given,
}

impl Reader<'_> {
    /// `keys` are the attributes that may be there, and `blocks` the blocks.
    fn body(&mut self, body: &Body, keys: &[Key], blocks: &[&str]) {
        let mut seen: Vec<&str> = Vec::new();
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let line = self.line(attribute);
                    let value = self.value(&attribute.value);
                    self.given.add(keys, line, attribute.key.as_str(), value);
                }
                Structure::Block(block) if seen.contains(&block.ident.as_str()) => {
                    let line = self.line(block);
                    self.given.wrong(line, format!("a second block {}", block.ident.as_str()));
                }
                Structure::Block(block) => {
                    seen.push(block.ident.as_str());
                    self.block(block, blocks);
                }
            }
        }
    }

    fn block(&mut self, block: &Block, expected: &[&str]) {
        let (line, name) = (self.line(block), block.ident.as_str());
        if !expected.contains(&name) {
            return self.given.wrong(line, format!("unknown block `{name}`"));
        }
        if !block.labels.is_empty() {
            self.given.wrong(line, format!("the block {name} has no labels"));
        }
        match name {
            "network" => self.body(&block.body, &[], &["http"]),
            "http" => self.body(&block.body, &[], &["e2e_encryption"]),
            _ => {
                self.given.e2e_encryption = Some(line);
                self.body(&block.body, &E2E_ENCRYPTION, &[]);
            }
        }
    }

    fn value(&mut self, expression: &Expression) -> Value {
        let Expression::Array(array) = expression else {
            return self.literal(expression).map_or(Value::Wrong, Value::One);
        };
        let mut items = Vec::new();
        for item in array {
            let line = self.line(item);
            items.extend(self.literal(item).map(|value| At { line, value }));
        }
        if items.len() == array.len() { Value::Many(items) } else { Value::Wrong }
    }

    fn literal(&mut self, expression: &Expression) -> Option<String> {
        match expression {
            Expression::String(text) => Some(text.to_string()),
            Expression::Bool(truth) => Some(truth.to_string()),
            Expression::Number(number) => Some(number.value().to_string()),
            _ => {
                let line = self.line(expression);
                self.given.wrong(line, "only strings, numbers, true, false and lists of them");
                None
            }
        }
    }

    /// Everything that the parser made has a span.
    fn line(&self, element: &impl Span) -> usize {
        let start = element.span().map_or(0, |span| span.start);
        1 + self.text.bytes().take(start).filter(|byte| *byte == b'\n').count()
    }
}
