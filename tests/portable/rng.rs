//! Random numbers have the same bits natively and in the browser.

use regraft::data::{Rng, Stream};

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn words_are_chacha8() {
    // draft-strombergson-chacha-test-vectors-01, TC1 (zero key, zero IV), 8 rounds, first block.
    let expected = "3e00ef2f895f40d67f5bb8e81f09a5a12c840ec3ce9a7f3b181be188ef711a1e";
    let mut rng = Rng::new(0, Stream::Split);
    let found: String = (0..4).flat_map(|_| rng.bits().to_le_bytes()).map(|b| format!("{b:02x}")).collect();
    assert_eq!(found, expected);
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn bits_are_the_same_on_every_target() {
    // From reference/rng.py. Equal to the last bit: that is what lets a seed mean the same everywhere.
    let mut rng = Rng::for_item(7, Stream::Init, 9);
    assert_eq!(rng.uniform(), 0.16230580527118355);
    let normals = [-0.1107741650408047, 0.4692436929446691, 0.5075134262034736, -0.7256612567401464];
    assert_eq!(normals.map(|_| rng.normal()), normals);
    let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
    rng.shuffle(&mut items);
    assert_eq!(items, [3, 2, 0, 5, 4, 6, 7, 1]);
}
