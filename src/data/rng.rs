use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// What random numbers are for. Each use has its own stream, so that one more draw in one place changes nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Stream {
    /// Which samples go to which side of a split, balanced subset or fold.
    Split = 0,
    /// Order of samples in an epoch.
    Shuffle = 1,
    /// First values of parameters.
    Init = 2,
    /// Units that are dropped.
    Dropout = 3,
    /// Flips, crops, colours of augmented views.
    Augmentation = 4,
    /// Inputs on which an export is compared with its model.
    Verify = 5,
    /// Which view of each image an epoch trains on.
    View = 6,
}

/// The only source of randomness: ChaCha with 8 rounds, so any position of any stream is reachable at once, and
/// native and wasm builds give the same bits.
///
/// Key: seed and item as little-endian u64, then zeros. Nonce: the stream.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream's numbers for a seed.
    pub fn new(seed: u64, stream: Stream) -> Self {
        Self::for_item(seed, stream, 0)
    }

    /// The numbers of one item of a stream, such as an image or an iteration: what an item draws does not depend on which
    /// worker handles it, nor when.
    pub fn for_item(seed: u64, stream: Stream, item: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&item.to_le_bytes());
        let mut chacha = ChaCha8Rng::from_seed(key);
        chacha.set_stream(stream as u64);
        Self(chacha)
    }

    /// 32-bit words drawn so far; [`Rng::seek`] takes it back.
    pub fn position(&self) -> u64 {
        // 2^64 words are never drawn.
        self.0.get_word_pos() as u64
    }

    /// Continues after `position` drawn words.
    pub fn seek(&mut self, position: u64) {
        self.0.set_word_pos(u128::from(position));
    }

    /// 64 random bits; two words.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), a multiple of 2^-53; two words.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..n`, each value equally likely; 0 for `n` = 0. Lemire, "Fast Random Integer Generation in an Interval", 2019.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            // `n.wrapping_neg() % n` is 2^64 mod n: the low products that would make some results likelier.
            if n == 0 || product as u64 >= n.wrapping_neg() % n {
                return (product >> 64) as usize;
            }
        }
    }

    /// Normal with mean 0 and standard deviation 1; four words. Box and Muller, 1958, the cosine half.
    ///
    /// `libm` in place of the platform's logarithm and cosine: those differ in the last bit between targets.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// Every order equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: usize = 200_000;
    /// Standard errors a statistic may be off: one in 3.5 million by chance, and the seed is fixed.
    const SIGMAS: f64 = 5.0;

    /// Asserts that `found` lies within [`SIGMAS`] standard errors of `expected`.
    fn assert_near(what: &str, found: f64, expected: f64, deviation: f64) {
        let limit = SIGMAS * deviation / (SAMPLES as f64).sqrt();
        assert!((found - expected).abs() < limit, "{what}: {found}, expected {expected} ± {limit}");
    }

    #[test]
    fn streams_items_and_seeds_differ() {
        let first = |seed, stream, item| Rng::for_item(seed, stream, item).bits();
        let all = [
            first(1, Stream::Init, 0),
            first(2, Stream::Init, 0),
            first(1, Stream::Dropout, 0),
            first(1, Stream::Init, 1),
            first(1, Stream::Init, 2),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(a), "draws {all:?}");
        }
        assert_eq!(first(1, Stream::Init, 0), Rng::new(1, Stream::Init).bits());
    }

    #[test]
    fn a_position_is_found_again() {
        let mut rng = Rng::new(3, Stream::Shuffle);
        for _ in 0..37 {
            rng.normal();
        }
        let position = rng.position();
        assert_eq!(position, 37 * 4);
        let next = rng.bits();
        let mut again = Rng::new(3, Stream::Shuffle);
        again.seek(position);
        assert_eq!(again.bits(), next);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Rng::new(11, Stream::Init);
        let mean = |f: &mut dyn FnMut() -> f64| (0..SAMPLES).map(|_| f()).sum::<f64>() / SAMPLES as f64;
        assert_near("uniform mean", mean(&mut || rng.uniform()), 0.5, (1f64 / 12.0).sqrt());
        assert_near("uniform square", mean(&mut || rng.uniform().powi(2)), 1.0 / 3.0, (4f64 / 45.0).sqrt());
        assert_near("normal mean", mean(&mut || rng.normal()), 0.0, 1.0);
        assert_near("normal square", mean(&mut || rng.normal().powi(2)), 1.0, 2f64.sqrt());
        assert_near("normal fourth", mean(&mut || rng.normal().powi(4)), 3.0, 96f64.sqrt());
        // 2 (1 - Φ(2)), tables of the normal distribution.
        let tail = 0.045_500_263_9f64;
        let deviation = (tail * (1.0 - tail)).sqrt();
        assert_near("normal tail", mean(&mut || f64::from(rng.normal().abs() > 2.0)), tail, deviation);
    }

    #[test]
    fn shuffles_are_uniform() {
        let mut rng = Rng::new(5, Stream::Shuffle);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..SAMPLES {
            let mut items = [0, 1, 2, 3];
            rng.shuffle(&mut items);
            *counts.entry(items).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        let p = 1.0 / 24.0f64;
        for (items, count) in counts {
            let share = f64::from(count) / SAMPLES as f64;
            assert_near(&format!("{items:?}"), share, p, (p * (1.0 - p)).sqrt());
        }
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }
}
