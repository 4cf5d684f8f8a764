//! TorchScript source: the classes in the `code/` folder of an archive, and how to call them.
//!
//! TorchScript writes its program as a small, regular subset of Python
//! (torch/csrc/jit/serialization/python_print.cpp). Read here are class headers, attributes with their
//! types, and the head of each method; the body is kept as text for those who look for one statement
//! in it. It is not a Python parser, and nothing is evaluated.
//!
//! Invariants: work is linear in the text; types nest at most [`MAX_DEPTH`] deep; a method that does
//! not have the form that the printer writes is left out, never guessed.

use std::fmt;

/// How deep a type may nest.
const MAX_DEPTH: usize = 32;
/// The most parameters of one method.
const MAX_PARAMS: usize = 4096;
/// How many bytes of heads that are none are looked at; each may reach to the end of the text.
const MAX_WASTED: usize = 4 << 20;
/// The most classes of one file.
pub(super) const MAX_CLASSES: usize = 10_000;

/// A type as TorchScript writes it: `Dict[str, Tensor]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Type {
    /// Its name: `Tensor`, `Optional`, `__torch__.Net`.
    pub name: String,
    /// What stands in brackets.
    pub args: Vec<Self>,
}

impl Type {
    /// The type without `Optional`, and whether there was one.
    pub(super) fn optional(&self) -> (&Self, bool) {
        match self.args.as_slice() {
            [inner] if self.name == "Optional" => (inner, true),
            _ => (self, false),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.args.is_empty() {
            return Ok(());
        }
        f.write_str("[")?;
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{arg}")?;
        }
        f.write_str("]")
    }
}

/// One parameter of a method, `self` left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Param {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// Whether it has a default value.
    pub default: bool,
}

/// One method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Method {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub params: Vec<Param>,
    /// What it returns.
    pub returns: Option<Type>,
    /// The lines below its head.
    pub body: String,
}

/// One class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Class {
    /// Its name, without the module.
    pub name: String,
    /// What it derives from: `Module`, `NamedTuple`.
    pub base: String,
    /// The attributes that are parameters; `None` where the file does not list them.
    pub parameters: Option<Vec<String>>,
    /// The attributes that are buffers; `None` where the file does not list them.
    pub buffers: Option<Vec<String>>,
    /// Attributes in the order of the file.
    pub attributes: Vec<(String, Type)>,
    /// Attributes that are constant integers.
    pub constants: Vec<(String, i64)>,
    /// Methods in the order of the file.
    pub methods: Vec<Method>,
}

impl Class {
    /// The value of a constant integer.
    pub(super) fn constant(&self, name: &str) -> Option<i64> {
        self.constants.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// The method of this name.
    #[cfg(test)]
    fn method(&self, name: &str) -> Option<&Method> {
        self.methods.iter().find(|m| m.name == name)
    }
}

/// The classes of one file of code.
pub(super) fn classes(text: &str) -> Vec<Class> {
    let mut found: Vec<Class> = Vec::new();
    let mut rest = text;
    let mut wasted = 0;
    while !rest.is_empty() && wasted <= MAX_WASTED {
        let (line, after) = split_line(rest);
        if let Some(head) = line.strip_prefix("class ") {
            if found.len() == MAX_CLASSES {
                break;
            }
            let (name, base) = head.split_once('(').unwrap_or((head.trim_end_matches(':'), ""));
            let base = base.split([')', ',']).next().unwrap_or("");
            found.push(Class {
                name: name.trim().to_owned(),
                base: base.trim().to_owned(),
                ..Class::default()
            });
        } else if let (Some(class), Some(inner)) = (found.last_mut(), line.strip_prefix("  ")) {
            if inner.starts_with("def ") {
                // The head may go on over several lines; the body follows it, deeper indented.
                let (method, looked_at) = method(&rest[2..]);
                if method.is_none() {
                    wasted += looked_at;
                }
                if let Some((mut method, used)) = method {
                    let body = rest.get(2 + used..).unwrap_or("");
                    let end = body_end(body);
                    method.body = body[..end].to_owned();
                    class.methods.push(method);
                    rest = &body[end..];
                    continue;
                }
            } else if let Some(list) = inner.strip_prefix("__parameters__ = [") {
                class.parameters = Some(strings(list));
            } else if let Some(list) = inner.strip_prefix("__buffers__ = [") {
                class.buffers = Some(strings(list));
            } else if let Some((name, kind)) = inner.split_once(" : ").filter(|_| !inner.starts_with(' ')) {
                if let Some((_, value)) = kind.split_once(" = ")
                    && let Ok(value) = value.trim().parse()
                {
                    class.constants.push((name.to_owned(), value));
                }
                let kind = Tokens::new(kind).kind(0);
                class.attributes.extend(kind.map(|kind| (name.to_owned(), kind)));
            }
        }
        rest = after;
    }
    found
}

fn split_line(text: &str) -> (&str, &str) {
    let end = text.find('\n').map_or(text.len(), |at| at + 1);
    let (line, rest) = text.split_at(end);
    (line.trim_end_matches(['\n', '\r']), rest)
}

/// Where the lines that are indented deeper than a method's head end.
fn body_end(text: &str) -> usize {
    let mut at = 0;
    while at < text.len() {
        let (line, rest) = split_line(&text[at..]);
        if !(line.starts_with("   ") || line.trim().is_empty()) {
            break;
        }
        at = text.len() - rest.len();
    }
    at
}

/// The texts in quotes of a printed list.
fn strings(list: &str) -> Vec<String> {
    let mut tokens = Tokens::new(list);
    let mut found = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::Text(s) => found.push(s),
            Token::Mark(']') => break,
            _ => {}
        }
    }
    found
}

