//! The machine that reads opcodes.
//!
//! It follows CPython's `Modules/_pickle.c`: what that refuses is an error here, and what it would
//! import or call becomes a node. Opcodes and their arguments: `Lib/pickletools.py`.
//!
//! Invariants: no recursion; each step is paid for by bytes of the file, and each allocation by
//! [`Limits::memory`], so that sharing cannot blow a small file up.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::model::pb::Source;
use crate::model::pickle::INLINE;
use crate::model::pickle::input::{Halt, Input, Step, broken};
use crate::model::pickle::memo::Memo;
use crate::model::pickle::node::{Id, Node, Object, Text};
use crate::model::pickle::told::{Limits, Note, Read, Use};

/// The most that is kept on the stack.
const MAX_STACK: usize = 1 << 20;
/// From this many bytes of texts on, only short ones are kept: a forest of small arrays is big.
const MANY_TEXTS: usize = 16 << 20;
/// What is still kept then.
const SHORT: usize = 1 << 10;
/// The longest name of a module or of something in it.
pub(super) const MAX_NAME: usize = 4 << 10;
/// The most notes and names that are told.
const MAX_NOTES: usize = 10_000;

/// Reads the pickle that begins at an offset.
///
/// Fails where CPython would fail to load it for its form. At a limit the answer has what was read
/// so far, [`Read::stopped`], and no root.
pub fn read(source: &dyn Source, offset: u64, limits: &Limits) -> Result<Read> {
    match run(source, offset, limits, None) {
        (read, None) => Ok(read),
        (_, Some(e)) => Err(e),
    }
}

/// As [`read`], with what was read before a failure too. Where `cut` is set at the end of the
/// source, that is not the end but a limit.
pub(super) fn run(
    source: &dyn Source,
    offset: u64,
    limits: &Limits,
    cut: Option<&Cell<bool>>,
) -> (Read, Option<Error>) {
    resume(Read::default(), source, offset, limits, cut)
}

/// As [`run`], into the tree that was read before: what it gives is the root then.
pub(super) fn resume(
    read: Read,
    source: &dyn Source,
    offset: u64,
    limits: &Limits,
    cut: Option<&Cell<bool>>,
) -> (Read, Option<Error>) {
    let mut machine = Machine {
        input: Input::new(source, offset, limits.bytes),
        limits: *limits,
        read,
        frame: Frame::default(),
        outer: None,
        names: BTreeMap::new(),
        use_of: BTreeMap::new(),
        small: BTreeMap::new(),
        noted: BTreeSet::new(),
        texts: 0,
        framed: 0,
        opcode: offset,
    };
    let mut failure = None;
    if let Err(halt) = machine.run() {
        let bottom = machine.outer.as_ref().map_or(&machine.frame, |(frame, _)| frame);
        machine.read.unfinished = bottom.stack.first().copied();
        match halt {
            Halt::Limit(what) => machine.read.stopped = Some(what),
            Halt::Broken(_) if cut.is_some_and(Cell::get) => {
                machine.read.stopped = Some("the limit of what is inflated of one file".to_owned());
            }
            Halt::Broken(e) => failure = Some(e),
        }
    }
    machine.read.end = machine.input.at();
    (machine.read, failure)
}

/// What a pickle has to itself.
#[derive(Default)]
struct Frame {
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Memo,
}

/// The state of the reading.
pub(super) struct Machine<'s> {
    pub(super) input: Input<'s>,
    limits: Limits,
    pub(super) read: Read,
    frame: Frame,
    /// The pickle around this one, and the node that this one's result replaces.
    outer: Option<(Frame, Id)>,
    names: BTreeMap<(String, String), Id>,
    use_of: BTreeMap<Id, usize>,
    small: BTreeMap<i64, Id>,
    /// The notes that are told once.
    noted: BTreeSet<Note>,
    texts: usize,
    framed: u64,
    opcode: u64,
}

/// Keys of the nodes that are made once, beside those of small integers.
const NONE: i64 = -1;
pub(super) const FALSE: i64 = -2;
pub(super) const TRUE: i64 = -3;

