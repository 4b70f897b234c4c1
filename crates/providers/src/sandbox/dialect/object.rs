//! JSON that is put together from pointers.

use serde_json::{Map, Value};

use crate::catalogue::{FailureRule, FailureSign, Pointers};

/// An object that grows by JSON pointers (RFC 6901).
pub(super) struct Object(Value);

impl Object {
    pub(super) fn new() -> Self {
        Self(Value::Object(Map::new()))
    }

    pub(super) fn into_value(self) -> Value {
        self.0
    }

    /// Puts a value where the first of `pointers` leads.
    pub(super) fn put_first(&mut self, pointers: &Pointers, value: impl Into<Value>) {
        if let Some(pointer) = pointers.0.first() {
            self.put(pointer, value);
        }
    }

    /// Puts a value where `pointer` leads. What stands there, or on the way there, stays.
    pub(super) fn put(&mut self, pointer: &str, value: impl Into<Value>) {
        let mut place = &mut self.0;
        for name in pointer.split('/').skip(1) {
            let name = name.replace("~1", "/").replace("~0", "~");
            if place.is_null() {
                *place = match name.parse::<usize>() {
                    Ok(_) => Value::Array(Vec::new()),
                    Err(_) => Value::Object(Map::new()),
                };
            }
            place = match (place, name.parse::<usize>()) {
                (Value::Object(fields), _) => fields.entry(name).or_insert(Value::Null),
                (Value::Array(items), Ok(index)) => {
                    if items.len() <= index {
                        items.resize(index + 1, Value::Null);
                    }
                    &mut items[index]
                }
                _ => return,
            };
        }
        if place.is_null() {
            *place = value.into();
        }
    }

    /// Marks it as a success where failures are marked.
    pub(super) fn succeed(&mut self, rules: &[FailureRule]) {
        for rule in rules {
            match &rule.sign {
                FailureSign::Equals(Value::Bool(failure)) => self.put(&rule.pointer, !failure),
                FailureSign::DiffersFrom(success) => self.put(&rule.pointer, success.clone()),
                FailureSign::Equals(_) | FailureSign::Present => {}
            }
        }
    }

    /// Marks it as a failure, unless it is marked.
    pub(super) fn fail(&mut self, rules: &[FailureRule]) {
        if rules.iter().any(|rule| rule.applies_to(&self.0)) {
            return;
        }
        if let Some(rule) = rules.first() {
            match &rule.sign {
                FailureSign::Equals(failure) => self.put(&rule.pointer, failure.clone()),
                FailureSign::DiffersFrom(_) => self.put(&rule.pointer, -1),
                FailureSign::Present => self.put(&rule.pointer, "failed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers_lead_into_objects_and_lists_that_are_not_there_yet() {
        let mut object = Object::new();
        object.put("/data/0/id", "a");
        object.put("/data/0/name", 7);
        object.put("/data/0/name", 8);
        object.put("/data/0/name/first", 9);
        object.put("/a~1b", true);
        let expected = json!({ "data": [{ "id": "a", "name": 7 }], "a/b": true });
        assert_eq!(object.into_value(), expected);
    }
}