/// A method's head, and how many bytes it took up to the end of its line; and how many bytes were
/// looked at.
fn method(text: &str) -> (Option<(Method, usize)>, usize) {
    let mut tokens = Tokens::new(text.strip_prefix("def ").unwrap_or(""));
    let head = head(text, &mut tokens);
    (head, tokens.at)
}

fn head(text: &str, tokens: &mut Tokens<'_>) -> Option<(Method, usize)> {
    let Token::Word(name) = tokens.next()? else { return None };
    tokens.mark('(')?;
    let mut params = Vec::new();
    loop {
        let name = match tokens.next()? {
            Token::Mark(')') => break,
            Token::Mark(',') => continue,
            // Keyword-only arguments are not written by the printer; a star would be one.
            Token::Word(name) => name,
            _ => return None,
        };
        let mut kind = Type { name: "Tensor".to_owned(), args: Vec::new() };
        let mut default = false;
        if tokens.take(':') {
            kind = tokens.kind(0)?;
        } else if name != "self" {
            return None;
        }
        if tokens.take('=') {
            default = true;
            tokens.skip_value()?;
        }
        if name == "self" && params.is_empty() {
            continue;
        }
        if params.len() == MAX_PARAMS {
            return None;
        }
        params.push(Param { name, kind, default });
    }
    let mut returns = None;
    if tokens.take('-') {
        tokens.mark('>')?;
        returns = Some(tokens.kind(0)?);
    }
    tokens.mark(':')?;
    let used = "def ".len() + tokens.at;
    let line_end = text[used..].find('\n').map_or(text.len(), |n| used + n + 1);
    Some((Method { name, params, returns, body: String::new() }, line_end))
}

/// The keys of the dict that a method returns, where its last statement is, or names, a literal one.
pub(super) fn returned_keys(method: &Method) -> Option<Vec<String>> {
    let statement = |prefix: &str| {
        method.body.lines().rev().find_map(|l| l.strip_prefix("    ").and_then(|l| l.strip_prefix(prefix)))
    };
    // Two ways out may return different keys.
    let returns = |l: &&str| l.trim_start().starts_with("return ") || l.trim_start() == "return";
    if method.body.lines().filter(returns).count() != 1 {
        return None;
    }
    let mut value = statement("return ")?;
    if !value.starts_with('{') {
        let assigned = format!("{value} = ");
        let count = method.body.lines().filter(|l| l.trim_start().starts_with(&assigned)).count();
        // What is set in it afterwards would be missing among the keys.
        if count != 1 || method.body.contains(&format!("_set_item({value},")) {
            return None;
        }
        value = statement(&assigned)?;
    }
    literal_keys(value)
}

