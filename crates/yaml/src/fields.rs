use crate::json::put_json_string;

/// A struct as Go's `json.Marshal` writes it: fields in the order in which they are added.
pub struct JsonFields(String);

impl Default for JsonFields {
    fn default() -> Self {
        Self("{".to_owned())
    }
}

impl JsonFields {
    /// A field whose value is JSON already.
    pub fn raw(&mut self, name: &str, json: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        put_json_string(&mut self.0, name);
        self.0.push(':');
        self.0.push_str(json);
    }

    /// A text, unless it is empty.
    pub fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.raw(name, &json_string(text));
        }
    }

    /// A number, unless it is 0.
    pub fn number(&mut self, name: &str, number: i64) {
        if number != 0 {
            self.raw(name, &number.to_string());
        }
    }

    /// A list of JSON, unless it is empty.
    pub fn list(&mut self, name: &str, items: &[String]) {
        if !items.is_empty() {
            self.raw(name, &json_list(items));
        }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A string as Go's `json.Marshal` writes it.
pub fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    put_json_string(&mut out, text);
    out
}

/// A list of what is JSON already.
pub fn json_list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}
