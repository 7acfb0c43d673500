//! The frozen part on its own: pixels in, boundary values out, one image at a time.

use crate::backend::{Session, Sibling};
use crate::data::{Image, Preprocessing, Views};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::Layout;
use crate::tensor::Shape;

/// A trunk ready to run. Each image runs alone, so results depend neither on its neighbours nor on who runs it.
#[derive(Debug)]
pub struct Trunk {
    session: Session,
    preprocessing: Preprocessing,
    input: String,
    layout: Layout,
    nhwc: Vec<f32>,
    nchw: Vec<f32>,
}

/// A trunk on its way to another thread.
#[derive(Debug)]
pub struct TrunkSibling {
    session: Sibling,
    preprocessing: Preprocessing,
    input: String,
    layout: Layout,
    /// Of the pixels, in either layout.
    lens: [usize; 2],
}

impl From<TrunkSibling> for Trunk {
    fn from(TrunkSibling { session, preprocessing, input, layout, lens }: TrunkSibling) -> Self {
        let [nhwc, nchw] = lens.map(|len| vec![0.0; len]);
        Self { session: session.into(), preprocessing, input, layout, nhwc, nchw }
    }
}

impl Trunk {
    /// Compiles a graph with one image input.
    ///
    /// # Errors
    /// `shape` where the input takes no images of the preprocessing's size, `over-budget`.
    pub fn new(graph: &Graph, preprocessing: &Preprocessing, budget: Option<u64>) -> Result<Self> {
        let (input, layout) = image_input(graph, preprocessing)?;
        let session = Session::new(graph, 1, budget)?;
        let len = preprocessing.size.width as usize * preprocessing.size.height as usize * 3;
        let nchw = vec![0.0; if layout == Layout::Nchw { len } else { 0 }];
        Ok(Self { session, preprocessing: preprocessing.clone(), input, layout, nhwc: vec![0.0; len], nchw })
    }

    /// The same network on the same weights, with memory of its own.
    ///
    /// # Errors
    /// As [`Session::sibling`].
    pub fn sibling(&self) -> Result<TrunkSibling> {
        Ok(TrunkSibling {
            session: self.session.sibling()?,
            preprocessing: self.preprocessing.clone(),
            input: self.input.clone(),
            layout: self.layout,
            lens: [self.nhwc.len(), self.nchw.len()],
        })
    }

    /// Names and shapes (without the batch) of the boundary values.
    pub fn tensors(&self) -> Vec<(String, Shape)> {
        self.session.outputs().iter().map(|(name, shape)| (name.clone(), Shape::from(&shape[1..]))).collect()
    }

    /// Resizes, normalises and runs one image. Returns all boundary values, one after the other.
    pub fn featurize(&mut self, image: Image<'_>) -> Result<Vec<f32>> {
        self.preprocessing.preprocess(image, &mut self.nhwc)?;
        self.run()
    }

    /// Like [`Trunk::featurize`] for a view of sample `index`; `partner` is the image it is mixed with, if it is. View 0 gives
    /// what [`Trunk::featurize`] gives.
    ///
    /// # Errors
    /// As [`Views::render`].
    pub fn featurize_view(
        &mut self,
        views: &Views,
        (index, view): (usize, usize),
        image: Image<'_>,
        partner: Option<Image<'_>>,
    ) -> Result<Vec<f32>> {
        views.render(&self.preprocessing, (index, view), image, partner, &mut self.nhwc)?;
        self.run()
    }

    /// Runs on the preprocessed pixels.
    fn run(&mut self) -> Result<Vec<f32>> {
        let pixels = match self.layout {
            Layout::Nhwc => &self.nhwc,
            Layout::Nchw => {
                let plane = self.nhwc.len() / 3;
                for (channel, values) in self.nchw.chunks_exact_mut(plane).enumerate() {
                    let source = self.nhwc.iter().skip(channel).step_by(3);
                    values.iter_mut().zip(source).for_each(|(y, x)| *y = *x);
                }
                &self.nchw
            }
        };
        self.session.run(&[(&self.input, pixels)])?;
        let mut all = Vec::new();
        for index in 0..self.session.outputs().len() {
            all.extend_from_slice(self.session.output(index)?);
        }
        Ok(all)
    }
}

/// The only input, and the layout in which it takes an image of three channels.
pub fn image_input(graph: &Graph, preprocessing: &Preprocessing) -> Result<(String, Layout)> {
    let [input] = graph.inputs() else {
        let count = graph.inputs().len();
        return Err(Error::conflict("", format!("the network has {count} inputs; images need exactly one")));
    };
    let vertex = graph.get(*input);
    let (w, h) = (preprocessing.size.width as usize, preprocessing.size.height as usize);
    let layout = match vertex.ty.shape.get(1..) {
        Some([3, rows, cols]) if (*rows, *cols) == (h, w) => Layout::Nchw,
        Some([rows, cols, 3]) if (*rows, *cols) == (h, w) => Layout::Nhwc,
        _ => {
            return Err(Error::Shape {
                vertex: vertex.name.clone(),
                op: vertex.op.name(),
                reason: format!("the input takes no images of {w}×{h} pixels in three channels"),
                inputs: vec![vertex.ty.shape.clone()],
            });
        }
    };
    Ok((vertex.name.clone(), layout))
}