fn literal_keys(value: &str) -> Option<Vec<String>> {
    let mut tokens = Tokens::new(value.strip_prefix('{')?);
    let mut keys = Vec::new();
    loop {
        match tokens.next()? {
            Token::Mark('}') => return (!keys.is_empty()).then_some(keys),
            Token::Mark(',') => {}
            Token::Text(key) if keys.len() < MAX_PARAMS => {
                tokens.mark(':')?;
                keys.push(key);
                tokens.skip_value()?;
            }
            _ => return None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A name with its dots.
    Word(String),
    /// A text in quotes.
    Text(String),
    /// Anything else.
    Mark(char),
}

/// Reads tokens of a text, one after the other.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(mark);
        if found {
            self.at += mark.len_utf8();
        }
        found
    }

    fn mark(&mut self, mark: char) -> Option<()> {
        self.take(mark).then_some(())
    }

    fn next(&mut self) -> Option<Token> {
        let first = self.peek()?;
        let rest = &self.text[self.at..];
        if first.is_alphanumeric() || first == '_' {
            let end =
                rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'))).unwrap_or(rest.len());
            self.at += end;
            return Some(Token::Word(rest[..end].to_owned()));
        }
        self.at += first.len_utf8();
        if first != '"' && first != '\'' {
            return Some(Token::Mark(first));
        }
        let mut text = String::new();
        let mut escaped = false;
        for c in rest[1..].chars() {
            self.at += c.len_utf8();
            match c {
                c if c == first && !escaped => return Some(Token::Text(text)),
                '\\' if !escaped => escaped = true,
                c => {
                    // Only what the printer escapes in names is undone; the rest stays as it stands.
                    if escaped && !matches!(c, '\\' | '"' | '\'') {
                        text.push('\\');
                    }
                    text.push(c);
                    escaped = false;
                }
            }
        }
        None
    }

    /// A type.
    fn kind(&mut self, depth: usize) -> Option<Type> {
        if depth > MAX_DEPTH {
            return None;
        }
        let name = match self.next()? {
            Token::Word(name) => name,
            Token::Mark('(') => {
                self.mark(')')?;
                return Some(Type { name: "()".to_owned(), args: Vec::new() });
            }
            _ => return None,
        };
        let mut args = Vec::new();
        if self.take('[') {
            while !self.take(']') {
                if !self.take(',') {
                    args.push(self.kind(depth + 1)?);
                }
                if args.len() > MAX_PARAMS {
                    return None;
                }
            }
            // The empty tuple: `Tuple[()]`.
            if args.len() == 1 && args[0].name == "()" {
                args.clear();
            }
        }
        Some(Type { name, args })
    }

    /// Skips an expression up to the comma or bracket behind it.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                ',' if depth == 0 => return Some(()),
                ')' | ']' | '}' if depth == 0 => return Some(()),
                ')' | ']' | '}' => depth -= 1,
                '(' | '[' | '{' => depth += 1,
                _ => {}
            }
            self.next()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"class Net(Module):
  __parameters__ = ["w", ]
  __buffers__ = []
  training : bool
  a : __torch__.torch.nn.modules.linear.Linear
  n : Final[int] = 4
  def forward(self: __torch__.Net,
    x: Tensor,
    b: Optional[Tensor]=None,
    s: float=1.,
    k: List[int]=[1, 2],
    t: str="a, b)") -> Dict[str, Tuple[Tensor, Tensor]]:
    a = self.a
    _0 = {"p": (a).forward(x, ), "q, r": torch.add(x, 1)}
    return _0
  def other(self: __torch__.Net) -> Tuple[()]:
    if True:
      return ()
    return ()
class Out(NamedTuple):
  logits : Tensor
  n : int
"#;

    #[test]
    fn classes_methods_and_types_are_read() {
        let all = classes(TEXT);
        assert_eq!(all.len(), 2);
        let net = &all[0];
        assert_eq!((net.name.as_str(), net.base.as_str()), ("Net", "Module"));
        assert_eq!(net.parameters.as_deref(), Some(&["w".to_owned()][..]));
        assert_eq!(net.buffers, Some(Vec::new()));
        let m = net.method("forward").unwrap();
        let shown: Vec<String> = m
            .params
            .iter()
            .map(|p| format!("{}:{}{}", p.name, p.kind, if p.default { "=" } else { "" }))
            .collect();
        assert_eq!(shown, ["x:Tensor", "b:Optional[Tensor]=", "s:float=", "k:List[int]=", "t:str="]);
        assert_eq!(m.returns.as_ref().unwrap().to_string(), "Dict[str, Tuple[Tensor, Tensor]]");
        assert_eq!(returned_keys(m).unwrap(), ["p", "q, r"]);
        assert_eq!(net.method("other").unwrap().returns.as_ref().unwrap().args, []);
        assert_eq!(all[1].attributes.len(), 2);
        assert_eq!(all[1].base, "NamedTuple");
    }

    #[test]
    fn damaged_text_does_no_harm() {
        for at in 0..TEXT.len() {
            classes(&TEXT[..at]);
            classes(&TEXT[at..]);
        }
        let deep = format!("class A(M):\n  def f(self, x: {}", "List[".repeat(100_000));
        assert!(classes(&deep)[0].methods.is_empty());
        let deep = format!("class A(M):\n  def f(self, x: int={}", "(".repeat(100_000));
        assert!(classes(&deep)[0].methods.is_empty());
        // Each of these would be read to the end of the text.
        let open = format!("class A(M):\n{}class B(M):\n", "  def f(a: T=(\n".repeat(1_000_000));
        assert_eq!(classes(&open).len(), 1);
    }

    #[test]
    fn keys_are_told_only_where_they_are_certain() {
        let keys = |body: &str| {
            let text = format!("class A(M):\n  def f(self: A) -> Dict[str, Tensor]:\n{body}");
            returned_keys(&classes(&text)[0].methods[0])
        };
        assert_eq!(keys("    return {\"a\": x}\n"), Some(vec!["a".to_owned()]));
        assert_eq!(keys("    if c:\n      return {}\n    return {\"a\": x}\n"), None);
        assert_eq!(keys("    d = {\"a\": x}\n    _0 = torch._set_item(d, \"b\", y)\n    return d\n"), None);
        assert_eq!(keys("    return {k: x}\n"), None);
    }
}
