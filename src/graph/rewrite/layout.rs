//! NCHW to NHWC. Every value is kept in the form its producer makes; a conversion is added only where a reader needs the other
//! form, so a real network has none left but at its ends.

use crate::error::Result;
use crate::graph::{Graph, Vertex, VertexId};
use crate::ops::{Dim, Layout, Op, Reshape, Transpose};

/// `[n, c, h, w] → [n, h, w, c]`.
const TO_NHWC: [usize; 4] = [0, 2, 3, 1];
/// `[n, h, w, c] → [n, c, h, w]`.
const TO_NCHW: [usize; 4] = [0, 3, 1, 2];

/// Where a value of the old graph is to be found in the new one: in the source's layout, in NHWC, or both.
#[derive(Debug, Clone, Copy, Default)]
struct Forms {
    source: Option<VertexId>,
    nhwc: Option<VertexId>,
}

/// How a vertex takes part.
enum Part {
    /// Reads and makes NHWC; the op is the NHWC version.
    Spatial(Op),
    /// Works in either layout; the op is the NHWC version, chosen where an input is in NHWC already.
    Follows(Op),
    /// Needs the source's layout.
    Source,
}

/// Replaces every NCHW op by its NHWC version. Outputs keep the source's layout and their names.
pub(super) fn to_nhwc(graph: &Graph) -> Result<Graph> {
    let mut pass = Pass { old: graph, new: Graph::new(), forms: vec![Forms::default(); graph.len()] };
    for (id, vertex) in graph.iter() {
        pass.convert(id, vertex)?;
    }
    let outputs = graph.outputs().iter().map(|o| pass.output(*o)).collect::<Result<_>>()?;
    pass.new.set_outputs(outputs);
    Ok(pass.new)
}

struct Pass<'a> {
    old: &'a Graph,
    new: Graph,
    forms: Vec<Forms>,
}

impl Pass<'_> {
    fn convert(&mut self, id: VertexId, vertex: &Vertex) -> Result<()> {
        let (op, nhwc) = match part(self.old, vertex) {
            Part::Spatial(op) => (op, true),
            Part::Follows(op) if self.prefers_nhwc(vertex) => (op, true),
            Part::Follows(_) | Part::Source => (vertex.op.clone(), false),
        };
        // Weights have no layout of their own; only values of the shape of the result are converted.
        let data = data_inputs(vertex);
        let mut inputs = Vec::with_capacity(vertex.inputs.len());
        for (index, input) in vertex.inputs.iter().enumerate() {
            inputs.push(if nhwc && index < data { self.nhwc(*input)? } else { self.source(*input)? });
        }
        let renamed;
        let vertex = if nhwc && self.is_output(id) {
            // The name belongs to the value in the source's layout, which `output` adds.
            renamed = Vertex { name: self.new.free_name(&format!("{}:nhwc", vertex.name)), ..vertex.clone() };
            &renamed
        } else {
            vertex
        };
        let new = self.new.add_like(vertex, op, &inputs)?;
        let forms = &mut self.forms[id.index()];
        *(if nhwc { &mut forms.nhwc } else { &mut forms.source }) = Some(new);
        Ok(())
    }

    fn is_output(&self, id: VertexId) -> bool {
        self.old.outputs().contains(&id)
    }

    fn prefers_nhwc(&self, vertex: &Vertex) -> bool {
        vertex.inputs.iter().any(|i| self.forms[i.index()].nhwc.is_some())
    }

    fn nhwc(&mut self, id: VertexId) -> Result<VertexId> {
        if let Some(found) = self.forms[id.index()].nhwc {
            return Ok(found);
        }
        let source = self.source(id)?;
        let vertex = self.old.get(id);
        let shape = &vertex.ty.shape;
        let name = self.new.free_name(&format!("{}:nhwc", vertex.name));
        let new = match shape.rank() {
            // A scalar, or a value that broadcasts over all but the columns of NCHW, is aligned before it is turned.
            0 => source,
            1..=3 => {
                let aligned: Vec<Dim> =
                    std::iter::repeat_n(1, 4 - shape.rank()).chain(shape.iter().copied()).map(Dim::Fixed).collect();
                let aligned = self.new.add(format!("{name}:aligned"), Reshape { dims: aligned }, &[source])?;
                self.turn(name, aligned, &TO_NHWC)?
            }
            _ => self.turn(name, source, &TO_NHWC)?,
        };
        self.forms[id.index()].nhwc = Some(new);
        Ok(new)
    }

    fn source(&mut self, id: VertexId) -> Result<VertexId> {
        let forms = self.forms[id.index()];
        if let Some(found) = forms.source {
            return Ok(found);
        }
        let vertex = self.old.get(id);
        let nhwc = forms.nhwc.ok_or_else(|| crate::error::Error::internal("a value was read before it was made"))?;
        let name =
            if self.is_output(id) { vertex.name.clone() } else { self.new.free_name(&format!("{}:nchw", vertex.name)) };
        let new = self.turn(name, nhwc, &TO_NCHW)?;
        let made = self.new.get_mut(new);
        (made.frozen, made.layer, made.loss) = (vertex.frozen, vertex.layer.clone(), vertex.loss.clone());
        self.forms[id.index()].source = Some(new);
        Ok(new)
    }

    fn output(&mut self, id: VertexId) -> Result<VertexId> {
        self.source(id)
    }

    /// A transpose, or a reshape where only dimensions of extent 1 move.
    fn turn(&mut self, name: String, x: VertexId, perm: &[usize; 4]) -> Result<VertexId> {
        let shape = &self.new.get(x).ty.shape;
        // The batch never moves, so it may be anything.
        let order: Vec<usize> = perm.iter().copied().filter(|&d| d > 0 && shape[d] != 1).collect();
        if order.is_sorted() {
            let mut dims: Vec<Dim> = perm.iter().map(|&d| Dim::Fixed(shape[d])).collect();
            dims[0] = Dim::Copy;
            return self.new.add(name, Reshape { dims }, &[x]);
        }
        self.new.add(name, Transpose { perm: perm.to_vec() }, &[x])
    }
}

