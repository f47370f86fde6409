//! Text to trees: YAML documents, of which JSON is a special case, as values that know their line.
//!
//! The text is cut at `---` before it is parsed. That is exact (YAML 1.2.2 §9.1.2 forbids the
//! marker at the start of a line inside any scalar), numbers documents the way a person counts them,
//! and keeps an error in one document from hiding those in the next.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{MessageFormatter as _, Spanned, UserMessageFormatter};

/// One document of a file.
pub(super) struct Document<'a> {
    /// Its number in the file, from 1.
    pub(super) number: usize,
    /// How many lines of the file precede it.
    pub(super) lines_before: u32,
    text: &'a str,
}

/// A value and the line it stands on, counted from 1 in its document.
#[derive(Debug, PartialEq)]
pub(super) struct Tree {
    pub(super) line: u32,
    pub(super) value: Value,
}

/// What a YAML node can be.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Sequence(Vec<Tree>),
    /// Keys with their lines, in order, without duplicates.
    Mapping(Vec<(Key, Tree)>),
}

/// A key of a mapping.
#[derive(Debug, PartialEq)]
pub(super) struct Key {
    pub(super) line: u32,
    pub(super) name: String,
}

/// The text is not YAML, or asks for more than a manifest ever needs.
#[derive(Debug, PartialEq)]
pub(super) struct SyntaxError {
    /// Line in the document, from 1, where known.
    pub(super) line: Option<u32>,
    pub(super) text: String,
}

/// Cuts a file into its documents. What precedes the first `---` counts only if there is anything.
pub(super) fn documents(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents: Vec<Document<'_>> = vec![];
    let (mut start, mut lines_before) = (0, 0);
    let mut at = 0;
    let mut push = |start, end, lines_before| {
        let text: &str = &text[start..end];
        // Directives (`%YAML 1.2`) stand before the marker of the document they are about.
        let blank = text.lines().all(|line| line.trim().is_empty() || line.starts_with(['#', '%']));
        if !(documents.is_empty() && blank) {
            documents.push(Document { number: documents.len() + 1, lines_before, text });
        }
    };
    for (line, lines) in text.split_inclusive('\n').zip(0..) {
        let marker = line.strip_prefix("---").is_some_and(|rest| rest.chars().all(char::is_whitespace))
            || line.starts_with("--- ")
            || line.starts_with("---\t");
        if marker && at > 0 {
            push(start, at, lines_before);
            (start, lines_before) = (at, lines);
        }
        at += line.len();
    }
    push(start, at, lines_before);
    documents
}

impl Document<'_> {
    /// Parses the document. An empty one is [`Value::Null`].
    ///
    /// Duplicate keys are errors, and aliases cannot make more of a document than its budget allows.
    pub(super) fn parse(&self) -> Result<Tree, SyntaxError> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::Error,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(self.text, options).map_err(|error| SyntaxError {
            line: error.location().and_then(|location| u32::try_from(location.line()).ok()),
            text: UserMessageFormatter.format_message(&error).replace(char::is_control, " "),
        })
    }
}

impl Tree {
    /// The value under a key, if this is a mapping that has it.
    pub(super) fn field(&self, name: &str) -> Option<&Tree> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, tree)| tree),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The line of the field at a path such as `spec.import.accept[0].le`, or of the innermost part of
    /// the path that exists.
    pub(super) fn line_of(&self, path: &str) -> u32 {
        self.line_within(path).unwrap_or(self.line)
    }

    /// Cuts out the field at a path, and says whether there was one.
    pub(super) fn remove(&mut self, path: &str) -> bool {
        match &mut self.value {
            Value::Mapping(entries) => {
                if let Some(at) = entries.iter().position(|(key, _)| key.name == path) {
                    entries.remove(at);
                    return true;
                }
                entries.iter_mut().any(|(key, tree)| {
                    let rest = path.strip_prefix(key.name.as_str());
                    rest.filter(|rest| rest.starts_with(['.', '[']))
                        .is_some_and(|rest| tree.remove(rest.strip_prefix('.').unwrap_or(rest)))
                })
            }
            Value::Sequence(items) => {
                let Some((index, rest)) = path.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
                    return false;
                };
                let item = index.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                item.is_some_and(|tree| tree.remove(rest.strip_prefix('.').unwrap_or(rest)))
            }
            _ => false,
        }
    }

    fn line_within(&self, path: &str) -> Option<u32> {
        let (line, tree, rest) = match &self.value {
            Value::Mapping(entries) => entries.iter().find_map(|(key, tree)| {
                let rest = path.strip_prefix(key.name.as_str())?;
                (rest.is_empty() || rest.starts_with(['.', '['])).then_some((key.line, tree, rest))
            })?,
            Value::Sequence(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let tree = items.get(index.parse::<usize>().ok()?)?;
                (tree.line, tree, rest)
            }
            _ => return None,
        };
        let deeper = tree.line_within(rest.strip_prefix('.').unwrap_or(rest));
        deeper.or(Some(line))
    }
}

/// What came as JSON stands on no line.
impl From<serde_json::Value> for Tree {
    fn from(json: serde_json::Value) -> Tree {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            Json::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => Value::Unsigned(value),
                (None, Some(value)) => Value::Signed(value),
                (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::Sequence(items.into_iter().map(Tree::from).collect()),
            Json::Object(entries) => Value::Mapping(
                entries.into_iter().map(|(name, value)| (Key { line: 0, name }, Tree::from(value))).collect(),
            ),
        };
        Tree { line: 0, value }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Tree { line: line(&spanned), value: spanned.value })
    }
}

