//! From the pickled object to named tensors.

use std::collections::HashSet;

use super::container::Checkpoint;
use super::pickle::{Id, Pickle, Value};
use super::tensor::TensorRef;
use super::{StateDict, bad};
use crate::error::Result;

/// Times the size of the file that its tensors may take. `f16` doubles, tied weights double again; an expanded tensor
/// (stride 0) could claim any amount.
const MAX_EXPANSION: usize = 8;
/// Levels of dicts and lists.
const MAX_DEPTH: usize = 32;
/// Items visited: a shared container counts each time it is reached.
const MAX_VISITS: usize = 1 << 20;
/// Tensors of a file.
const MAX_TENSORS: usize = 1 << 16;
/// Bytes of a name.
const MAX_NAME: usize = 1 << 10;
/// Keys under which training scripts keep the state dict, most specific first.
const WRAPPERS: [&str; 5] = ["state_dict", "model_state_dict", "model", "net", "module"];
/// What `DataParallel` puts before every name.
const PARALLEL: &str = "module.";

/// All tensors of the checkpoint, in its order.
pub(super) fn state_dict(checkpoint: &Checkpoint<'_>, file_len: usize) -> Result<StateDict> {
    let pickle = &checkpoint.pickle;
    let mut named = named(pickle, unwrap(pickle))?;
    if named.is_empty() {
        return Err(bad("it holds no tensors"));
    }
    if named.iter().all(|(name, _)| name.len() > PARALLEL.len() && name.starts_with(PARALLEL)) {
        named.iter_mut().for_each(|(name, _)| drop(name.drain(..PARALLEL.len())));
    }
    let mut seen = HashSet::new();
    if let Some((name, _)) = named.iter().find(|(name, _)| !seen.insert(name.as_str())) {
        return Err(bad(format!("two tensors are called '{name}'")));
    }
    let sizes = named.iter().map(|(_, tensor)| tensor.host_bytes());
    let total = sizes.into_iter().try_fold(0usize, |sum, size| sum.checked_add(size?));
    if total.is_none_or(|total| total / MAX_EXPANSION > file_len) {
        return Err(bad(format!("its tensors take more than {MAX_EXPANSION} times its size")));
    }
    named
        .into_iter()
        .map(|(name, tensor)| {
            let tensor = tensor.read(checkpoint.bytes(&tensor.storage)?);
            tensor.map(|tensor| (name, tensor))
        })
        .collect()
}

/// The state dict inside a training checkpoint.
fn unwrap(pickle: &Pickle<'_>) -> Id {
    let mut id = pickle.root;
    for _ in 0..MAX_DEPTH {
        let Value::Dict(items) = pickle.get(id) else { break };
        let inner = WRAPPERS.iter().find_map(|wrapper| {
            items.iter().find(|(key, value)| {
                matches!(pickle.get(*key), Value::Str(key) if key == wrapper)
                    && matches!(pickle.get(*value), Value::Dict(_))
            })
        });
        match inner {
            Some(&(_, value)) => id = value,
            None => break,
        }
    }
    id
}

/// A container being walked: what it is, the next item, and the length of its name.
struct Level {
    id: Id,
    next: usize,
    name: usize,
}

/// Walks dicts, lists and tuples depth first; anything that is no tensor is passed over.
fn named<'p>(pickle: &'p Pickle<'_>, root: Id) -> Result<Vec<(String, &'p TensorRef)>> {
    let mut tensors = Vec::new();
    let mut name = String::new();
    let mut levels = vec![Level { id: root, next: 0, name: 0 }];
    let mut visits = 0;
    while let Some(level) = levels.last_mut() {
        name.truncate(level.name);
        let Some((key, value)) = item(pickle, level) else {
            levels.pop();
            continue;
        };
        level.next += 1;
        visits += 1;
        if visits > MAX_VISITS {
            return Err(bad(format!("it holds more than {MAX_VISITS} items")));
        }
        match pickle.get(value) {
            Value::Tensor(tensor) => {
                extend(&mut name, &key)?;
                if tensors.len() == MAX_TENSORS {
                    return Err(bad(format!("it holds more than {MAX_TENSORS} tensors")));
                }
                tensors.push((name.clone(), &**tensor));
            }
            Value::Dict(_) | Value::List(_) | Value::Tuple(_) => {
                extend(&mut name, &key)?;
                if levels.len() == MAX_DEPTH {
                    return Err(bad(format!("containers are nested deeper than {MAX_DEPTH}")));
                }
                levels.push(Level { id: value, next: 0, name: name.len() });
            }
            _ => {}
        }
    }
    Ok(tensors)
}

/// Last part of an item's name.
enum Key<'a> {
    Text(&'a str),
    Number(i64),
    /// An item of a list, or of a dict whose key is neither text nor a number.
    Position(usize),
}

fn item<'a>(pickle: &Pickle<'a>, level: &Level) -> Option<(Key<'a>, Id)> {
    let at = level.next;
    match pickle.get(level.id) {
        Value::Dict(items) => items.get(at).map(|&(key, value)| match pickle.get(key) {
            Value::Str(text) => (Key::Text(text), value),
            Value::Int(n) => (Key::Number(*n), value),
            _ => (Key::Position(at), value),
        }),
        Value::List(items) | Value::Tuple(items) => items.get(at).map(|&value| (Key::Position(at), value)),
        _ => None,
    }
}

fn extend(name: &mut String, key: &Key<'_>) -> Result<()> {
    if matches!(key, Key::Text(text) if name.len() + text.len() > MAX_NAME) {
        return Err(bad(format!("a name is longer than {MAX_NAME} bytes")));
    }
    if !name.is_empty() {
        name.push('.');
    }
    match key {
        Key::Text(text) => name.push_str(text),
        Key::Number(n) => name.push_str(&n.to_string()),
        Key::Position(n) => name.push_str(&n.to_string()),
    }
    Ok(())
}
