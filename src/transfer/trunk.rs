//! The frozen part on its own: pixels in, boundary values out.

use crate::backend::{Device, Session, Sibling, StepTime};
use crate::data::{Image, Preprocessing, Views};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::Layout;
use crate::tensor::Shape;

/// A trunk ready to run. Images do not see each other, so results depend neither on an image's neighbours nor on who runs it.
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
    /// [`Trunk::on`] the CPU, one image at a time.
    pub fn new(graph: &Graph, preprocessing: &Preprocessing, budget: Option<u64>) -> Result<Self> {
        Self::on(&Device::Cpu, graph, preprocessing, 1, budget)
    }

    /// Compiles a graph with one image input, for `batch` images a run.
    ///
    /// # Errors
    /// `shape` where the input takes no images of the preprocessing's size, `over-budget`; on a GPU those of [`Session::on`].
    pub fn on(
        device: &Device,
        graph: &Graph,
        preprocessing: &Preprocessing,
        batch: usize,
        budget: Option<u64>,
    ) -> Result<Self> {
        let (input, layout) = image_input(graph, preprocessing)?;
        let session = Session::on(device, graph, batch, budget)?;
        let len = preprocessing.size.width as usize * preprocessing.size.height as usize * 3;
        let nchw = vec![0.0; if layout == Layout::Nchw { batch * len } else { 0 }];
        let nhwc = vec![0.0; batch * len];
        Ok(Self { session, preprocessing: preprocessing.clone(), input, layout, nhwc, nchw })
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
        self.preprocessing.preprocess(image, self.nhwc.get_mut(..self.preprocessing.len()).unwrap_or_default())?;
        self.write()?;
        self.session.run(&[])?;
        self.values(0)
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
        let row = self.nhwc.get_mut(..self.preprocessing.len()).unwrap_or_default();
        views.render(&self.preprocessing, (index, view), image, partner, row)?;
        self.write()?;
        self.session.run(&[])?;
        self.values(0)
    }

    /// Runs on preprocessed pixels, `[n, height, width, 3]`, at most a batch; resolves to all boundary values of the first image,
    /// then those of the others.
    ///
    /// # Errors
    /// `bad-option` for more or less than whole images; those of [`Session::arrived`].
    pub async fn run(&mut self, pixels: &[f32]) -> Result<Vec<f32>> {
        let len = self.preprocessing.len();
        let Some(rows) = self.nhwc.get_mut(..pixels.len()).filter(|rows| rows.len().is_multiple_of(len)) else {
            return Err(Error::option("pixels", format!("{} values are no batch of images", pixels.len())));
        };
        rows.copy_from_slice(pixels);
        self.write()?;
        self.session.start(&[])?;
        self.session.arrived().await?;
        let mut all = Vec::new();
        for row in 0..pixels.len() / len {
            all.extend(self.values(row)?);
        }
        Ok(all)
    }

    /// Runs on what was written last; gives how long each step took, by the clock `now`. For measuring alone.
    pub async fn profile(&mut self, now: &mut dyn FnMut() -> f64) -> Result<Vec<StepTime>> {
        self.session.profile(&[], now).await
    }

    /// Writes the preprocessed pixels.
    fn write(&mut self) -> Result<()> {
        let pixels = match self.layout {
            Layout::Nhwc => &self.nhwc,
            Layout::Nchw => {
                let len = self.preprocessing.len();
                for (nchw, nhwc) in self.nchw.chunks_exact_mut(len).zip(self.nhwc.chunks_exact(len)) {
                    for (channel, values) in nchw.chunks_exact_mut(len / 3).enumerate() {
                        let source = nhwc.iter().skip(channel).step_by(3);
                        values.iter_mut().zip(source).for_each(|(y, x)| *y = *x);
                    }
                }
                &self.nchw
            }
        };
        self.session.write(&self.input, pixels)
    }

    /// All boundary values of an image of the run.
    fn values(&self, row: usize) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        for (index, (_, shape)) in self.session.outputs().iter().enumerate() {
            let len = shape.len() / shape.first().copied().unwrap_or(1).max(1);
            let values = self.session.output(index)?.get(row * len..(row + 1) * len);
            all.extend_from_slice(values.ok_or_else(|| Error::internal("a run has fewer images"))?);
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
