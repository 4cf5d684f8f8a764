use super::*;

fn module(text: &str) -> Module {
    parse(text).unwrap()
}

fn shown(f: &Function) -> String {
    let parameters: Vec<String> = f
        .parameters
        .iter()
        .map(|p| {
            let mark = match p.kind {
                ParameterKind::Positional => "!",
                ParameterKind::Either => "",
                ParameterKind::Args => "*",
                ParameterKind::Keyword => "=",
                ParameterKind::Kwargs => "**",
            };
            let annotation = p.annotation.as_ref().map(|a| format!(": {a}")).unwrap_or_default();
            format!("{mark}{}{annotation}{}", p.name, if p.optional { "?" } else { "" })
        })
        .collect();
    let returns = f.returns.as_ref().map(|r| format!(" -> {r}")).unwrap_or_default();
    format!("{}({}){returns}", f.name, parameters.join(", "))
}

fn functions(text: &str) -> Vec<String> {
    module(text).functions.iter().map(shown).collect()
}

fn problem(text: &str) -> (usize, &'static str) {
    let p = parse(text).unwrap_err();
    (p.line, p.message)
}

#[test]
fn parameters_of_every_kind() {
    assert_eq!(
        functions(
            "def f(a, /, b: int, c: 'x' = (1, 2), *args: T, d, e=lambda x, y: x, **kw) -> dict[str, int]:\n  pass\n"
        ),
        ["f(!a, b: int, c: 'x'?, *args: T?, =d, =e?, **kw?) -> dict[str, int]"]
    );
    assert_eq!(functions("def f(a, *, b):\n  pass"), ["f(a, =b)"]);
    assert_eq!(functions("def f(a, (b, c), d=1): return a"), ["f(a, , d?)"]);
    assert_eq!(functions("def f[T: (int, str)](x: T,): return x"), ["f(x: T)"]);
    assert_eq!(functions("def f(\n    a,  # one\n    b={'x': 1, 'y': 2},\n):\n    pass\n"), ["f(a, b?)"]);
}

#[test]
fn only_what_is_at_the_top_counts() {
    let m = module(
        "import os, sys as system\nfrom a.b import (c, d as e)\nfrom . import near\n\nclass A(object):\n    def inner(self):\n        pass\n\n@cache\n@wrap(1)\nasync def f(x):\n    def g(): pass\n    import json\n    return x\n\nif True:\n    def h(): pass\nelse:\n    h = None\ntry:\n    import quick as q\nexcept ImportError:\n    q = None\nx, (y, z) = 1, (2, 3)\nfor i in range(3): w = i\nt: int = 1\n",
    );
    assert_eq!(m.functions.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["f", "h"]);
    assert!(m.functions[0].is_async && !m.functions[0].conditional && m.functions[1].conditional);
    assert_eq!(m.functions[0].decorators, ["cache", "wrap(1)"]);
    for name in ["os", "system", "c", "e", "near", "A", "h", "q", "x", "y", "z", "i", "w", "t"] {
        assert!(m.names.contains(name), "{name} in {:?}", m.names);
    }
    assert!(!m.names.contains("inner") && !m.names.contains("json") && !m.open);
    let imports: Vec<(&str, usize)> = m.imports.iter().map(|i| (i.module.as_str(), i.level)).collect();
    assert_eq!(imports, [("os", 0), ("sys", 0), ("a.b", 0), ("", 1), ("json", 0), ("quick", 0)]);
    assert!(module("from x import *").open && module("globals()['f'] = 1").open);
}

#[test]
fn strings_of_every_kind() {
    let text = r####"
a = 'it''s' "x" r'\' u"\"" b'''x
'y"''' rb"\x"
b = f"{x!r:>{w}} {{}} {d["key"]} {f'{y:{z}}'} {'}'}" f'''{
  x  # why not
}''' rf"\{x}" f"\N{DIGIT ONE}{x:%H:%M}" t"{x}"
c = """
def no(): pass
""" + '\
'
def f(): pass
"####;
    assert_eq!(functions(text), ["f()"]);
}

#[test]
fn python_2_is_read_too() {
    let text = "print 'a', `x`\nexec 'x' in d\nif a <> 0777L: raise E, 'x'\ndef f(x, y=ur'a'):\n\tprint >>sys.stderr, x\n        return {'a': x}\n";
    let m = module(text);
    assert_eq!(m.functions[0].outputs.as_deref(), Some(&["a".to_owned()][..]));
    assert!(m.open);
}

