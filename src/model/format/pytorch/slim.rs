//! The JSON of an exported program without what nobody asks it for: of hundreds of thousands of nodes
//! and values, the operators' names and the types of a few tensors are left.
//!
//! Invariants: no more than [`MAX_VALUES`] values are kept in memory, whatever the document holds; what
//! is left out is still checked to be JSON.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The most values that are kept; an object with one key takes more than half a KiB.
const MAX_VALUES: usize = 150_000;

/// Which part of a document is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Top,
    Module,
    Graph,
    /// All of it is kept.
    Whole,
    /// Of these objects, only those of the names that are asked for.
    Values,
    /// Of this list of objects, only the operators, each once.
    Nodes,
    /// Of this list, only the first.
    First,
}

impl At {
    /// What a key leads to; `None` where it is left out.
    fn below(self, key: &str, names: Option<&BTreeSet<String>>) -> Option<Self> {
        match (self, key) {
            (Self::Top, "graph_module") => Some(Self::Module),
            (Self::Top, _) | (Self::Whole, _) => Some(Self::Whole),
            (Self::Module, "graph") => Some(Self::Graph),
            (Self::Module, "module_call_graph") => names.is_none().then_some(Self::First),
            (Self::Module, "signature") => names.is_none().then_some(Self::Whole),
            (Self::Graph, "nodes") => names.is_none().then_some(Self::Nodes),
            (Self::Graph, "tensor_values") => names.is_some().then_some(Self::Values),
            (Self::Values, key) => names.is_some_and(|n| n.contains(key)).then_some(Self::Whole),
            _ => None,
        }
    }
}

/// Reads all of a document but the types of its tensors, or, with names, these types alone.
pub(super) fn read(json: &[u8], names: Option<&BTreeSet<String>>) -> serde_json::Result<Value> {
    let left = Cell::new(MAX_VALUES);
    let mut input = serde_json::Deserializer::from_slice(json);
    let value = Slim { at: At::Top, names, left: &left }.deserialize(&mut input)?;
    input.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Slim<'a> {
    at: At,
    names: Option<&'a BTreeSet<String>>,
    left: &'a Cell<usize>,
}

impl Slim<'_> {
    fn at(self, at: At) -> Self {
        Self { at, ..self }
    }

    fn pay<E: serde::de::Error>(self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| E::custom(format!("it has more than {MAX_VALUES} values")))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Slim<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Slim<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.pay()?;
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, b: bool) -> Result<Value, E> {
        self.pay()?;
        Ok(b.into())
    }

    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Value, E> {
        self.pay()?;
        Ok(n.into())
    }

    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Value, E> {
        self.pay()?;
        Ok(n.into())
    }

    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Value, E> {
        self.pay()?;
        Ok(n.into())
    }

    fn visit_str<E: serde::de::Error>(self, s: &str) -> Result<Value, E> {
        self.pay()?;
        Ok(s.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        self.pay()?;
        match self.at {
            At::Nodes => {
                let (mut count, mut targets) = (0u64, BTreeSet::new());
                while let Some(target) = list.next_element_seed(Target)? {
                    count += 1;
                    if let Some(target) = target.filter(|t| !targets.contains(t)) {
                        self.pay()?;
                        targets.insert(target);
                    }
                }
                Ok(serde_json::json!({ "count": count, "targets": targets }))
            }
            At::First => {
                let first = list.next_element_seed(self.at(At::Whole))?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::Array(first.into_iter().collect()))
            }
            _ => {
                let mut all = Vec::new();
                while let Some(value) = list.next_element_seed(self.at(At::Whole))? {
                    all.push(value);
                }
                Ok(Value::Array(all))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.pay()?;
        let mut all = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            match self.at.below(&key, self.names) {
                Some(at) => {
                    let value = map.next_value_seed(self.at(at))?;
                    all.insert(key, value);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(all))
    }
}

/// The operator of a node.
struct Target;

impl<'de> DeserializeSeed<'de> for Target {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Target {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node of the graph")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut target = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "target" {
                target = map.next_value::<Option<String>>()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if target.as_ref().is_some_and(|t| t.len() > crate::model::format::MAX_TEXT) {
            return Err(A::Error::custom("an operator has a name that is too long"));
        }
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_is_kept() {
        let json = br#"{"torch_version":"2","graph_module":{"signature":{"a":[1,null]},"module_call_graph":[{"b":1},{}],
            "graph":{"nodes":[{"target":"x","c":[]},{"target":"x"}],"tensor_values":{"p":{"dtype":7},"q":{}},"d":{}}}}"#;
        let whole = read(json, None).unwrap();
        assert_eq!(
            whole,
            serde_json::json!({"torch_version":"2","graph_module":{"signature":{"a":[1,null]},
                "module_call_graph":[{"b":1}],"graph":{"nodes":{"count":2,"targets":["x"]}}}})
        );
        let types = read(json, Some(&BTreeSet::from(["p".to_owned()]))).unwrap();
        assert_eq!(types["graph_module"]["graph"], serde_json::json!({"tensor_values":{"p":{"dtype":7}}}));
        for broken in
            [&json[..json.len() - 1], b"", b"[", b"{} {}", br#"{"graph_module":{"graph":{"nodes":[1]}}}"#]
        {
            assert!(read(broken, None).is_err());
        }
        let many = format!("[{}]", "1,".repeat(MAX_VALUES) + "1");
        assert!(read(many.as_bytes(), None).unwrap_err().to_string().contains("values"));
    }
}
