//! Pickles: what floe reads against what CPython wrote.
//!
//! A Python script makes objects, pickles them in every way that Python knows, and describes them;
//! `pickletools` counts the opcodes.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use floe::model::pickle::{Id, Limits, Node, Pickle, Text, read};
use serde_json::{Value, json};

/// Prints a line for each pickle: its bytes in hex, how many opcodes it has, what it holds.
const SCRIPT: &str = r#"
import collections, datetime, io, json, pickle, pickletools, random, struct, sys

class Plain:
    pass
class Listy(list):
    pass
class Dicty(dict):
    pass
Point = collections.namedtuple("Point", "x y")
for c in (Plain, Listy, Dicty, Point):
    c.__module__ = "made.up"
    c.__qualname__ = c.__name__
module = type(sys)("made.up")
module.Plain, module.Listy, module.Dicty, module.Point = Plain, Listy, Dicty, Point
sys.modules["made"] = type(sys)("made")
sys.modules["made.up"] = module

def number(n):
    if -2**63 <= n < 2**63:
        return {"i": n}
    return {"l": n.to_bytes((n.bit_length() if n >= 0 else (n + 1).bit_length()) // 8 + 1, "little", signed=True).hex()}

def describe(o, depth=0):
    if depth > 8:
        return "deep"
    d = lambda x: describe(x, depth + 1)
    t = type(o)
    if o is None or t is bool:
        return o
    if t is int:
        return number(o)
    if t is float:
        return {"f": struct.pack(">d", o).hex()}
    if t is str:
        return {"s": o.encode("utf-8", "surrogatepass").hex()}
    if t in (bytes, bytearray):
        return {"b": bytes(o).hex()}
    if t is list:
        return {"L": [d(x) for x in o]}
    if t is tuple:
        return {"T": [d(x) for x in o]}
    if t is dict:
        return {"D": [[d(k), d(v)] for k, v in o.items()]}
    if t in (set, frozenset):
        return {"S": sorted(json.dumps(d(x), sort_keys=True) for x in o)}
    out = {"C": t.__module__ + "." + t.__name__, "list": [], "items": [], "state": None}
    if t is Listy:
        out["list"] = [d(x) for x in o]
    if isinstance(o, dict):
        out["items"] = [[d(k), d(v)] for k, v in o.items()]
    if getattr(o, "__dict__", None):
        out["state"] = d(o.__dict__)
    return out

r = random.Random(int(sys.argv[1]))
pool = []

def text():
    return "".join(r.choice("ab\\'\"\n\r\t\0\x1aäß\u20ac\U0001f600\ud800 ") for _ in range(r.choice([0, 1, 3, 20, 300])))

def leaf():
    return r.choice([
        lambda: None, lambda: True, lambda: False, lambda: r.randrange(-3, 300), lambda: r.randrange(-2**17, 2**17),
        lambda: r.choice([-1, 1]) * (2 ** r.randrange(0, 90) - r.randrange(2)), lambda: r.choice([-1, 1]) * 7 ** r.randrange(900),
        lambda: r.choice([0.0, -0.0, 1.5, 1e300, -3.25e-9, float("inf"), float("nan")]), lambda: r.random(),
        text, lambda: bytes(r.randrange(256) for _ in range(r.choice([0, 1, 5, 300]))),
        lambda: bytearray(r.randrange(256) for _ in range(r.choice([0, 1, 5]))),
    ])()

def key():
    return r.choice([text, lambda: r.randrange(1000), lambda: (r.randrange(9), "k"), lambda: None])()

def make(depth):
    if pool and r.random() < 0.15:
        return r.choice(pool)
    if depth == 0 or r.random() < 0.3:
        o = leaf()
    else:
        n = r.choice([0, 1, 2, 3, 4, 7])
        kind = r.randrange(12)
        if kind == 0:
            o = tuple(make(depth - 1) for _ in range(n))
        elif kind == 1:
            o = {key(): make(depth - 1) for _ in range(n)}
        elif kind == 2:
            o = r.choice([set, frozenset])(key() for _ in range(n))
        elif kind == 3:
            o = collections.OrderedDict((key(), make(depth - 1)) for _ in range(n))
        elif kind == 4:
            o = Plain()
            o.__dict__.update({"a%d" % i: make(depth - 1) for i in range(n)})
        elif kind == 5:
            o = Listy(make(depth - 1) for _ in range(n))
            o.note = make(0)
        elif kind == 6:
            o = Dicty((key(), make(depth - 1)) for _ in range(n))
        elif kind == 7:
            o = Point(make(depth - 1), 2)
        elif kind == 8:
            o = datetime.date(2020, 1, r.randrange(1, 28))
        elif kind == 9:
            o = []
            o.extend([make(depth - 1), o])
        else:
            o = [make(depth - 1) for _ in range(n)]
    pool.append(o)
    return o

def dumps(o, protocol, how):
    if how == "python":
        out = io.BytesIO()
        pickle._Pickler(out, protocol).dump(o)
        return out.getvalue()
    made = pickle.dumps(o, protocol)
    return pickletools.optimize(made) if how == "optimized" else made

for _ in range(int(sys.argv[2])):
    pool.clear()
    o = make(4)
    expected = describe(o)
    for protocol in range(6):
        for how in ("c", "python", "optimized"):
            data = dumps(o, protocol, how)
            print(data.hex(), sum(1 for _ in pickletools.genops(data)), json.dumps(expected))
for o in ([list(range(3000))], {str(i): i for i in range(2500)}, "x" * 70000, [b"y" * 70000, 1]):
    for protocol in range(6):
        data = pickle.dumps(o, protocol)
        print(data.hex(), sum(1 for _ in pickletools.genops(data)), json.dumps("long"))
"#;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn describe(tree: &Pickle, id: Id, depth: usize) -> Value {
    if depth > 8 {
        return json!("deep");
    }
    let each = |ids: &[Id]| ids.iter().map(|i| describe(tree, *i, depth + 1)).collect::<Vec<_>>();
    let pairs = |items: &[(Id, Id)]| {
        // A later value of a key counts, in the place of the first.
        let mut all: Vec<(Value, Value)> = Vec::new();
        for (k, v) in items {
            let (k, v) = (describe(tree, *k, depth + 1), describe(tree, *v, depth + 1));
            match all.iter_mut().find(|(known, _)| *known == k) {
                Some((_, value)) => *value = v,
                None => all.push((k, v)),
            }
        }
        all.into_iter().map(|(k, v)| json!([k, v])).collect::<Vec<_>>()
    };
    match tree.node(id) {
        Node::None => Value::Null,
        Node::Bool(b) => json!(b),
        Node::Int(n) => json!({"i": n}),
        Node::Long(bytes) => json!({"l": hex(bytes)}),
        Node::Float(x) => json!({"f": hex(&x.to_be_bytes())}),
        Node::Str(Text::Here(s)) => json!({"s": hex(s)}),
        Node::Bytes(Text::Here(s)) => json!({"b": hex(s)}),
        Node::List(v) => json!({"L": each(v)}),
        Node::Tuple(v) => json!({"T": each(v)}),
        Node::Dict(v) => json!({"D": pairs(v)}),
        Node::Set(v) => json!({"S": each(v).iter().map(Value::to_string).collect::<Vec<_>>()}),
        Node::Object(o) => {
            let (module, name) = tree.class(id).unwrap();
            let state = o.state.map(|s| describe(tree, s, depth + 1));
            json!({"C": format!("{module}.{name}"), "list": each(&o.list), "items": pairs(&o.items), "state": state})
        }
        other => panic!("{other:?}"),
    }
}

/// A value with the order of sets settled; each element is JSON in a string.
fn settled(value: Value) -> Value {
    match value {
        Value::Array(all) => Value::Array(all.into_iter().map(settled).collect()),
        Value::Object(map) => {
            let mut out = serde_json::Map::new();
            for (key, inner) in map {
                let inner = settled(inner);
                let inner = match (key.as_str(), inner) {
                    ("S", Value::Array(all)) => {
                        let parsed =
                            all.iter().map(|v| settled(serde_json::from_str(v.as_str().unwrap()).unwrap()));
                        let mut texts: Vec<String> = parsed.map(|v| v.to_string()).collect();
                        texts.sort();
                        json!(texts)
                    }
                    (_, inner) => inner,
                };
                out.insert(key, inner);
            }
            Value::Object(out)
        }
        other => other,
    }
}

fn run(seed: &str, count: &str) -> String {
    let out = Command::new("python3").args(["-c", SCRIPT, seed, count]).output().expect("python3 runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn what_python_pickles_is_read() {
    let lines = run("7", "100");
    let mut count = 0;
    for line in lines.lines() {
        let mut parts = line.splitn(3, ' ');
        let bytes = unhex(parts.next().unwrap());
        let steps: u64 = parts.next().unwrap().parse().unwrap();
        let expected: Value = serde_json::from_str(parts.next().unwrap()).unwrap();
        let got = read(&bytes, 0, &Limits::default()).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!((got.end, got.steps, got.stopped), (bytes.len() as u64, steps, None), "{line}");
        if expected != json!("long") {
            let tree = describe(&got.pickle, got.pickle.root().unwrap(), 0);
            assert_eq!(settled(tree), settled(expected), "{line}");
        }
        // Every cut is an error, as it is for Python.
        let step = (bytes.len() / 40).max(1);
        for end in (0..bytes.len()).step_by(step) {
            assert!(read(&&bytes[..end], 0, &Limits::default()).is_err(), "{end} of {line}");
        }
        count += 1;
    }
    assert_eq!(count, 100 * 18 + 4 * 6);
}
