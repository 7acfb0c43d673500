//! What an op's GPU encoding gets to work with: a list it appends dispatches to. Plain data, so that it can be read in tests and
//! knows no device.

use super::Operator;
use crate::error::{Error, Result};
use crate::kernels::wgsl::{
    Binding, Dispatch, Gemm, Kernel, Place, Region, Strided, Tiles, Tiling, WORKGROUP, Winograd, Work,
};
use crate::tensor::Shape;

/// A value on the device, as an op sees it.
#[derive(Debug, Clone, Copy)]
pub struct GpuView<'a> {
    /// Extent of each dimension.
    pub shape: &'a Shape,
    /// Where its elements lie, row-major.
    pub region: Region,
    /// Whether they are a constant that is also there as `Place::Half` and `Place::Columns`.
    pub half: bool,
}

impl GpuView<'_> {
    /// The elements as 16-bit floats, and the factors of their columns.
    pub(crate) fn halves(&self) -> Option<[Region; 2]> {
        let (Place::Constant(index), true) = (self.region.place, self.half) else { return None };
        let columns = self.shape.last().copied().unwrap_or(1);
        let columns = Region { place: Place::Columns(index), first: 0, len: columns };
        Some([Region { place: Place::Half(index), ..self.region }, columns])
    }
}

/// What a device allows; the default is what every WebGPU device has (WebGPU specification, "Limits").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuLimits {
    /// Bytes of a storage binding.
    pub binding_bytes: u64,
    /// Bytes of a buffer.
    pub buffer_bytes: u64,
    /// Alignment of a binding's offset, in bytes.
    pub alignment: u64,
    /// Storage buffers a shader may have.
    pub storage_buffers: u32,
    /// Workgroups in one dimension of a dispatch.
    pub groups_per_dimension: u32,
    /// Bytes of shared memory of a workgroup.
    pub shared_bytes: u32,
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Invocations that keep the device busy: work is split further where there are fewer. WebGPU does not tell it; the default is a
    /// mid-range GPU's.
    pub lanes: u64,
    /// Fastest tiles of products: of those with few terms a sum, and of those with many.
    pub tiles: [Tiles; 2],
    /// Whether constant 3×3 filters with a stride of 1 are faster in Winograd's form: with few channels, and with many.
    pub winograd: [bool; 2],
    /// Whether constant weights are read as 16-bit floats where that loses nothing: half of the bytes, for a conversion of each.
    pub halves: bool,
}

impl Default for GpuLimits {
    fn default() -> Self {
        Self {
            binding_bytes: 128 << 20,
            buffer_bytes: 256 << 20,
            alignment: 256,
            storage_buffers: 8,
            groups_per_dimension: 65_535,
            shared_bytes: 16 << 10,
            invocations: 256,
            lanes: 16_384,
            tiles: [Tiles::default(); 2],
            winograd: [false; 2],
            halves: true,
        }
    }
}

impl GpuLimits {
    /// What the choice of a tile depends on.
    pub(crate) fn tiling(&self) -> Tiling {
        Tiling { lanes: self.lanes, tiles: self.tiles }
    }

    /// How many rows (of the first dimension) of a value fit a binding, so that each part starts aligned; all of them for most.
    ///
    /// # Errors
    /// `over-budget` where even the fewest rows that keep the alignment do not fit.
    fn rows_per_binding(&self, shape: &Shape, element_bytes: u64) -> Result<usize> {
        let (rows, bytes) = (shape.first().copied().unwrap_or(1).max(1), shape.len() as u64 * element_bytes);
        if bytes <= self.binding_bytes {
            return Ok(rows);
        }
        let row_bytes = bytes / rows as u64;
        let step = (1..=self.alignment).find(|s| (s * row_bytes).is_multiple_of(self.alignment)).unwrap_or(1);
        match self.binding_bytes / row_bytes / step * step {
            0 => Err(Error::OverBudget { needed: step * row_bytes, budget: self.binding_bytes }),
            fitting => Ok(fitting as usize),
        }
    }
}

/// Multiply-accumulates of one dispatch: 8 ms of a weak GPU at a fifth of 1 TFLOP/s, so that no dispatch keeps a page waiting.
const MACS_PER_DISPATCH: u64 = 800_000_000;

/// Elements of working memory, of which there are two.
pub type Scratches = [usize; 2];

/// Collects the dispatches of one step.
#[derive(Debug, Clone)]
pub struct GpuContext {
    limits: GpuLimits,
    vertex: String,
    dispatches: Vec<Dispatch>,
    scratch: Scratches,
}

impl GpuContext {
    /// An empty list for the vertex that errors name.
    pub fn new(limits: GpuLimits, vertex: &str) -> Self {
        Self { limits, vertex: vertex.to_owned(), dispatches: Vec::new(), scratch: [0; 2] }
    }

    /// What the device allows.
    pub fn limits(&self) -> &GpuLimits {
        &self.limits
    }