/// How many of the first inputs are image batches rather than weights.
fn data_inputs(vertex: &Vertex) -> usize {
    match &vertex.op {
        Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::BatchNorm(_) | Op::LayerNorm(_) => 1,
        _ => vertex.inputs.len(),
    }
}

fn part(graph: &Graph, vertex: &Vertex) -> Part {
    let image = vertex.ty.shape.rank() == 4;
    macro_rules! spatial {
        ($op:ident) => {
            match $op.layout {
                Layout::Nchw => {
                    let mut op = $op.clone();
                    op.layout = Layout::Nhwc;
                    Part::Spatial(op.into())
                }
                Layout::Nhwc => Part::Source,
            }
        };
    }
    // Position of a dimension of NCHW in NHWC.
    let moved = |axis: usize| [0, 3, 1, 2][axis];
    match &vertex.op {
        Op::Conv2d(op) => spatial!(op),
        Op::DepthwiseConv2d(op) => spatial!(op),
        Op::MaxPool(op) => spatial!(op),
        Op::AvgPool(op) => spatial!(op),
        Op::GlobalAvgPool(op) => spatial!(op),
        Op::BatchNorm(op) if image => spatial!(op),
        Op::LayerNorm(op) if image => spatial!(op),
        // The order of the elements of an image makes no difference to its norm.
        Op::L2Normalize(op) if image && op.axis <= 1 => Part::Follows(vertex.op.clone()),
        Op::Clip(_) | Op::Sigmoid(_) | Op::Activate(_) if image => Part::Follows(vertex.op.clone()),
        Op::Scale(_) | Op::Shift(_) | Op::Dropout(_) if image => Part::Follows(vertex.op.clone()),
        Op::Add(_) | Op::Multiply(_) | Op::Maximum(_) if image && broadcasts_as_image(graph, vertex) => {
            Part::Follows(vertex.op.clone())
        }
        Op::Concat(op) if image => {
            let mut op = op.clone();
            op.axis = moved(op.axis);
            Part::Follows(op.into())
        }
        Op::Slice(op) if image => {
            let mut op = op.clone();
            op.axis = moved(op.axis);
            Part::Follows(op.into())
        }
        Op::Softmax(op) if image => {
            let mut op = op.clone();
            op.axis = moved(op.axis);
            Part::Follows(op.into())
        }
        Op::Pad(op) if image => {
            let turn = |d: &[usize]| TO_NHWC.iter().map(|&i| d[i]).collect();
            let (before, after) = (turn(&op.before), turn(&op.after));
            Part::Follows(crate::ops::Pad { before, after, value: op.value }.into())
        }
        _ => Part::Source,
    }
}

/// Every input is an image batch, or a stored value that can be aligned to one.
fn broadcasts_as_image(graph: &Graph, vertex: &Vertex) -> bool {
    vertex.inputs.iter().all(|i| {
        let input = graph.get(*i);
        input.ty.shape.rank() == 4 || (input.is_stored() && input.ty.shape.rank() < 4)
    })
}