impl Machine<'_> {
    fn run(&mut self) -> Step<()> {
        loop {
            self.opcode = self.input.at();
            let opcode = self.input.byte()?;
            self.read.steps += 1;
            if self.read.steps > self.limits.steps {
                return Err(Halt::Limit(format!("the limit of {} opcodes", self.limits.steps)));
            }
            if opcode == b'.' {
                if self.stop()? {
                    return Ok(());
                }
                continue;
            }
            self.step(opcode)?;
        }
    }

    /// The end of a pickle; whether it is the end of all.
    fn stop(&mut self) -> Step<bool> {
        let result = self.pop()?;
        if let Some((frame, place)) = self.outer.take() {
            // An array of objects inside a joblib file: its wrapper becomes what was read.
            self.frame = frame;
            let node = self.read.pickle.node(result).clone();
            if let Node::Array(array) = &node {
                self.charge(array.weight())?;
            }
            self.read.pickle.set(place, node);
            return Ok(false);
        }
        if self.framed > self.input.at() && !self.input.has(self.framed - 1)? {
            return Err(self.fault("a frame is longer than what follows"));
        }
        self.read.pickle.set_root(result);
        Ok(true)
    }

    /// An error about the opcode at hand.
    pub(super) fn fault(&self, what: impl std::fmt::Display) -> Halt {
        broken(self.opcode, what)
    }

    /// Pays for memory.
    pub(super) fn charge(&mut self, bytes: usize) -> Step<()> {
        self.read.memory = self.read.memory.saturating_add(bytes);
        if self.read.memory > self.limits.memory {
            return Err(Halt::Limit(format!("the limit of {} MiB of memory", self.limits.memory >> 20)));
        }
        Ok(())
    }

    /// Adds a node to the arena.
    pub(super) fn node(&mut self, node: Node) -> Step<Id> {
        if self.read.pickle.nodes.len() >= self.limits.nodes {
            return Err(Halt::Limit(format!("the limit of {} values", self.limits.nodes)));
        }
        self.read.pickle.push(node).ok_or_else(|| self.fault("more values than can be numbered"))
    }

    fn push(&mut self, id: Id) -> Step<()> {
        if self.frame.stack.len() >= MAX_STACK {
            return Err(Halt::Limit(format!("the limit of {MAX_STACK} values on the stack")));
        }
        self.frame.stack.push(id);
        Ok(())
    }

    pub(super) fn push_node(&mut self, node: Node) -> Step<()> {
        let id = self.node(node)?;
        self.push(id)
    }

    /// Pushes one of the values that are made once.
    pub(super) fn push_small(&mut self, key: i64) -> Step<()> {
        if let Some(id) = self.small.get(&key) {
            return self.push(*id);
        }
        let id = self.node(match key {
            NONE => Node::None,
            FALSE => Node::Bool(false),
            TRUE => Node::Bool(true),
            n => Node::Int(n),
        })?;
        self.small.insert(key, id);
        self.push(id)
    }

    pub(super) fn push_number(&mut self, node: Node) -> Step<()> {
        match node {
            Node::Int(n @ 0..=255) => self.push_small(n),
            Node::Long(bytes) => {
                self.charge(bytes.len() + 16)?;
                self.push_node(Node::Long(bytes))
            }
            other => self.push_node(other),
        }
    }

    /// The lowest place on the stack that may be taken.
    fn fence(&self) -> usize {
        self.frame.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Step<Id> {
        if self.frame.stack.len() <= self.fence() {
            return Err(self.fault("a value is taken from an empty stack"));
        }
        self.frame.stack.pop().ok_or_else(|| self.fault("a value is taken from an empty stack"))
    }

    fn top(&self) -> Step<Id> {
        if self.frame.stack.len() <= self.fence() {
            return Err(self.fault("a value is taken from an empty stack"));
        }
        self.frame.stack.last().copied().ok_or_else(|| self.fault("a value is taken from an empty stack"))
    }

    /// Everything since the last mark.
    fn pop_mark(&mut self) -> Step<Vec<Id>> {
        let Some(mark) = self.frame.marks.pop() else {
            return Err(self.fault("there is no mark on the stack"));
        };
        let values = self.frame.stack.split_off(mark);
        self.charge(values.len() * 4 + 16)?;
        Ok(values)
    }

    fn pairs(&self, values: &[Id]) -> Step<Vec<(Id, Id)>> {
        if !values.len().is_multiple_of(2) {
            return Err(self.fault("an odd number of values for the items of a dict"));
        }
        for key in values.iter().step_by(2) {
            if matches!(self.read.pickle.node(*key), Node::List(_) | Node::Dict(_)) {
                return Err(self.fault("a key of a dict is a list or a dict"));
            }
        }
        Ok(values.chunks_exact(2).map(|p| (p[0], p[1])).collect())
    }

    fn step(&mut self, opcode: u8) -> Step<()> {
        // Whether the opcode came with protocol 1.
        if self.read.protocol == 0 && b"KMJTUX]})lqrhjbu1oQGae".contains(&opcode) && !b"lba".contains(&opcode)
        {
            self.read.protocol = 1;
        }
        match opcode {
            b'(' => {
                if self.frame.marks.len() >= MAX_STACK {
                    return Err(Halt::Limit(format!("the limit of {MAX_STACK} marks")));
                }
                self.frame.marks.push(self.frame.stack.len());
            }
            b'0' => {
                if self.frame.marks.last() == Some(&self.frame.stack.len()) {
                    self.frame.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'N' => self.push_small(NONE)?,
            0x88 => self.push_small(TRUE)?,
            0x89 => self.push_small(FALSE)?,
            b'I' | b'L' | b'F' | b'J' | b'K' | b'M' | b'G' | 0x8a | 0x8b => self.number(opcode)?,
            b'S' | b'V' | b'T' | b'U' | b'X' | b'B' | b'C' | 0x8c | 0x8d | 0x8e | 0x96 => {
                self.text(opcode)?;
            }
            b']' => self.push_node(Node::List(Vec::new()))?,
            b')' => self.push_node(Node::Tuple(Vec::new()))?,
            b'}' => self.push_node(Node::Dict(Vec::new()))?,
            0x8f => self.push_node(Node::Set(Vec::new()))?,
            b'l' | b't' | 0x91 | b'd' => {
                let values = self.pop_mark()?;
                self.push_node(match opcode {
                    b'l' => Node::List(values),
                    b't' => Node::Tuple(values),
                    b'd' => Node::Dict(self.pairs(&values)?),
                    _ => Node::Set(values),
                })?;
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let mut values = vec![self.pop()?];
                for _ in 1..count {
                    values.push(self.pop()?);
                }
                values.reverse();
                self.charge(count * 4 + 16)?;
                self.push_node(Node::Tuple(values))?;
            }
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode)?,
            b'g' | b'h' | b'j' => {
                let key = self.memo_key(opcode)?;
                let Some(id) = self.frame.memo.get(key) else {
                    return Err(self.fault(format!("there is nothing in the memo at {key}")));
                };
                self.push(id)?;
            }
            b'p' | b'q' | b'r' | 0x94 => {
                let id = self.top()?;
                let key = if opcode == 0x94 { self.frame.memo.count } else { self.memo_key(opcode)? };
                let cheap = self.frame.memo.is_cheap(key);
                self.charge(if cheap { 6 } else { 40 })?;
                self.frame.memo.put(key, id);
            }
            b'c' | 0x93 | 0x82..=0x84 => self.global(opcode)?,
            b'R' | b'i' | b'o' | 0x81 | 0x92 => self.call(opcode)?,
            b'b' => self.build()?,
            b'P' => {
                let line = self.name()?;
                let id = self.string(line)?;
                self.push_node(Node::Persistent(id))?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.push_node(Node::Persistent(id))?;
            }
            0x80 => {
                let [protocol] = self.input.array()?;
                if protocol > 5 {
                    return Err(self.fault(format!("protocol {protocol} is not known")));
                }
                if self.outer.is_none() {
                    self.read.protocol = self.read.protocol.max(protocol);
                }
            }
            0x95 => {
                let length = u64::from_le_bytes(self.input.array()?);
                match self.input.at().checked_add(length) {
                    Some(end) if length <= i64::MAX as u64 => self.framed = self.framed.max(end),
                    _ => return Err(self.fault("a frame has an impossible length")),
                }
            }
            0x97 => return Err(self.fault("it refers to buffers outside of itself")),
            0x98 => drop(self.top()?),
            other => return Err(self.fault(format!("{other:#04x} is no opcode"))),
        }
        Ok(())
    }

    fn memo_key(&mut self, opcode: u8) -> Step<u64> {
        Ok(match opcode {
            b'h' | b'q' => u64::from(self.input.byte()?),
            b'j' | b'r' => u64::from(u32::from_le_bytes(self.input.array()?)),
            _ => {
                let line = self.name()?;
                let key = std::str::from_utf8(&line).ok().and_then(|s| s.trim().parse().ok());
                key.ok_or_else(|| self.fault("a number in the memo is none"))?
            }
        })
    }

    /// Puts values into a container.
    fn fill(&mut self, opcode: u8) -> Step<()> {
        let values = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        self.charge(values.len() * 8)?;
        let into = self.top()?;
        let pairs = if matches!(opcode, b's' | b'u') { self.pairs(&values)? } else { Vec::new() };
        let slot = &mut self.read.pickle.nodes[into.index()];
        match (opcode, slot) {
            (b'a' | b'e', Node::List(list)) | (0x90, Node::Set(list)) => list.extend(values),
            (b'a' | b'e' | 0x90, Node::Object(object)) => object.list.extend(values),
            (b's' | b'u', Node::Dict(items)) => items.extend(pairs),
            (b's' | b'u', Node::Object(object)) => object.items.extend(pairs),
            (_, Node::Global { .. }) => self.note(Note::Patched(into))?,
            // What is not known in full may take anything.
            (_, Node::Opaque(_) | Node::Persistent(_) | Node::Array(_)) => {}
            (b's' | b'u', Node::List(_)) => {
                self.read.pickle.set(into, Node::Opaque("a list whose elements are replaced"));
            }
            // Nothing is added to it, which Python accepts of any kind.
            _ if values.is_empty() && opcode != b'a' => {}
            _ => return Err(self.fault("values are put into what holds none")),
        }
        Ok(())
    }

    pub(super) fn note(&mut self, note: Note) -> Step<()> {
        if self.read.notes.len() >= MAX_NOTES {
            return Err(Halt::Limit(format!("the limit of {MAX_NOTES} oddities")));
        }
        if matches!(note, Note::Nested { .. }) || self.noted.insert(note.clone()) {
            self.read.notes.push(note);
        }
        Ok(())
    }

    /// Looks a name up: only its node is made, and the use noted.
    fn global(&mut self, opcode: u8) -> Step<()> {
        let (module, name) = match opcode {
            b'c' => (self.name()?, self.name()?),
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let text = |id| match self.read.pickle.node(id) {
                    Node::Str(Text::Here(s)) if s.len() <= MAX_NAME => Ok(s.clone()),
                    _ => Err(self.fault("the name of a global is no string")),
                };
                (text(module)?, text(name)?)
            }
            _ => {
                let code = match opcode {
                    0x82 => u32::from(self.input.byte()?),
                    0x83 => u32::from(u16::from_le_bytes(self.input.array()?)),
                    _ => u32::from_le_bytes(self.input.array()?),
                };
                if code == 0 || code > i32::MAX as u32 {
                    return Err(self.fault("a number of the extension registry is none"));
                }
                self.note(Note::Extension(code))?;
                return self.push_node(Node::Opaque("a name of the extension registry"));
            }
        };
        let id = self.look_up(&module, &name)?;
        self.push(id)
    }

    pub(super) fn look_up(&mut self, module: &[u8], name: &[u8]) -> Step<Id> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned);
        let (Ok(module), Ok(name)) = (text(module), text(name)) else {
            return Err(self.fault("the name of a global is not UTF-8"));
        };
        let key = (module, name);
        if let Some(id) = self.names.get(&key) {
            return Ok(*id);
        }
        if self.read.uses.len() >= MAX_NOTES {
            return Err(Halt::Limit(format!("the limit of {MAX_NOTES} names")));
        }
        self.charge((key.0.len() + key.1.len()) * 3 + 200)?;
        let (module, name) = key.clone();
        let id = self.node(Node::Global { module: module.clone(), name: name.clone() })?;
        self.use_of.insert(id, self.read.uses.len());
        self.read.uses.push(Use { module, name, called: false, made: false, offset: self.opcode });
        self.names.insert(key, id);
        Ok(id)
    }

    /// Calls something, or makes an object of a class: only the node of its result is made.
    fn call(&mut self, opcode: u8) -> Step<()> {
        let mut kwargs = None;
        let (class, args) = match opcode {
            b'i' => {
                let (module, name) = (self.name()?, self.name()?);
                let values = self.pop_mark()?;
                let class = self.look_up(&module, &name)?;
                (class, self.node(Node::Tuple(values))?)
            }
            b'o' => {
                let mut values = self.pop_mark()?;
                if values.is_empty() {
                    return Err(self.fault("an object has no class"));
                }
                let class = values.remove(0);
                (class, self.node(Node::Tuple(values))?)
            }
            _ => {
                if opcode == 0x92 {
                    kwargs = Some(self.pop()?);
                }
                let args = self.pop()?;
                (self.pop()?, args)
            }
        };
        if !matches!(
            self.read.pickle.node(args),
            Node::Tuple(_) | Node::Object(_) | Node::Opaque(_) | Node::Persistent(_)
        ) {
            return Err(self.fault("the arguments of a call are no tuple"));
        }
        self.called(class, matches!(opcode, 0x81 | 0x92))?;
        self.charge(size_of::<Object>() + 16)?;
        let object =
            Object { class, args: Some(args), kwargs, state: None, list: Vec::new(), items: Vec::new() };
        let node = if opcode == b'R' { self.fold_call(object)? } else { Node::Object(Box::new(object)) };
        self.push_node(node)
    }

    /// Notes that something is called, perhaps as a class.
    pub(super) fn called(&mut self, class: Id, as_class: bool) -> Step<()> {
        match self.read.pickle.node(class) {
            Node::Global { .. } => {
                if let Some(found) = self.use_of.get(&class) {
                    let found = &mut self.read.uses[*found];
                    found.made = as_class && (found.made || !found.called);
                    found.called = true;
                }
            }
            Node::Object(_) | Node::Opaque(_) | Node::Persistent(_) => {
                self.note(Note::ComputedCall(class))?;
            }
            _ => return Err(self.fault("what is called is neither a function nor a class")),
        }
        Ok(())
    }

    fn build(&mut self) -> Step<()> {
        let state = self.pop()?;
        let object = self.top()?;
        match self.read.pickle.node(object) {
            Node::Global { .. } => self.note(Note::Patched(object)),
            Node::Object(_) => self.fold_state(object, state),
            _ => Ok(()),
        }
    }

    /// Pays for a copy of what was read; copies of texts are texts too.
    pub(super) fn copied(&mut self, bytes: usize) -> Step<()> {
        self.texts += bytes;
        self.charge(bytes)
    }

    /// The longest text that is kept now.
    pub(super) fn longest(&self) -> usize {
        if self.texts > MANY_TEXTS { SHORT } else { INLINE }
    }

    /// Goes on with the pickle that begins here, whose result shall replace a node; not inside of
    /// another such.
    pub(super) fn nest(&mut self, place: Id) {
        if self.outer.is_none() {
            self.outer = Some((std::mem::take(&mut self.frame), place));
        }
    }

    pub(super) fn is_nested(&self) -> bool {
        self.outer.is_some()
    }
}
