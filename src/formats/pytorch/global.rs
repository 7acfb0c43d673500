//! The names a pickle may use and what calling them builds. Everything else is refused by name.

use super::bad;
use super::numpy;
use super::pickle::{Id, Machine, Value};
use super::tensor::{Element, Storage, TensorRef};
use crate::error::Result;

/// A name of the allow-list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    Set,
    /// `torch.Size`, a tuple.
    Size,
    /// `torch._utils._rebuild_tensor` and its second version.
    RebuildTensor,
    RebuildParameter,
    /// A class of storages; it fixes the element type.
    Storage(Element),
    /// `numpy.core.multiarray._reconstruct`.
    Reconstruct,
    Ndarray,
    Dtype,
    /// `_codecs.encode`: how protocol 2 writes bytes.
    Encode,
}

/// The global of this name, or an error that names it.
pub(super) fn resolve(module: &str, name: &str) -> Result<Global> {
    let global = match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("builtins" | "__builtin__", "set" | "frozenset") => Global::Set,
        ("torch", "Size") => Global::Size,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Global::Reconstruct,
        ("numpy", "ndarray") => Global::Ndarray,
        ("numpy", "dtype") => Global::Dtype,
        ("_codecs", "encode") => Global::Encode,
        ("torch" | "torch.cuda", name) => match storage(name) {
            Some(element) => Global::Storage(element),
            None => return Err(refuse(module, name)),
        },
        _ => return Err(refuse(module, name)),
    };
    Ok(global)
}

fn refuse(module: &str, name: &str) -> crate::error::Error {
    bad(format!("it refers to '{module}.{name}'; only tensors and plain containers are read"))
}

fn storage(name: &str) -> Option<Element> {
    Some(match name {
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::Bf16,
        "FloatStorage" => Element::F32,
        "DoubleStorage" => Element::F64,
        "IntStorage" => Element::I32,
        "LongStorage" => Element::I64,
        "ByteStorage" => Element::U8,
        "BoolStorage" => Element::Bool,
        _ => return None,
    })
}

impl<'a> Machine<'a> {
    /// REDUCE: calls a global with a tuple of arguments.
    pub(super) fn reduce(&mut self) -> Result<()> {
        let (args, callee) = (self.pop()?, self.pop()?);
        let args = self.tuple(args)?.to_vec();
        self.spend(args.len())?;
        let Value::Global(callee) = *self.get(callee) else {
            return Err(bad("something is called that is no function"));
        };
        let result = match (callee, args.as_slice()) {
            (Global::OrderedDict, []) => self.add(Value::Dict(Vec::new()))?,
            (Global::OrderedDict, &[items]) => self.ordered_dict(items)?,
            (Global::Set, []) => self.add(Value::List(Vec::new()))?,
            (Global::Set, &[items]) | (Global::Size, &[items]) => items,
            (Global::RebuildTensor, &[storage, offset, size, stride, ..]) => {
                let tensor = self.rebuild_tensor(storage, offset, size, stride)?;
                self.add(Value::Tensor(Box::new(tensor)))?
            }
            (Global::RebuildParameter, &[data, ..]) => data,
            (Global::Reconstruct, _) => self.add(Value::EmptyArray)?,
            (Global::Dtype, &[code, ..]) => {
                let dtype = numpy::dtype(self.str(code)?)?;
                self.add(Value::Dtype(dtype))?
            }
            (Global::Encode, &[text, codec]) => self.encode(text, codec)?,
            (callee, args) => {
                return Err(bad(format!("{callee:?} is called with {} arguments", args.len())));
            }
        };
        self.push_id(result);
        Ok(())
    }

    /// BUILD: gives an object its state.
    pub(super) fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let object = self.top()?;
        match self.get(object) {
            Value::EmptyArray => {
                let array = self.array(state)?;
                self.set(object, Value::Tensor(Box::new(array)));
            }
            Value::Dtype(dtype) => {
                let dtype = self.dtype_state(*dtype, state)?;
                self.set(object, Value::Dtype(dtype));
            }
            // Attributes of containers and parameters, such as the `_metadata` of a state dict.
            Value::Dict(_) | Value::Tensor(_) => {}
            _ => return Err(bad("state is given to something that has none")),
        }
        Ok(())
    }

    /// BINPERSID: `('storage', class, key, location, elements)`, and `None` for no view in the legacy layout.
    pub(super) fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let (kind, class, key, len, view) = match *self.tuple(id)? {
            [kind, class, key, _location, len] => (kind, class, key, len, None),
            [kind, class, key, _location, len, view] => (kind, class, key, len, Some(view)),
            _ => return Err(bad("a persistent id is no storage")),
        };
        let Value::Global(Global::Storage(element)) = *self.get(class) else {
            return Err(bad("a storage has no class of storages"));
        };
        if self.str(kind)? != "storage" {
            return Err(bad("a persistent id is no storage"));
        }
        if view.is_some_and(|view| !matches!(self.get(view), Value::None)) {
            return Err(bad("views of storages are not read"));
        }
        self.str(key)?;
        let storage = Storage { key, element, order: self.order, len: self.size(len)? };
        let id = self.add(Value::Storage(storage))?;
        self.push_id(id);
        Ok(())
    }

    fn rebuild_tensor(&mut self, storage: Id, offset: Id, size: Id, stride: Id) -> Result<TensorRef> {
        let Value::Storage(storage) = *self.get(storage) else {
            return Err(bad("a tensor has no storage"));
        };
        let (shape, strides) = (self.sizes(size)?, self.sizes(stride)?);
        TensorRef::new(storage, self.size(offset)?, shape, strides)
    }

    /// Python 2 gives an ordered dict its items as a list of pairs.
    fn ordered_dict(&mut self, items: Id) -> Result<Id> {
        let Value::List(items) = self.get(items) else {
            return Err(bad("an OrderedDict is not made of a list"));
        };
        let pairs: Option<Vec<(Id, Id)>> = items
            .iter()
            .map(|&item| match self.get(item) {
                Value::List(pair) | Value::Tuple(pair) => match pair.as_slice() {
                    &[key, value] => Some((key, value)),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        let pairs = pairs.ok_or_else(|| bad("an OrderedDict is not made of pairs"))?;
        self.spend(pairs.len())?;
        self.add(Value::Dict(pairs))
    }
}
