// An updater, four weights an invocation. The op brings `update`, and declares what it changes from binding 2 on, then p.
struct Params { first: u32, width: u32, count: u32, a: f32, b: f32, c: f32 }

@group(0) @binding(0) var<storage, read> dw: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> scalars: array<f32>;

override WG: u32;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (p.first + wid.y * p.width + wid.x) * WG + lid;
    if (i < p.count) {
        update(i);
    }
}