    /// The error of an op that has no kernel for its attributes or shapes.
    pub fn no_kernel<O: Operator>(&self) -> Error {
        Error::NoKernel { vertex: self.vertex.clone(), op: O::NAME }
    }

    /// Working memory for this step alone; its content is undefined before it is written.
    pub fn scratch(&mut self, len: usize) -> Region {
        self.scratch_in(0, len)
    }

    /// Two of them, of which a dispatch can read one and write the other.
    pub fn scratches(&mut self, lens: [usize; 2]) -> [Region; 2] {
        [0, 1].map(|index| self.scratch_in(index, lens[index]))
    }

    fn scratch_in(&mut self, index: usize, len: usize) -> Region {
        let first = self.scratch[index];
        let step = self.limits.alignment as usize / 4;
        self.scratch[index] += len.div_ceil(step) * step;
        Region { place: Place::Scratch(index), first, len }
    }

    /// Parts of a value that each fit a binding: the first row of each part, and its region.
    pub fn parts(&self, x: &GpuView<'_>) -> Result<Vec<(usize, Region)>> {
        let rows = x.shape.first().copied().unwrap_or(1).max(1);
        let step = self.limits.rows_per_binding(x.shape, x.region.place.element_bytes())?;
        let row = x.region.len / rows;
        let part = |first: usize| {
            let len = step.min(rows - first) * row;
            (first, Region { first: x.region.first + first * row, len, ..x.region })
        };
        Ok((0..rows).step_by(step).map(part).collect())
    }

    /// Runs `kernel` on `x` (read) and `y` (written), in the order of the shader's bindings. `params` are the words after `first`
    /// and `width`. `groups` workgroups are cut into grids that a device takes, and into dispatches that do not last long.
    ///
    /// # Errors
    /// `over-budget` where a binding is larger than the device allows.
    pub fn dispatch(
        &mut self,
        kernel: &Kernel,
        x: &[Region],
        y: &[Region],
        params: &[u32],
        groups: u64,
        work: Work,
    ) -> Result<()> {
        let read = x.iter().map(|&region| Binding { region, written: false });
        let written = y.iter().map(|&region| Binding { region, written: true });
        let bindings: Vec<Binding> = read.chain(written).collect();
        if let Some(large) = bindings.iter().map(|b| b.region.bytes()).find(|b| *b > self.limits.binding_bytes) {
            return Err(Error::OverBudget { needed: large, budget: self.limits.binding_bytes });
        }
        if bindings.len() > self.limits.storage_buffers as usize || groups == 0 {
            let reason = format!("a dispatch of {groups} workgroups with {} bindings", bindings.len());
            return Err(Error::Internal { vertex: Some(self.vertex.clone()), reason });
        }
        if let Some(both) = x.iter().find(|x| y.iter().any(|y| y.place == x.place)) {
            let reason = format!("a dispatch reads and writes {:?}", both.place);
            return Err(Error::Internal { vertex: Some(self.vertex.clone()), reason });
        }
        let side = u64::from(self.limits.groups_per_dimension);
        let slices = work.macs.div_ceil(MACS_PER_DISPATCH).max(groups.div_ceil(side * side)).clamp(1, groups);
        let slice = groups.div_ceil(slices);
        // All slices but the last are full grids: what runs twice would update twice. The last may run beyond `groups`, where
        // kernels find nothing to do.
        let width = slice.min(side);
        let step = slice.div_ceil(width) * width;
        for first in (0..groups).step_by(step as usize) {
            let count = step.min(groups - first);
            let width = width.min(count);
            let words = [first as u32, width as u32].into_iter().chain(params.iter().copied()).collect();
            let (grid, work) = ([width as u32, count.div_ceil(width) as u32], work.share(count, groups));
            let (kernel, bindings) = (kernel.clone(), bindings.clone());
            self.dispatches.push(Dispatch { kernel, bindings, params: words, grid, work, by_element: false });
        }
        Ok(())
    }

    /// [`GpuContext::dispatch`] of one invocation for each of `count` results; `count` is the first of `params`.
    pub fn dispatch_each(
        &mut self,
        kernel: &Kernel,
        x: &[Region],
        y: &[Region],
        count: usize,
        params: &[u32],
    ) -> Result<()> {
        let words: Vec<u32> = [count as u32].into_iter().chain(params.iter().copied()).collect();
        self.dispatch(kernel, x, y, &words, (count as u64).div_ceil(u64::from(WORKGROUP)), Work::default())
    }

    /// One invocation for each four elements of the first of `y`: the frames `unary`, `binary` and `update`, whose `p.a`, `p.b` and
    /// `p.c` are `numbers`.
    pub fn map(&mut self, kernel: &Kernel, x: &[Region], y: &[Region], numbers: [f32; 3]) -> Result<()> {
        let count = y.first().map_or(0, |y| y.len).div_ceil(4);
        let before = self.dispatches.len();
        self.dispatch_each(kernel, x, y, count, &numbers.map(f32::to_bits))?;
        if let [only] = &mut self.dispatches[before..] {
            only.by_element = true;
        }
        Ok(())
    }

