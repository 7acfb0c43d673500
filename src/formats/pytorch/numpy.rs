//! Pickled numpy arrays: `ndarray.__reduce__` and `dtype.__reduce__` of numpy (`multiarray/methods.c`, `descriptor.c`).

use super::bad;
use super::pickle::{Id, Machine, Value};
use super::tensor::{DtypeOf, Element, Order, Storage, TensorRef};
use crate::error::Result;

/// Element type of a code such as `f4`; little endian until its state says otherwise.
pub(super) fn dtype(code: &str) -> Result<DtypeOf> {
    let element = match code {
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        "i4" => Element::I32,
        "i8" => Element::I64,
        "u1" => Element::U8,
        "b1" => Element::Bool,
        _ => return Err(bad(format!("numpy arrays of '{code}' are not read"))),
    };
    Ok(DtypeOf { element, order: Order::Little })
}

impl<'a> Machine<'a> {
    /// State of a dtype: `(version, byte order, ...)`.
    pub(super) fn dtype_state(&self, dtype: DtypeOf, state: Id) -> Result<DtypeOf> {
        let &[_version, order, ..] = self.tuple(state)? else {
            return Err(bad("a numpy dtype has no byte order"));
        };
        let order = match self.str(order)? {
            "<" | "|" => Order::Little,
            ">" => Order::Big,
            other => return Err(bad(format!("numpy byte order '{other}'"))),
        };
        Ok(DtypeOf { order, ..dtype })
    }

    /// State of an array: `(version, shape, dtype, column-major?, bytes)`.
    pub(super) fn array(&mut self, state: Id) -> Result<TensorRef> {
        let &[_version, shape, dtype, fortran, data] = self.tuple(state)? else {
            return Err(bad("the state of a numpy array has no five parts"));
        };
        let shape = self.sizes(shape)?;
        match (self.get(dtype), self.get(fortran), self.get(data)) {
            (Value::Dtype(dtype), Value::Bool(fortran), Value::Bytes(bytes)) => {
                let len = bytes.len() / dtype.element.size();
                let storage = Storage { key: data, element: dtype.element, order: dtype.order, len };
                let strides = strides(&shape, *fortran)?;
                TensorRef::new(storage, 0, shape, strides)
            }
            _ => Err(bad("the state of a numpy array is not of the known form")),
        }
    }

    /// `_codecs.encode(text, 'latin1')`.
    pub(super) fn encode(&mut self, text: Id, codec: Id) -> Result<Id> {
        let (text, codec) = (self.str(text)?, self.str(codec)?);
        if codec != "latin1" {
            return Err(bad(format!("text is encoded as '{codec}'")));
        }
        // numpy encodes each text once, so the bytes cannot be more than the text in the file.
        self.encoded = self.encoded.saturating_add(text.len());
        if self.encoded > self.input.bytes.len() {
            return Err(bad("text is encoded again and again"));
        }
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        let bytes = bytes.ok_or_else(|| bad("text is not Latin-1"))?;
        self.add(Value::Bytes(bytes.into()))
    }
}

fn strides(shape: &[usize], fortran: bool) -> Result<Vec<usize>> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1usize;
    for i in 0..shape.len() {
        let d = if fortran { i } else { shape.len() - 1 - i };
        strides[d] = step;
        step = step.checked_mul(shape[d]).ok_or_else(|| bad("a numpy array is too large"))?;
    }
    Ok(strides)
}
