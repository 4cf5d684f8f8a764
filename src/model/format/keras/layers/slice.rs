//! Python's subscripts: `x[:, -1, 2:5]`, as configurations of Keras 2 and 3 write them.

use serde_json::Value;

use crate::model::contract::Shape;
use crate::model::format::MAX_RANK;
use crate::model::format::keras::config::{int, list};

/// One part of a subscript.
enum Part {
    Index,
    Slice { start: Option<i64>, stop: Option<i64>, step: i64 },
    NewAxis,
    Ellipsis,
}

/// The shape of what a subscript takes out; `None` where that is not certain.
pub(super) fn sliced(shape: &Shape, key: &Value) -> Option<Shape> {
    let one;
    let items = match list(key) {
        Some(items) => items.as_slice(),
        None => {
            one = [key.clone()];
            &one[..]
        }
    };
    if items.len() > MAX_RANK {
        return None;
    }
    let parts: Vec<Part> = items.iter().map(part).collect::<Option<_>>()?;
    let taking = parts.iter().filter(|p| matches!(p, Part::Index | Part::Slice { .. })).count();
    let skipped = shape.len().checked_sub(taking)?;
    if parts.iter().filter(|p| matches!(p, Part::Ellipsis)).count() > 1 {
        return None;
    }
    let mut rest = shape.iter().copied();
    let mut out = Vec::new();
    for p in &parts {
        match p {
            Part::NewAxis => out.push(Some(1)),
            Part::Ellipsis => out.extend(rest.by_ref().take(skipped)),
            Part::Index => drop(rest.next()?),
            Part::Slice { start, stop, step } => out.push(length(rest.next()?, *start, *stop, *step)?),
        }
    }
    out.extend(rest);
    Some(out)
}

fn part(value: &Value) -> Option<Part> {
    match value {
        Value::Null => Some(Part::NewAxis),
        Value::Number(_) => int(value).map(|_| Part::Index),
        Value::Object(o) => match o.get("class_name").and_then(Value::as_str) {
            Some("__ellipsis__") => Some(Part::Ellipsis),
            Some("__slice__") => slice(o.get("config")?),
            None => slice(value),
            Some(_) => None,
        },
        _ => None,
    }
}

fn slice(value: &Value) -> Option<Part> {
    let bound = |key: &str| match value.get(key)? {
        Value::Null => Some(None),
        other => int(other).map(Some),
    };
    Some(Part::Slice { start: bound("start")?, stop: bound("stop")?, step: bound("step")?.unwrap_or(1) })
}

/// How many places a slice has, as Python's `slice.indices` counts them.
fn length(dim: Option<u64>, start: Option<i64>, stop: Option<i64>, step: i64) -> Option<Option<u64>> {
    if step == 0 {
        return None;
    }
    let Some(n) = dim else { return Some(None) };
    let n = i64::try_from(n).ok()?;
    // Backwards, places lie one before the first at the least, else one behind the last at the most.
    let (least, most) = if step < 0 { (-1, n - 1) } else { (0, n) };
    let place = |bound: i64| {
        if bound < 0 { bound.saturating_add(n).max(least) } else { bound.min(most) }
    };
    let (start, stop) = if step < 0 {
        (start.map_or(most, place), stop.map_or(least, place))
    } else {
        (start.map_or(least, place), stop.map_or(most, place))
    };
    let span = if step < 0 { start - stop } else { stop - start };
    u64::try_from(span.max(0)).ok().map(|n| Some(n.div_ceil(step.unsigned_abs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscripts_as_python_counts_them() {
        let of = |key: &str| sliced(&vec![None, Some(5), Some(4)], &serde_json::from_str(key).unwrap());
        let all = r#"{"start":null,"stop":null,"step":null}"#;
        assert_eq!(of(&format!("[{all},-1]")), Some(vec![None, Some(4)]));
        assert_eq!(
            of(&format!(r#"[{all},{{"start":-3,"stop":null,"step":2}}]"#)),
            Some(vec![None, Some(2), Some(4)])
        );
        assert_eq!(of(r#"[{"class_name":"__ellipsis__","config":{}},0]"#), Some(vec![None, Some(5)]));
        let back = |start: &str, stop: &str| {
            of(&format!(r#"[{all},{{"start":{start},"stop":{stop},"step":-2}}]"#)).unwrap()[1]
        };
        // `len(range(*slice(start, stop, -2).indices(5)))`
        assert_eq!(back("null", "null"), Some(3));
        assert_eq!(back("3", "0"), Some(2));
        assert_eq!(back("9", "-9"), Some(3));
        assert_eq!(back("1", "3"), Some(0));
        assert_eq!(of(r#"[{"start":0,"stop":2,"step":0}]"#), None);
        assert_eq!(of("[0,0,0,0]"), None);
        assert_eq!(of("0"), Some(vec![Some(5), Some(4)]));
    }
}
