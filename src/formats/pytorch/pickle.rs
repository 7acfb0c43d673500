//! The pickle machine: opcodes of protocols 2 to 5 over an arena of values (Python's `pickletools.py` describes them).
//!
//! Values refer to each other by index, so building and dropping never recurse, whatever the nesting.

use std::borrow::Cow;
use std::collections::HashMap;

use super::bad;
use super::cursor::{Cursor, utf8};
use super::global::{self, Global};
use super::tensor::{DtypeOf, Order, Storage, TensorRef};
use crate::error::Result;

/// Opcodes and copied items a pickle may take. It bounds stack, memo and arena; a network of 5,000 tensors with its
/// optimizer state takes about 500,000.
const MAX_WORK: usize = 1 << 21;

/// Index of a value in its [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u32);

/// What a pickle can build here.
#[derive(Debug)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// More than 8 bytes of two's complement, little endian.
    Long(&'a [u8]),
    /// Its value is of no use to a reader of tensors.
    Float,
    Str(&'a str),
    Bytes(Cow<'a, [u8]>),
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage),
    Tensor(Box<TensorRef>),
    Dtype(DtypeOf),
    /// A numpy array whose state has not come yet.
    EmptyArray,
}

/// A finished pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    /// The object that was pickled.
    pub(super) root: Id,
    /// Bytes of the stream up to and with its STOP.
    pub(super) end: usize,
}

impl<'a> Pickle<'a> {
    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        self.values.get(id.0 as usize).unwrap_or(&Value::None)
    }

    /// Every storage the pickle refers to, with its key.
    pub(super) fn storages(&self) -> impl Iterator<Item = (&'a str, Storage)> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => match self.get(storage.key) {
                Value::Str(key) => Some((*key, *storage)),
                _ => None,
            },
            _ => None,
        })
    }
}

/// Runs the pickle at the start of `bytes`; `order` is the byte order of the storages it refers to.
pub(super) fn load(bytes: &[u8], order: Order) -> Result<Pickle<'_>> {
    let mut machine = Machine {
        input: Cursor { bytes, at: 0 },
        order,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        work: 0,
        encoded: 0,
    };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle { values: machine.values, root, end: machine.input.at })
}

/// Python 2 has one type for text and bytes.
fn text_or_bytes(bytes: &[u8]) -> Value<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Str(text),
        Err(_) => Value::Bytes(bytes.into()),
    }
}

fn integer(bytes: &[u8]) -> Value<'_> {
    let Some(sign) = bytes.last() else { return Value::Int(0) };
    if bytes.len() > 8 {
        return Value::Long(bytes);
    }
    let fill = if sign & 0x80 == 0 { 0 } else { 0xff };
    let mut le = [fill; 8];
    le.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Value::Int(i64::from_le_bytes(le))
}

/// State of a running pickle.
pub(super) struct Machine<'a> {
    pub(super) input: Cursor<'a>,
    pub(super) order: Order,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    work: usize,
    /// Bytes made by `_codecs.encode`.
    pub(super) encoded: usize,
}