    /// A product of matrices whose right one may be larger than a binding: then it is summed up over parts of the rows that `rows`
    /// views it as. `rest` is what the product binds behind its matrices; `part` gives it over some of the rows: the first, and
    /// how many.
    ///
    /// # Errors
    /// `over-budget` where the fewest rows that a part may have are larger than a binding.
    pub(crate) fn gemm_in_parts(
        &mut self,
        gemm: &Gemm,
        [x, rows]: [&GpuView<'_>; 2],
        rest: &[Region],
        y: Region,
        part: impl Fn(usize, usize) -> Gemm,
    ) -> Result<()> {
        let halves = rows.halves().filter(|_| gemm.takes_halves());
        let (region, columns) = halves.map_or((rows.region, None), |[halves, columns]| (halves, Some(columns)));
        let gemm = Gemm { halves: columns.is_some(), ..gemm.clone() };
        let parts = self.parts(&GpuView { region, ..*rows })?;
        if let [(_, w)] = parts[..] {
            let inputs: Vec<Region> = [x.region, w].into_iter().chain(columns).chain(rest.iter().copied()).collect();
            return self.gemm(&gemm, &inputs, y);
        }
        for (index, &(first, w)) in parts.iter().enumerate() {
            let last = index + 1 == parts.len();
            // What follows the sum follows the last part of it.
            let gemm = Gemm {
                halves: gemm.halves,
                accumulate: index > 0,
                bias: gemm.bias && last,
                residual: gemm.residual && last,
                clamp: gemm.clamp.filter(|_| last),
                ..part(first, parts.get(index + 1).map_or(rows.shape[0], |next| next.0) - first)
            };
            let rest = rest.iter().copied().filter(|_| last);
            let inputs: Vec<Region> = [x.region, w].into_iter().chain(columns).chain(rest).collect();
            self.gemm(&gemm, &inputs, y)?;
        }
        Ok(())
    }

    /// A convolution in Winograd's form, some tiles at a time; `filters` are those of the constant. `bias` and `residual` are added,
    /// where they are there.
    pub(crate) fn winograd(
        &mut self,
        winograd: &Winograd<'_>,
        [x, filters]: [Region; 2],
        added: [Option<Region>; 2],
        clamp: Option<(f32, f32)>,
        y: Region,
    ) -> Result<()> {
        let clamp = clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let chunks: Vec<_> = winograd.chunks(self.limits.binding_bytes as usize / 4).collect();
        let most = chunks.iter().map(|chunk| chunk.1).max().unwrap_or(0);
        let memory = self.scratches(winograd.lens(most));
        for chunk in chunks {
            let lens = winograd.lens(chunk.1);
            let [patches, products] = [0, 1].map(|index| Region { len: lens[index], ..memory[index] });
            let (kernel, count, params) = winograd.input(chunk);
            self.dispatch_each(&kernel, &[x], &[patches], count, &params)?;
            self.gemm(&winograd.product(self.limits.tiling(), chunk.1), &[patches, filters], products)?;
            let (kernel, count, params) = winograd.output(chunk, added.map(|region| region.is_some()), clamp);
            // What is bound for its place alone is not read.
            let [bias, residual] = added.map(|region| region.unwrap_or(x));
            self.dispatch_each(&kernel, &[products, bias, residual], &[y], count, &params)?;
        }
        Ok(())
    }

    /// A product of matrices.
    pub(crate) fn gemm(&mut self, gemm: &Gemm, x: &[Region], y: Region) -> Result<()> {
        self.dispatch(&gemm.kernel(), x, &[y], &gemm.params(), gemm.workgroups(), gemm.work())
    }

    /// A loop that finds its inputs by strides.
    pub(crate) fn strided(&mut self, strided: &Strided, x: &[Region], y: Region) -> Result<()> {
        self.dispatch_each(&strided.kernel, x, &[y], strided.count, &strided.params)
    }

    /// A workgroup for each of `rows` rows of `along` elements: the frame `rows`, made by `wgsl::rows`. The first words of its
    /// `Params` after `first` and `width` are `rows` and `along`.
    pub(crate) fn rows(
        &mut self,
        kernel: &Kernel,
        x: &[Region],
        y: &[Region],
        [rows, along]: [usize; 2],
        params: &[u32],
    ) -> Result<()> {
        let words: Vec<u32> = [rows as u32, along as u32].into_iter().chain(params.iter().copied()).collect();
        self.dispatch(kernel, x, y, &words, rows as u64, Work::default())
    }

    /// The dispatches in order, and the elements of working memory they need.
    pub fn finish(self) -> (Vec<Dispatch>, Scratches) {
        (self.dispatches, self.scratch)
    }
}
