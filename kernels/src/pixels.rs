//! Bytes of images to values.

/// Whether no pixel is transparent.
pub fn is_opaque(rgba: &[[u8; 4]]) -> bool {
    rgba.iter().fold(u8::MAX, |all, pixel| all & pixel[3]) == u8::MAX
}

/// Channel `c` of each pixel is what `lookup[c]` has for byte `order[c]` of RGBA.
pub fn normalise(rgba: &[[u8; 4]], lookup: &[[f32; 256]; 3], order: [usize; 3], y: &mut [[f32; 3]]) {
    let order = order.map(|channel| channel % 4);
    for (y, pixel) in y.iter_mut().zip(rgba) {
        for c in 0..3 {
            y[c] = lookup[c][usize::from(pixel[order[c]])];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_transparent_pixel_is_enough() {
        let mut rgba = [[7, 8, 9, 255]; 37];
        assert!(is_opaque(&rgba) && is_opaque(&[]));
        rgba[36][3] = 254;
        assert!(!is_opaque(&rgba));
    }

    #[test]
    fn bytes_are_looked_up_in_the_order_of_the_channels() {
        let table = |c: usize| std::array::from_fn(|byte| (1000 * c + byte) as f32);
        let mut y = [[f32::NAN; 3]; 2];
        normalise(&[[1, 2, 3, 9], [4, 5, 6, 9]], &[table(0), table(1), table(2)], [2, 1, 0], &mut y);
        assert_eq!(y, [[3.0, 1002.0, 2001.0], [6.0, 1005.0, 2004.0]]);
    }
}