impl<'a> Machine<'a> {
    /// Runs one opcode; false after STOP.
    fn step(&mut self) -> Result<bool> {
        self.spend(1)?;
        let op = self.input.u8()?;
        match op {
            b'.' => return Ok(false),
            0x80 => match self.input.u8()? {
                2..=5 => {}
                version => return Err(bad(format!("pickle protocol {version} is not read"))),
            },
            0x95 => drop(self.input.take(8)?), // FRAME: a hint to buffered readers
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'q' | b'r' | 0x94 => self.put(op)?,
            b'h' | b'j' => self.get_memo(op)?,
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.push(Value::Global(global::resolve(module, name)?))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let global = global::resolve(self.str(module)?, self.str(name)?)?;
                self.push(Value::Global(global))?;
            }
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            b'Q' => self.persistent()?,
            _ => match self.literal(op)? {
                Some(value) => self.push(value)?,
                None => self.collect(op)?,
            },
        }
        Ok(true)
    }

    /// The value of an opcode that carries it in the stream.
    fn literal(&mut self, op: u8) -> Result<Option<Value<'a>>> {
        let input = &mut self.input;
        let len = match op {
            b'X' | b'B' | b'T' => input.len32()?,
            0x8c | b'C' | b'U' | 0x8a => usize::from(input.u8()?),
            0x8d | 0x8e | 0x96 => input.len64()?,
            0x8b => input.len32()?,
            _ => 0,
        };
        Ok(Some(match op {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(input.u8()?.into()),
            b'M' => Value::Int(input.u16()?.into()),
            b'J' => Value::Int(i32::from_le_bytes(input.array()?).into()),
            0x8a | 0x8b => integer(input.take(len)?),
            b'G' => {
                input.take(8)?;
                Value::Float
            }
            b'X' | 0x8c | 0x8d => Value::Str(utf8(input.take(len)?)?),
            b'T' | b'U' => text_or_bytes(input.take(len)?),
            b'B' | b'C' | 0x8e | 0x96 => Value::Bytes(input.take(len)?.into()),
            b')' => Value::Tuple(Vec::new()),
            b']' | 0x8f => Value::List(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            _ => return Ok(None),
        }))
    }

    /// Opcodes that put stacked values into a container.
    fn collect(&mut self, op: u8) -> Result<()> {
        match op {
            0x85..=0x87 => {
                let at = self.stack.len().checked_sub(usize::from(op - 0x84));
                let items = self.split(at.ok_or_else(underflow)?)?;
                self.push(Value::Tuple(items))
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))
            }
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Value::List(items))
            }
            b'd' => {
                let items = pairs(self.pop_mark()?)?;
                self.push(Value::Dict(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(vec![(key, value)])
            }
            b'u' => {
                let items = pairs(self.pop_mark()?)?;
                self.insert(items)
            }
            _ => Err(bad(format!("pickle opcode {op:#04x} is not read"))),
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        let top = self.top()?;
        match self.values.get_mut(top.0 as usize) {
            Some(Value::List(list)) => list.extend(items),
            _ => return Err(bad("items are appended to something that is no list")),
        }
        Ok(())
    }

    fn insert(&mut self, items: Vec<(Id, Id)>) -> Result<()> {
        let top = self.top()?;
        match self.values.get_mut(top.0 as usize) {
            Some(Value::Dict(dict)) => dict.extend(items),
            _ => return Err(bad("items are put into something that is no dict")),
        }
        Ok(())
    }

    fn put(&mut self, op: u8) -> Result<()> {
        let index = match op {
            b'q' => self.input.u8()?.into(),
            b'r' => self.input.u32()?,
            _ => self.memo.len() as u32,
        };
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn get_memo(&mut self, op: u8) -> Result<()> {
        let index = if op == b'h' { self.input.u8()?.into() } else { self.input.u32()? };
        let id = self.memo.get(&index).copied();
        self.stack.push(id.ok_or_else(|| bad(format!("memo {index} is not set")))?);
        Ok(())
    }

    /// Counts work and fails past [`MAX_WORK`].
    pub(super) fn spend(&mut self, work: usize) -> Result<()> {
        self.work = self.work.saturating_add(work);
        if self.work > MAX_WORK {
            return Err(bad(format!("the pickle takes more than {MAX_WORK} steps")));
        }
        Ok(())
    }

    /// Adds a value to the arena.
    pub(super) fn add(&mut self, value: Value<'a>) -> Result<Id> {
        let id = u32::try_from(self.values.len()).map_err(|_| bad("too many values"))?;
        self.values.push(value);
        Ok(Id(id))
    }

    fn push(&mut self, value: Value<'a>) -> Result<()> {
        let id = self.add(value)?;
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn push_id(&mut self, id: Id) {
        self.stack.push(id);
    }

    pub(super) fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let at = self.marks.pop().ok_or_else(underflow)?;
        self.split(at)
    }

    fn split(&mut self, at: usize) -> Result<Vec<Id>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if at < floor || at > self.stack.len() {
            return Err(underflow());
        }
        Ok(self.stack.split_off(at))
    }

    pub(super) fn top(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(underflow)
    }

    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        self.values.get(id.0 as usize).unwrap_or(&Value::None)
    }

    pub(super) fn set(&mut self, id: Id, value: Value<'a>) {
        if let Some(slot) = self.values.get_mut(id.0 as usize) {
            *slot = value;
        }
    }

    pub(super) fn str(&self, id: Id) -> Result<&'a str> {
        match self.get(id) {
            Value::Str(text) => Ok(text),
            _ => Err(bad("a string is expected")),
        }
    }

    /// A count, offset, extent or stride.
    pub(super) fn size(&self, id: Id) -> Result<usize> {
        match self.get(id) {
            Value::Int(n) => usize::try_from(*n).map_err(|_| bad(format!("a size of {n}"))),
            _ => Err(bad("a size is expected")),
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Result<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Ok(items),
            _ => Err(bad("a tuple is expected")),
        }
    }

    /// Shape or strides.
    pub(super) fn sizes(&mut self, id: Id) -> Result<Vec<usize>> {
        let items = match self.get(id) {
            Value::Tuple(items) | Value::List(items) => items,
            _ => return Err(bad("a tuple of sizes is expected")),
        };
        if items.len() > super::tensor::MAX_RANK {
            return Err(bad(format!("a tensor of {} dimensions", items.len())));
        }
        let sizes: Result<Vec<_>> = items.iter().map(|&item| self.size(item)).collect();
        let sizes = sizes?;
        // One tuple may serve any number of tensors.
        self.spend(sizes.len())?;
        Ok(sizes)
    }
}

fn pairs(items: Vec<Id>) -> Result<Vec<(Id, Id)>> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err(bad("a dict has a key without a value")),
    }
}

fn underflow() -> crate::error::Error {
    bad("the pickle takes more from its stack than it put there")
}