fn line<T>(spanned: &Spanned<T>) -> u32 {
    u32::try_from(spanned.referenced.line()).unwrap_or(u32::MAX)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut sequence = vec![];
        while let Some(item) = items.next_element()? {
            sequence.push(item);
        }
        Ok(Value::Sequence(sequence))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut mapping: Vec<(Key, Tree)> = vec![];
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let key = Key { line: line(&key), name: key.value };
            // The parser tells keys apart by their YAML type; to us `1` and `"1"` are the same.
            if mapping.iter().any(|(earlier, _)| earlier.name == key.name) {
                return Err(A::Error::custom(format!("key {:?} occurs twice", key.name)));
            }
            mapping.push((key, entries.next_value()?));
        }
        Ok(Value::Mapping(mapping))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<(usize, u32)> {
        documents(text).iter().map(|document| (document.number, document.lines_before)).collect()
    }

    fn parse(text: &str) -> Result<Tree, SyntaxError> {
        let documents = documents(text);
        assert_eq!(documents.len(), 1);
        documents[0].parse()
    }

    #[test]
    fn documents_are_counted_as_a_person_counts_them() {
        assert_eq!(numbers(""), []);
        assert_eq!(numbers("# nothing but a comment\n"), []);
        assert_eq!(numbers("a: 1\n"), [(1, 0)]);
        assert_eq!(numbers("---\na: 1\n---\nb: 2\n"), [(1, 0), (2, 2)]);
        assert_eq!(numbers("# licence\n\n---\na: 1\n--- # second\nb: 2\n"), [(1, 2), (2, 4)]);
        assert_eq!(numbers("%YAML 1.2\n---\na: 1\n"), [(1, 1)]);
        assert_eq!(numbers("a: 1\n---\n---\nb: 2"), [(1, 0), (2, 1), (3, 2)]);
        assert_eq!(numbers("a: |\n  ---\nb: ----\n---x: 1\n"), [(1, 0)]);
        assert_eq!(numbers("\u{feff}a: 1\r\n---\r\nb: 2\r\n"), [(1, 0), (2, 1)]);
    }

    #[test]
    fn paths_lead_to_lines() {
        let tree = parse("spec:\n  accept:\n  - prefix: 10.0.0.0/8\n    le: 7\n  - {prefix: a}\n  x.y: 1\n")
            .unwrap();
        for (path, line) in [
            ("spec", 1),
            ("spec.accept", 2),
            ("spec.accept[0].le", 4),
            ("spec.accept[0].ge", 3),
            ("spec.accept[1].prefix", 5),
            ("spec.accept[9]", 2),
            ("spec.x.y", 6),
            ("spec.nothing", 1),
            ("metadata.name", 1),
        ] {
            assert_eq!(tree.line_of(path), line, "{path}");
        }
    }

    #[test]
    fn fields_are_cut_out_by_their_paths() {
        let mut tree =
            parse("spec:\n  accept: [{le: 7, ge: 1}, {le: 8}]\n  x.y: {z: 1}\n  x: {y: 2}\n").unwrap();
        assert!(tree.remove("spec.accept[0].ge") && tree.remove("spec.x.y") && tree.remove("spec.x.y"));
        assert!(
            !tree.remove("spec.accept[2].le") && !tree.remove("spec.nothing") && !tree.remove("spec.x.y.z")
        );
        let json = serde_json::json!({"spec": {"accept": [{"le": 7}, {"le": 8}], "x": {}}});
        assert_eq!(without_lines(tree), Tree::from(json));
    }

    fn without_lines(tree: Tree) -> Tree {
        let value = match tree.value {
            Value::Sequence(items) => Value::Sequence(items.into_iter().map(without_lines).collect()),
            Value::Mapping(entries) => {
                let entries = entries.into_iter();
                Value::Mapping(
                    entries.map(|(key, tree)| (Key { line: 0, ..key }, without_lines(tree))).collect(),
                )
            }
            other => other,
        };
        Tree { line: 0, value }
    }

    #[test]
    fn json_is_yaml() {
        let tree = parse("{\n\t\"a\": [1, -2, 0.5, true, null, \"x\\u00e9\"]\n}\n").unwrap();
        let Value::Sequence(items) = &tree.field("a").unwrap().value else { panic!() };
        let values: Vec<_> = items.iter().map(|item| &item.value).collect();
        assert_eq!(
            values,
            [
                &Value::Unsigned(1),
                &Value::Signed(-2),
                &Value::Float(0.5),
                &Value::Bool(true),
                &Value::Null,
                &Value::Text("xé".into())
            ]
        );
    }

    #[test]
    fn duplicate_keys_and_alias_bombs_are_refused() {
        let duplicate = parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(
            (duplicate.line, duplicate.text.as_str()),
            (Some(3), "duplicate mapping key: a not allowed here")
        );
        assert_eq!(parse("1: a\n\"1\": b\n").unwrap_err().text, "key \"1\" occurs twice");

        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb += &format!("a{i}: &a{i} [{aliases}]\n");
        }
        let error = parse(&bomb).unwrap_err();
        assert!(error.text.contains("too large or too complex"), "{}", error.text);
        let deep = "[".repeat(10_000);
        assert!(parse(&deep).is_err());
    }
}