#[test]
fn outputs_are_the_keys_that_every_return_has() {
    let outputs = |text: &str| module(text).functions[0].outputs.clone().map(|o| o.join(","));
    assert_eq!(
        outputs("def f(x):\n  def g(): return 1\n  return {'a': x, \"b\": [1, {'c': 2}]}\n").unwrap(),
        "a,b"
    );
    assert_eq!(
        outputs("def f(x):\n  if x: return {'a': 1}\n  return {'a': lambda a, b: 2};\n").unwrap(),
        "a"
    );
    for text in [
        "def f(x): return x",
        "def f(x): pass",
        "def f(x):\n  if x: return {'a': 1}\n  return {'b': 1}",
        "def f(x): return {'a': x, **x}",
        "def f(x): return {k: x}",
        "def f(x): return {'a': x}['a']",
        "def f(x): return {'a': b for b in x}",
        "def f(x): return {'a' 'b': x}",
        "def f(x): return {'a\\n': x}",
        "def f(x): return {f'a{x}': x}",
        "def f(x): return {b'a': x}",
        "def f(x): return {'a', 'b'}",
        "def f(x): return {}",
        "def f(x):\n  yield 1\n  return {'a': 1}",
    ] {
        assert_eq!(outputs(text), None, "{text}");
    }
}

#[test]
fn what_python_refuses_has_a_line() {
    assert_eq!(problem("x = 1\n  y = 2\n"), (2, "unexpected indent"));
    assert_eq!(problem("def f():\nx = 1\n"), (2, "expected an indented block"));
    assert_eq!(problem("def f():\n"), (2, "expected an indented block"));
    assert_eq!(problem("if x:\n    a\n  b\n").0, 3);
    assert_eq!(problem("x = (1,\n\n"), (1, "`(` was never closed"));
    assert_eq!(problem("x = [1)\n").0, 1);
    assert_eq!(problem("x\n)\n").0, 2);
    assert_eq!(problem("\n'abc\n"), (2, "a string is never closed"));
    assert_eq!(problem("\n\n'''abc\n\n\n"), (3, "a string is never closed"));
    assert_eq!(problem("f'{x'\n").0, 1);
    assert_eq!(problem("def (x): pass\n").0, 1);
    assert_eq!(problem("def f(1): pass\n").0, 1);
    assert_eq!(problem("a \\ b\n").0, 1);
    assert_eq!(problem("a = $b\n").0, 1);
    assert_eq!(problem("a\0").0, 1);
}

#[test]
fn encodings_are_those_of_the_comment_at_the_top() {
    assert_eq!(decode("\u{feff}x = 'é'".as_bytes()).unwrap(), "x = 'é'");
    assert_eq!(
        decode(b"# -*- coding: latin-1 -*-\nx = '\xe9'").unwrap(),
        "# -*- coding: latin-1 -*-\nx = 'é'"
    );
    assert_eq!(decode(b"\n\nx = '\xe9'").unwrap_err().line, 3);
    assert!(decode(b"# coding: utf-8\n\xff").is_err());
}

#[test]
fn hostile_sources_end() {
    for text in [
        "(".repeat(100_000),
        "f'{".repeat(100_000),
        "f'{x:{".repeat(10_000),
        "{'a': lambda: ".repeat(190),
        format!("def f(): return {{{}}}", "'a': 1,".repeat(50_000)),
        format!("def f({}): pass", "lambda: ".repeat(50_000)),
        format!("x = {}", "lambda a: ".repeat(100_000)),
        (0..200).map(|n| format!("{}if x:\n", " ".repeat(n))).collect(),
        "import a, ".repeat(50_000),
        "@".repeat(1000),
        "from . import (".to_owned(),
        "from .".to_owned(),
        "def".to_owned(),
        "def f[".to_owned(),
        "async def".to_owned(),
        "é\u{301}".to_owned(),
    ] {
        let _ = parse(&text);
    }
    let good = "import a.b as c\n@d(1)\nasync def f(a, /, b: 'x' = f'{y:{z}}', *c, **d) -> {1: 2}:\n    return {'a': '''\n'''}\n";
    for at in 0..good.len() {
        let _ = parse(&good[..at]);
        let mut bytes = good.as_bytes().to_vec();
        for c in b"\0(\"'\n:{}\\" {
            bytes[at] = *c;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                let _ = parse(text);
            }
        }
    }
}

#[test]
fn marks_among_parameters_are_gone_over_once() {
    let text = format!("def f({}{}z): pass\n", "a, ".repeat(100_000), "/, ".repeat(100_000));
    let module = parse(&text).unwrap();
    let parameters = &module.functions[0].parameters;
    assert_eq!(parameters.len(), 100_001);
    assert_eq!(parameters[99_999].kind, ParameterKind::Positional);
    assert_eq!(parameters[100_000].kind, ParameterKind::Either);
}
